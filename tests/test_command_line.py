"""``python -m tools``: what is typed reaches the function that does it."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tools import __main__ as program
from tools import assignments, browser, export, notebook, repository
from tools.notebook import ROOT

COMMANDS = ["run", "export", "setup", "lint", "repo", "results", "assignments"]
COMMANDS += ["screenshot"]
SOME = ROOT / "chapters" / "some.ipynb"


def call(*words):
    """Carry out a command; return its exit status."""
    arguments = program.parser().parse_args(words)
    return arguments.function(arguments)


def test_the_help_lists_every_command_and_make_calls_no_other():
    shown = program.parser().format_help()
    assert re.findall(r"^    (\w+)\b", shown, re.MULTILINE) == COMMANDS
    makefile = (ROOT / "Makefile").read_text()
    assert set(re.findall(r"-m tools (\w+)", makefile)) == set(COMMANDS)


def test_an_unknown_command_and_a_bad_value_are_refused(capsys):
    for words in (["grade"], ["results", "speed"]):
        with pytest.raises(SystemExit, match="2"):
            call(*words)
        assert f"invalid choice: {words[-1]!r}" in capsys.readouterr().err
    command = [sys.executable, "-m", "tools", "repo", "somewhere"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: URL is 'somewhere'; expected an address")


def test_run_executes_what_is_named_or_all(monkeypatch, capsys):
    executed = []
    monkeypatch.setattr(notebook, "execute", executed.append)
    assert call("run", "a.ipynb", "b.ipynb") == 0
    assert executed == [Path("a.ipynb"), Path("b.ipynb")]
    assert call("run") == 0
    assert executed[2:] == notebook.notebooks()
    assert re.search(r"a\.ipynb: \d+ s", capsys.readouterr().out)


def test_run_says_which_notebook_failed_and_leaves_it(tmp_path, capsys):
    path = tmp_path / "bad.ipynb"
    cells = [nbformat.v4.new_code_cell("1 / 0")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    before = path.read_bytes()
    assert call("run", str(path)) == 1
    said = capsys.readouterr().err
    assert f"{path}: a cell failed; the file is as it was." in said
    assert "ZeroDivisionError" in said
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "module", "name"),
    [
        (["export"], export, "export"),
        (["export", "--check"], export, "outdated"),
        (["setup"], repository, "write_setup_cells"),
        (["setup", "--check"], repository, "outdated_setup_cells"),
    ],
    ids=["export", "export --check", "setup", "setup --check"],
)
def test_export_and_setup_write_or_check(words, module, name, monkeypatch, capsys):
    monkeypatch.setattr(module, name, lambda: [SOME])
    checks = "--check" in words
    assert call(*words) == checks
    said = "out of date, run `make notebooks`" if checks else "written"
    assert capsys.readouterr().out == f"chapters/some.ipynb: {said}\n"
    monkeypatch.setattr(module, name, list)
    assert call(*words) == 0


def test_lint_prints_faults_and_fails(monkeypatch, capsys):
    monkeypatch.setattr(program, "lint", lambda path: [f"{path}: fault"] * 2)
    assert call("lint", "a.ipynb") == 1
    assert capsys.readouterr().out == "a.ipynb: fault\na.ipynb: fault\n"
    monkeypatch.setattr(program, "lint", lambda path: [])
    assert call("lint") == 0
    assert capsys.readouterr().out == "notebooks: nothing to mend\n"


def test_repo_moves_to_an_address(monkeypatch, capsys):
    monkeypatch.setattr(repository, "move_to", lambda url: [ROOT / url])
    assert call("repo", "README.md") == 0
    assert capsys.readouterr().out == "README.md: written\n"


@pytest.mark.parametrize("given", [True, False])
def test_assignments_are_written_from_and_to_a_folder(given, monkeypatch, capsys):
    monkeypatch.setattr(assignments, "write_releases", lambda *folders: [folders])
    options = ["--sources", "from", "--target", "to"] if given else []
    folders = Path("from"), Path("to")
    if not given:
        folders = assignments.EXERCISES, assignments.RELEASES
    assert call("assignments", *options) == 0
    assert capsys.readouterr().out == f"{folders}\n"


def test_screenshot_prints_its_path(monkeypatch, capsys):
    monkeypatch.setattr(browser, "screenshot", lambda: "shot.png")
    assert call("screenshot") == 0
    assert capsys.readouterr().out == "shot.png\n"
