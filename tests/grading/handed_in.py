"""A small assignment for tests, and what students make of it."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import nbformat
from nbformat import NotebookNode, v4

from tools import assignments
from tools.repository import setup_cell

DOUBLE = "return 2 * x"
SQUARE = "return (x * x).mean()"
ANSWER = "Doubling is linear: the double of a sum is the sum of the doubles."


def _cell(kind: str, source: str, name: str, **marks) -> NotebookNode:
    make = v4.new_markdown_cell if kind == "markdown" else v4.new_code_cell
    cell = make(source, id=name.replace("_", "-"))
    plain = {"grade": False, "solution": False, "locked": False, "task": False}
    if marks:
        cell.metadata.nbgrader = {
            **plain,
            "grade_id": name,
            "schema_version": 3,
            **marks,
        }
    return cell


def source(name: str = "doubling", factor: int = 2) -> NotebookNode:
    """Return an assignment of 8 points: 3 and 3 by tests, 2 by hand."""
    test = {"grade": True, "locked": True}
    body = f"def {name}(x):\n    ### BEGIN SOLUTION\n    return {factor} * x\n    ### END SOLUTION"
    square = f"def mean_square(x):\n    ### BEGIN SOLUTION\n    {SQUARE}\n    ### END SOLUTION"
    cells = [
        _cell("markdown", f"# Assignment: {name}\n\nThree short tasks.", "title"),
        _cell("code", setup_cell(), "setup", locked=True),
        _cell("code", f"import numpy as np\nimport torch  # {name}", "imports", locked=True),
        _cell("markdown", f"## Task 1\n\nWrite `{name}`, which multiplies by {factor}.", "task-1"),
        _cell("code", body, name, solution=True),
        _cell(
            "code",
            f"from utils.checks import check_close\n\n"
            f"check_close('{name}(2)', {name}(torch.tensor(2.0)), {factor * 2}.0)",
            f"{name}_test",
            points=1,
            **test,
        ),
        _cell(
            "code",
            "# Hidden tests: other numbers.\n### BEGIN HIDDEN TESTS\n"
            f"assert torch.allclose({name}(torch.ones(3)), {factor} * torch.ones(3))\n"
            f"assert np.allclose({name}(np.ones(3)), {factor} * np.ones(3))\n"
            "### END HIDDEN TESTS",
            f"{name}_hidden",
            points=2,
            **test,
        ),
        _cell("markdown", "## Task 2\n\nWrite `mean_square`, the mean of the squares.", "task-2"),
        _cell("code", square, "mean_square", solution=True),
        _cell(
            "code",
            "from utils.checks import check_close\n\n"
            "check_close('mean square', mean_square(torch.tensor([1.0, 3.0])), 5.0)",
            "mean_square_test",
            points=1,
            **test,
        ),
        _cell(
            "code",
            "# Hidden tests: a random vector.\n### BEGIN HIDDEN TESTS\n"
            "x = torch.randn(20)\nassert abs(mean_square(x) - sum(x**2) / len(x)) < 1e-5\n"
            "### END HIDDEN TESTS",
            "mean_square_hidden",
            points=2,
            **test,
        ),
        _cell("markdown", "## Question\n\nWhat is doubling of a sum?", "question"),
        _cell(
            "markdown",
            f"### BEGIN SOLUTION\n{ANSWER}\n### END SOLUTION",
            "answer",
            grade=True,
            solution=True,
            points=2,
        ),
        _cell("markdown", "Save the notebook and hand it in.", "end"),
    ]  # fmt: skip
    notebook = v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    return notebook


def write_sources(folder: Path) -> Path:
    """Write two assignments, ``doubling`` and ``tripling``, as the course keeps its own."""
    for name, factor in (("doubling", 2), ("tripling", 3)):
        (folder / name).mkdir(parents=True)
        nbformat.write(source(name, factor), folder / name / f"{name}.ipynb")
    return folder


def release(name: str = "doubling", factor: int = 2) -> NotebookNode:
    """Return what students get."""
    return assignments.release(source(name, factor))


def solved(
    double: str = DOUBLE, square: str = SQUARE, answer: str = ANSWER
) -> NotebookNode:
    """Return the students' version with these solutions filled in."""
    notebook = release()
    cell(notebook, "doubling").source = f"def doubling(x):\n    {double}"
    cell(notebook, "mean_square").source = f"def mean_square(x):\n    {square}"
    cell(notebook, "answer").source = answer
    return notebook


def with_code(code: str, before: str = "doubling_test", **solutions) -> NotebookNode:
    """Return a solved notebook with a cell of the student's own before another."""
    notebook = solved(**solutions)
    index = notebook.cells.index(cell(notebook, before))
    notebook.cells.insert(index, v4.new_code_cell(code))
    return notebook


def cell(notebook: NotebookNode, name: str) -> NotebookNode:
    """Return the cell that nbgrader calls ``name``."""
    found = [
        c
        for c in notebook.cells
        if c.metadata.get("nbgrader", {}).get("grade_id") == name
    ]
    return found[0]


def without(notebook: NotebookNode, *names: str) -> NotebookNode:
    """Return a copy that lacks cells."""
    notebook = copy.deepcopy(notebook)
    for name in names:
        notebook.cells.remove(cell(notebook, name))
    return notebook


def data(notebook: NotebookNode) -> bytes:
    """Return a notebook as a file holds it."""
    return json.dumps(notebook, ensure_ascii=False).encode()
