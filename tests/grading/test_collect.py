"""From files to students: whose they are, and which one counts."""

import os

import pytest

from grading import collect
from grading.collect import examine, majority, students
from grading.names import Person
from grading.reading import read
from grading.unpack import File, files
from tests.grading.handed_in import data, release, solved
from tests.grading.test_unpack import zipped

RELEASES = {"doubling": release(), "tripling": release("tripling", 3)}
GOOD = data(solved())
OTHER = data(release("tripling", 3))
MOODLE = "_assignsubmission_file_"
AS_READ = "graded under the name as read"


@pytest.fixture
def examined(tmp_path):
    """A function that examines files of these contents; later ones are younger."""

    def examine_all(entries):
        folder = tmp_path / "submissions"
        for minute, (name, content) in enumerate(entries.items()):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            os.utime(path, (10**9 + 60 * minute,) * 2)
        found = files(folder, tmp_path / "scratch")
        return [examine(file, RELEASES) for file in found]

    return examine_all


@pytest.fixture
def collected(examined):
    """A function that returns the students, by id, of files of these contents."""

    def collect(entries, people=None):
        found = students(examined(entries), "doubling", people)
        return {student.id: student for student in found}

    return collect


def chosen(found):
    return {id: one.chosen.name if one.chosen else None for id, one in found.items()}


def test_a_file_is_read_once_as_long_as_there_is_memory(examined, monkeypatch):
    (file,) = examined({"Ana.ipynb": GOOD})
    assert (file.assignment, file.notebook) == ("doubling", read(GOOD))
    monkeypatch.setattr(collect, "MOST_MEMORY", 0)
    (file,) = examined({"Ana.ipynb": GOOD})
    assert (file.assignment, file.notebook) == ("doubling", None)


def test_a_file_that_is_too_large_is_not_read():
    file = File(("Ana.ipynb",), path=None, time=0, size=100 * 2**20)
    assert examine(file, RELEASES).problem == "it has 100 MiB; at most 64 MiB are read"


def test_a_mixture_of_downloads(collected):
    moodle = zipped({f"Ana Muñoz_1{MOODLE}/doubling.ipynb": GOOD})
    found = collected(
        {
            "moodle.zip": moodle,
            "stonebob_LATE_12_34_doubling-1.ipynb": GOOD,
            "Cleo Dee - Doubling.ipynb": GOOD,
            "Eve/x.ipynb": GOOD,
            "Finn.ipynb": GOOD,
            "doubling-gina/doubling.ipynb": GOOD,
            "王小明.zip": zipped({"doubling/doubling.ipynb": GOOD}),
        }
    )
    names = ["Ana Muñoz", "Cleo Dee", "Eve", "Finn", "gina", "stonebob", "王小明"]
    assert list(found) == names
    assert all(one.chosen and not one.found for one in found.values())


def test_a_folder_of_many_is_not_one_student(collected):
    found = collected({f"week/{name}.ipynb": GOOD for name in ("Ana", "Bo", "Cy")})
    assert list(found) == ["Ana", "Bo", "Cy"]


def test_a_folder_of_one_may_hold_several_files(collected):
    entries = {"Ana/draft.ipynb": GOOD, "Ana/last.ipynb": GOOD, "Bo/x.ipynb": GOOD}
    found = collected(entries)
    assert chosen(found) == {"Ana": "Ana/last.ipynb", "Bo": "Bo/x.ipynb"}
    assert found["Ana"].found == [
        "2 notebooks; Ana/last.ipynb is the last and counts, not Ana/draft.ipynb"
    ]


def test_the_last_that_can_be_graded_counts(collected):
    found = collected(
        {
            "Ana/doubling.ipynb": GOOD,
            "Ana/doubling (1).ipynb": b"broken",
            "Ana/tripling.ipynb": OTHER,
            "Ana/notes.pdf": b"%PDF",
        }
    )
    assert chosen(found) == {"Ana": "Ana/doubling.ipynb"}
    assert sorted(found["Ana"].found) == [
        "doubling (1).ipynb: it is no JSON, so no notebook, or cut off",
        "notes.pdf: it is no .ipynb file",
        "tripling.ipynb is of the assignment tripling",
    ]


def test_versions_decide_between_files_of_the_same_time(collected):
    names = ["doubling (2).ipynb", "doubling (10).ipynb", "doubling.ipynb"]
    found = collected({"all.zip": zipped({f"Ana/{name}": GOOD for name in names})})
    assert chosen(found) == {"Ana": "all/Ana/doubling (10).ipynb"}


def test_what_cannot_be_graded_is_not_lost(collected):
    found = collected(
        {
            "Ana.ipynb": b"",
            "Bo.pdf": b"%PDF",
            "Cy.ipynb": OTHER,
            "Di.rar": b"Rar!",
            "Ed.ipynb": b'{"cells": []}',
        }
    )
    assert chosen(found) == dict.fromkeys(["Ana", "Bo", "Cy", "Di", "Ed"])
    assert {id: one.problem for id, one in found.items()} == {
        "Ana": "Ana.ipynb: the file is empty",
        "Bo": "Bo.pdf: it is no .ipynb file",
        "Cy": "Cy.ipynb is of the assignment tripling",
        "Di": "Di.rar: it is an archive of the kind .rar, and only .zip is unpacked",
        "Ed": "Ed.ipynb: it is of no assignment known here",
    }


def test_namesakes_stay_two(collected):
    found = collected({f"Ana Li_{n}{MOODLE}/doubling.ipynb": GOOD for n in (7, 8)})
    assert list(found) == ["Ana Li 7", "Ana Li 8"]


def test_names_that_differ_in_accents_only_stay_two(collected):
    assert len(collected({"Ana Munoz.ipynb": GOOD, "Ana Muñoz.ipynb": GOOD})) == 2


def test_names_that_are_the_same_folder_stay_two(collected):
    found = collected({"A?.ipynb": GOOD, "A*.ipynb": GOOD})
    assert list(found) == ["A_", "A_ (2)"]


PEOPLE = [
    Person("s1", "Ana Muñoz", "ana@example.org"),
    Person("s2", "Bob Stone", "bob@example.org"),
    Person("s3", "Cy Twin", ""),
]


def test_the_class_list(collected):
    found = collected(
        {
            "munozana_12_34_doubling.ipynb": GOOD,
            "Ana Muñoz - doubling.ipynb": GOOD,
            "Stranger.ipynb": GOOD,
            f"cy twin_1{MOODLE}/doubling.ipynb": GOOD,
        },
        PEOPLE,
    )
    assert chosen(found) == {
        "Stranger": "Stranger.ipynb",
        "s1": "Ana Muñoz - doubling.ipynb",
        "s2": None,
        "s3": f"cy twin_1{MOODLE}/doubling.ipynb",
    }
    assert found["s1"].found[0].startswith("2 notebooks; Ana Muñoz - doubling.ipynb")
    assert found["s2"].found == ["nothing was handed in"]
    assert found["s2"].problem == "nothing was handed in"
    said = f"'Stranger' is not in the class list; {AS_READ}"
    assert found["Stranger"].found == [said]


def test_two_of_one_system_are_never_one_person(collected):
    entries = {f"Cy Twin_{n}{MOODLE}/x.ipynb": GOOD for n in (1, 2)}
    found = collected(entries, PEOPLE)
    assert found["s3"].chosen is None
    said = f"two students fit 'Cy Twin' of the class list; {AS_READ}"
    assert found["Cy Twin 1"].found == found["Cy Twin 2"].found == [said]


def test_a_stranger_does_not_take_an_id(collected):
    found = collected({"S1_.ipynb": GOOD}, [Person("s1_", "Ana", "")])
    assert found["s1_"].chosen
    found = collected({"x/S9.ipynb": GOOD}, [Person("s9", "Di", ""), *PEOPLE])
    assert found["s9"].chosen


def test_majority(examined):
    contents = {"1.ipynb": GOOD, "2.ipynb": GOOD, "3.ipynb": OTHER, "4.ipynb": b""}
    assert majority(examined(contents)) == "doubling"


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ([GOOD, OTHER], "as many notebooks are of doubling as of tripling: say which"),
        ([b"", b"x"], "no file handed in is a notebook of an assignment"),
    ],
)
def test_no_majority(examined, contents, said):
    found = examined({f"{n}.ipynb": one for n, one in enumerate(contents)})
    with pytest.raises(ValueError, match=f"^{said}.*--assignment NAME"):
        majority(found)
