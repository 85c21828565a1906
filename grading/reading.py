"""Reading and recognizing what was handed in: notebooks of any version, broken ones."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import nbformat
from nbformat import NotebookNode

from grading.limits import MiB

LARGEST_FILE = 64 * MiB  # outputs included: long training runs and figures are normal
LARGEST_CONTENT = 8 * MiB  # without outputs
MOST_CELLS = 2000
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
    require_size(len(data))
    raw = _parse(data)
    if isinstance(raw.get("worksheets"), list):  # formats 1 to 3
        raw = _upgrade(raw)
    cells = [_cell(cell) for cell in raw["cells"] if isinstance(cell, dict)]
    if len(cells) > MOST_CELLS:
        said = f"it has {len(cells)} cells; at most {MOST_CELLS} are read"
        raise UnreadableError(said)
    size = sum(len(json.dumps(cell)) for cell in cells)
    _require_at_most(LARGEST_CONTENT, size, " even without outputs")
    # Not by nbformat's own function, which checks ids that are still to be given.
    return NotebookNode(nbformat=4, nbformat_minor=5, metadata={}, cells=cells)


def require_size(size: int) -> None:
    """Raise ``UnreadableError`` if a file of ``size`` bytes is too large to be read."""
    _require_at_most(LARGEST_FILE, size)


def _require_at_most(most: int, size: int, how: str = "") -> None:
    if size > most:
        said = f"it has {size / MiB:.0f} MiB{how}; at most {most // MiB} MiB are read"
        raise UnreadableError(said)


def _parse(data: bytes) -> dict[str, Any]:
    try:
        raw = json.loads(data)  # in UTF-8, 16 or 32, with a byte order mark or without
    except UnicodeDecodeError:
        raise UnreadableError("it is no text, so no notebook") from None
    except (ValueError, RecursionError):
        raise UnreadableError("it is no JSON, so no notebook, or cut off") from None
    found = raw if isinstance(raw, dict) else {}
    if not any(isinstance(found.get(key), list) for key in ("cells", "worksheets")):
        raise UnreadableError("it is JSON, but no notebook: it has no cells")
    return found


def _upgrade(raw: dict[str, Any]) -> dict[str, Any]:
    for sheet in raw["worksheets"]:
        for cell in sheet.get("cells", []) if isinstance(sheet, dict) else []:
            if isinstance(cell, dict):
                cell["outputs"] = []
    try:
        return nbformat.convert(nbformat.from_dict(raw), 4)
    except Exception as error:  # whatever an old notebook can be broken by
        version = raw.get("nbformat")
        said = f"it is a notebook of format {version} that cannot be read: {error}"
        raise UnreadableError(said) from None


def _cell(raw: dict[str, Any]) -> NotebookNode:
    """Return a sound cell without outputs; its id is empty if there is no sound one."""
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
    """Return what of an attachment or an output is a picture and no disguised code."""
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
    """Return what tells a notebook from others: grade ids, cell ids, longer texts."""
    found = set()
    for cell in notebook.cells:
        found |= {("id", cell.get("id", "")), ("grade id", grade_id(cell))}
        if len(cell.source) > 40:
            found.add(("text", cell.source.strip()))
    return found - {("id", ""), ("grade id", "")}


def grade_id(cell: NotebookNode) -> str:
    """Return nbgrader's name of ``cell``, or ``""``."""
    marks = cell.metadata.get("nbgrader")
    name = marks.get("grade_id") if isinstance(marks, dict) else None
    return name if isinstance(name, str) else ""
