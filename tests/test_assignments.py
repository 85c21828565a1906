"""The student version holds nothing that it should not, and can be made again."""

import re

import nbformat
import pytest

from tools import assignments
from tools.assignments import EXERCISES, absolute_links, as_page, kind, release
from tools.notebook import load

SOURCES = assignments.sources(EXERCISES)
EVERY = pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)


def solutions(notebook):
    """The text between the solution markers of a notebook, cell by cell."""
    region = re.compile(r"### BEGIN (SOLUTION|HIDDEN TESTS)\n(.*?)### END \1", re.S)
    return [
        match.group(2)
        for cell in notebook.cells
        for match in region.finditer(cell.source)
    ]


@EVERY
def test_the_student_version_has_no_solution_no_hidden_test_and_no_output(source):
    notebook = load(source)
    student = release(notebook)
    text = "\n".join(cell.source for cell in student.cells)
    assert not re.search("### (BEGIN|END)", text)
    lines = {
        line.strip()
        for part in solutions(notebook)
        for line in part.splitlines()
        if len(line.strip()) > 25
    }
    elsewhere = set(map(str.strip, text.splitlines()))
    kept = {
        line.strip()
        for cell in notebook.cells
        if kind(cell) in ("tests", "plain", "locked")
        for line in cell.source.splitlines()
    }
    assert lines
    assert lines & elsewhere <= kept
    for cell in student.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@EVERY
def test_the_student_version_keeps_cells_and_points_and_is_the_same_each_time(source):
    notebook = load(source)
    student = release(notebook)
    assert [c.id for c in student.cells] == [c.id for c in notebook.cells]
    assert assignments.points(student) == assignments.points(notebook)
    assert nbformat.writes(release(load(source))) == nbformat.writes(student)


def test_the_releases_are_written_with_links_that_work_from_a_lone_copy(tmp_path):
    for path in assignments.write_releases(EXERCISES, tmp_path):
        student = load(path)
        nbformat.validate(student)
        text = "\n".join(c.source for c in student.cells if c.cell_type == "markdown")
        links = re.findall(r"\]\(([^)]+)\)", text)
        assert links
        assert all(link.startswith("https://") for link in links), links


def test_links_into_the_course_get_an_address_and_others_stay():
    source = EXERCISES / "gate_values" / "gate_values.ipynb"
    text = "[a](../../04_gru.ipynb#gates) [b](https://example.org) [c](#here)"
    made = absolute_links(text, source)
    assert re.search(
        r"\[a\]\(https://github.com/\S+/chapters/04_gru.ipynb#gates\)", made
    )
    assert made.endswith("[b](https://example.org) [c](#here)")


@EVERY
def test_the_page_folds_solutions_and_leads_to_the_student_version(source):
    page = nbformat.reads(as_page(source.read_text(), source.stem), as_version=4)
    text = "\n".join(cell.source for cell in page.cells)
    assert "### BEGIN" not in text
    assert "### END" not in text
    assert assignments.colab_url(source.stem) in text
    nbformat.validate(page)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "holds no assignment; expected NAME/NAME.ipynb"),
        (["one/two.ipynb"], r"one holds no one\.ipynb"),
    ],
)
def test_a_folder_without_assignments_is_refused(tmp_path, files, message):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=message):
        assignments.sources(tmp_path)
