"""What a run of grading leaves for people: two tables, pages, and what it prints."""

import csv
import html
import io
from collections.abc import Iterable
from pathlib import Path

from grading.student import Student

COLUMNS = list(Student(id="", name="").line(assignment=""))
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 1.1em/1.5 sans-serif; max-width: 42em; margin: 3em auto; padding: 0 1em }}
</style></head>
<body><h1>{title}</h1>
<p>Score: 0 of {most:g}</p>
<p>Your work was not graded:</p>
<ul>{reasons}</ul>
<p>If you think that this is a mistake, write to your instructor.</p>
</body></html>
"""
ALARM = "WITHOUT A SANDBOX: students' code could read and change anything that you can."


def grades_table(students: Iterable[Student], assignment: str) -> bytes:
    """Return the table of grades, as CSV."""
    lines = [student.line(assignment).values() for student in students]
    return _table([COLUMNS, *lines])


def looks_table(students: Iterable[Student], assignment: str) -> bytes:
    """Return the table of what to look at, as CSV: a line for each reason."""
    lines = [[one.id, assignment, why] for one in students for why in one.reasons()]
    return _table([["student", "assignment", "reason"], *lines])


def _table(lines: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(map(_harmless, line) for line in lines)
    return text.getvalue().encode("utf-8-sig")  # so that Excel shows all letters


def _harmless(text: str) -> str:
    """Return text that no spreadsheet takes for a formula: strangers name files."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def ungraded_page(assignment: str, most: float, reasons: Iterable[str]) -> bytes:
    """Return the page for a student whose work could not be graded."""
    items = "".join(f"<li>{html.escape(reason)}</li>" for reason in reasons)
    title = html.escape(f"Feedback: {assignment}")
    return PAGE.format(title=title, most=most, reasons=items).encode()


def summary(
    students: list[Student], graded_now: int, unsafe: bool, folder: Path
) -> str:
    """Return what is printed at the end."""
    failed = sum(bool(student.problem) for student in students)
    before = len(students) - graded_now - failed
    counts = f"{graded_now} graded now, {before} as before, {failed} not graded"
    lines = [f"{len(students)} students: {counts}."]
    if unsafe:
        lines.append(ALARM)
    if marking := sum(student.needs_marking for student in students):
        lines.append(f"The answers of {marking} wait for a person to mark them.")
    if looks := [f"  {one.id}: {why}" for one in students for why in one.reasons()]:
        lines += ["These need a look:", *looks]
    lines.append(f"The tables, the pages and the gradebook are in {folder}.")
    return "\n".join(lines)
