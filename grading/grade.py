"""Grading a folder of downloads from beginning to end; `make grade` runs it."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from nbformat import NotebookNode

from grading import report
from grading.collect import examine, majority, students
from grading.course import Course, quiet
from grading.limits import Limits, at_most
from grading.names import read_roster, safe_name
from grading.reading import read
from grading.repair import repair
from grading.sandbox import require_sandbox
from grading.student import Student
from grading.unpack import File, files
from tools import assignments
from tools.notebook import load
from utils.files import write_atomically
from utils.progress import progress_bar

OWN_SECONDS = 120  # for reading a file, and for writing a page


def grade(
    submissions: Path,
    grades: Path,
    *,
    assignment: str | None = None,
    roster: Path | None = None,
    sources: Path = assignments.EXERCISES,
    unsafe: bool = False,
    limits: Limits = Limits(),  # noqa: B008, it is frozen
) -> list[Student]:
    """Grade what lies in ``submissions`` into the folder ``grades``; return everybody.

    What was graded before is graded again only if the file, the assignment or the
    grading changed; marks given by hand stay. A single student's file never stops the
    others from being graded.

    Raises:
        ValueError: there is nothing to grade, no sandbox, no such assignment, another
            run is writing to ``grades``, or the assignment's own solution fails.
    """
    if not submissions.exists():
        wanted = "expected a folder or a .zip file that exists"
        raise ValueError(f"SUBMISSIONS is {submissions}; {wanted}.")
    if submissions.resolve() == grades.resolve():
        said = f"SUBMISSIONS and GRADES are both {grades}; expected two folders."
        raise ValueError(said)
    known = assignments.sources(sources)
    if assignment is not None and assignment not in known:
        wanted = f"expected one of {', '.join(known)}"
        raise ValueError(f"ASSIGNMENT is {assignment!r}; {wanted}.")
    people = read_roster(roster) if roster else None
    if not unsafe:
        require_sandbox()
    grades.mkdir(parents=True, exist_ok=True)
    scratch = grades / ".unpacked"
    with _alone(grades), quiet(grades / "grade.log"), _scratch(scratch):
        releases = {n: assignments.release(load(path)) for n, path in known.items()}
        skip = (grades, roster) if roster else (grades,)
        given = files(submissions, scratch, skip)
        found = [_examined(file, releases) for file in given]
        name = assignment or majority(found)
        course = Course(grades, name, known[name], limits, unsafe)
        return _Batch(course, releases[name]).run(students(found, name, people))


def _examined(file: File, releases: dict[str, NotebookNode]) -> File:
    try:
        with at_most(OWN_SECONDS):
            return examine(file, releases)
    except Exception as error:  # no file may stop the others
        said = f"it cannot be read: {type(error).__name__}: {error}"
        return replace(file, problem=said)


class _Batch:
    """All students of one assignment."""

    def __init__(self, course: Course, release: NotebookNode) -> None:
        self.course, self.release = course, release
        self.path = course.folder / "record.json"
        record = json.loads(self.path.read_bytes()) if self.path.exists() else {}
        self.ready: dict[str, str] = record.get("assignments", {})
        self.record: dict[str, dict[str, dict]] = record.get("students", {})
        mine = self.record.setdefault(course.name, {})
        self.before = {id: Student.recalled(id, one) for id, one in mine.items()}
        self.graded_now = 0

    def run(self, handed_in: list[Student]) -> list[Student]:
        """Grade everybody; write the tables and the pages; return everybody."""
        self._prepare()
        for student in progress_bar(iterable=handed_in, desc="grading", unit="student"):
            self._take(student)
            self._remember(student)
        everybody = handed_in + self._earlier(handed_in)
        for student in everybody:
            self._finish(student)
        self._remember(*everybody)
        self._write_tables(everybody)
        course = self.course
        print(report.summary(everybody, self.graded_now, course.unsafe, course.folder))
        return everybody

    def _prepare(self) -> None:
        """Have the assignment in the gradebook, and make sure that it can be passed."""
        course = self.course
        database = course.folder / "gradebook.db"
        if self.ready.get(course.name) != course.fingerprint or not database.exists():
            course.add_assignment()
            course.require_solvable()
            self.ready[course.name] = course.fingerprint

    def _remember(self, *students: Student) -> None:
        mine = self.record[self.course.name]
        mine.update({student.id: student.remembered() for student in students})
        record = {"assignments": self.ready, "students": self.record}
        text = json.dumps(record, indent=1, ensure_ascii=False)
        write_atomically(self.path, text.encode())

    def _take(self, student: Student) -> None:
        """Keep a student's files and grade the one that counts, if there is one."""
        folder = self.course.folder / "originals" / self.course.name / student.id
        try:
            for file in student.files:
                _keep(file, folder)
            if student.chosen is not None:
                with at_most(self.course.limits.total_seconds + OWN_SECONDS):
                    self._grade(student)
        except Exception as error:  # nobody's file may stop the others
            said = f"it could not be graded: {type(error).__name__}: {error}"
            student.problem, student.looks = said, [said]

    def _grade(self, student: Student) -> None:
        """Grade a student's file, unless that was done before."""
        file, course = student.chosen, self.course
        student.file, student.digest = file.name, _digest(file.path)
        student.fingerprint = course.fingerprint
        before = self.before.get(student.id, Student(student.id, ""))
        graded = course.path("autograded", student).exists()
        same_work = graded and before.digest == student.digest and not before.problem
        course.describe(student)
        if same_work and before.fingerprint == student.fingerprint:
            student.looks, student.repairs = before.looks, before.repairs
            student.unsafe, student.page = before.unsafe, before.page
            return
        notebook = file.notebook or read(file.path.read_bytes())
        notebook, notes = repair(notebook, self.release)
        run = course.autograde(student, notebook, same_work)
        self.graded_now += 1
        student.repairs = [note.text for note in notes]
        student.looks = [note.text for note in notes if note.look] + _looks(run)
        student.unsafe = run["unsafe"]

    def _earlier(self, handed_in: list[Student]) -> list[Student]:
        """Return those whose files are gone, unless these now count for others."""
        ids = {student.id for student in handed_in}
        digests = {student.digest for student in handed_in}
        left = []
        for id, student in self.before.items():
            if id in ids:
                continue
            if not student.digest or student.digest in digests:
                del self.record[self.course.name][id]
            else:
                student.found = ["graded earlier; the file is not among these"]
                left.append(student)
        return left

    def _finish(self, student: Student) -> None:
        """Fill in the points, and see that the page shows the same."""
        student.max = self.course.most()
        if not student.problem:
            self.course.score(student)
        try:
            with at_most(OWN_SECONDS):
                self._write_page(student)
        except Exception as error:
            student.found.append(f"the page could not be written: {error}")

    def _write_page(self, student: Student) -> None:
        course = self.course
        page = course.path("feedback", student).with_suffix(".html")
        if student.problem:
            reasons = student.found or [student.problem]
            text = report.ungraded_page(course.name, student.max, reasons)
            write_atomically(page, text)
            return
        state = course.state(student) + student.digest + student.fingerprint
        if state != student.page or not page.exists():
            course.feedback(student)
            student.page = state
            self._remember(student)

    def _write_tables(self, everybody: list[Student]) -> None:
        folder, name = self.course.folder, self.course.name
        grades = report.grades_table(everybody, name)
        write_atomically(folder / f"{name}.csv", grades)
        looks = report.looks_table(everybody, name)
        write_atomically(folder / f"{name}_needs_a_look.csv", looks)


def _looks(run: dict[str, Any]) -> list[str]:
    """Return what in a run a person should look at."""
    looks = [run["ended"]] if run["ended"] else []
    looks += dict.fromkeys(run["stopped"])
    if run["replaced"]:
        names = ", ".join(run["replaced"][:5])
        looks.append(f"the code replaced {names}, which tests judge with")
    return looks


def _keep(file: File, folder: Path) -> None:
    """Copy a file as it came into ``folder``, beside others of the same name."""
    if file.path is None:
        return
    name = Path(safe_name(file.parts[-1]))
    target, number = folder / name, 2
    while target.exists():
        if _digest(target) == _digest(file.path):
            return
        target, number = folder / f"{name.stem} ({number}){name.suffix}", number + 1
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{target.name}.part"
    shutil.copy2(file.path, part)
    os.replace(part, target)


def _digest(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[None]:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _alone(folder: Path) -> contextlib.AbstractContextManager:
    """Hold the folder of grades against a second run.

    Raises:
        ValueError: one is running.
    """
    try:
        return FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout:
        said = f"another `make grade` is writing to {folder}; wait until it has ended."
        raise ValueError(said) from None
