"""A small assignment for tests, and what students make of it."""

import copy
import json
from pathlib import Path

import nbformat
from nbformat import NotebookNode, v4

from grading.reading import grade_id
from tools import assignments
from tools.notebook import KERNELSPEC
from tools.repository import setup_cell

DOUBLE = "return 2 * x"
SQUARE = "return (x * x).mean()"
ANSWER = "Doubling is linear: the double of a sum is the sum of the doubles."


def _code(name: str, source: str, make=v4.new_code_cell, **marks) -> NotebookNode:
    cell = make(source, id=name.replace("_", "-"))
    if marks:
        plain = {"grade": False, "solution": False, "locked": False, "task": False}
        about = {"grade_id": name, "schema_version": 3}
        cell.metadata.nbgrader = plain | about | marks
    return cell


def _text(name: str, source: str, **marks) -> NotebookNode:
    return _code(name, source, v4.new_markdown_cell, **marks)


def _solution(code: str) -> str:
    return f"    ### BEGIN SOLUTION\n    {code}\n    ### END SOLUTION"


def _hidden(what: str, *tests: str) -> str:
    start = f"# Hidden tests: {what}."
    marks = ("### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS")
    return "\n".join([start, marks[0], *tests, marks[1]])


def source(name: str = "doubling", factor: int = 2) -> NotebookNode:
    """Return an assignment of 8 points: 3 and 3 by tests, 2 by hand."""
    test = {"grade": True, "locked": True}
    check = "from utils.checks import check_close\n\ncheck_close"
    scale = f"def {name}(x):\n{_solution(f'return {factor} * x')}"
    square = f"def mean_square(x):\n{_solution(SQUARE)}"
    visible = f"{check}('{name}(2)', {name}(torch.tensor(2.0)), {factor * 2}.0)"
    hidden = _hidden(
        "other numbers",
        f"assert torch.allclose({name}(torch.ones(3)), {factor} * torch.ones(3))",
        f"assert np.allclose({name}(np.ones(3)), {factor} * np.ones(3))",
    )
    visible_square = f"{check}('mean', mean_square(torch.tensor([1.0, 3.0])), 5.0)"
    hidden_square = _hidden(
        "a random vector",
        "x = torch.randn(20)",
        "assert abs(mean_square(x) - sum(x**2) / len(x)) < 1e-5",
    )
    answer = f"### BEGIN SOLUTION\n{ANSWER}\n### END SOLUTION"
    cells = [
        _text("title", f"# Assignment: {name}\n\nThree short tasks."),
        _code("setup", setup_cell(), locked=True),
        _code("imports", f"import numpy as np\nimport torch  # {name}", locked=True),
        _text("task_1", f"## Task 1\n\nWrite `{name}`, which multiplies by {factor}."),
        _code(name, scale, solution=True),
        _code(f"{name}_test", visible, points=1, **test),
        _code(f"{name}_hidden", hidden, points=2, **test),
        _text("task_2", "## Task 2\n\nWrite `mean_square`, the mean of the squares."),
        _code("mean_square", square, solution=True),
        _code("mean_square_test", visible_square, points=1, **test),
        _code("mean_square_hidden", hidden_square, points=2, **test),
        _text("question", "## Question\n\nWhat is doubling of a sum?"),
        _text("answer", answer, grade=True, solution=True, points=2),
        _text("end", "Save the notebook and hand it in."),
    ]
    return v4.new_notebook(cells=cells, metadata={"kernelspec": KERNELSPEC})


def write_sources(folder: Path) -> Path:
    """Write ``doubling`` and ``tripling`` as the course keeps its assignments."""
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
    return next(one for one in notebook.cells if grade_id(one) == name)


def without(notebook: NotebookNode, *names: str) -> NotebookNode:
    """Return a copy that lacks cells."""
    notebook = copy.deepcopy(notebook)
    for name in names:
        notebook.cells.remove(cell(notebook, name))
    return notebook


def data(notebook: NotebookNode) -> bytes:
    """Return a notebook as a file holds it."""
    return json.dumps(notebook, ensure_ascii=False).encode()
