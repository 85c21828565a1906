"""A class of submissions of every kind, graded in one run, with the score that each should get."""

import copy
import csv
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbformat import v3, v4
from nbgrader.api import Gradebook

from tests.grading.handed_in import (
    cell,
    data,
    release,
    solved,
    source,
    with_code,
    without,
    write_sources,
)
from tests.grading.sandboxed import needs_sandbox
from tests.grading.test_unpack import zipped
from tools.grading import sandbox
from tools.grading.grade import grade
from tools.grading.limits import Limits, MiB
from tools.grading.report import Row
from tools.notebook import ROOT

LIMITS = Limits(cell_seconds=8, total_seconds=120, memory=1024 * MiB, processes=32)
WRONG = "return x"
TABLES = ("doubling.csv", "doubling_needs_a_look.csv")


def stripped():
    notebook = solved()
    for number, one in enumerate(notebook.cells):
        one.metadata, one.id = {}, f"c{number}"
    return notebook


def duplicated():
    notebook = solved()
    notebook.cells = [copy.deepcopy(one) for one in notebook.cells for _ in range(2)]
    return notebook


def of_other_types():
    notebook = solved()
    cell(notebook, "doubling").cell_type = "markdown"
    cell(notebook, "doubling_test").cell_type = "raw"
    cell(notebook, "answer").cell_type = "code"
    return notebook


def with_edited_tests():
    notebook = solved(double=WRONG)
    cell(notebook, "doubling_test").source = "print('✓')"
    cell(notebook, "doubling_hidden").source = "pass"
    return notebook


def with_other_points():
    notebook = solved(double=WRONG)
    cell(notebook, "mean_square_test").metadata.nbgrader.points = 100
    return notebook


def with_outputs(size):
    notebook = solved()
    cell(notebook, "imports").outputs = [v4.new_output("stream", text="x" * size)]
    return notebook


def of_format_3():
    cells = [
        v3.new_code_cell(one.source, metadata=one.metadata)
        if one.cell_type == "code"
        else v3.new_text_cell("markdown", one.source, metadata=one.metadata)
        for one in solved().cells
    ]
    return v3.new_notebook(worksheets=[v3.new_worksheet(cells=cells)])


REPLACED = """
import numpy, sys, utils.checks
torch.allclose = np.allclose = numpy.testing.assert_allclose = lambda *args, **settings: True
utils.checks.check_close = lambda *args, **settings: None
torch.Tensor.__sub__ = lambda a, b: torch.zeros(())
all = abs = lambda *args: 0
get_ipython().set_custom_exc((Exception,), lambda *args, **settings: None)
"""
FORKS = """
import os, time
for _ in range(200):
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
"""
READS = """
import os, sqlite3
from pathlib import Path
for folder, name in ((GRADES, "gradebook.db"), (SOURCES, "doubling/doubling.ipynb")):
    for path in (Path(folder, name), Path("..", name), Path("/course", name)):
        assert not path.exists()
        try:
            path.write_text("100 points")
        except OSError as error:
            print("refused:", error.strerror)
"""
WRITES = """
import os
for folder in (GRADES, SUBMISSIONS, SOURCES, COURSE, "/usr", "/", "..", "../utils", "/course/kernel"):
    try:
        os.makedirs(folder, exist_ok=True)
        open(os.path.join(folder, "evil"), "w").write("x")
        print("only in the sandbox:", folder)
    except OSError as error:
        print("refused:", error.strerror)
"""
CONNECTS = """
import socket
try:
    socket.create_connection(("127.0.0.1", PORT), 2)
    print("evil")
except OSError as error:
    print("refused:", error.strerror)
"""


class Case(NamedTuple):
    """A submission: whose, under which name, what it holds; its points, and what is said about it."""

    student: str
    path: str
    content: object  # a notebook, bytes, or code that a student adds to a good notebook
    score: int  # of the 6 that tests give
    looks: str = ""  # a pattern; empty: nobody need look
    repaired: str = ""  # a pattern; empty: nothing was repaired


M = "_assignsubmission_file_/doubling.ipynb"
LOST = "cells had lost their metadata; .*doubling was recognized by its place"
CASES = [
    # -- good and less good work, from everywhere --
    Case("Ana María Muñoz", "Ana María Muñoz.ipynb", solved(), 6),
    Case("王小明", "王小明/doubling.ipynb", solved(double=WRONG), 3),
    Case("Bob Stone", "moodle.zip/Bob Stone_11" + M, solved(square="return x"), 3),
    Case("Cleo Dee", "moodle.zip/Dee Cleo_12" + M, release(), 0),
    Case("Di Early", "earlydi_LATE_7_8_doubling-1.ipynb", solved(), 6),
    Case("Ed Fox", "Ed Fox - Doubling.ipynb", solved(), 6),
    Case("Flo Gray", "drive.zip/work.zip/Copy of Flo Gray - Doubling.ipynb", solved(), 6),
    # -- what is no notebook of this assignment --
    Case("Gil No", "Gil No.ipynb", b"print('hello')", 0, "no JSON, so no notebook"),
    Case("Hal No", "Hal No.ipynb", b'{"a": 1}', 0, "no notebook: it has no cells"),
    Case("Ida No", "Ida No.pdf", b"%PDF-1.4", 0, r"it is no \.ipynb file"),
    Case("Jo Empty", "moodle.zip/Jo Empty_13" + M, b"", 0, "the file is empty"),
    Case("Kim Big", "Kim Big.ipynb", bytes(50 * MiB), 0, "no JSON, so no notebook"),
    Case("Lo Other", "Lo Other.ipynb", release("tripling", 3), 0, "of the assignment tripling"),
    Case("Mo Missing", "", None, 0, "nothing was handed in"),
    # -- damage, repaired --
    Case("Ned Large", "Ned Large.ipynb", with_outputs(50 * MiB), 6),
    Case("Ola Twice", "Ola Twice.ipynb", duplicated(), 6, "", "doubling was there 2 times"),
    Case(
        "Pia Gone", "Pia Gone.ipynb", without(solved(), "setup", "doubling_test", "mean_square_hidden"),
        6, "", "setup was missing and was put back; doubling_test was missing",
    ),
    Case("Quin Type", "Quin Type.ipynb", of_other_types(), 6, "", "doubling had become markdown"),
    Case("Ray Lost", "Ray Lost.ipynb", stripped(), 6, "doubling was recognized", LOST),
    Case("Sue Edit", "Sue Edit.ipynb", with_edited_tests(), 3, "doubling_test had been changed", "original is back"),
    Case("Tom Points", "Tom Points.ipynb", with_other_points(), 3, "changed to 100", "they are 1 again"),
    Case("Una Old", "Una Old.ipynb", of_format_3(), 6),
    Case("Vi Sixteen", "Vi Sixteen.ipynb", data(solved()).decode().encode("utf-16"), 6),
    # -- code that does harm --
    Case("Wes Loop", "Wes Loop.ipynb", solved(double="while True: pass"), 3, "longer than 8 s"),
    Case("Xi Exit", "Xi Exit.ipynb", "import os\nos._exit(0)", 3, "kernel ended while a cell ran"),
    Case("Yan Forks", "Yan Forks.ipynb", FORKS, 3, "More than 32 processes"),
    Case("Zoe Memory", "Zoe Memory.ipynb", f"x = torch.ones({(LIMITS.memory + 2**30) // 4})", 6),
    Case("Abe Reads", "Abe Reads.ipynb", READS, 6),
    Case("Bea Writes", "Bea Writes.ipynb", WRITES, 6),
    Case("Cy Connects", "Cy Connects.ipynb", CONNECTS, 6),
    Case("Dan Prints", "Dan Prints.ipynb", "while True: print('x' * 1000)", 6, "more than 2 MiB"),
    Case("Eva Replaces", "Eva Replaces.ipynb", with_code(REPLACED, double=WRONG, square=WRONG), 0, "replaced .*allclose"),
]  # fmt: skip
TWO = Case("Fay Two", "", None, 6, "2 notebooks; Fay Two/doubling.ipynb is the last")
STRANGER = Case(
    "Nobody Knows", "Nobody Knows.ipynb", solved(), 6, "not in the class list"
)


class Class(NamedTuple):
    """The graded class: where it lies, its rows by name, and who connected to our server."""

    folder: Path
    rows: dict[str, Row]
    guests: list

    def again(self, **settings):
        """Run the same grading once more."""
        return grade(
            self.folder / "submissions",
            self.folder / "grades",
            roster=self.folder / "class.csv",
            sources=self.folder / "sources",
            limits=LIMITS,
            **settings,
        )


def content(case, folder, port):
    """Return the bytes of a case's file."""
    if isinstance(case.content, bytes):
        return case.content
    if isinstance(case.content, str):
        places = {
            "GRADES": str(folder / "grades"),
            "SUBMISSIONS": str(folder / "submissions"),
            "SOURCES": str(folder / "sources"),
            "COURSE": str(ROOT),
            "PORT": port,
        }
        code = case.content
        for name, value in places.items():
            code = re.sub(rf"\b{name}\b", repr(value).replace("\\", "\\\\"), code)
        # The first task is tested before this code runs, the second after it.
        return data(with_code(code, before="mean_square_test"))
    return data(case.content)


def hand_in(folder, cases, port):
    """Write the files of the cases, those below a .zip name into archives."""
    archives = {}
    for case in filter(lambda case: case.path, cases):
        names, target = case.path.split("/"), archives
        if not names[0].endswith(".zip"):
            path = folder / "submissions" / case.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content(case, folder, port))
            continue
        while names[0].endswith(".zip"):
            target = target.setdefault(names.pop(0), {})
        target["/".join(names)] = content(case, folder, port)

    def packed(entries):
        return zipped(
            {
                name: packed(one) if isinstance(one, dict) else one
                for name, one in entries.items()
            }
        )

    for name, entries in archives.items():
        (folder / "submissions" / name).write_bytes(packed(entries))


@pytest.fixture(scope="module")
def the_class(tmp_path_factory):
    """All cases, graded in one run."""
    folder = tmp_path_factory.mktemp("class")
    write_sources(folder / "sources")
    server, guests = socket.create_server(("127.0.0.1", 0)), []

    def serve():
        while True:
            guests.append(server.accept())

    threading.Thread(target=serve, daemon=True).start()
    hand_in(folder, [*CASES, STRANGER], server.getsockname()[1])
    two = folder / "submissions" / "Fay Two"
    two.mkdir()
    (two / "draft.ipynb").write_bytes(data(solved(double=WRONG)))
    (two / "doubling.ipynb").write_bytes(data(solved()))
    os.utime(two / "draft.ipynb", (10**9, 10**9))
    with (folder / "class.csv").open("w", newline="") as file:
        lines = [(f"s{n}", case.student, "") for n, case in enumerate([*CASES, TWO])]
        csv.writer(file).writerows([("id", "name", "email"), *lines])
    rows = Class(folder, {}, []).again()
    return Class(folder, {row.name: row for row in rows}, guests)


@needs_sandbox
@pytest.mark.parametrize("case", [*CASES, TWO, STRANGER], ids=lambda case: case.student)
def test_score(the_class, case):
    row = the_class.rows[case.student]
    assert (row.score, row.max) == (case.score, 8)
    looks, repaired = "; ".join(row.looks), "; ".join(row.repaired)
    assert re.search(case.looks, looks) if case.looks else looks == ""
    assert re.search(case.repaired, repaired) if case.repaired else repaired == ""
    assert bool(row.not_graded) == (not row.file)


def page(the_class, row):
    return (
        the_class.folder
        / "grades"
        / "feedback"
        / row.student
        / "doubling"
        / "doubling.html"
    )


@needs_sandbox
def test_the_class_is_large_and_complete(the_class):
    assert len(CASES) + 2 >= 24
    assert set(the_class.rows) == {case.student for case in [*CASES, TWO, STRANGER]}


@needs_sandbox
def test_everybody_has_a_page(the_class):
    for row in the_class.rows.values():
        text = page(the_class, row).read_text(encoding="utf-8")
        if row.not_graded:
            assert "Your work was not graded" in text
        else:
            assert f"Score: {row.score:.1f} / 8.0" in text
        for note in row.repaired:
            assert note.split(";")[0][:40] in text


@needs_sandbox
def test_the_tables(the_class):
    folder = the_class.folder / "grades"
    with (folder / "doubling.csv").open(encoding="utf-8-sig", newline="") as file:
        grades = {line["name"]: line for line in csv.DictReader(file)}
    with (folder / "doubling_needs_a_look.csv").open(
        encoding="utf-8-sig", newline=""
    ) as file:
        looks = {(line["student"], line["reason"]) for line in csv.DictReader(file)}
    assert {name: float(line["score"]) for name, line in grades.items()} == {
        name: row.score for name, row in the_class.rows.items()
    }
    assert looks == {
        (r.student, look) for r in the_class.rows.values() for look in r.looks
    }
    assert grades["王小明"]["needs_marking"] == "yes"
    assert grades["Cleo Dee"]["needs_marking"] == "no"  # nothing was written
    assert grades["Gil No"]["not_graded"].startswith("Gil No.ipynb: it is no JSON")


@needs_sandbox
def test_nothing_is_lost(the_class):
    originals = the_class.folder / "grades" / "originals" / "doubling"
    for case in CASES:
        if case.path:
            student = the_class.rows[case.student].student
            (kept,) = (originals / student).iterdir()
            if isinstance(case.content, bytes):
                assert kept.read_bytes() == case.content
    fay = originals / the_class.rows["Fay Two"].student
    assert sorted(path.name for path in fay.iterdir()) == [
        "doubling.ipynb",
        "draft.ipynb",
    ]


@needs_sandbox
def test_no_harm_was_done(the_class):
    assert the_class.guests == []
    assert not list(the_class.folder.rglob("evil"))
    assert not (ROOT / "evil").exists()
    for name in ("Abe Reads", "Bea Writes", "Cy Connects"):
        student = the_class.rows[name].student
        graded = (
            the_class.folder
            / "grades"
            / "autograded"
            / student
            / "doubling"
            / "doubling.ipynb"
        )
        outputs = str(
            [c.get("outputs") for c in nbformat.read(graded, as_version=4).cells]
        )
        assert "refused" in outputs
        assert "evil" not in outputs


@needs_sandbox
def test_a_second_run_grades_nothing_and_says_the_same(the_class, capsys):
    folder = the_class.folder / "grades"
    tables = [(folder / name).read_bytes() for name in TABLES]
    graded = times(folder)
    the_class.again()
    assert times(folder) == graded
    assert tables == [(folder / name).read_bytes() for name in TABLES]
    assert ": 0 graded now, " in capsys.readouterr().out


def times(folder):
    """Return when each student was graded, by path."""
    return {
        path: path.stat().st_mtime_ns for path in folder.glob("autograded/*/*/*.ipynb")
    }


@needs_sandbox
def test_a_run_that_is_killed_is_taken_up(the_class, tmp_path):
    shutil.copytree(the_class.folder / "grades", tmp_path / "grades", symlinks=True)
    write_sources(tmp_path / "sources")
    (tmp_path / "submissions").mkdir()
    for name in ("A", "B", "C"):
        (tmp_path / "submissions" / f"{name}.ipynb").write_bytes(data(solved()))
    call = (
        "from tests.grading.test_grade import *\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "grade(folder / 'submissions', folder / 'grades', sources=folder / 'sources', limits=LIMITS)"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", call], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    first = tmp_path / "grades" / "autograded" / "A" / "doubling" / "doubling.ipynb"
    record = tmp_path / "grades" / "record.json"
    while '"A"' not in record.read_text() and run.poll() is None:
        time.sleep(0.05)
    time.sleep(1)  # now B is being graded
    run.kill()
    run.wait()
    assert "B" not in json.loads(record.read_text())["students"]["doubling"]
    graded = first.stat().st_mtime_ns
    rows = grade(
        tmp_path / "submissions",
        tmp_path / "grades",
        sources=tmp_path / "sources",
        limits=LIMITS,
    )
    scores = {row.student: row.score for row in rows}
    assert [scores[name] for name in ("A", "B", "C")] == [6, 6, 6]
    assert first.stat().st_mtime_ns == graded
    assert not (tmp_path / "grades" / ".unpacked").exists()


@needs_sandbox
def test_marks_by_hand_are_kept(the_class, tmp_path):
    shutil.copytree(the_class.folder, tmp_path / "class")
    copied = the_class._replace(folder=tmp_path / "class")
    ana = the_class.rows["Ana María Muñoz"].student
    database = f"sqlite:///{tmp_path / 'class' / 'grades' / 'gradebook.db'}"
    with Gradebook(database, "unrolled") as gradebook:
        grade = gradebook.find_grade("answer", "doubling", "doubling", ana)
        grade.manual_score, grade.needs_manual_grade = 1.5, False
        comment = gradebook.find_comment("answer", "doubling", "doubling", ana)
        comment.manual_comment = "Well said."
        gradebook.db.commit()
    rows = {row.student: row for row in copied.again()}
    assert (rows[ana].score, rows[ana].by_hand, rows[ana].needs_marking) == (
        7.5,
        1.5,
        False,
    )
    text = page(copied, rows[ana]).read_text(encoding="utf-8")
    assert "Score: 7.5 / 8.0" in text
    assert "Well said." in text


def test_without_a_sandbox_it_refuses(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda _: None)
    write_sources(tmp_path / "sources")
    (tmp_path / "A.ipynb").write_bytes(data(solved()))
    with pytest.raises(
        ValueError, match="there is no bwrap to sandbox submissions with"
    ):
        grade(tmp_path, tmp_path / "grades", sources=tmp_path / "sources")


def test_unsafe_grading_and_a_changed_assignment(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sandbox.shutil, "which", lambda _: None)
    sources = write_sources(tmp_path / "sources")
    submissions = tmp_path / "submissions"
    submissions.mkdir()
    (submissions / "A.ipynb").write_bytes(data(solved()))
    settings = {"sources": sources, "unsafe": True, "limits": LIMITS}
    (row,) = grade(submissions, tmp_path / "grades", **settings)
    assert (row.score, row.sandboxed) == (6, False)
    assert "WITHOUT A SANDBOX" in capsys.readouterr().out
    with Gradebook(
        f"sqlite:///{tmp_path}/grades/gradebook.db", "unrolled"
    ) as gradebook:
        mark = gradebook.find_grade("answer", "doubling", "doubling", "A")
        mark.manual_score, mark.needs_manual_grade = 2, False
        gradebook.db.commit()
    changed = source()
    cell(changed, "doubling_hidden").metadata.nbgrader.points = 12
    nbformat.write(changed, sources / "doubling" / "doubling.ipynb")
    (row,) = grade(submissions, tmp_path / "grades", **settings)
    assert (row.score, row.max, row.by_hand, row.needs_marking) == (18, 18, 2, False)
    nbformat.write(
        without(source(), "doubling_hidden"), sources / "doubling" / "doubling.ipynb"
    )
    with pytest.raises(
        ValueError, match=r"nbgrader cannot take .* grade into a new folder"
    ):
        grade(submissions, tmp_path / "grades", **settings)


@needs_sandbox
def test_an_assignment_that_cannot_be_passed(tmp_path):
    sources = write_sources(tmp_path / "sources")
    broken = source()
    cell(
        broken, "doubling"
    ).source = (
        "def doubling(x):\n    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION"
    )
    nbformat.write(broken, sources / "doubling" / "doubling.ipynb")
    (tmp_path / "A.ipynb").write_bytes(data(solved()))
    with pytest.raises(
        ValueError, match=r"itself fails doubling_test .*Nobody was graded"
    ):
        grade(tmp_path / "A.ipynb", tmp_path / "grades", sources=sources, limits=LIMITS)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"submissions": "nowhere"},
            "SUBMISSIONS is .*nowhere; expected a folder or a .zip",
        ),
        ({"grades": "submissions"}, "SUBMISSIONS and GRADES are both"),
        (
            {"assignment": "halving"},
            "ASSIGNMENT is 'halving'; expected one of doubling, tripling",
        ),
        ({}, "no file handed in is a notebook of an assignment"),
    ],
)
def test_bad_settings(tmp_path, settings, said):
    sources = write_sources(tmp_path / "sources")
    (tmp_path / "submissions").mkdir()
    folders = {"submissions": "submissions", "grades": "grades"}
    folders |= {k: v for k, v in settings.items() if k in folders}
    rest = {k: v for k, v in settings.items() if k not in folders}
    paths = {name: tmp_path / folder for name, folder in folders.items()}
    with pytest.raises(ValueError, match=said):
        grade(**paths, sources=sources, unsafe=True, **rest)


@needs_sandbox
def test_nbgrader_itself_works_in_the_folder(the_class):
    """The formgrader's button "autograde" does what this command does."""
    student = the_class.rows["Abe Reads"].student
    command = [sys.executable, "-m", "nbgrader", "autograde", "doubling", "--force"]
    shutil.copytree(the_class.folder / "grades", the_class.folder / "copy")
    done = subprocess.run(
        [*command, f"--student={student}"],
        cwd=the_class.folder / "copy",
        env=os.environ | {"PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    graded = (
        the_class.folder
        / "copy"
        / "autograded"
        / student
        / "doubling"
        / "doubling.ipynb"
    )
    record = json.loads(graded.read_text(encoding="utf-8"))["metadata"]["grading"]
    assert record == {"ended": "", "replaced": [], "stopped": [], "unsafe": False}
