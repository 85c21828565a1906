"""tools.lint: each rule finds its fault."""

import json

import nbformat
import pytest

from tools.lint import lint
from tools.notebook import WIDGET_VIEW, execute, load, save

PNG = nbformat.v4.new_output("display_data", data={"image/png": "aGk="})
WIDGET = nbformat.v4.new_output("display_data", data={WIDGET_VIEW: {}})
WARNING = nbformat.v4.new_output("stream", name="stderr", text="UserWarning")
HUGE = nbformat.v4.new_output("stream", name="stdout", text="x" * 400_000)
ERROR = nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])
ALT = {"mystnb": {"image": {"alt": "A curve that falls from 16 to 4."}}}
SHORT_ALT = {"mystnb": {"image": {"alt": "A falling plot"}}}


def code(source="1", count=1, outputs=(), **metadata):
    return nbformat.v4.new_code_cell(
        source, execution_count=count, outputs=list(outputs), metadata=metadata
    )


def prose(source="Text.", **metadata):
    return nbformat.v4.new_markdown_cell(source, metadata=metadata)


@pytest.fixture
def faults_of(tmp_path):
    """A function that lints a notebook with a setup cell followed by ``cells``."""

    def faults_of(*cells):
        path = tmp_path / "a.ipynb"
        cells = [code("import sys", tags=["setup"]), prose(), *cells]
        save(nbformat.v4.new_notebook(cells=cells), path)
        return "\n".join(lint(path))

    return faults_of


@pytest.mark.parametrize(
    "cells",
    [
        [code(count=2, outputs=[PNG], **ALT), prose()],
        [code("h.seconds", 2, [PNG], tags=["nbval-ignore-output"], **ALT)],
        [code("h.seconds", 2)],
        [code(count=2, outputs=[ERROR], tags=["nbval-raises-exception"])],
        [code("x = 1\n" * 40, count=2), prose(), code(count=3), code(count=4)],
        [prose('![A wave](a.svg) <img src="a.svg" alt="A wave">\n\n```python\n```')],
        [code("%time f()", count=2), prose(), code("!ls (", count=3)],
    ],
)
def test_a_good_notebook_has_no_fault(faults_of, cells):
    assert faults_of(*cells) == ""


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        ([code(count=None)], "not executed once each from top to bottom"),
        ([code(count=3)], "not executed once each from top to bottom"),
        ([code("x = 1\n" * 41, count=2)], "cell 3: 41 lines; at most 40"),
        ([code(count=2, outputs=[PNG])], "image without a description"),
        ([code(count=2, outputs=[PNG], mystnb={"image": 1})], "without a description"),
        ([code(count=2, outputs=[PNG], **SHORT_ALT)], "without a description"),
        ([code("h.seconds", 2, [PNG], **ALT)], "shows a timing"),
        ([code("%time f()", 2, [PNG], **ALT)], "shows a timing"),
        ([code("%%time\nf()", 2, [PNG], **ALT)], "shows a timing"),
        ([code("print(time.time())", 2, [PNG], **ALT)], "shows a timing"),
        ([code("perf_counter()", 2, [PNG], **ALT)], "shows a timing"),
        ([code("", count=2, tags=["export"])], "cell 3: is empty"),
        ([code(count=2, outputs=[ERROR])], "cell 3: stores an error"),
        ([code(count=2, outputs=[WARNING])], "stores text on stderr"),
        ([code(count=2, outputs=[WIDGET])], "a widget that no kernel stands behind"),
        ([code(count=2, outputs=[HUGE])], "at most 400000 are allowed"),
        ([prose("![](a.svg)")], "cell 3: has an image without alt text"),
        ([prose('<img src="a.svg">')], "image without alt text"),
        ([prose("```{note}\nraw\n```")], "MyST fence"),
        ([prose(":::{note}\nraw\n:::")], "MyST fence"),
        ([code(count=n) for n in (2, 3, 4)], "more than 2 code cells without prose"),
        ([prose(nbgrader={"grade": True})], "lacks grade_id, solution, points"),
    ],
)
def test_each_rule_finds_its_fault(faults_of, cells, fault):
    assert fault in faults_of(*cells)


def test_a_notebook_without_setup_cell_is_a_fault(tmp_path):
    path = tmp_path / "a.ipynb"
    save(nbformat.v4.new_notebook(cells=[code()]), path)
    assert lint(path) == ["a.ipynb: no cell is tagged `setup`"]


# ---- What editors and Colab make of a notebook


def good():
    """A notebook without fault, as JSON; a cell of it prints."""
    cells = [code("import sys", tags=["setup"]), prose(), code("print(1)", 2)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="1\n")]
    return json.loads(nbformat.writes(notebook))


def from_colab():
    """The same notebook, run and saved by Colab."""
    notebook = good() | {"nbformat_minor": 0}
    notebook["metadata"] = {
        "accelerator": "GPU",
        "colab": {"provenance": [], "toc_visible": True},
        "kernelspec": {"display_name": "Python 3", "name": "python3"},
        "widgets": {"application/vnd.jupyter.widget-state+json": {"a": {}}},
    }
    image = {"image/png": "aGk=", "text/plain": ["<Figure>"]}
    shown = {"output_type": "display_data", "data": image, "metadata": {}}
    for number, cell in enumerate(notebook["cells"]):
        del cell["id"]
        cell["metadata"]["id"] = f"kS7_{number}-x"
        cell["metadata"]["colab"] = {"base_uri": "https://localhost:8080/"}
    notebook["cells"][2]["metadata"]["outputId"] = "24e8"
    notebook["cells"][2]["outputs"].append(shown)
    empty = {"cell_type": "code", "source": [], "metadata": {"id": "e"}, "outputs": []}
    badge = {"cell_type": "markdown", "source": ["<a><img alt='Open In Colab'/></a>"]}
    badge["metadata"] = {"id": "view-in-github", "colab_type": "text"}
    notebook["cells"] = [badge, *notebook["cells"], empty]
    return notebook


def changed(**changes):
    """The good notebook with a change in its last cell."""
    notebook = good()
    notebook["cells"][2] |= changes
    return notebook


def lacking(key):
    """The good notebook without ``key`` in its last cell."""
    notebook = good()
    del notebook["cells"][2][key]
    return notebook


@pytest.mark.parametrize(
    "notebook",
    [
        from_colab(),
        good() | {"metadata": {}},
        good() | {"nbformat_minor": 4},
        lacking("id"),
        lacking("execution_count"),
        lacking("outputs"),
        changed(id="no id"),
        changed(id=good()["cells"][0]["id"]),
        changed(metadata={"collapsed": True, "tags": "setup"}),
        changed(outputs=[{"output_type": "stream", "name": "stdout", "text": []}] * 2),
    ],
)
def test_what_an_editor_leaves_is_a_fault_that_running_mends(tmp_path, notebook):
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(notebook))
    found = "\n".join(lint(path))
    assert f"is not in normal form: run `make notebooks NOTEBOOKS={path}`" in found
    save(load(path), path)
    assert "normal form" not in "\n".join(lint(path))


def test_running_mends_what_colab_saved(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(from_colab()))
    execute(path)
    assert lint(path) == []
    assert [cell.id for cell in load(path).cells] == ["kS7_0-x", "kS7_1-x", "kS7_2-x"]


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"cell_type": "poem"}, "cells/2"),
        ({"source": 3}, "cells/2/source"),
        ({"outputs": [{"data": {}}]}, "cells/2/outputs/0"),
    ],
)
def test_what_is_no_notebook_is_a_fault_in_words(tmp_path, changes, place):
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(changed(**changes)))
    assert f"{place} is not as the notebook format has it" in "\n".join(lint(path))


# ---- Assignments

INTRODUCTION = """\
**Points:** 3 (2 by tests, 1 read by a person). **Time:** an hour.
**What you need:** chapter 2. **A good answer** gives a number."""


def marks(grade_id, solution=False, **points):
    return {"grade_id": grade_id, "grade": bool(points), "solution": solution} | points


def assignment():
    """The cells of an assignment without fault, by name."""
    solution = "### BEGIN SOLUTION\n1\n### END SOLUTION"
    hidden = "# Hidden tests: more.\n### BEGIN HIDDEN TESTS\n1\n### END HIDDEN TESTS"
    return {
        "introduction": prose(INTRODUCTION),
        "setup": code("import sys", tags=["setup"], nbgrader=marks("setup")),
        "task": prose(nbgrader=marks("task")),
        "solution": code(solution, 2, tags=["hide-input"], nbgrader=marks("f", True)),
        "tests": code("1", 3, tags=["hide-cell"], nbgrader=marks("f_tests", points=1)),
        "hidden": code(hidden, 4, tags=["remove-cell"], nbgrader=marks("h", points=1)),
        "answer": prose(solution, nbgrader=marks("a", True, points=1)),
    }


def faults_of_assignment(cells, folder):
    path = folder / "exercises" / "a" / "a.ipynb"
    path.parent.mkdir(parents=True)
    save(nbformat.v4.new_notebook(cells=list(cells.values())), path)
    return "\n".join(lint(path))


def test_a_good_assignment_has_no_fault(tmp_path):
    assert faults_of_assignment(assignment(), tmp_path) == ""


@pytest.mark.parametrize(
    ("name", "old", "new", "fault"),
    [
        ("introduction", "3 (2", "4 (2", "**Points:** 3 (2 by tests, 1 read by"),
        ("introduction", "(2 by", "(1 by", "**Points:** 3 (2 by tests, 1 read by"),
        ("introduction", ", 1 read", ", 2 read", "**Points:** 3 (2 by tests, 1 read"),
        ("introduction", "**Time:**", "", "does not say **Time:**"),
        ("introduction", "**What you need:**", "", "not say **What you need:**"),
        ("introduction", "**A good answer**", "", "not say **A good answer**"),
        ("tests", "f_tests", "h", "two cells have the same grade_id"),
        ("solution", "hide-input", "x", "cell 4: holds solution but is not tagged"),
        ("tests", "hide-cell", "x", "cell 5: holds tests but is not tagged"),
        ("hidden", "remove-cell", "x", "cell 6: holds hidden tests but is not tagged"),
        ("solution", "### BEGIN", "#", "cell 4: does not say where its solution"),
        ("answer", "### BEGIN", "#", "cell 7: does not say where its solution"),
        ("hidden", "# Hidden tests:", "#", "cell 6: does not begin with a line"),
        ("setup", '"solution": false', '"solution": true', "setup cell is not locked"),
        ("tests", '"points": 1', '"points": null', "nbgrader metadata lacks points"),
        ("task", '"grade_id": "task", ', "", "nbgrader metadata lacks grade_id"),
    ],
)
def test_each_rule_for_assignments_finds_its_fault(tmp_path, name, old, new, fault):
    cells = assignment()
    before = json.dumps(cells[name])
    assert old in before
    cells[name] = nbformat.from_dict(json.loads(before.replace(old, new)))
    assert fault in faults_of_assignment(cells, tmp_path)


# ---- What a formatter makes of code that is too long for a line

ARGUMENTS = "first_argument, second_argument, third_argument, number={}, name='{}'"
LONG = ARGUMENTS.format(12345, "twelve letters")
LONGER = ARGUMENTS.format(1234567, "longer than just too long")
ANNOTATED = LONG.replace("=", ": int=")
MANY = "".join(f"    argument_{n}: Tensor,|" for n in range(5))


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("print(|    a,|    'b',|    c,|)", "line 1, `print(`: one short item a line"),
        ("x = f(|    'longer than half a line'[0],|    0,|    1,|)", "one short item"),
        ("for a, b in [|    (1, 2),|    (3, 4),|]:|    pass", "one short item a line"),
        ("x = {|    'one',|    'two',|}", "one short item a line"),
        ("def f(|    x: int,|    y: int,|):|    pass", "one short item a line"),
        ("f(|    [|        1,|        2,|    ]|)", "line 2, `[`: one short item"),
        ("x = f(|    a|)  # why", "line 1, `x = f(`: broken by its comment"),
        ("x = [|    a for a in b|]  # why", "broken by its comment"),
        ("x = rows[|    0|] + 1", "line 1, `x = rows[`: a broken subscript"),
        ("x = f(a)[|    'b'|].mean()", "a broken subscript"),
        ("x = (|    a + b|)", "line 1, `x = (`: parentheses around a single line"),
        ("assert a, (|    f'not {a}'|)", "parentheses around a single line"),
        ("if (|    a  # why|):|    pass", "parentheses around a single line"),
        ("a, b = (|    f(c) + f('more than thirty letters'),|    0,|)", "unpacked"),
        (f"x = long(|    {LONG}|)", "line 1, `x = long(`: just too long"),
        (f"x = (|    a|    .b(|        {LONG}|    )|)", "line 3, `.b(`: just too long"),
    ],
)
def test_what_a_formatter_broke_is_a_fault(faults_of, source, fault):
    assert fault in faults_of(code(source.replace("|", "\n"), 2))


@pytest.mark.parametrize(
    "source",
    [
        "from a import (|    b,|    c,|    d,|)",
        "x = {|    'one': 1,|    'two': 2,|    'three': 3,|}",
        "x = [|    1, 2,|    3, 4,|]  # fmt: skip",
        "for x in [|    1,|    2,|]:  # fmt: skip|    pass",
        "# fmt: off|x = [|    1,|    2,|]|# fmt: on",
        "x = [|    f(a)|    for a in b|    if a|]",
        f"def f(|{MANY}) -> Tensor:|    pass",
        f"def f(|    {ANNOTATED}|) -> Tensor:|    pass",
        f"result = function(|    {LONGER}|)",
        "x = (|    'a string in two'|    ' parts'|)",
        "x = f('''|a,|b,|''')  # why",
        "x = f([|    1], 2)|y = f(a)[0]",
        "x = (1 +",
        "x = 1) + (",
    ],
)
def test_code_that_was_laid_out_well_is_no_fault(faults_of, source):
    assert faults_of(code(source.replace("|", "\n"), 2)) == ""


def test_what_follows_kept_lines_is_looked_at(faults_of):
    two = "x = [|    1,|    2,|]"
    skipped, off = f"{two}  # fmt: skip|{two}", f"# fmt: off|{two}|# fmt: on|{two}"
    assert "cell 3: line 5, `x = [`" in faults_of(code(skipped.replace("|", "\n"), 2))
    assert "cell 3: line 7, `x = [`" in faults_of(code(off.replace("|", "\n"), 2))
