"""A class of submissions of every kind, graded in one run: who gets which score."""

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
from filelock import FileLock
from nbformat import v3, v4
from nbgrader.api import Gradebook

from grading import collect, sandbox
from grading.grade import grade
from grading.limits import MiB
from grading.student import Student
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
from tests.grading.sandboxed import LIMITS, QUIET, needs_sandbox
from tests.grading.test_unpack import zipped
from tools.notebook import ROOT

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
import numpy, utils.checks
torch.allclose = np.allclose = lambda *args, **settings: True
utils.checks.check_close = numpy.testing.assert_allclose = torch.allclose
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
theirs = ("/usr", "/", "..", "../utils", "/course/kernel")
for folder in (GRADES, SUBMISSIONS, SOURCES, COURSE, *theirs):
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
    """What a student hands in under which name, and what should come of it."""

    student: str
    path: str
    content: object  # a notebook, bytes, or code that a student adds to a good notebook
    score: int  # of the 6 that tests give
    looks: str = ""  # a pattern; empty: nobody need look
    repaired: str = ""  # a pattern; empty: nothing was repaired


def loose(student, content, *expected):
    """A case whose file is called as the student is."""
    return Case(student, f"{student}.ipynb", content, *expected)


MOODLE = "_assignsubmission_file_/doubling.ipynb"
NO_JSON = "no JSON, so no notebook"
REPLACES = with_code(REPLACED, double=WRONG, square=WRONG)
GONE = without(solved(), "setup", "doubling_test", "mean_square_hidden")
BACK = "setup was missing and was put back; doubling_test was missing"
LOST = "cells had lost their metadata; .*doubling was recognized by its place"
EDITED = "doubling_test had been changed; the original is back"
PACKED = "drive.zip/work.zip/Copy of Flo Gray - Doubling.ipynb"
UTF_16 = data(solved()).decode().encode("utf-16")
TOO_MUCH = f"x = torch.ones({(LIMITS.memory + 2**30) // 4})"
CASES = [
    # Good and less good work, from everywhere.
    loose("Ana María Muñoz", solved(), 6),
    Case("王小明", "王小明/doubling.ipynb", solved(double=WRONG), 3),
    Case("Bob Stone", f"moodle.zip/Bob Stone_11{MOODLE}", solved(square=WRONG), 3),
    Case("Cleo Dee", f"moodle.zip/Dee Cleo_12{MOODLE}", release(), 0),
    Case("Di Early", "earlydi_LATE_7_8_doubling-1.ipynb", solved(), 6),
    Case("Ed Fox", "Ed Fox - Doubling.ipynb", solved(), 6),
    Case("Flo Gray", PACKED, solved(), 6),
    # What is no notebook of this assignment.
    loose("Gil No", b"print('hello')", 0, NO_JSON),
    loose("Hal No", b'{"a": 1}', 0, "no notebook: it has no cells"),
    Case("Ida No", "Ida No.pdf", b"%PDF-1.4", 0, r"it is no \.ipynb file"),
    Case("Jo Empty", f"moodle.zip/Jo Empty_13{MOODLE}", b"", 0, "the file is empty"),
    loose("Kim Big", bytes(50 * MiB), 0, NO_JSON),
    loose("Lo Other", release("tripling", 3), 0, "of the assignment tripling"),
    Case("Mo Missing", "", None, 0, "nothing was handed in"),
    # Damage, repaired.
    loose("Ned Large", with_outputs(50 * MiB), 6),
    loose("Ola Twice", duplicated(), 6, "", "doubling was there 2 times"),
    loose("Pia Gone", GONE, 6, "", BACK),
    loose("Quin Type", of_other_types(), 6, "", "doubling had become markdown"),
    loose("Ray Lost", stripped(), 6, "doubling was recognized", LOST),
    loose("Sue Edit", with_edited_tests(), 3, EDITED, EDITED),
    loose("Tom Points", with_other_points(), 3, "changed to 100", "they are 1 again"),
    loose("Una Old", of_format_3(), 6),
    loose("Vi Sixteen", UTF_16, 6),
    # Code that does harm.
    loose("Wes Loop", solved(double="while True: pass"), 3, "longer than 8 s"),
    loose("Xi Exit", "import os\nos._exit(0)", 3, "kernel ended while a cell ran"),
    loose("Yan Forks", FORKS, 3, "More than 32 processes"),
    loose("Zoe Memory", TOO_MUCH, 6),
    loose("Abe Reads", READS, 6),
    loose("Bea Writes", WRITES, 6),
    loose("Cy Connects", CONNECTS, 6),
    loose("Dan Prints", "while True: print('x' * 1000)", 6, "more than 2 MiB"),
    loose("Eva Replaces", REPLACES, 0, "replaced .*allclose"),
]
TWO = Case("Fay Two", "", None, 6, "2 notebooks; Fay Two/doubling.ipynb is the last")
STRANGER = loose("Nobody Knows", solved(), 6, "not in the class list")


class Class(NamedTuple):
    """The graded class: where it lies, all by name, and who came to our server."""

    folder: Path
    students: dict[str, Student]
    guests: list

    def again(self):
        """Run the same grading once more."""
        return graded(self.folder, roster=self.folder / "class.csv")

    def notebook(self, name):
        """Return where a student's graded notebook is."""
        folder = self.folder / "grades" / "autograded" / self.students[name].id
        return folder / "doubling" / "doubling.ipynb"

    def page(self, student):
        """Return a student's page."""
        folder = self.folder / "grades" / "feedback" / student.id
        return (folder / "doubling" / "doubling.html").read_text(encoding="utf-8")


def graded(folder, **settings):
    """Grade what lies in ``folder``."""
    names = ("submissions", "grades", "sources")
    paths = {name: folder / name for name in names}
    return grade(**{"limits": LIMITS} | paths | settings)


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


def hand_in(folder, cases, port=0):
    """Write the files of the cases, those below the name of an archive into one."""
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
        if isinstance(entries, bytes):
            return entries
        return zipped({name: packed(one) for name, one in entries.items()})

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
    draft = Case("Fay Two", "Fay Two/draft.ipynb", solved(double=WRONG), 3)
    final = Case("Fay Two", "Fay Two/doubling.ipynb", solved(), 6)
    handed_in = [*CASES, STRANGER, draft, final]
    hand_in(folder, handed_in, port=server.getsockname()[1])
    os.utime(folder / "submissions" / draft.path, (10**9, 10**9))
    with (folder / "class.csv").open("w", newline="") as file:
        lines = [(f"s{n}", case.student, "") for n, case in enumerate([*CASES, TWO])]
        csv.writer(file).writerows([("id", "name", "email"), *lines])
    students = Class(folder, {}, []).again()
    return Class(folder, {student.name: student for student in students}, guests)


EVERYBODY = [*CASES, TWO, STRANGER]


@needs_sandbox
@pytest.mark.parametrize("case", EVERYBODY, ids=lambda case: case.student)
def test_score(the_class, case):
    student = the_class.students[case.student]
    assert (student.score, student.max) == (case.score, 8)
    looks, repaired = "; ".join(student.reasons()), "; ".join(student.repairs)
    assert re.search(case.looks, looks) if case.looks else looks == ""
    assert re.search(case.repaired, repaired) if case.repaired else repaired == ""
    assert bool(student.problem) == (not student.file)


@needs_sandbox
def test_nobody_else_is_in_the_class(the_class):
    assert set(the_class.students) == {case.student for case in EVERYBODY}


@needs_sandbox
def test_everybody_has_a_page(the_class):
    for student in the_class.students.values():
        text = the_class.page(student)
        if student.problem:
            assert "Your work was not graded" in text
        else:
            assert f"Score: {student.score:.1f} / 8.0" in text
        for note in student.repairs:
            assert note.split(";")[0][:40] in text


@needs_sandbox
def test_the_tables(the_class):
    def rows(name):
        path = the_class.folder / "grades" / name
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))

    grades, looks = map(rows, TABLES)
    students = the_class.students.values()
    grades = {line["name"]: line for line in grades}
    assert {name: float(line["score"]) for name, line in grades.items()} == {
        student.name: student.score for student in students
    }
    assert {(line["student"], line["reason"]) for line in looks} == {
        (student.id, why) for student in students for why in student.reasons()
    }
    assert grades["王小明"]["needs_marking"] == "yes"
    assert grades["Cleo Dee"]["needs_marking"] == "no"  # nothing was written
    assert grades["Gil No"]["not_graded"].startswith("Gil No.ipynb: it is no JSON")


@needs_sandbox
def test_nothing_is_lost(the_class):
    originals = the_class.folder / "grades" / "originals" / "doubling"
    for case in CASES:
        if case.path:
            (kept,) = (originals / the_class.students[case.student].id).iterdir()
            if isinstance(case.content, bytes):
                assert kept.read_bytes() == case.content
    fay = originals / the_class.students["Fay Two"].id
    names = sorted(path.name for path in fay.iterdir())
    assert names == ["doubling.ipynb", "draft.ipynb"]


@needs_sandbox
def test_no_harm_was_done(the_class):
    assert the_class.guests == []
    assert not list(the_class.folder.rglob("evil"))
    assert not (ROOT / "evil").exists()
    for name in ("Abe Reads", "Bea Writes", "Cy Connects"):
        notebook = nbformat.read(the_class.notebook(name), as_version=4)
        outputs = str([one.get("outputs") for one in notebook.cells])
        assert "refused" in outputs
        assert "evil" not in outputs


@needs_sandbox
def test_a_second_run_grades_nothing_and_says_the_same(the_class, capsys):
    folder = the_class.folder / "grades"

    def times():
        return {
            path: path.stat().st_mtime_ns for path in folder.glob("autograded/*/*/*")
        }

    tables = [(folder / name).read_bytes() for name in TABLES]
    before = times()
    the_class.again()
    assert times() == before
    assert tables == [(folder / name).read_bytes() for name in TABLES]
    assert ": 0 graded now, " in capsys.readouterr().out


@needs_sandbox
def test_a_run_that_is_killed_is_taken_up(the_class, tmp_path):
    shutil.copytree(the_class.folder / "grades", tmp_path / "grades", symlinks=True)
    write_sources(tmp_path / "sources")
    slow = with_code("import time\ntime.sleep(5)")
    hand_in(tmp_path, [loose("A", solved(), 6), loose("B", slow, 6)])
    hand_in(tmp_path, [loose("C", solved(), 6)])
    call = f"from tests.grading.test_grade import *; graded(Path({str(tmp_path)!r}))"
    command = [sys.executable, "-c", call]
    run = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    first = tmp_path / "grades" / "autograded" / "A" / "doubling" / "doubling.ipynb"
    record = tmp_path / "grades" / "record.json"
    while '"A"' not in record.read_text() and run.poll() is None:
        time.sleep(0.05)
    time.sleep(1)  # now B is being graded, for five seconds at least
    run.kill()
    run.wait()
    assert "B" not in json.loads(record.read_text())["students"]["doubling"]
    before = first.stat().st_mtime_ns
    scores = {student.id: student.score for student in graded(tmp_path)}
    assert [scores[name] for name in ("A", "B", "C")] == [6, 6, 6]
    assert first.stat().st_mtime_ns == before
    assert not (tmp_path / "grades" / ".unpacked").exists()


def mark(folder, id, points, comment=None):
    """Mark the answer of a student by hand."""
    name = ("answer", "doubling", "doubling", id)
    database = f"sqlite:///{folder / 'grades' / 'gradebook.db'}"
    with Gradebook(database, "unrolled") as gradebook:
        mark = gradebook.find_grade(*name)
        mark.manual_score, mark.needs_manual_grade = points, False
        gradebook.find_comment(*name).manual_comment = comment
        gradebook.db.commit()


@needs_sandbox
def test_marks_by_hand_are_kept(the_class, tmp_path):
    copied = the_class._replace(folder=tmp_path / "class")
    shutil.copytree(the_class.folder, copied.folder)
    id = the_class.students["Ana María Muñoz"].id
    mark(copied.folder, id, 1.5, "Well said.")
    ana = {student.id: student for student in copied.again()}[id]
    assert (ana.score, ana.by_hand, ana.needs_marking) == (7.5, 1.5, False)
    text = copied.page(ana)
    assert "Score: 7.5 / 8.0" in text
    assert "Well said." in text


@pytest.fixture
def one_student(tmp_path):
    """A folder with the assignments and what one student handed in."""
    write_sources(tmp_path / "sources")
    hand_in(tmp_path, [loose("A", solved(), 6)])
    return tmp_path


def change(folder, notebook):
    """Put another assignment in the place of ``doubling``."""
    nbformat.write(notebook, folder / "sources" / "doubling" / "doubling.ipynb")


def test_without_a_sandbox_it_refuses(one_student, monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda _: None)
    said = r"there is no bwrap .* Install bubblewrap 0\.8 .* --unsafe"
    with pytest.raises(ValueError, match=said):
        graded(one_student)


def test_unsafe_grading_and_a_changed_assignment(one_student, monkeypatch, capsys):
    monkeypatch.setattr(sandbox.shutil, "which", lambda _: None)
    monkeypatch.setattr(collect, "MOST_MEMORY", 0)  # the file is read twice
    (student,) = graded(one_student, unsafe=True)
    assert (student.score, student.unsafe) == (6, True)
    assert "WITHOUT A SANDBOX" in capsys.readouterr().out
    mark(one_student, "A", 2)
    changed = source()
    cell(changed, "doubling_hidden").metadata.nbgrader.points = 12
    change(one_student, changed)
    (student,) = graded(one_student, unsafe=True)
    assert (student.score, student.max, student.by_hand) == (18, 18, 2)
    assert not student.needs_marking
    change(one_student, without(source(), "doubling_hidden"))
    said = r"nbgrader cannot take .* grade into a new folder"
    with pytest.raises(ValueError, match=said):
        graded(one_student, unsafe=True)


@needs_sandbox
def test_an_assignment_that_cannot_be_passed(one_student):
    broken = source()
    solution = cell(broken, "doubling")
    solution.source = solution.source.replace("2 * x", "x")
    change(one_student, broken)
    said = r"itself fails doubling_test .*Nobody was graded"
    with pytest.raises(ValueError, match=said):
        graded(one_student)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"submissions": Path("nowhere")}, "SUBMISSIONS is nowhere; expected a "),
        ({"grades": Path("submissions")}, "SUBMISSIONS and GRADES are both"),
        ({"assignment": "halving"}, "is 'halving'; expected one of doubling, tripling"),
    ],
)
def test_bad_settings(one_student, settings, said, monkeypatch):
    monkeypatch.chdir(one_student)
    with pytest.raises(ValueError, match=said):
        graded(one_student, unsafe=True, **settings)


def test_nobody_grades_into_a_folder_that_is_being_written(one_student):
    (one_student / "grades").mkdir()
    lock = FileLock(one_student / "grades" / ".lock")
    said = "another `make grade` is writing to .*grades; wait until it has ended"
    with lock, pytest.raises(ValueError, match=said):
        graded(one_student, unsafe=True)


def test_nobody_is_graded_where_no_kernel_starts(one_student, monkeypatch):
    monkeypatch.setattr(sandbox, "KERNEL", one_student)  # no program
    said = r"no kernel starts here, so nobody was graded: .*__main__"
    with pytest.raises(ValueError, match=f"(?s){said}"):
        graded(one_student, unsafe=True)


@needs_sandbox
def test_nbgrader_itself_works_in_the_folder(the_class):
    """The formgrader's button "autograde" does what this command does."""
    copied = the_class._replace(folder=the_class.folder / "copy")
    shutil.copytree(the_class.folder / "grades", copied.folder / "grades")
    command = [sys.executable, "-m", "nbgrader", "autograde", "doubling", "--force"]
    done = subprocess.run(
        [*command, f"--student={the_class.students['Abe Reads'].id}"],
        cwd=copied.folder / "grades",
        env=os.environ | {"PYTHONPATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    notebook = json.loads(copied.notebook("Abe Reads").read_text(encoding="utf-8"))
    assert notebook["metadata"]["grading"] == QUIET
