"""The tables, the pages of those not graded, and the summary."""

import csv
import io

from grading import report
from grading.student import Student

ANA = Student("s1", "Ana Muñoz", "a@x.org", file="a.ipynb")
ANA.score, ANA.max, ANA.by_hand = 7.5, 8, 1.5
EVE = Student("s2", "=1+1", problem="empty", found=["empty", "-2"], looks=["empty"])
WANG = Student("王", "王", needs_marking=True, repairs=["a", "b"], unsafe=True)
STUDENTS = [ANA, EVE, WANG]


def lines(table):
    return list(csv.reader(io.StringIO(table.decode("utf-8-sig"))))


def test_the_table_of_grades():
    head, ana, eve, wang = lines(report.grades_table(STUDENTS, "gates"))
    assert head == report.COLUMNS
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
    assert (wang[0], *wang[8:12]) == ("王", "yes", "", "a; b", "NO")


def test_the_table_of_what_to_look_at():
    assert lines(report.looks_table(STUDENTS, "gates")) == [
        ["student", "assignment", "reason"],
        ["s2", "gates", "empty"],
        ["s2", "gates", "'-2"],
    ]


def test_the_summary(tmp_path):
    said = report.summary(STUDENTS, graded_now=1, unsafe=True, folder=tmp_path)
    assert said.splitlines() == [
        "3 students: 1 graded now, 1 as before, 1 not graded.",
        report.ALARM,
        "The answers of 1 wait for a person to mark them.",
        "These need a look:",
        "  s2: empty",
        "  s2: -2",
        f"The tables, the pages and the gradebook are in {tmp_path}.",
    ]


def test_the_page_without_grades_shows_names_as_text():
    reasons = ["<script>.ipynb: the file is empty"]
    page = report.ungraded_page("gates", 8, reasons).decode()
    assert "&lt;script&gt;.ipynb: the file is empty" in page
    assert "Score: 0 of 8" in page
