"""Reading what was handed in: notebooks of any version, half-broken ones, and files that are none."""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import nbformat
from nbformat import NotebookNode

from tools.grading.limits import MiB

LARGEST_FILE = 64 * MiB  # outputs included: long training runs and figures are normal
LARGEST_CONTENT = 8 * MiB  # without outputs
MOST_CELLS = 2000
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
PICTURES = ("image/png", "image/jpeg", "image/gif")
BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class UnreadableError(Exception):
    """A file is no notebook; the message says, to a student, what it is instead."""


def read(data: bytes) -> NotebookNode:
    """Return the notebook in ``data`` in format 4.5, without outputs.

    Raises:
        UnreadableError: it is none, or too large.
    """
    if not data.strip():
        raise UnreadableError("the file is empty")
    check_size(len(data))
    raw = _parse(data)
    if isinstance(raw.get("worksheets"), list):  # formats 1 to 3
        raw = _upgrade(raw)
    cells = [_cell(cell) for cell in raw["cells"] if isinstance(cell, dict)]
    if len(cells) > MOST_CELLS:
        raise UnreadableError(
            f"it has {len(cells)} cells; at most {MOST_CELLS} are read"
        )
    size = sum(len(json.dumps(cell)) for cell in cells)
    if size > LARGEST_CONTENT:
        raise UnreadableError(
            f"it has {size / MiB:.0f} MiB even without outputs; at most "
            f"{LARGEST_CONTENT // MiB} MiB are read"
        )
    # Not by nbformat's own function, which checks ids that are still to be given.
    return NotebookNode(nbformat=4, nbformat_minor=5, metadata={}, cells=cells)


def check_size(size: int) -> None:
    """Check the size of a file in bytes.

    Raises:
        UnreadableError: it is too large to be read.
    """
    if size > LARGEST_FILE:
        raise UnreadableError(
            f"it has {size / MiB:.0f} MiB; at most {LARGEST_FILE // MiB} MiB are read"
        )


def _parse(data: bytes) -> dict[str, Any]:
    marks = [name for mark, name in BYTE_ORDER_MARKS.items() if data.startswith(mark)]
    try:
        text = data.decode(marks[0] if marks else "utf-8")
    except UnicodeDecodeError:
        raise UnreadableError("it is no text, so no notebook") from None
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        raise UnreadableError("it is no JSON, so no notebook, or cut off") from None
    if not isinstance(raw, dict) or not (
        isinstance(raw.get("cells"), list) or isinstance(raw.get("worksheets"), list)
    ):
        raise UnreadableError("it is JSON, but no notebook: it has no cells")
    return raw


def _upgrade(raw: dict[str, Any]) -> dict[str, Any]:
    for sheet in raw["worksheets"]:
        for cell in sheet.get("cells", []) if isinstance(sheet, dict) else []:
            if isinstance(cell, dict):
                cell["outputs"] = []
    try:
        return nbformat.convert(nbformat.from_dict(raw), 4)
    except Exception as error:  # whatever an old notebook can be broken by
        version = raw.get("nbformat")
        raise UnreadableError(
            f"it is a notebook of format {version} that cannot be read: {error}"
        ) from None


def _cell(raw: dict[str, Any]) -> NotebookNode:
    """Return a cell of a type that there is, with a text and no outputs; without a sound id, with none."""
    kind = raw.get("cell_type")
    source, metadata = raw.get("source", ""), raw.get("metadata")
    if isinstance(source, list):
        source = "".join(map(str, source))
    cell = NotebookNode(
        cell_type=kind if kind in ("code", "markdown") else "raw",
        # What is no Unicode could be neither stored nor run.
        source=str(source).encode("utf-8", "replace").decode(),
        metadata=nbformat.from_dict(metadata if isinstance(metadata, dict) else {}),
        id=str(raw.get("id")) if CELL_ID.fullmatch(str(raw.get("id", ""))) else "",
    )
    attachments = raw.get("attachments")
    if cell.cell_type == "code":
        cell.outputs, cell.execution_count = [], None
    elif isinstance(attachments, dict):
        shown = {str(name): pictures(one) for name, one in attachments.items()}
        cell.attachments = nbformat.from_dict(shown)
    return cell


def pictures(bundle: Any) -> dict[str, str]:
    """Return what of an attachment or an output is a picture in base64, and no code in disguise."""
    found = bundle.items() if isinstance(bundle, dict) else ()
    return {
        kind: text
        for kind, text in found
        if kind in PICTURES and isinstance(text, str) and BASE64.fullmatch(text)
    }


def recognize(
    notebook: NotebookNode, releases: Mapping[str, NotebookNode]
) -> str | None:
    """Return the name of the assignment that ``notebook`` is a copy of, or None."""
    traits = {name: _traits(release) for name, release in releases.items()}
    shared = Counter(trait for found in traits.values() for trait in found)
    mine, shares = _traits(notebook), {}
    for name, found in traits.items():
        own = {trait for trait in found if shared[trait] == 1}
        shares[name] = len(own & mine) / max(len(own), 1)
    best = max(shares, key=shares.__getitem__, default=None)
    return best if best is not None and shares[best] > 0.1 else None


def _traits(notebook: NotebookNode) -> set[tuple[str, str]]:
    """Return what tells a notebook from others: its grade ids, its cell ids, its longer texts."""
    found = set()
    for cell in notebook.cells:
        found.add(("id", cell.get("id", "")))
        found.add(("grade id", grade_id(cell)))
        if len(cell.source) > 40:
            found.add(("text", cell.source.strip()))
    return found - {("id", ""), ("grade id", "")}


def grade_id(cell: NotebookNode) -> str:
    """Return nbgrader's name of ``cell``, or ``""``."""
    marks = cell.metadata.get("nbgrader")
    name = marks.get("grade_id") if isinstance(marks, dict) else None
    return name if isinstance(name, str) else ""
