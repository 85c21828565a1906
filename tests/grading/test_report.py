"""The tables and pages, and the clock for the grader's own work."""

import csv
import io
import time

import pytest

from tools.grading.limits import at_most
from tools.grading.report import (
    COLUMNS,
    Row,
    grades_table,
    looks_table,
    summary,
    ungraded_page,
)

ROWS = [
    Row("s1", "Ana Muñoz", "a@x.org", "gates", 7.5, 8, by_hand=1.5, file="a.ipynb"),
    Row("s2", "=1+1", "", "gates", 0, 8, not_graded="empty", looks=["empty", "-2"]),
    Row("王", "王", "", "gates", 6, 8, needs_marking=True, repaired=["a", "b"]),
]


def lines(table):
    return list(csv.reader(io.StringIO(table.decode("utf-8-sig"))))


def test_the_table_of_grades():
    head, ana, eve, wang = lines(grades_table(ROWS))
    assert tuple(head) == COLUMNS
    assert dict(zip(head, ana, strict=True)) == {
        "student": "s1",
        "name": "Ana Muñoz",
        "email": "a@x.org",
        "assignment": "gates",
        "score": "7.5",
        "max": "8",
        "automatic": "6",
        "by_hand": "1.5",
        "needs_marking": "no",
        "not_graded": "",
        "repaired": "",
        "sandboxed": "yes",
        "file": "a.ipynb",
    }
    assert eve[1] == "'=1+1"  # no formula for a spreadsheet
    assert (wang[0], wang[8], wang[10]) == ("王", "yes", "a; b")


def test_the_table_of_what_to_look_at():
    assert lines(looks_table(ROWS))[1:] == [
        ["s2", "gates", "empty"],
        ["s2", "gates", "'-2"],
    ]


def test_the_summary(tmp_path):
    said = summary(ROWS, graded_now=1, unsafe=True, folder=tmp_path)
    assert said.splitlines() == [
        "3 students: 1 graded now, 1 as before, 1 not graded.",
        "WITHOUT A SANDBOX: students' code could read and change anything that you can.",
        "The answers of 1 wait for a person to mark them.",
        "These need a look:",
        "  s2: empty",
        "  s2: -2",
        f"The tables, the pages and the gradebook are in {tmp_path}.",
    ]


def test_the_page_without_grades_shows_names_as_text():
    page = ungraded_page("gates", 8, ["<script>.ipynb: the file is empty"]).decode()
    assert "&lt;script&gt;.ipynb: the file is empty" in page
    assert "Score: 0 of 8" in page


def loop():
    while True:
        pass


def test_the_grader_does_not_work_on_one_file_for_ever():
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"it took longer than 0\.2 s"), at_most(0.2):
        loop()
    with at_most(60):
        pass
    assert time.monotonic() - started < 30
