"""Every assignment of the course, graded as students' work is: solved and untouched."""

import nbformat
import pytest

from grading.course import Course
from grading.grade import grade
from tests.grading.sandboxed import needs_sandbox
from tools import assignments
from tools.notebook import load

SOURCES = assignments.sources()


def solved(source):
    """What a student hands in who has written the model solution."""
    notebook = assignments.release(source)
    for cell, model in zip(notebook.cells, source.cells, strict=True):
        if assignments.kind(model) in ("solution", "answer"):
            cell.source = assignments.MARKERS.sub("", model.source)
    return notebook


@needs_sandbox
@pytest.mark.parametrize("name", SOURCES)
def test_the_solution_gets_all_points_of_the_tests_and_stubs_get_none(
    name, tmp_path, monkeypatch
):
    # Ada hands in the solution: it need not be run once more before.
    monkeypatch.setattr(Course, "require_solvable", lambda course: None)
    source = load(SOURCES[name])
    handed_in = tmp_path / "handed in"
    handed_in.mkdir()
    nbformat.write(solved(source), handed_in / "ada.ipynb")
    nbformat.write(assignments.release(source), handed_in / "ben.ipynb")
    ada, ben = grade(handed_in, tmp_path / "grades", assignment=name)
    by_tests, by_hand = assignments.points(source)
    assert (ada.score, ada.max) == (by_tests, by_tests + by_hand)
    assert ada.needs_marking
    assert ben.score == 0
    assert not ben.needs_marking
    assert (ada.reasons(), ben.reasons()) == ([], [])
