"""Reading, running and writing notebooks in one normal form: diffs stay small."""

import hashlib
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from utils.files import write_atomically

ROOT = Path(__file__).resolve().parent.parent
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
# What a cell may carry; editors and Colab leave much else.
METADATA = {
    "tags": list,
    "mystnb": dict,
    "nbgrader": dict,
    "deletable": bool,
    "editable": bool,
}
CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
COLAB_BADGE = "view-in-github"  # the id of the cell that Colab puts on top


def notebooks() -> list[Path]:
    """Return the paths of all notebooks of the course, in reading order."""
    found = (ROOT / "chapters").rglob("*.ipynb")
    return sorted(path for path in found if ".ipynb_checkpoints" not in path.parts)


def load(path: Path) -> NotebookNode:
    """Return the notebook at ``path`` in format 4, with whatever is wrong with it."""
    # Not by nbformat.read: it gives random ids to cells that lack one.
    return nbformat.convert(nbformat.reader.reads(path.read_text(encoding="utf-8")), 4)


def save(notebook: NotebookNode, path: Path) -> None:
    """Normalize ``notebook`` and write it; ``path`` is whole at every moment."""
    normalize(notebook)
    text = nbformat.writes(notebook, version=4)
    write_atomically(path, (text.rstrip("\n") + "\n").encode())


def normalize(notebook: NotebookNode) -> None:
    """Give ``notebook`` the form of this repository, whatever editor has saved it.

    What differs from run to run and says nothing goes: versions, timings, widget state.
    So do metadata of editors and empty code cells. Cells without an id of their own get
    one that depends only on what they hold.
    """
    language = NotebookNode(name="python")
    notebook.metadata = NotebookNode(kernelspec=KERNELSPEC, language_info=language)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    _give_ids(notebook.cells)
    for cell in notebook.cells:
        kept = {k: v for k, v in cell.metadata.items() if _is_kept(k, v)}
        cell.metadata = NotebookNode(kept)
        if cell.get("cell_type") == "code":
            _normalize_code(cell)
    notebook.cells = [cell for cell in notebook.cells if not _is_left_over(cell)]


def _is_kept(key: str, value: object) -> bool:
    return isinstance(value, METADATA.get(key, ()))


def _is_left_over(cell: NotebookNode) -> bool:
    """Whether a cell is Colab's badge, or a code cell with nothing in it."""
    holds_nothing = not str(cell.source).strip() and not cell.metadata
    return cell.id == COLAB_BADGE or (cell.get("cell_type") == "code" and holds_nothing)


def _normalize_code(cell: NotebookNode) -> None:
    cell.setdefault("execution_count", None)
    cell.outputs = _merge_streams(cell.get("outputs", []))
    for output in cell.outputs:
        # A stored widget has no kernel behind it: keep only its static version.
        if "text/html" in output.get("data", {}):
            output.data.pop(WIDGET_VIEW, None)


def _give_ids(cells: list[NotebookNode]) -> None:
    """Give an id to each cell that has none, or that of a cell before it."""
    taken: set[str] = set()
    for cell in cells:
        cell.setdefault("source", "")
        cell.id = next(i for i in _possible_ids(cell) if i not in taken)
        taken.add(cell.id)


def _possible_ids(cell: NotebookNode) -> Iterator[str]:
    # Colab keeps an id in the metadata, and drops the cell's own in format 4.0.
    for found in (cell.get("id"), cell.metadata.get("id")):
        if isinstance(found, str) and CELL_ID.fullmatch(found):
            yield found
    for number in itertools.count():
        content = f"{number} {cell.source}".encode(errors="replace")
        yield hashlib.sha256(content).hexdigest()[:8]


def _merge_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join neighboring pieces of a stream: where it was cut is a matter of timing."""
    merged: list[NotebookNode] = []
    for output in outputs:
        last = merged[-1] if merged else {}
        are_streams = all({"name", "text"} <= part.keys() for part in (last, output))
        if are_streams and last.name == output.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged


def execute(path: Path, timeout: int = 600) -> None:
    """Run the notebook at ``path`` on the CPU and store its outputs in place.

    It runs from top to bottom and ends up in normal form, whatever form it had.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; the file stays as it was.
    """
    notebook = load(path)
    normalize(notebook)
    # The kernel inherits these; the same conditions hold under pytest, see conftest.py.
    os.environ.update(TQDM_DISABLE="1", UNROLLED_DEVICE="cpu")
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    save(notebook, path)
