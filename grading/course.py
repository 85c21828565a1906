"""The folder of grades as a complete course of nbgrader: gradebook, pages and log."""

import contextlib
import functools
import hashlib
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbformat import NotebookNode, v4
from nbgrader import converters, preprocessors
from nbgrader.api import Grade, Gradebook, MissingEntry, SubmittedNotebook
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import determine_grade
from traitlets.config import Config

from grading.execute import RECORD, Execute, role
from grading.limits import Limits
from grading.repair import harmless
from grading.student import Student
from tools.notebook import ROOT
from utils.files import write_atomically

LOGGERS = ("traitlets", "py.warnings", "asyncio")
CONFIGURATION = """\
# Written by `make grade`: what nbgrader or its formgrader runs from this folder runs in
# the sandbox, too.
import sys
from pathlib import Path

sys.path.insert(0, {root!r})
from grading.course import configure

configure(get_config(), Path(__file__).parent)
"""


def configure(config: Config, folder: Path) -> None:
    """Set what nbgrader has to know about a course in ``folder``."""
    config.CourseDirectory.root = str(folder.resolve())
    config.CourseDirectory.course_id = "unrolled"
    config.Autograde.autograde_preprocessors = [
        Execute,
        preprocessors.LimitOutput,
        preprocessors.SaveAutoGrades,
        preprocessors.AssignLatePenalties,
        preprocessors.CheckCellMetadata,
    ]


class _Autograde(converters.Autograde):
    """Remembers why a notebook could not be graded, which nbgrader only logs."""

    failure: Exception | None = None

    def convert_single_notebook(self, notebook_filename: str) -> None:
        try:
            super().convert_single_notebook(notebook_filename)
        except Exception as error:
            self.failure = error
            raise


class Course:
    """One assignment in a folder of grades."""

    def __init__(
        self, folder: Path, name: str, source: Path, limits: Limits, unsafe: bool
    ) -> None:
        self.folder, self.name, self.source = folder.resolve(), name, source
        self.limits, self.unsafe = limits, unsafe
        self.config = Config()
        configure(self.config, self.folder)
        self.config.Execute.limits, self.config.Execute.unsafe = limits, unsafe
        self.config.CourseDirectory.assignment_id = name
        # A repaired notebook is sound; it lacks only the hidden tests.
        self.config.Autograde.sanitize_preprocessors = [preprocessors.OverwriteCells]
        self.database = f"sqlite:///{self.folder / 'gradebook.db'}"
        self.fingerprint = _fingerprint(source, limits)

    def path(self, step: str, student: Student) -> Path:
        """Return where a student's notebook is at a step such as ``autograded``."""
        return self.folder / step / student.id / self.name / f"{self.name}.ipynb"

    def add_assignment(self) -> None:
        """Write the assignment into the gradebook, with its hidden tests.

        Raises:
            ValueError: its cells are others than those that students were graded by.
        """
        target = self.folder / "source" / self.name / f"{self.name}.ipynb"
        settings = CONFIGURATION.format(root=str(ROOT))
        write_atomically(self.folder / "nbgrader_config.py", settings.encode())
        write_atomically(target, self.source.read_bytes())
        try:
            self._convert(converters.GenerateAssignment, ".")
        except NbGraderException:
            raise ValueError(
                f"nbgrader cannot take {self.source} into {self.folder}; see grade.log "
                "there. If cells were added or removed since students were graded, its "
                "gradebook cannot follow: grade into a new folder."
            ) from None

    def require_solvable(self) -> None:
        """Run the model solution as if it had been handed in.

        Raises:
            ValueError: it does not pass all tests, so no submission could.
        """
        notebook = nbformat.read(self.source, as_version=4)
        try:
            Execute(config=self.config).preprocess(notebook, {})
        except RuntimeError as error:
            said = f"no kernel starts here, so nobody was graded: {error}"
            raise ValueError(said) from error
        failed = [
            f"{cell.metadata.nbgrader.grade_id} ({cell.outputs[-1].get('evalue', '')})"
            for cell in notebook.cells
            if role(cell) == "test" and determine_grade(cell)[0] == 0
        ]
        if failed:
            raise ValueError(
                f"the solution in {self.source} itself fails {', '.join(failed)}. "
                f"{notebook.metadata[RECORD]['ended']} Nobody was graded: mend the "
                "assignment or raise the limits."
            )

    def autograde(
        self, student: Student, notebook: NotebookNode, same_work: bool
    ) -> dict[str, Any]:
        """Run and grade a repaired notebook; return how the run went.

        ``same_work``: it is what was graded before, so that marks given by hand need no
        second look. ``Execute`` says what the record of a run holds.

        Raises:
            RuntimeError: it could not be graded.
        """
        settled = self._settled(student) if same_work else set()
        submitted = self.path("submitted", student)
        write_atomically(submitted, nbformat.writes(notebook).encode())
        self._convert(_Autograde, student.id)
        with self._submission(student) as submission:
            for grade in submission.grades:
                if grade.name in settled:
                    grade.needs_manual_grade = False
        graded = json.loads(self.path("autograded", student).read_bytes())
        return graded["metadata"][RECORD]

    def describe(self, student: Student) -> None:
        """Write a student's name into the gradebook."""
        about = {"last_name": student.name, "email": student.email or None}
        with self._gradebook() as gradebook:
            gradebook.update_or_create_student(student.id, **about)

    def score(self, student: Student) -> None:
        """Fill in a student's points so far, marks given by hand included."""
        with self._submission(student) as submission:
            student.score, student.max = submission.score, submission.max_score
            student.needs_marking = submission.needs_manual_grade
            marked = [g.score for g in submission.grades if g.manual_score is not None]
            student.by_hand = sum(marked)

    def most(self) -> float:
        """Return the points of a perfect submission."""
        with self._gradebook() as gradebook:
            return gradebook.find_assignment(self.name).max_score

    def state(self, student: Student) -> str:
        """Return what changes when a grade or a comment does."""
        with self._submission(student) as submission:
            said = [(g.name, g.auto_score, g.manual_score) for g in submission.grades]
            for one in submission.comments:
                said.append((one.name, one.auto_comment, one.manual_comment))
        return hashlib.sha256(repr(said).encode()).hexdigest()

    def feedback(self, student: Student) -> None:
        """Write a student's page, with what was repaired at its top."""
        notes = functools.partial(_add_notes, student.repairs)
        steps = [notes, preprocessors.GetGrades, CSSHTMLHeaderPreprocessor]
        self._convert(converters.GenerateFeedback, student.id, steps)

    def _convert(self, kind: type, student: str, steps: Sequence[Any] = ()) -> None:
        config = self.config.copy()
        config.CourseDirectory.student_id = student
        converter = kind(coursedir=CourseDirectory(config=config), config=config)
        converter.force = True
        if steps:
            converter.preprocessors = steps
        try:
            converter.start()
        except NbGraderException as error:
            failure = getattr(converter, "failure", None)
            if failure is None:
                raise
            raise RuntimeError(f"{type(failure).__name__}: {failure}") from error

    def _gradebook(self) -> Gradebook:
        return Gradebook(self.database, "unrolled")

    @contextlib.contextmanager
    def _submission(self, student: Student) -> Iterator[SubmittedNotebook]:
        """Open the gradebook at a student's notebook; what is changed there is kept."""
        with self._gradebook() as gradebook:
            yield gradebook.find_submission_notebook(self.name, self.name, student.id)
            gradebook.db.commit()

    def _settled(self, student: Student) -> set[str]:
        """Return the cells whose marks by hand need no second look."""

        def is_settled(grade: Grade) -> bool:
            return grade.manual_score is not None and not grade.needs_manual_grade

        try:
            with self._submission(student) as submission:
                return {one.name for one in submission.grades if is_settled(one)}
        except MissingEntry:
            return set()


def _add_notes(
    notes: list[str], notebook: NotebookNode, resources: Any
) -> tuple[NotebookNode, Any]:
    if notes:
        lines = ["**About your file:**\n", *(f"- {harmless(note)}" for note in notes)]
        notebook.cells.insert(0, v4.new_markdown_cell("\n".join(lines)))
    return notebook, resources


def _fingerprint(source: Path, limits: Limits) -> str:
    """Return what changes when the same file might get another score."""
    versions = [version(package) for package in ("nbgrader", "torch")]
    digest = hashlib.sha256(repr((limits, versions)).encode())
    code = [*(ROOT / "utils").rglob("*.py"), *(ROOT / "grading").rglob("*.py")]
    for path in (source, *sorted(code)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def quiet(log: Path) -> Iterator[None]:
    """Send what nbgrader, Jupyter and Python's warnings say to the file ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger.level, logger.propagate) for logger in loggers]
    path = os.environ["PATH"]
    # nbgrader starts `alembic`, which lies beside Python, when it makes a gradebook.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{path}"
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        logging.captureWarnings(True)
        for logger in loggers:
            logger.setLevel(logging.INFO)
            logger.propagate = False
            logger.addHandler(handler)
        try:
            yield
        finally:
            logging.captureWarnings(False)
            os.environ["PATH"] = path
            for logger, (level, propagate) in zip(loggers, before, strict=True):
                logger.removeHandler(handler)
                logger.setLevel(level)
                logger.propagate = propagate
            handler.close()
