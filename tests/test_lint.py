"""tools.lint: each rule finds its fault, and the chapters have none."""

import nbformat
import pytest

from tools.lint import lint
from tools.notebook import WIDGET_VIEW, notebooks, save

PNG = nbformat.v4.new_output("display_data", data={"image/png": "aGk="})
ALT = {"mystnb": {"image": {"alt": "A curve that falls from 16 to 4."}}}


def code(source="1", count=1, outputs=(), **metadata):
    return nbformat.v4.new_code_cell(
        source, execution_count=count, outputs=list(outputs), metadata=metadata
    )


def prose(source="Text."):
    return nbformat.v4.new_markdown_cell(source)


@pytest.fixture
def faults_of(tmp_path):
    """A function that lints a notebook with a setup cell followed by ``cells``."""

    def faults_of(*cells):
        path = tmp_path / "a.ipynb"
        cells = [code("import sys", tags=["setup"]), prose(), *cells]
        save(nbformat.v4.new_notebook(cells=cells), path)
        return "\n".join(lint(path))

    return faults_of


def test_a_good_notebook_has_no_fault(faults_of):
    assert faults_of(code(count=2, outputs=[PNG], **ALT), prose()) == ""


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        ([code(count=None)], "not executed once each from top to bottom"),
        ([code(count=3)], "not executed once each from top to bottom"),
        ([code("x = 1\n" * 41, count=2)], "41 lines; at most 40"),
        ([code(count=2, outputs=[PNG])], "image without a description"),
        ([code("h.seconds", 2, [PNG], **ALT)], "shows a timing"),
        ([code("%time f()", 2, [PNG], **ALT)], "shows a timing"),
        ([code("", count=2)], "is empty"),
        ([prose("![](a.svg)")], "image without alt text"),
        ([prose('<img src="a.svg">')], "image without alt text"),
        ([prose("```{note}\nraw\n```")], "MyST fence"),
        ([prose(":::{note}\nraw\n:::")], "MyST fence"),
        ([code(count=n) for n in (2, 3, 4)], "more than 2 code cells without prose"),
    ],
)
def test_each_rule_finds_its_fault(faults_of, cells, fault):
    assert fault in faults_of(*cells)


def test_an_error_in_an_output_is_a_fault_unless_it_is_meant(faults_of):
    error = nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])
    assert "stores an error" in faults_of(code(count=2, outputs=[error]))
    meant = code(count=2, outputs=[error], tags=["nbval-raises-exception"])
    assert "stores an error" not in faults_of(meant)


def test_a_warning_and_a_widget_are_faults(faults_of):
    warning = nbformat.v4.new_output("stream", name="stderr", text="UserWarning")
    assert "stderr" in faults_of(code(count=2, outputs=[warning]))
    widget = nbformat.v4.new_output("display_data", data={WIDGET_VIEW: {}})
    assert "no kernel stands behind" in faults_of(code(count=2, outputs=[widget]))


def test_a_notebook_without_setup_cell_is_a_fault(tmp_path):
    path = tmp_path / "a.ipynb"
    save(nbformat.v4.new_notebook(cells=[code()]), path)
    assert "no cell is tagged `setup`" in "\n".join(lint(path))


def test_a_huge_notebook_is_a_fault(faults_of):
    huge = nbformat.v4.new_output("stream", name="stdout", text="x" * 400_000)
    assert "at most 400000 are allowed" in faults_of(code(count=2, outputs=[huge]))


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_the_chapters_have_no_fault(path):
    assert lint(path) == []
