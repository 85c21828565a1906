"""The rules for notebooks that can be checked without running them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from nbformat import NotebookNode

from tools import assignments
from tools.notebook import KERNELSPEC, WIDGET_VIEW, load
from tools.repository import find_setup_cell

MAX_LINES = 40
MAX_BYTES = 400_000
MAX_CODE_RUN = 2
TIMING = re.compile(r"%%?time|perf_counter|\.seconds\b|time\.time\(")
MARKDOWN_IMAGE = re.compile(r"!\[\s*\]\(|<img(?![^>]*\balt=\"[^\"]+\")")
MYST = re.compile(r"^(```\{|:::)", re.MULTILINE)
POINTS = re.compile(r"\*\*Points:\*\* (\d+) \((\d+) by tests, (\d+) read by a person\)")
# What the book does with the cells of an assignment: folds solutions and tests, leaves out hidden ones.
ASSIGNMENT_TAGS = {
    "solution": "hide-input",
    "tests": "hide-cell",
    "hidden tests": "remove-cell",
}


def lint(path: Path) -> list[str]:
    """Return what is wrong with the notebook at ``path``, a line for each fault."""
    notebook = load(path)
    faults = [*_lint_notebook(notebook), *_lint_rhythm(notebook)]
    if path.parent.parent.name == assignments.EXERCISES.name:
        faults += _lint_assignment(notebook)
    for index, cell in enumerate(notebook.cells, start=1):
        check = _lint_code if cell.cell_type == "code" else _lint_markdown
        faults += [f"cell {index}: {fault}" for fault in check(cell)]
    if path.stat().st_size > MAX_BYTES:
        faults.append(f"{path.stat().st_size} bytes; at most {MAX_BYTES} are allowed")
    return [f"{path.name}: {fault}" for fault in faults]


def _lint_notebook(notebook: NotebookNode) -> Iterator[str]:
    if notebook.metadata.get("kernelspec") != KERNELSPEC or len(notebook.metadata) != 2:
        yield "metadata is not in normal form: run `make notebooks`"
    ids = [cell.get("id") for cell in notebook.cells]
    if None in ids or len(set(ids)) < len(ids):
        yield "cell ids are missing or repeated"
    if find_setup_cell(notebook) is None:
        yield "no cell is tagged `setup`"
    counts = [
        c.execution_count
        for c in notebook.cells
        if c.cell_type == "code" and c.source.strip()
    ]
    if counts != list(range(1, len(counts) + 1)):
        yield "cells were not executed once each from top to bottom: run `make notebooks`"


def _lint_rhythm(notebook: NotebookNode) -> Iterator[str]:
    run = 0
    for index, cell in enumerate(notebook.cells, start=1):
        if assignments.kind(cell) in ("tests", "hidden tests"):
            continue  # the page folds them
        run = run + 1 if cell.cell_type == "code" else 0
        if run == MAX_CODE_RUN + 1:
            yield f"cell {index}: more than {MAX_CODE_RUN} code cells without prose between them"


def _lint_assignment(notebook: NotebookNode) -> Iterator[str]:
    by_tests, by_hand = assignments.points(notebook)
    text = "\n".join(cell.source for cell in notebook.cells[:3])
    stated = POINTS.search(text)
    if not stated or tuple(map(int, stated.groups())) != (
        by_tests + by_hand,
        by_tests,
        by_hand,
    ):
        yield (
            "the introduction does not say '**Points:** "
            f"{by_tests + by_hand} ({by_tests} by tests, {by_hand} read by a person)'"
        )
    for part in ("**Time:**", "**What you need:**", "**A good answer**"):
        if part not in text:
            yield f"the introduction has no {part}"
    ids = [
        c.metadata.nbgrader.grade_id for c in notebook.cells if "nbgrader" in c.metadata
    ]
    if len(set(ids)) < len(ids):
        yield "two cells have the same grade_id"
    for index, cell in enumerate(notebook.cells, start=1):
        kind = assignments.kind(cell)
        tag = ASSIGNMENT_TAGS.get(kind)
        if tag and tag not in cell.metadata.get("tags", []):
            yield f"cell {index}: holds {kind} but is not tagged `{tag}`"
        if kind in ("solution", "answer") and "### BEGIN SOLUTION" not in cell.source:
            yield f"cell {index}: does not say where its solution begins and ends"
        if kind == "hidden tests" and not cell.source.startswith("# Hidden tests: "):
            yield f"cell {index}: does not begin with a line '# Hidden tests: ...'"
        if "setup" in cell.metadata.get("tags", []) and kind != "locked":
            yield f"cell {index}: the setup cell is not locked"


def _lint_code(cell: NotebookNode) -> Iterator[str]:
    tags = cell.metadata.get("tags", [])
    if not cell.source.strip():
        yield "is empty"
    if len(cell.source.splitlines()) > MAX_LINES:
        yield f"{len(cell.source.splitlines())} lines; at most {MAX_LINES} are allowed"
    if (
        any(output.output_type == "error" for output in cell.outputs)
        and "nbval-raises-exception" not in tags
    ):
        yield "stores an error"
    if any(output.get("name") == "stderr" for output in cell.outputs):
        yield "stores text on stderr"
    if (
        TIMING.search(cell.source)
        and cell.outputs
        and "nbval-ignore-output" not in tags
    ):
        yield "shows a timing but is not tagged `nbval-ignore-output`"
    data = [output.get("data", {}) for output in cell.outputs]
    if any(WIDGET_VIEW in bundle for bundle in data):
        yield "stores a widget that no kernel stands behind"
    alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
    if (
        any(mime.startswith("image/") for bundle in data for mime in bundle)
        and len(alt) < 15
    ):
        yield "shows an image without a description in metadata mystnb.image.alt"


def _lint_markdown(cell: NotebookNode) -> Iterator[str]:
    if MARKDOWN_IMAGE.search(cell.source):
        yield "has an image without alt text"
    if MYST.search(cell.source):
        yield "has a MyST fence, which Colab shows raw"
