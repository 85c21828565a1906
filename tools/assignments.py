"""The assignments: a source notebook each, and the student version made from it."""

import copy
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.notebook import ROOT, load, save
from tools.repository import branch, repository_url

EXERCISES = ROOT / "chapters" / "exercises"
RELEASES = ROOT / "_build" / "assignments"
RELEASE_BRANCH = "assignments"  # where CI publishes the student versions
# What stands between these lines never reaches a student.
MARKERS = re.compile(
    r"^ *### (?:BEGIN|END) (?:SOLUTION|HIDDEN TESTS)(?:\n|$)", flags=re.MULTILINE
)
# What the page says on the folded cells.
FOLDED_AS = {"solution": "Show the solution", "tests": "Show the tests"}
RELATIVE_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)\s]+)\)")


def sources(folder: Path = EXERCISES) -> dict[str, Path]:
    """Return the source notebooks ``folder/NAME/NAME.ipynb`` by name.

    Raises:
        ValueError: there is none, or a folder has no notebook of its own name.
    """
    found = {}
    for path in sorted(folder.glob("*/")):
        source = path / f"{path.name}.ipynb"
        if path.name.startswith((".", "_")):
            continue
        if not source.is_file():
            raise ValueError(f"{path} holds no {source.name}; expected one there.")
        found[path.name] = source
    if not found:
        raise ValueError(f"{folder} holds no assignment; expected NAME/NAME.ipynb.")
    return found


def kind(cell: NotebookNode) -> str:
    """Return what a cell is to the grader.

    One of solution, tests, hidden tests, answer, locked, plain.
    """
    marks = cell.metadata.get("nbgrader")
    if marks is None:
        return "plain"
    if marks["solution"]:
        return "answer" if marks["grade"] else "solution"
    if marks["grade"]:
        return "hidden tests" if "### BEGIN HIDDEN TESTS" in cell.source else "tests"
    return "locked"


def points(notebook: NotebookNode) -> tuple[int, int]:
    """Return the points that tests give, and those that a person gives."""
    graded = [
        (kind(cell), cell.metadata.nbgrader.points)
        for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("grade")
    ]
    by_hand = sum(value for name, value in graded if name == "answer")
    return sum(value for _, value in graded) - by_hand, by_hand


def release(notebook: NotebookNode) -> NotebookNode:
    """Return the student version: no solutions, no hidden tests, no outputs.

    Raises:
        RuntimeError: markers are unpaired, or stand in a cell that has no ``nbgrader``
            metadata for them.
    """
    # nbgrader is needed only here; whoever builds the book need not have it.
    from nbgrader import preprocessors
    from nbgrader.preprocessors import NbGraderPreprocessor

    steps: list[type[NbGraderPreprocessor]] = [
        preprocessors.LockCells,
        preprocessors.ClearSolutions,
        preprocessors.ClearOutput,
        preprocessors.CheckCellMetadata,
        preprocessors.ClearHiddenTests,
        preprocessors.ComputeChecksums,
    ]
    result, resources = copy.deepcopy(notebook), {}
    for step in steps:
        result, resources = step().preprocess(result, resources)
    return result


def write_releases(folder: Path = EXERCISES, target: Path = RELEASES) -> list[Path]:
    """Write every student version to ``target/NAME/NAME.ipynb``; return the paths.

    ``sources`` and ``release`` say what is raised.
    """
    written = []
    for name, source in sources(folder).items():
        student = release(load(source))
        for cell in student.cells:
            if cell.cell_type == "markdown":
                cell.source = absolute_links(cell.source, source)
        path = target / name / f"{name}.ipynb"
        save(student, path)
        written.append(path)
    return written


def absolute_links(markdown: str, source: Path) -> str:
    """Return ``markdown`` with links that also work from a lone copy."""
    if not source.is_relative_to(ROOT):  # a private variant has no public address
        return markdown
    base = f"{repository_url()}/blob/{branch()}"

    def absolute(match: re.Match[str]) -> str:
        path, _, anchor = match.group(1).partition("#")
        target = (source.parent / path).resolve().relative_to(ROOT).as_posix()
        return f"]({base}/{target}{'#' + anchor if anchor else ''})"

    return RELATIVE_LINK.sub(absolute, markdown)


def colab_url(name: str) -> str:
    """Return the address that opens the student version of an assignment in Colab."""
    slug = repository_url().removeprefix("https://github.com/")
    return (
        f"https://colab.research.google.com/github/{slug}/blob/{RELEASE_BRANCH}"
        f"/{name}/{name}.ipynb"
    )


def as_page(text: str, name: str) -> str:
    """Return a source notebook's text as the book shows it: folded, without markers.

    A paragraph after the introduction leads to the student version.
    """
    notebook = nbformat.reads(text, as_version=4)
    for cell in notebook.cells:
        if kind(cell) in FOLDED_AS:
            cell.metadata.setdefault("mystnb", {})["code_prompt_show"] = FOLDED_AS[
                kind(cell)
            ]
        cell.source = MARKERS.sub("", cell.source)
    notebook.cells[1].source += (
        "\n\nOn this page the solutions are folded. "
        f"[The student version]({colab_url(name)}) opens in Colab, without them."
    )
    return nbformat.writes(notebook)
