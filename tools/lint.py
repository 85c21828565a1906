"""The rules for notebooks that can be checked without running them."""

import copy
import io
import keyword
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tokenize import TokenInfo

from nbformat import NotebookNode
from nbformat.validator import iter_validate

from tools import assignments
from tools.notebook import ROOT, WIDGET_VIEW, load, normalize
from tools.repository import find_setup_cell

MAX_LINES = 40
MAX_BYTES = 400_000
MAX_CODE_RUN = 2
MIN_DESCRIPTION = 15  # characters
WIDTH = 88  # characters of a line, as in pyproject.toml
SHORT = 30  # characters of an item that would share its line with two others
NEARLY = 12  # so many characters above the width are only just too many
TIMING = re.compile(r"%%?time|perf_counter|\.seconds\b|time\.time\(")
MARKDOWN_IMAGE = re.compile(r"!\[\s*\]\(|<img(?![^>]*\balt=\"[^\"]+\")")
MYST = re.compile(r"^(```\{|:::)", re.MULTILINE)
# What the book does with the cells of an assignment: it folds or leaves them out.
ASSIGNMENT_TAGS = {
    "solution": "hide-input",
    "tests": "hide-cell",
    "hidden tests": "remove-cell",
}
MARKS = {"grade": bool, "grade_id": str, "solution": bool}  # what nbgrader reads
OPENING = {tokenize.LPAR, tokenize.LSQB, tokenize.LBRACE}
CLOSING = {tokenize.RPAR, tokenize.RSQB, tokenize.RBRACE}
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT}


def lint(path: Path) -> list[str]:
    """Return what is wrong with the notebook at ``path``, a line for each fault.

    The cells are those of the normal form: cells that it drops are not counted.
    """
    saved = load(path)
    notebook = copy.deepcopy(saved)
    normalize(notebook)
    faults = []
    if notebook != saved:
        shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        faults.append(f"is not in normal form: run `make notebooks NOTEBOOKS={shown}`")
    if path.stat().st_size > MAX_BYTES:
        faults.append(f"{path.stat().st_size} bytes; at most {MAX_BYTES} are allowed")
    places = ["/".join(map(str, e.absolute_path)) for e in iter_validate(notebook)]
    invalid = [f"{place} is not as the notebook format has it" for place in places]
    in_assignment = path.parent.parent.name == assignments.EXERCISES.name
    faults += invalid or _lint_notebook(notebook, in_assignment)
    return [f"{path.name}: {fault}" for fault in faults]


def _lint_notebook(notebook: NotebookNode, in_assignment: bool) -> Iterator[str]:
    for index, cell in enumerate(notebook.cells, start=1):
        if lacking := _lacking_marks(cell):
            yield f"cell {index}: its nbgrader metadata lacks {', '.join(lacking)}"
            del cell.metadata["nbgrader"]
    yield from _lint_order(notebook)
    yield from _lint_rhythm(notebook)
    if in_assignment:
        yield from _lint_assignment(notebook)
    for index, cell in enumerate(notebook.cells, start=1):
        is_code = cell.cell_type == "code"
        rules = (_lint_code, _lint_layout) if is_code else (_lint_markdown,)
        for rule in rules:
            yield from (f"cell {index}: {fault}" for fault in rule(cell))


def _lacking_marks(cell: NotebookNode) -> list[str]:
    marks = cell.metadata.get("nbgrader")
    if marks is None:
        return []
    wanted = MARKS | ({"points": (int, float)} if marks.get("grade") else {})
    return [
        key for key, type_ in wanted.items() if not isinstance(marks.get(key), type_)
    ]


def _lint_order(notebook: NotebookNode) -> Iterator[str]:
    if find_setup_cell(notebook) is None:
        yield "no cell is tagged `setup`"
    cells = [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]
    if [c.execution_count for c in cells] != list(range(1, len(cells) + 1)):
        fault = "cells were not executed once each from top to bottom"
        yield f"{fault}: run `make notebooks`"


def _lint_rhythm(notebook: NotebookNode) -> Iterator[str]:
    run = 0
    for index, cell in enumerate(notebook.cells, start=1):
        if assignments.kind(cell) in ("tests", "hidden tests"):
            continue  # the page folds them
        run = run + 1 if cell.cell_type == "code" else 0
        if run == MAX_CODE_RUN + 1:
            yield f"cell {index}: more than {MAX_CODE_RUN} code cells without prose"


def _lint_assignment(notebook: NotebookNode) -> Iterator[str]:
    by_tests, by_hand = assignments.points(notebook)
    text = "\n".join(cell.source for cell in notebook.cells[:3])
    total = by_tests + by_hand
    points = f"**Points:** {total} ({by_tests} by tests, {by_hand} read by a person)"
    for part in (points, "**Time:**", "**What you need:**", "**A good answer**"):
        if part not in text:
            yield f"the introduction does not say {part}"
    marks = [cell.metadata.get("nbgrader") for cell in notebook.cells]
    ids = [mark.grade_id for mark in marks if mark]
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
    kinds = [output.output_type for output in cell.outputs]
    if "error" in kinds and "nbval-raises-exception" not in tags:
        yield "stores an error"
    if any(output.get("name") == "stderr" for output in cell.outputs):
        yield "stores text on stderr"
    is_compared = cell.outputs and "nbval-ignore-output" not in tags
    if is_compared and TIMING.search(cell.source):
        yield "shows a timing but is not tagged `nbval-ignore-output`"
    data = [output.get("data", {}) for output in cell.outputs]
    if any(WIDGET_VIEW in bundle for bundle in data):
        yield "stores a widget that no kernel stands behind"
    is_image = any(mime.startswith("image/") for bundle in data for mime in bundle)
    if is_image and len(_description(cell)) < MIN_DESCRIPTION:
        yield "shows an image without a description in metadata mystnb.image.alt"


def _description(cell: NotebookNode) -> str:
    value = cell.metadata
    for key in ("mystnb", "image", "alt"):
        value = value.get(key, "") if isinstance(value, dict) else ""
    return str(value)


def _lint_markdown(cell: NotebookNode) -> Iterator[str]:
    if MARKDOWN_IMAGE.search(cell.source):
        yield "has an image without alt text"
    if MYST.search(cell.source):
        yield "has a MyST fence, which Colab shows raw"


@dataclass
class Bracket:
    """A pair of brackets whose content stands on lines of its own, between theirs."""

    kind: str  # import, call, signature, subscript, table, comprehension, group, row
    line: int  # the one that it opens, counted from 1
    items: list[tuple[int, int]]  # first and last line of each
    code: list[str]  # its lines, without comments
    comment: bool  # whether one follows the closing bracket

    def content(self) -> str:
        """Return what it holds, on one line."""
        return " ".join(map(str.strip, self.code[1:-1])).removesuffix(",")

    def on_one_line(self) -> str:
        """Return all its lines as one."""
        return self.code[0] + self.content() + self.code[-1].strip()


def _lint_layout(cell: NotebookNode) -> Iterator[str]:
    """Find what a formatter makes of code that is too long for a line."""
    for bracket in sorted(_brackets(cell.source), key=lambda found: found.line):
        scars = (scar for is_scar, scar in SCARS.items() if is_scar(bracket))
        if scar := next(scars, None):
            yield f"line {bracket.line}, `{bracket.code[0].strip()}`: {scar}"


def _stands_one_item_a_line(bracket: Bracket) -> bool:
    if bracket.kind in ("import", "table", "comprehension"):
        return False
    indent = len(bracket.code[1]) - len(bracket.code[1].lstrip())
    if bracket.kind == "signature" and indent + len(bracket.content()) > WIDTH:
        return False
    on_line = Counter(line for item in bracket.items for line in {*item})
    single = [a for a, b in bracket.items if a == b and on_line[a] == 1]
    text = {line: bracket.code[line - bracket.line].strip() for line in single}
    short = [line for line in single if len(text[line].removesuffix(",")) <= SHORT]
    return any(after - before == 1 for before, after in pairwise(short))


def _is_broken_by_a_comment(bracket: Bracket) -> bool:
    return bracket.comment and len(bracket.on_one_line()) <= WIDTH


def _is_a_broken_subscript(bracket: Bracket) -> bool:
    return bracket.kind == "subscript"


def _wraps_one_line(bracket: Bracket) -> bool:
    return bracket.kind == "group" and len(bracket.code) == 3


def _is_unpacked(bracket: Bracket) -> bool:
    return bracket.kind == "row" and bool(re.search(r",.* = \($", bracket.code[0]))


def _is_just_too_long(bracket: Bracket) -> bool:
    is_small = bracket.kind == "call" and len(bracket.code) == 3
    return is_small and len(bracket.on_one_line()) <= WIDTH + NEARLY


SCARS = {
    _stands_one_item_a_line: "one short item a line; use local names or a table",
    _is_broken_by_a_comment: "broken by its comment; put that on the line above",
    _is_a_broken_subscript: "a broken subscript; use a local name",
    _wraps_one_line: "parentheses around a single line; use a local name",
    _is_unpacked: "a tuple that is unpacked again; write one assignment a line",
    _is_just_too_long: "just too long for one line; shorten it or use a local name",
}


def _brackets(source: str) -> Iterator[Bracket]:
    """Yield the brackets that stand on several lines, but for what ``# fmt:`` keeps."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return  # ruff says what is wrong
    comments = {t.start[0]: t for t in tokens if t.type == tokenize.COMMENT}
    code = ["", *source.split("\n")]  # a line's place is its number
    for line, comment in comments.items():
        code[line] = code[line][: comment.start[1]].rstrip()
    for statement in _statements(tokens):
        opened = []
        for place, token in enumerate(statement):
            if token.exact_type in OPENING:
                opened.append(place)
            elif token.exact_type in CLOSING and opened:
                first = opened.pop()
                items, outer = _items(statement[first + 1 : place])
                line, last = statement[first].start[0], token.start[0]
                if items and line < items[0][0] and items[-1][1] < last:
                    kind = _kind(statement[: first + 1], outer)
                    lines = code[line : last + 1]
                    yield Bracket(kind, line, items, lines, last in comments)


def _statements(tokens: list[TokenInfo]) -> Iterator[list[TokenInfo]]:
    """Split at the ends of logical lines, and drop those that ``# fmt:`` keeps."""
    statement, is_off, is_skipped = [], False, False
    for token in tokens:
        if token.string in ("# fmt: off", "# fmt: on"):
            is_off = token.string == "# fmt: off"
        elif token.type == tokenize.NEWLINE:
            if not is_off and not is_skipped:
                yield statement
            statement = []
        elif token.type not in NO_CODE:
            statement.append(token)
        is_skipped = token.string == "# fmt: skip"


def _items(content: list[TokenInfo]) -> tuple[list[tuple[int, int]], set[str]]:
    """Return the lines of each item, and the tokens that stand in no inner bracket."""
    depth, items, outer = 0, [[]], set()
    for token in content:
        depth -= token.exact_type in CLOSING
        if depth == 0:
            outer.add(token.string)
        if depth == 0 and token.string == ",":
            items.append([])
        else:
            items[-1].append(token)
        depth += token.exact_type in OPENING
    return [(item[0].start[0], item[-1].end[0]) for item in items if item], outer


def _kind(until: list[TokenInfo], outer: set[str]) -> str:
    """Return what a bracket is, from the statement up to it and its outer tokens."""
    *words, opening = [token.string for token in until]
    if words[:1] in (["from"], ["import"]):
        return "import"
    if len(until) > 1 and _is_end_of_value(until[-2]):
        if opening == "[":
            return "subscript"
        return "signature" if words[-2:-1] in (["def"], ["class"]) else "call"
    if "for" in outer:
        return "comprehension"
    if opening == "{" and ":" in outer:
        return "table"
    return "group" if opening == "(" and "," not in outer else "row"


def _is_end_of_value(token: TokenInfo) -> bool:
    if token.type == tokenize.NAME:
        return not keyword.iskeyword(token.string)
    return token.exact_type in CLOSING | {tokenize.STRING}
