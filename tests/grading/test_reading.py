"""Reading whatever was handed in."""

import json

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat import v3, v4

from grading import reading
from grading.reading import UnreadableError, read, recognize
from tests.grading.handed_in import cell, data, release, solved


def sources(notebook):
    return [cell.source for cell in notebook.cells]


def test_a_notebook_keeps_its_cells_and_their_metadata():
    notebook = solved()
    found = read(data(notebook))
    assert sources(found) == sources(notebook)
    assert [c.metadata for c in found.cells] == [c.metadata for c in notebook.cells]
    assert [c.id for c in found.cells] == [c.id for c in notebook.cells]


def test_outputs_are_dropped():
    notebook = solved()
    output = v4.new_output("stream", text="x" * 10**6)
    for one in notebook.cells:
        if one.cell_type == "code":
            one.outputs = [output] * 5
    found = read(data(notebook))
    assert not any(one.get("outputs") for one in found.cells)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le"])
def test_encodings_with_and_without_a_byte_order_mark(encoding, mark):
    text = data(solved()).decode()
    assert sources(read((mark + text).encode(encoding))) == sources(solved())


@pytest.mark.parametrize("minor", range(6))
def test_all_formats_4(minor):
    raw = json.loads(data(solved())) | {"nbformat_minor": minor}
    for one in raw["cells"]:
        one["source"] = one["source"].splitlines(keepends=True)
        if minor < 5:
            del one["id"]
    found = read(json.dumps(raw).encode())
    assert sources(found) == sources(solved())
    assert all(c.id == "" for c in found.cells) == (minor < 5)


def test_format_3():
    cells = [v3.new_code_cell("x = 1"), v3.new_text_cell("markdown", "prose")]
    old = v3.new_notebook(worksheets=[v3.new_worksheet(cells=cells)])
    assert sources(read(json.dumps(old).encode())) == ["x = 1", "prose"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (b"print('hello')", "it is no JSON, so no notebook, or cut off"),
        (data(solved())[:-50], "it is no JSON, so no notebook, or cut off"),
        (b"[" * 10**5, "it is no JSON, so no notebook, or cut off"),
        (b"[]", "it is JSON, but no notebook: it has no cells"),
        (b'{"cells": 3}', "it is JSON, but no notebook: it has no cells"),
        (b"\x89PNG\x00\xff\xfe", "it is no text, so no notebook"),
        (b'{"worksheets": [3]}', "it is a notebook of format None that cannot be read"),
    ],
)
def test_what_is_no_notebook(content, said):
    with pytest.raises(UnreadableError, match=f"^{said}"):
        read(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"cells": [{}] * 2001}, "2001 cells; at most 2000 are read"),
        ({"cells": [{"source": "x" * 2**21}]}, "2 MiB even without outputs; at most 1"),
        ({"cells": [], "metadata": "x" * 2**22}, "4 MiB; at most 3 MiB are read"),
    ],
)
def test_too_large_files(content, said, monkeypatch):
    monkeypatch.setattr(reading, "LARGEST_CONTENT", 2**20)
    monkeypatch.setattr(reading, "LARGEST_FILE", 3 * 2**20)
    with pytest.raises(UnreadableError, match=f"^it has {said}"):
        read(json.dumps(content).encode())


def test_broken_cells_become_sound():
    raw = {
        "cells": [
            {"cell_type": "code", "source": "x", "id": "no good id"},
            {"cell_type": "video", "source": None, "metadata": "?"},
            {"cell_type": "markdown", "source": ["a\n", "b"], "metadata": None},
            {"cell_type": "code", "source": "\ud800"},
            "no cell at all",
        ]
    }
    found = read(json.dumps(raw).encode())
    assert [c.cell_type for c in found.cells] == ["code", "raw", "markdown", "code"]
    assert sources(found)[2] == "a\nb"
    found.cells[0].id, found.cells[1].id = "a", "b"
    found.cells[2].id, found.cells[3].id = "c", "d"
    nbformat.validate(found)


def test_attachments_are_pictures_only():
    bundle = {"image/png": "aGk=", "text/html": "<script>", "image/jpeg": '"><script>'}
    one = {"cell_type": "markdown", "source": "x", "attachments": {"a.png": bundle}}
    found = read(json.dumps({"cells": [one]}).encode())
    assert found.cells[0].attachments == {"a.png": {"image/png": "aGk="}}


KEYS = ["cells", "worksheets", "metadata", "source", "cell_type", "input", "id"]
LEAVES = st.none() | st.booleans() | st.integers() | st.text()


def branches(inner):
    return st.lists(inner) | st.dictionaries(st.sampled_from(KEYS), inner)


@given(st.recursive(LEAVES, branches))
def test_any_json_is_read_or_refused(raw):
    try:
        notebook = read(json.dumps(raw).encode())
    except UnreadableError:
        return
    assert all(isinstance(cell.source, str) for cell in notebook.cells)


RELEASES = {"doubling": release(), "tripling": release("tripling", 3)}


def stripped(notebook, *, ids=False, metadata=False, text=False):
    for one in notebook.cells:
        one.id = "" if ids else one.id
        one.metadata = {} if metadata else one.metadata
        one.source = "# all new" if text else one.source
    return read(data(notebook))


@pytest.mark.parametrize(
    "lost",
    [{}, {"ids": True, "metadata": True}, {"text": True}, {"text": True, "ids": True}],
)
def test_recognize(lost):
    assert recognize(stripped(solved(), **lost), RELEASES) == "doubling"
    other = stripped(release("tripling", 3), **lost)
    assert recognize(other, RELEASES) == "tripling"


def test_recognize_a_stranger():
    strange = v4.new_notebook(cells=[v4.new_code_cell("print('hello')")])
    assert recognize(strange, RELEASES) is None
    only_setup = v4.new_notebook(cells=[cell(solved(), "setup")])
    assert recognize(only_setup, RELEASES) is None
    assert recognize(v4.new_notebook(), RELEASES) is None
