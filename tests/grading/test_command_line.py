"""The command line of grading: each option reaches ``grade``, each error is said."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from grading import grade
from grading.__main__ import main
from tools.assignments import EXERCISES
from tools.notebook import ROOT

DEFAULTS = {
    "submissions": Path("downloads"),
    "sources": EXERCISES,
    "assignment": None,
    "roster": None,
    "grades": Path("grades"),
    "unsafe": False,
}
OPTIONS = {
    "--sources=private": {"sources": Path("private")},
    "--assignment=gate_values": {"assignment": "gate_values"},
    "--roster=class.csv": {"roster": Path("class.csv")},
    "--grades=marks": {"grades": Path("marks")},
    "--unsafe": {"unsafe": True},
}


@pytest.mark.parametrize(("option", "said"), OPTIONS.items())
def test_an_option_reaches_grade(option, said, monkeypatch):
    calls = []
    monkeypatch.setattr(grade, "grade", lambda **settings: calls.append(settings))
    main(["downloads"])
    main(["downloads", option])
    assert calls == [DEFAULTS, DEFAULTS | said]


def test_a_mistake_ends_in_a_line_that_says_it(tmp_path):
    command = [sys.executable, "-m", "grading", str(tmp_path / "nowhere")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: SUBMISSIONS is ")
    assert len(done.stderr.splitlines()) == 1


def test_the_help_lists_all_options(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    said = capsys.readouterr().out
    assert "submissions" in said
    options = {option.partition("=")[0] for option in OPTIONS}
    assert set(re.findall(r"^  (--\w+)", said, re.MULTILINE)) == options
