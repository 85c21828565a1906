"""Grading a folder of downloads from beginning to end; `make grade` runs it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools import assignments
from tools.grading import report
from tools.grading.collect import Examined, Student, examine, majority, students
from tools.grading.course import Course, quiet
from tools.grading.limits import Limits, at_most
from tools.grading.names import read_roster, safe_name
from tools.grading.reading import read
from tools.grading.repair import repair
from tools.grading.sandbox import check_available
from tools.grading.unpack import File, files
from tools.notebook import load
from utils.files import write_atomically
from utils.progress import progress_bar

OWN_SECONDS = 120  # for reading a file, and for writing a page


@dataclass
class Result:
    """What is remembered of one student's grading, so that it need not be done again."""

    student: str
    name: str
    email: str = ""
    file: str = ""
    digest: str = ""  # of the file
    fingerprint: str = ""  # of everything else that decides about the score
    problem: str = ""  # why nothing was graded
    found: list[str] = field(default_factory=list)  # to look at, from collecting
    looks: list[str] = field(default_factory=list)  # to look at, from grading
    repairs: list[str] = field(default_factory=list)
    unsafe: bool = False
    page: str = ""  # the state of the gradebook that the feedback page shows


def grade(
    submissions: Path,
    grades: Path,
    *,
    assignment: str | None = None,
    roster: Path | None = None,
    sources: Path = assignments.EXERCISES,
    unsafe: bool = False,
    limits: Limits = Limits(),  # noqa: B008, it is frozen
) -> list[report.Row]:
    """Grade what lies in ``submissions`` into the folder ``grades``; return the lines of its tables.

    What was graded before is graded again only if the file, the assignment or the grading changed; marks
    given by hand stay. A single student's file never stops the others from being graded.

    Raises:
        ValueError: there is nothing to grade, no sandbox, no such assignment, or its own solution fails.
    """
    if not submissions.exists():
        raise ValueError(
            f"SUBMISSIONS is {submissions}; expected a folder or a .zip file that exists."
        )
    if submissions.resolve() == grades.resolve():
        raise ValueError(
            f"SUBMISSIONS and GRADES are both {grades}; expected two folders."
        )
    known = assignments.sources(sources)
    if assignment is not None and assignment not in known:
        raise ValueError(
            f"ASSIGNMENT is {assignment!r}; expected one of {', '.join(known)}."
        )
    people = read_roster(roster) if roster else None
    if not unsafe:
        check_available()
    grades.mkdir(parents=True, exist_ok=True)
    scratch = grades / ".unpacked"
    with _alone(grades), quiet(grades / "grade.log"), _scratch(scratch):
        skip = (grades, roster) if roster else (grades,)
        releases = {
            name: assignments.release(load(path)) for name, path in known.items()
        }
        examined = [
            _examine(file, releases) for file in files(submissions, scratch, skip)
        ]
        name = assignment or majority(examined)
        course = Course(grades, name, known[name], limits, unsafe)
        batch = _Batch(course, releases[name])
        return batch.run(students(examined, name, people))


def _examine(file: File, releases: dict[str, Any]) -> Examined:
    try:
        with at_most(OWN_SECONDS):
            return examine(file, releases)
    except Exception as error:  # no file may stop the others
        return Examined(
            file, problem=f"it cannot be read: {type(error).__name__}: {error}"
        )


class _Batch:
    """All students of one assignment."""

    def __init__(self, course: Course, release: Any) -> None:
        self.course, self.release = course, release
        self.path = course.folder / "record.json"
        record = json.loads(self.path.read_bytes()) if self.path.exists() else {}
        self.ready: dict[str, str] = record.get("assignments", {})
        self.results: dict[str, dict[str, dict]] = record.get("students", {})
        self.before = {
            student: Result(**result)
            for student, result in self.results.get(course.name, {}).items()
        }
        self.graded_now = 0

    def run(self, handed_in: list[Student]) -> list[report.Row]:
        """Grade everybody; write the tables and the pages; return the tables' lines."""
        self._prepare()
        results = []
        for student in progress_bar(iterable=handed_in, desc="grading", unit="student"):
            result = self._result(student)
            results.append(result)
            self._remember(result)
        results += self._earlier(results)
        rows = [self._row(result) for result in results]
        self._remember()
        self._write_tables(rows)
        course = self.course
        print(report.summary(rows, self.graded_now, course.unsafe, course.folder))
        return rows

    def _prepare(self) -> None:
        """Have the assignment in the gradebook, and make sure that it can be passed."""
        course = self.course
        database = course.folder / "gradebook.db"
        if self.ready.get(course.name) != course.fingerprint or not database.exists():
            course.add_assignment()
            course.check_solution()
            self.ready[course.name] = course.fingerprint

    def _remember(self, *results: Result) -> None:
        mine = self.results.setdefault(self.course.name, {})
        mine.update({result.student: dataclasses.asdict(result) for result in results})
        record = {"assignments": self.ready, "students": self.results}
        text = json.dumps(record, indent=1, ensure_ascii=False)
        write_atomically(self.path, text.encode())

    def _result(self, student: Student) -> Result:
        """Return what was found about a student, graded now or before."""
        result = Result(student.id, student.name, student.email, found=student.looks)
        try:
            for file in student.files:
                _keep(
                    file,
                    self.course.folder / "originals" / self.course.name / student.id,
                )
            if student.chosen is None:
                result.problem = student.problem
                return result
            with at_most(self.course.limits.total_seconds + OWN_SECONDS):
                return self._graded(student, result)
        except Exception as error:  # nobody's file may stop the others
            result.problem = f"it could not be graded: {type(error).__name__}: {error}"
            result.looks = [result.problem]
            return result

    def _graded(self, student: Student, result: Result) -> Result:
        data = student.chosen.path.read_bytes()
        result.file, result.digest = (
            student.chosen.name,
            hashlib.sha256(data).hexdigest(),
        )
        result.fingerprint = self.course.fingerprint
        before = self.before.get(student.id, Result(student.id, ""))
        graded = self.course.path("autograded", student.id).exists()
        same_work = graded and before.digest == result.digest and not before.problem
        self.course.describe(student.id, student.name, student.email)
        if same_work and before.fingerprint == result.fingerprint:
            kept = ("looks", "repairs", "unsafe", "page")
            values = {name: getattr(before, name) for name in kept}
            return dataclasses.replace(result, **values)
        notebook, notes = repair(read(data), self.release)
        run = self.course.autograde(student.id, notebook, same_work)
        self.graded_now += 1
        result.repairs = [note.text for note in notes]
        result.looks = [note.text for note in notes if note.look] + _looks(run)
        result.unsafe = run["unsafe"]
        return result

    def _earlier(self, results: list[Result]) -> list[Result]:
        """Return those graded from files that are no longer there, unless now they count for others."""
        ids, digests = {r.student for r in results}, {r.digest for r in results}
        left = []
        for student, result in self.before.items():
            if student in ids:
                continue
            if not result.digest or result.digest in digests:
                del self.results[self.course.name][student]
            else:
                result.found = ["graded earlier; the file is not among these"]
                left.append(result)
        return left

    def _row(self, result: Result) -> report.Row:
        """Return a student's line of the table, and see that the page shows the same."""
        row = report.Row(
            result.student,
            result.name,
            result.email,
            self.course.name,
            score=0.0,
            max=self.course.most(),
            not_graded=result.problem,
            repaired=result.repairs,
            sandboxed=not result.unsafe,
            file=result.file,
            looks=list(dict.fromkeys(result.found + result.looks)),
        )
        if not result.problem:
            score = self.course.score(result.student)
            row.score, row.max = score.total, score.most
            row.by_hand, row.needs_marking = score.by_hand, score.needs_marking
        try:
            with at_most(OWN_SECONDS):
                self._write_page(result)
        except Exception as error:
            row.looks.append(f"the page could not be written: {error}")
        return row

    def _write_page(self, result: Result) -> None:
        course = self.course
        page = course.path("feedback", result.student).with_suffix(".html")
        if result.problem:
            reasons = result.found or [result.problem]
            write_atomically(
                page, report.ungraded_page(course.name, course.most(), reasons)
            )
            return
        state = course.state(result.student) + result.digest + result.fingerprint
        if state != result.page or not page.exists():
            course.feedback(result.student, result.repairs)
            result.page = state
            self._remember(result)

    def _write_tables(self, rows: list[report.Row]) -> None:
        folder, name = self.course.folder, self.course.name
        looks = folder / f"{name}_needs_a_look.csv"
        write_atomically(folder / f"{name}.csv", report.grades_table(rows))
        write_atomically(looks, report.looks_table(rows))


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
    with file.path.open("rb") as data:
        digest = hashlib.file_digest(data, "sha256").digest()
    name = Path(safe_name(file.parts[-1]))
    target, number = folder / name, 2
    while target.exists():
        with target.open("rb") as data:
            if hashlib.file_digest(data, "sha256").digest() == digest:
                return
        target, number = folder / f"{name.stem} ({number}){name.suffix}", number + 1
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{target.name}.part"
    shutil.copy2(file.path, part)
    os.replace(part, target)


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[None]:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder of grades against a second run.

    Raises:
        ValueError: one is running.
    """
    try:
        import fcntl
    except ImportError:  # on Windows
        yield
        return
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(
                f"another `make grade` is writing to {folder}; wait until it has ended."
            ) from None
        yield
