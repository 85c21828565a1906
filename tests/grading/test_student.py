"""The record of one student: what the next run knows of it."""

import json

from grading.student import Student
from grading.unpack import File

FILE = File(("Ana.ipynb",), path=None, time=0.0, size=1)


def test_the_next_run_knows_all_but_the_files():
    ana = Student("s1", "Ana", files=[FILE], chosen=FILE, looks=["x"], score=6.5)
    record = json.loads(json.dumps(ana.remembered()))
    assert Student.recalled("s1", record) == Student(
        "s1", "Ana", looks=["x"], score=6.5
    )


def test_a_record_of_an_older_version_is_understood():
    record = {"student": "s1", "name": "Ana", "repairs": ["x"], "unsafe": True}
    ana = Student("s1", "Ana", repairs=["x"], unsafe=True)
    assert Student.recalled("s1", record) == ana


def test_a_reason_found_twice_is_told_once():
    ana = Student("s1", "Ana", found=["a", "b"], looks=["b", "c", "c"])
    assert ana.reasons() == ["a", "b", "c"]
