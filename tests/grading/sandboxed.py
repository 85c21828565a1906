"""Running cells as submissions run, and scoring them as nbgrader does."""

from __future__ import annotations

import pytest
from nbformat import NotebookNode, v4
from nbgrader.utils import determine_grade

from tests.grading.handed_in import source
from tools.grading.execute import RECORD, Execute, role
from tools.grading.limits import Limits, MiB
from tools.grading.sandbox import check_available

LIMITS = Limits(cell_seconds=8, total_seconds=120, memory=1024 * MiB, processes=32)


def _why_not() -> str:
    try:
        check_available()
    except ValueError as error:
        return str(error)
    return ""


needs_sandbox = pytest.mark.skipif(bool(_why_not()), reason=_why_not())


def assignment(*cells: str | tuple[str, str]) -> NotebookNode:
    """Return a notebook with the locked cells of an assignment, then code, and tests as ``("test", code)``."""
    start = [c for c in source().cells if role(c) == "locked"]
    notebook = v4.new_notebook(cells=start)
    for number, one in enumerate(cells):
        if isinstance(one, str):
            notebook.cells.append(v4.new_code_cell(one))
        else:
            test = v4.new_code_cell(one[1])
            test.metadata.nbgrader = {
                **{"grade": True, "locked": True, "solution": False, "task": False},
                **{"grade_id": f"test_{number}", "points": 1, "schema_version": 3},
            }
            notebook.cells.append(test)
    return notebook


def run(
    notebook: NotebookNode, limits: Limits = LIMITS, unsafe: bool = False
) -> NotebookNode:
    """Run a notebook in place and return it."""
    return Execute(limits=limits, unsafe=unsafe).preprocess(notebook, {})[0]


def scores(notebook: NotebookNode) -> list[float]:
    """Return the points of each test."""
    return [determine_grade(c)[0] for c in notebook.cells if role(c) == "test"]


def printed(notebook: NotebookNode, index: int) -> str:
    """Return all text in the outputs of the cell at ``index`` after the locked ones."""
    cells = [c for c in notebook.cells if role(c) != "locked"]
    return "".join(
        output.get("text", "") + output.get("evalue", "")
        for output in cells[index].outputs
    )


def record(notebook: NotebookNode) -> dict:
    """Return how the run went."""
    return notebook.metadata[RECORD]
