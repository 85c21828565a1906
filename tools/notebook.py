"""Reading, running and writing notebooks in one normal form, so that diffs stay small."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from utils.files import write_atomically

ROOT = Path(__file__).resolve().parent.parent
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
# What a cell may carry; editors leave much else.
METADATA = ("tags", "mystnb", "nbgrader", "deletable", "editable")
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}


def notebooks() -> list[Path]:
    """Return the paths of all notebooks of the course, in reading order."""
    found = (ROOT / "chapters").rglob("*.ipynb")
    return sorted(path for path in found if ".ipynb_checkpoints" not in path.parts)


def load(path: Path) -> NotebookNode:
    """Return the notebook at ``path`` in format 4.5."""
    return nbformat.read(path, as_version=4)


def save(notebook: NotebookNode, path: Path) -> None:
    """Normalize ``notebook`` and write it; ``path`` is whole at every moment."""
    normalize(notebook)
    text = nbformat.writes(notebook, version=4)
    write_atomically(path, (text.rstrip("\n") + "\n").encode())


def normalize(notebook: NotebookNode) -> None:
    """Drop what differs from run to run and says nothing: versions, timings, widget state."""
    notebook.metadata = NotebookNode(
        kernelspec=KERNELSPEC, language_info={"name": "python"}
    )
    for cell in notebook.cells:
        kept = {key: value for key, value in cell.metadata.items() if key in METADATA}
        cell.metadata = NotebookNode(kept)
        if cell.cell_type == "code":
            cell.outputs = _merge_streams(cell.outputs)
            for output in cell.outputs:
                # A stored widget has no kernel behind it: keep only its static version.
                if "text/html" in output.get("data", {}):
                    output.data.pop(WIDGET_VIEW, None)


def _merge_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join neighboring pieces of the same stream: where they were cut is a matter of timing."""
    merged: list[NotebookNode] = []
    for output in outputs:
        last = merged[-1] if merged else {}
        if output.output_type == "stream" and last.get("name") == output.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged


def study_code(path: Path) -> str:
    """Return the cells tagged ``study``: the code that a longer study shares with its page."""
    cells = [c for c in load(path).cells if "study" in c.metadata.get("tags", [])]
    return "\n\n".join(cell.source for cell in cells)


def definitions(path: Path) -> dict[str, Any]:
    """Return what the cells tagged ``study`` define, by name."""
    namespace: dict[str, Any] = {"__name__": path.stem}
    exec(compile(study_code(path), str(path), "exec"), namespace)
    return namespace


def execute(path: Path, timeout: int = 600) -> None:
    """Run the notebook at ``path`` from top to bottom on the CPU and store its outputs in place.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; the file stays as it was.
    """
    notebook = load(path)
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
