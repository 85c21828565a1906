"""tools.notebook: one normal form for notebooks."""

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from tools.notebook import WIDGET_VIEW, execute, load, normalize, save


def notebook_with(outputs=(), **metadata):
    cell = nbformat.v4.new_code_cell("1 + 1", outputs=list(outputs), metadata=metadata)
    return nbformat.v4.new_notebook(cells=[cell])


def stream(text, name="stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


def test_it_drops_timings_versions_and_widget_state():
    notebook = notebook_with(execution={"iopub.status.busy": "now"}, tags=["setup"])
    notebook.metadata.update(widgets={"state": {}}, language_info={"version": "3.11.7"})
    normalize(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.language_info == {"name": "python"}
    assert notebook.cells[0].metadata == {"tags": ["setup"]}


def test_it_joins_what_a_cell_printed_in_pieces():
    notebook = notebook_with([stream("a\n"), stream("b\n"), stream("!", "stderr")])
    normalize(notebook)
    assert [output.text for output in notebook.cells[0].outputs] == ["a\nb\n", "!"]


def test_it_keeps_only_the_static_version_of_an_explorer():
    both = {WIDGET_VIEW: {"model_id": "x"}, "text/html": "<p>static</p>"}
    notebook = notebook_with([nbformat.v4.new_output("display_data", data=both)])
    normalize(notebook)
    assert notebook.cells[0].outputs[0].data == {"text/html": "<p>static</p>"}


def ids_of(*cells):
    notebook = nbformat.from_dict({"metadata": {}, "cells": list(cells)})
    normalize(notebook)
    return [cell.id for cell in notebook.cells]


def test_a_cell_keeps_its_id_or_the_one_that_colab_noted():
    own = {"id": "a-1", "source": "x", "metadata": {"id": "b"}}
    assert ids_of(own) == ["a-1"]
    assert ids_of(own | {"id": "not one"}) == ["b"]


def test_other_ids_depend_only_on_what_the_cells_hold():
    x, y = ({"source": source, "metadata": {}} for source in "xy")
    first, second, third = ids_of(x, y, x)
    assert len({first, second, third}) == 3
    assert ids_of(y, {"id": "new", **x}, x, x) == [second, "new", first, third]


def test_empty_code_cells_and_the_badge_of_colab_go():
    empty = nbformat.v4.new_code_cell(" \n", id="empty", metadata={"collapsed": True})
    tagged = nbformat.v4.new_code_cell(id="tagged", metadata={"tags": ["setup"]})
    badge = nbformat.v4.new_markdown_cell("Open in Colab", id="view-in-github")
    prose = nbformat.v4.new_markdown_cell(id="prose")
    assert ids_of(badge, empty, tagged, prose) == ["tagged", "prose"]


def test_saving_twice_writes_the_same_bytes(tmp_path):
    path = tmp_path / "a.ipynb"
    save(notebook_with(), path)
    first = path.read_bytes()
    save(load(path), path)
    assert path.read_bytes() == first
    assert first.endswith(b"\n")


def test_execution_stores_outputs_and_counts(tmp_path):
    path = tmp_path / "a.ipynb"
    save(notebook_with(), path)
    execute(path)
    cell = load(path).cells[0]
    assert cell.execution_count == 1
    assert cell.outputs[0].data["text/plain"] == "2"


def test_a_failing_notebook_stays_as_it_was(tmp_path):
    path = tmp_path / "a.ipynb"
    notebook = notebook_with()
    notebook.cells[0].source = "print('before')\nraise ValueError('no')"
    save(notebook, path)
    before = path.read_bytes()
    with pytest.raises(CellExecutionError, match="ValueError"):
        execute(path)
    assert path.read_bytes() == before
