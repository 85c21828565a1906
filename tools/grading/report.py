"""What a run of grading leaves for people: two tables and a page a student."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

COLUMNS = (
    *("student", "name", "email", "assignment", "score", "max", "automatic", "by_hand"),
    *("needs_marking", "not_graded", "repaired", "sandboxed", "file"),
)
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 1.1em/1.5 sans-serif; max-width: 42em; margin: 3em auto; padding: 0 1em }}</style></head>
<body><h1>{title}</h1>
<p>Score: 0 of {most:g}</p>
<p>Your work was not graded:</p>
<ul>{reasons}</ul>
<p>If you think that this is a mistake, write to your instructor.</p>
</body></html>
"""


@dataclass
class Row:
    """A student's line in the table of grades, and why a person should look at it."""

    student: str
    name: str
    email: str
    assignment: str
    score: float
    max: float
    by_hand: float = 0.0
    needs_marking: bool = False
    not_graded: str = ""
    repaired: list[str] = field(default_factory=list)
    sandboxed: bool = True
    file: str = ""
    looks: list[str] = field(default_factory=list)

    def cells(self) -> list[str]:
        """Return what stands in each of ``COLUMNS``."""
        values = vars(self) | {
            "score": f"{self.score:g}",
            "max": f"{self.max:g}",
            "automatic": f"{self.score - self.by_hand:g}",
            "by_hand": f"{self.by_hand:g}",
            "needs_marking": "yes" if self.needs_marking else "no",
            "sandboxed": "yes" if self.sandboxed else "NO",
            "repaired": "; ".join(self.repaired),
        }
        return [_harmless(values[column]) for column in COLUMNS]


def grades_table(rows: Iterable[Row]) -> bytes:
    """Return the table of grades, as CSV."""
    return _table([COLUMNS, *(row.cells() for row in rows)])


def looks_table(rows: Iterable[Row]) -> bytes:
    """Return the table of what to look at, as CSV: a line for each reason."""
    lines = [
        [_harmless(row.student), row.assignment, _harmless(look)]
        for row in rows
        for look in row.looks
    ]
    return _table([("student", "assignment", "reason"), *lines])


def _table(lines: list) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    return text.getvalue().encode(
        "utf-8-sig"
    )  # so that Excel shows accents and Chinese


def _harmless(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: names of files come from strangers."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def ungraded_page(assignment: str, most: float, reasons: Iterable[str]) -> bytes:
    """Return the page for a student whose work could not be graded."""
    items = "".join(f"<li>{html.escape(reason)}</li>" for reason in reasons)
    title = html.escape(f"Feedback: {assignment}")
    return PAGE.format(title=title, most=most, reasons=items).encode()


def summary(rows: list[Row], graded_now: int, unsafe: bool, folder: Path) -> str:
    """Return what is printed at the end."""
    failed = sum(bool(row.not_graded) for row in rows)
    lines = [
        f"{len(rows)} students: {graded_now} graded now, {len(rows) - graded_now - failed} as before, "
        f"{failed} not graded."
    ]
    if unsafe:
        lines.append(
            "WITHOUT A SANDBOX: students' code could read and change anything that you can."
        )
    marking = sum(row.needs_marking for row in rows)
    if marking:
        lines.append(f"The answers of {marking} wait for a person to mark them.")
    looks = [(row.student, look) for row in rows for look in row.looks]
    if looks:
        lines.append("These need a look:")
        lines += [f"  {student}: {look}" for student, look in looks]
    lines.append(f"The tables, the pages and the gradebook are in {folder}.")
    return "\n".join(lines)
