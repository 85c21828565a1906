"""The folder of grades as a complete nbgrader course: its gradebook, its marking by hand, its feedback pages."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbformat import NotebookNode, v4
from nbgrader import converters, preprocessors
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import determine_grade
from traitlets.config import Config

from tools.grading.execute import RECORD, Execute, role
from tools.grading.limits import Limits
from tools.grading.repair import harmless
from tools.notebook import ROOT
from utils.files import write_atomically

CONFIGURATION = """\
# Written by `make grade`: what nbgrader or its formgrader runs from this folder runs in the sandbox, too.
import sys
from pathlib import Path

sys.path.insert(0, {root!r})
from tools.grading.course import configure

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


@dataclass(frozen=True)
class Score:
    """A student's points so far."""

    total: float
    most: float
    by_hand: float  # the part of ``total`` that a person gave
    needs_marking: bool


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
        self.database = f"sqlite:///{self.folder / 'gradebook.db'}"
        self.fingerprint = _fingerprint(source, limits)

    def path(self, step: str, student: str) -> Path:
        """Return where nbgrader keeps a student's notebook at a step such as ``autograded``."""
        return self.folder / step / student / self.name / f"{self.name}.ipynb"

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
                f"nbgrader cannot take {self.source} into {self.folder}; see grade.log there. If cells were added "
                "or removed since students were graded, its gradebook cannot follow: grade into a new folder."
            ) from None

    def check_solution(self) -> None:
        """Run the model solution as if it had been handed in.

        Raises:
            ValueError: it does not pass all tests, so no submission could.
        """
        notebook = nbformat.read(self.source, as_version=4)
        try:
            Execute(config=self.config).preprocess(notebook, {})
        except RuntimeError as error:
            raise ValueError(
                f"no kernel starts here, so nobody was graded: {error}"
            ) from error
        failed = [
            f"{cell.metadata.nbgrader.grade_id} ({cell.outputs[-1].get('evalue', '')})"
            for cell in notebook.cells
            if role(cell) == "test" and determine_grade(cell)[0] == 0
        ]
        if failed:
            raise ValueError(
                f"the solution in {self.source} itself fails {', '.join(failed)}. "
                f"{notebook.metadata[RECORD]['ended']} Nobody was graded: mend the assignment or raise the limits."
            )

    def autograde(
        self, student: str, notebook: NotebookNode, same_work: bool
    ) -> dict[str, Any]:
        """Run and grade a repaired notebook; return how the run went, as ``Execute`` says.

        ``same_work``: it is what was graded before, so that marks given by hand need no second look.

        Raises:
            RuntimeError: it could not be graded.
        """
        marked = self._marked(student) if same_work else set()
        submitted = self.path("submitted", student)
        write_atomically(submitted, nbformat.writes(notebook).encode())
        self._convert(_Autograde, student)
        with self._gradebook() as gradebook:
            for grade in self._grades(gradebook, student):
                if grade.name in marked:
                    grade.needs_manual_grade = False
            gradebook.db.commit()
        return self.run(student)

    def run(self, student: str) -> dict[str, Any]:
        """Return how the run of a student's notebook went."""
        graded = json.loads(self.path("autograded", student).read_bytes())
        return graded["metadata"][RECORD]

    def describe(self, student: str, name: str, email: str) -> None:
        """Write a student's name into the gradebook."""
        with self._gradebook() as gradebook:
            gradebook.update_or_create_student(
                student, last_name=name, email=email or None
            )

    def score(self, student: str) -> Score:
        """Return a student's points, marks given by hand included."""
        with self._gradebook() as gradebook:
            grades = self._grades(gradebook, student)
            by_hand = [g.score for g in grades if g.manual_score is not None]
            return Score(
                total=sum(grade.score for grade in grades),
                most=sum(grade.max_score for grade in grades),
                by_hand=sum(by_hand),
                needs_marking=any(grade.needs_manual_grade for grade in grades),
            )

    def most(self) -> float:
        """Return the points of a perfect submission."""
        with self._gradebook() as gradebook:
            return gradebook.find_assignment(self.name).max_score

    def state(self, student: str) -> str:
        """Return what changes when a grade or a comment does."""
        with self._gradebook() as gradebook:
            submission = gradebook.find_submission(self.name, student)
            said = [
                [(g.name, g.auto_score, g.manual_score) for g in notebook.grades]
                + [
                    (c.name, c.auto_comment, c.manual_comment)
                    for c in notebook.comments
                ]
                for notebook in submission.notebooks
            ]
        return hashlib.sha256(repr(said).encode()).hexdigest()

    def feedback(self, student: str, notes: list[str]) -> None:
        """Write a student's page, with ``notes`` at its top."""
        steps = [
            functools.partial(_add_notes, notes),
            preprocessors.GetGrades,
            CSSHTMLHeaderPreprocessor,
        ]
        self._convert(converters.GenerateFeedback, student, steps)

    def _convert(
        self, kind: type, student: str, steps: list[Any] | None = None
    ) -> None:
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

    def _grades(self, gradebook: Gradebook, student: str) -> list[Any]:
        submission = gradebook.find_submission(self.name, student)
        return [g for notebook in submission.notebooks for g in notebook.grades]

    def _marked(self, student: str) -> set[str]:
        """Return the cells whose marks by hand are settled."""
        if not (self.folder / "gradebook.db").exists():
            return set()
        with self._gradebook() as gradebook:
            try:
                grades = self._grades(gradebook, student)
            except MissingEntry:
                return set()
            return {
                grade.name
                for grade in grades
                if grade.manual_score is not None and not grade.needs_manual_grade
            }


def _add_notes(
    notes: list[str], notebook: NotebookNode, resources: Any
) -> tuple[NotebookNode, Any]:
    if notes:
        text = "**About your file:**\n\n" + "\n".join(
            f"- {harmless(note)}" for note in notes
        )
        notebook.cells.insert(0, v4.new_markdown_cell(text))
    return notebook, resources


def _fingerprint(source: Path, limits: Limits) -> str:
    """Return what changes when the same file might get another score."""
    digest = hashlib.sha256(repr(limits).encode())
    code = [*sorted((ROOT / "utils").glob("*.py"))]
    code += sorted(Path(__file__).parent.rglob("*.py"))
    for path in (source, *code):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def quiet(log: Path) -> Iterator[None]:
    """Send what nbgrader, Jupyter and Python's warnings say to the file ``log`` instead of the screen."""
    log.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    loggers = [
        logging.getLogger(name) for name in ("traitlets", "py.warnings", "asyncio")
    ]
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
