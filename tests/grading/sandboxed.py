"""Running cells as submissions run, and scoring them as nbgrader does."""

import pytest
from nbformat import NotebookNode, v4
from nbgrader.utils import determine_grade

from grading.execute import RECORD, Execute, role
from grading.limits import Limits, MiB
from grading.sandbox import require_sandbox
from tests.grading.handed_in import source

# The record of a run in which nothing happened.
QUIET = {"ended": "", "replaced": [], "stopped": [], "unsafe": False}
LIMITS = Limits(cell_seconds=8, total_seconds=120, memory=1024 * MiB, processes=32)


def _why_not() -> str:
    try:
        require_sandbox()
    except ValueError as error:
        return str(error)
    return ""


WHY_NOT = _why_not()
needs_sandbox = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


def assignment(*cells: str | tuple[str, str]) -> NotebookNode:
    """Return a notebook with the locked cells of an assignment, then these.

    A test is ``("test", code)``, what a student writes just code.
    """
    marks = {"grade": True, "locked": True, "solution": False, "task": False}
    marks |= {"points": 1, "schema_version": 3}
    notebook = v4.new_notebook()
    notebook.cells = [cell for cell in source().cells if role(cell) == "locked"]
    for number, one in enumerate(cells):
        is_test = not isinstance(one, str)
        cell = v4.new_code_cell(one[1] if is_test else one)
        if is_test:
            cell.metadata.nbgrader = marks | {"grade_id": f"test_{number}"}
        notebook.cells.append(cell)
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
    outputs = [c for c in notebook.cells if role(c) != "locked"][index].outputs
    return "".join(one.get("text", "") + one.get("evalue", "") for one in outputs)


def record(notebook: NotebookNode) -> dict:
    """Return how the run went."""
    return notebook.metadata[RECORD]
