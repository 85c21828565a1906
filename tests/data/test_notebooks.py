"""The notebooks: in normal form, with a first cell that sets up, and with points."""

import re

import nbformat

from tools import assignments, export
from tools.notebook import load, normalize, notebooks
from tools.repository import find_setup_cell


def test_they_are_in_normal_form():
    for path in notebooks():
        notebook = load(path)
        normalize(notebook)
        text = nbformat.writes(notebook) + "\n"
        assert path.read_text(encoding="utf-8") == text, path


def test_every_setup_cell_comes_before_any_import():
    for path in notebooks():
        notebook = load(path)
        first = next(i for i, c in enumerate(notebook.cells) if c.cell_type == "code")
        assert find_setup_cell(notebook) == first


def test_every_exported_block_names_its_chapter():
    for path, code in export.exported_modules().items():
        _, _, exported = code.partition(export.MARKER)
        blocks = re.split(r"^# From chapters/\d\d_\w+\.ipynb\n", exported, flags=re.M)
        assert len(blocks) > 1, path.name
        assert blocks[0].strip() == "", path.name


def test_seven_assignments_or_more_have_points_by_tests_and_by_hand():
    sources = assignments.sources()
    assert len(sources) >= 7
    for source in sources.values():
        by_tests, by_hand = assignments.points(load(source))
        assert by_tests >= 10
        assert by_hand >= 4
