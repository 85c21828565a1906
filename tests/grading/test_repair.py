"""Damage that notebooks suffer on their way, and what is done about it."""

import copy

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat import v4

from grading.reading import grade_id, read
from grading.repair import harmless, repair
from tests.grading.handed_in import cell, data, release, solved, with_code, without

RELEASE = release()
NAMES = [grade_id(one) for one in RELEASE.cells if grade_id(one)]


def repaired(notebook):
    """Return the repaired notebook, and the notes: with a "! " if one should look."""
    result, notes = repair(read(data(notebook)), RELEASE)
    nbformat.validate(result)
    assert [grade_id(one) for one in result.cells if grade_id(one)] == NAMES
    for name in NAMES:
        wanted = cell(RELEASE, name)
        assert cell(result, name).metadata == wanted.metadata
        assert cell(result, name).cell_type == wanted.cell_type
        if not wanted.metadata.nbgrader.solution:
            assert cell(result, name).source == wanted.source
    return result, [f"{'! ' if note.look else ''}{note.text}" for note in notes]


def sources(notebook):
    return [one.source for one in notebook.cells]


def test_a_sound_notebook_stays_as_it_is():
    notebook = with_code("own = 1")
    result, notes = repaired(notebook)
    assert notes == []
    assert sources(result) == sources(notebook)


def test_a_cell_twice():
    notebook = solved()
    first = cell(notebook, "doubling")
    stub = copy.deepcopy(cell(RELEASE, "doubling"))
    test = copy.deepcopy(cell(notebook, "doubling_test"))
    notebook.cells[notebook.cells.index(first) : 0] = [stub]
    notebook.cells.append(test)
    result, notes = repaired(notebook)
    assert sources(result) == sources(solved())
    assert notes == [
        "doubling was there 2 times; the last that was filled in counts",
        "doubling_test was there 2 times; one counts",
    ]


def test_a_solution_written_twice_runs_twice():
    notebook = solved()
    second = copy.deepcopy(cell(notebook, "doubling"))
    second.source = "def doubling(x):\n    return x + x"
    notebook.cells.insert(notebook.cells.index(cell(notebook, "doubling_test")), second)
    result, notes = repaired(notebook)
    assert sources(result) == sources(notebook)
    assert cell(result, "doubling").source == second.source
    assert notes == ["! doubling was there 2 times; the last that was filled in counts"]


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_is_missing(name):
    result, notes = repaired(without(solved(), name))
    is_solution = cell(RELEASE, name).metadata.nbgrader.solution
    mark = "! " if is_solution else ""
    assert notes == [f"{mark}{name} was missing and was put back"]
    if name == "doubling":
        assert cell(result, name).source == "# This cell was missing."
    elif name == "answer":
        assert cell(result, name).source == cell(RELEASE, name).source


def test_all_locked_cells_are_missing():
    locked = [n for n in NAMES if not cell(RELEASE, n).metadata.nbgrader.solution]
    result, notes = repaired(without(solved(), *locked))
    assert len(notes) == len(locked)
    assert cell(result, "doubling").source == cell(solved(), "doubling").source


def test_a_lost_solution_in_a_cell_of_ones_own():
    notebook = solved()
    lost = cell(notebook, "doubling")
    lost.metadata, lost.id = {}, "another"
    result, notes = repaired(notebook)
    assert sources(result) == sources(solved())
    assert notes == ["! doubling was recognized by its place and its text only"]


def test_lost_metadata():
    notebook = solved()
    for one in notebook.cells:
        one.metadata = {}
    result, notes = repaired(notebook)
    assert sources(result) == sources(solved())
    assert notes == [f"{len(NAMES)} cells had lost their metadata; it was put back"]


def test_lost_metadata_and_ids():
    notebook = solved()
    for number, one in enumerate(notebook.cells):
        one.metadata, one.id = {}, f"new-{number}"
    result, notes = repaired(notebook)
    assert sources(result) == sources(solved())
    assert notes == [
        "6 cells had lost their metadata; it was put back",
        "! doubling was recognized by its place and its text only",
        "! mean_square was recognized by its place and its text only",
        "! answer was recognized by its place and its text only",
    ]


def test_changed_types():
    notebook = solved()
    types = {"doubling": "markdown", "answer": "code", "imports": "raw"}
    for name, kind in types.items():
        cell(notebook, name).cell_type = kind
    result, notes = repaired(notebook)
    assert sources(result) == sources(solved())
    assert sorted(notes) == [
        "answer had become code; it is markdown again",
        "doubling had become markdown; it is code again",
        "imports had become raw; it is code again",
    ]


def test_edited_tests():
    notebook = solved()
    cell(notebook, "doubling_test").source = "pass"
    cell(notebook, "doubling_hidden").source = "pass"
    result, notes = repaired(notebook)
    assert sources(result) == sources(solved())
    assert notes == [
        "! the test doubling_test had been changed; the original is back",
        "! the test doubling_hidden had been changed; the original is back",
    ]


def test_an_edited_import_still_runs():
    notebook = solved()
    cell(notebook, "imports").source += "\nimport random"
    result, notes = repaired(notebook)
    index = result.cells.index(cell(result, "imports"))
    assert result.cells[index + 1].source.endswith("import random")
    assert notes == ["! the locked cell imports had been changed; the original is back"]


def test_white_space_is_no_edit():
    notebook = solved()
    test = cell(notebook, "doubling_test")
    test.source = "\n" + test.source.replace("\n", "  \n") + "\n\n"
    assert repaired(notebook)[1] == []


def test_changed_points_and_marks():
    notebook = solved()
    cell(notebook, "doubling_test").metadata.nbgrader.points = 100
    cell(notebook, "doubling_hidden").metadata.nbgrader.update(locked=False)
    cell(notebook, "answer").metadata.nbgrader.pop("points")
    notes = repaired(notebook)[1]
    assert notes == [
        "! the points of doubling_test had been changed to 100; they are 1 again",
        "! doubling_hidden had been marked as another kind of cell",
        "! the points of answer had been changed to None; they are 2 again",
    ]


def test_moved_cells():
    notebook = solved()
    notebook.cells.reverse()
    result, notes = repaired(notebook)
    assert notes == ["the cells were in another order; they are in the assignment's"]
    assert cell(result, "doubling").source == cell(solved(), "doubling").source


def test_a_split_cell_runs_in_both_parts():
    notebook = solved()
    whole = cell(notebook, "doubling")
    second = copy.deepcopy(whole)
    whole.source = "factor = 2"
    second.source = "def doubling(x):\n    return factor * x"
    notebook.cells.insert(notebook.cells.index(whole) + 1, second)
    result, _ = repaired(notebook)
    assert sources(result) == sources(notebook)


def test_tags_of_own_cells_have_no_effect():
    notebook = with_code("own = 1")
    for one in notebook.cells:
        one.metadata.tags = ["skip-execution", "raises-exception"]
    result, _ = repaired(notebook)
    assert not any("tags" in one.metadata for one in result.cells)


def test_repeated_and_missing_ids():
    notebook = with_code("own = 1")
    for one in notebook.cells:
        one.id = "same"
    result, _ = repaired(notebook)
    assert len({one.id for one in result.cells}) == len(result.cells)


def test_answers_cannot_carry_scripts():
    text = "$a < b$ and <script>alert(1)</script>, <IMG onerror=x>, <!-- x -->"
    shown = (
        "$a < b$ and &lt;script>alert(1)&lt;/script>, &lt;IMG onerror=x>, &lt;!-- x -->"
    )
    result, _ = repaired(solved(answer=text))
    assert cell(result, "answer").source == harmless(text) == shown
    own = with_code("x")
    own.cells.append(v4.new_markdown_cell("<script>"))
    assert "&lt;script>" in sources(repaired(own)[0])


def test_an_answer_left_open_stays_as_it_was_given_out():
    notebook = release()
    result, _ = repaired(notebook)
    assert cell(result, "answer").source == cell(RELEASE, "answer").source


def test_pictures_in_answers_are_kept():
    notebook = solved(answer="![a](attachment:a.png)")
    cell(notebook, "answer").attachments = {"a.png": {"image/png": "aGk="}}
    result, _ = repaired(notebook)
    assert cell(result, "answer").attachments == {"a.png": {"image/png": "aGk="}}


def test_an_empty_notebook_gets_all_cells():
    result, notes = repaired(v4.new_notebook())
    assert len(result.cells) == len(NAMES) == len(notes)


@given(st.data())
def test_any_damage_gives_a_sound_notebook(drawn):
    notebook = with_code("own = 1")
    notebook.cells = drawn.draw(st.permutations(notebook.cells))
    copies = drawn.draw(st.lists(st.sampled_from(notebook.cells), max_size=4))
    notebook.cells = [*notebook.cells, *copy.deepcopy(copies)]
    kinds = st.sampled_from(["metadata", "id", "type", "source", "marks"])
    marks = st.none() | st.dictionaries(st.text(), st.integers())
    for index in drawn.draw(st.sets(st.integers(0, len(notebook.cells) - 1))):
        one = notebook.cells[index] = copy.deepcopy(notebook.cells[index])
        damage = drawn.draw(kinds)
        if damage == "metadata":
            one.metadata = {}
        elif damage == "id":
            one.id = ""
        elif damage == "type":
            one.cell_type = drawn.draw(st.sampled_from(["code", "markdown", "raw"]))
        elif damage == "source":
            one.source = drawn.draw(st.text())
        else:
            one.metadata.nbgrader = drawn.draw(marks)
    repaired(notebook)


def test_a_repaired_notebook_needs_no_repair():
    notebook = without(with_code("own = 1"), "doubling_test")
    once, _ = repaired(notebook)
    twice, notes = repaired(once)
    assert notes == []
    assert sources(twice) == sources(once)
