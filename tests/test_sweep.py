import ast
import math
import os
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest

import utils.sweep
from utils.history import DivergenceError, History
from utils.progress import progress_bar
from utils.sweep import Study, grid


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """One database for many studies."""
    return tmp_path_factory.mktemp("sweep") / "studies.db"


@pytest.fixture
def study(path, request):
    return Study(request.node.name, path)


class Objective:
    """A quick objective that remembers which settings it was called with."""

    def __init__(self, **metrics):
        self.calls = []
        self.metrics = metrics

    def __call__(self, setting, report):
        self.calls.append(setting)
        return {"perplexity": float(sum(setting.values()))} | self.metrics


def test_every_setting_is_trained_once_and_stands_in_the_table(study):
    settings = grid(a=[1, 2], b=[10, 20])
    objective = Objective(text="fine", characters=7)
    frame = study.run(objective, settings)
    assert objective.calls == settings
    assert list(frame.columns) == [
        *("a", "b", "state", "perplexity", "text", "characters"),
        *("steps", "seconds", "worker", "error"),
    ]
    assert frame[["a", "b"]].to_dict("records") == settings
    assert set(frame.state) == {"finished"}
    assert frame.perplexity.tolist() == [11, 21, 12, 22]
    assert frame.seconds.between(0, 5).all()
    assert frame.worker.str.endswith(f":{os.getpid()}").all()
    assert frame.error.isna().all()


def test_a_study_is_opened_again_by_its_name(path, study):
    settings = grid(a=[1, 2])
    first = study.run(Objective(), settings)
    objective = Objective()
    pd.testing.assert_frame_equal(study.run(objective, settings), first)
    pd.testing.assert_frame_equal(Study(study.name, str(path)).frame(), first)
    assert objective.calls == []


@pytest.mark.parametrize("name", ["a?b%20{c}.db", "sqlite:///größe.db", "~/home.db"])
def test_a_study_is_in_the_file_that_was_named(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Study("s", name).run(Objective(), grid(a=[1]))
    (file,) = tmp_path.glob("*.db")
    assert file.name == name.split("/")[-1]
    # A copy of the file alone has everything.
    (tmp_path / "copy").write_bytes(file.read_bytes())
    assert Study("s", tmp_path / "copy").frame().a.tolist() == [1]


def test_a_grid_can_grow_and_a_part_of_it_can_be_asked_for(study):
    study.run(Objective(), grid(a=[3, 1]))
    objective = Objective()
    frame = study.run(objective, grid(a=[1, 2]))
    assert objective.calls == [{"a": 2}]
    assert frame.a.tolist() == [1, 2]
    assert study.frame().a.tolist() == [3, 1, 2]


def test_one_database_holds_many_studies(path):
    Study("one", path).run(Objective(), grid(a=[1]))
    assert Study("two", path).frame().empty
    assert Study("two", path).run(Objective(), grid(b=[2])).b.tolist() == [2]


def test_an_objective_may_change_its_setting(study):
    def objective(setting, report):
        return {"perplexity": setting.pop("a")}

    assert study.run(objective, grid(a=[1])).a.tolist() == [1]


def test_one_bar_shows_the_settings_and_hides_those_of_the_trainings(
    path, monkeypatch, capsys
):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)

    def objective(setting, report):
        with progress_bar(total=1, desc="inner") as bar:
            assert bar.disable
        return {"perplexity": 1.0}

    Study("outer", path).run(objective, grid(a=[1, 2, 3]))
    text = capsys.readouterr().err
    assert "outer: 100%" in text
    assert "3/3" in text
    assert "inner" not in text
    assert "TQDM_DISABLE" not in os.environ


def test_nothing_is_written_to_the_screen_and_nothing_warned_of(
    path, study, monkeypatch, capfd
):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    with warnings.catch_warnings(action="error"):
        study.run(Objective(), grid(a=[1]))
        search = Study("search", path).search
        search(Objective(), {"a": (0.0, 1.0)}, trials=12, prune=True)
    assert capfd.readouterr() == ("", "")


def test_a_diverged_setting_is_recorded_and_not_run_again(study):
    def objective(setting, report):
        report(1, 3.0)
        if setting["way"] == "error":
            raise DivergenceError("the loss became nan", History())
        if setting["way"] == "report":
            report(2, math.inf)
        score = math.nan if setting["way"] == "score" else 1.0
        return {"perplexity": score, "other": math.inf}

    settings = grid(way=["error", "report", "score", "no"])
    frame = study.run(objective, settings)
    assert frame.state.tolist() == ["diverged"] * 3 + ["finished"]
    assert frame.error.tolist()[:3] == [
        "the loss became nan",
        "the score at step 2 is inf",
        "perplexity is nan",
    ]
    assert frame.steps.tolist() == [1, 2, 1, 1]
    assert frame.perplexity.isna().tolist() == [True, True, True, False]
    assert frame.other.tolist()[2:] == [math.inf, math.inf]
    assert frame.seconds.notna().all()
    again = Objective()
    pd.testing.assert_frame_equal(study.run(again, settings), frame)
    assert again.calls == []


def test_a_failure_stops_the_study_and_the_setting_is_run_again(study):
    def objective(setting, report):
        if setting["a"] == 2:
            raise KeyError("W_xz")
        return {"perplexity": 1.0}

    message = (
        r"the objective failed at \{'a': 2\}: KeyError: 'W_xz'\. All results are kept; "
        "mend it and make the same call again"
    )
    with pytest.raises(RuntimeError, match=message) as caught:
        study.run(objective, grid(a=[1, 2, 3]))
    assert isinstance(caught.value.__cause__, KeyError)
    frame = study.frame()
    assert frame.state.tolist() == ["finished", "failed", "waiting"]
    assert frame.error[1] == "KeyError: 'W_xz'"
    mended = Objective()
    frame = study.run(mended, grid(a=[1, 2, 3]))
    assert mended.calls == [{"a": 2}, {"a": 3}]
    assert frame.state.tolist() == ["finished"] * 3
    assert frame.error.isna().all()


def test_an_objective_that_returns_something_else_fails(study):
    with pytest.raises(RuntimeError, match=r"failed at .*: ValueError: it returned 2"):
        study.run(lambda *_: 2.0, grid(a=[1]))


def test_bad_arguments_of_a_run_are_refused(study):
    with pytest.raises(ValueError, match=r"settings is \[\]; expected a list of dicti"):
        study.run(Objective(), [])
    with pytest.raises(ValueError, match=r"workers is 1\.5; expected a whole number"):
        study.run(Objective(), grid(a=[1]), workers=1.5)


@pytest.fixture(scope="module")
def begun(path):
    """The database of a grid "s" and a search "t"."""
    Study("s", path).run(Objective(), grid(a=[1]))
    Study("t", path).search(Objective(), {"lr": (1, 2)}, trials=1)
    return path


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda path: Study("s", path, "accuracy"),
            "study 's' was begun with metric 'perplexity'; now metric is 'accuracy'",
        ),
        (lambda path: Study("s", path, grace=9), "grace 60; now grace is 9"),
        (
            lambda path: Study("s", path).run(Objective(), grid(b=[1])),
            r"names \['a'\]; now names is \['b'\]",
        ),
        (
            lambda path: Study("s", path).search(Objective(), {"a": [1]}, trials=1),
            "kind 'grid'; now kind is 'search'",
        ),
        (
            lambda path: Study("t", path).search(Objective(), {"lr": (1, 3)}, trials=1),
            r"space \{'lr': '\(1, 2\)'\}; now space is .*\(1, 3\)",
        ),
        (
            lambda path: Study("t", path).search(
                Objective(), {"lr": (1, 2)}, trials=1, seed=5
            ),
            "seed 0; now seed is 5. Take what it was begun with, or begin another",
        ),
    ],
)
def test_a_study_that_was_begun_otherwise_is_refused(begun, call, message):
    with pytest.raises(ValueError, match=message):
        call(begun)


@pytest.mark.parametrize("name", [" ", 3])
def test_a_bad_name_is_refused(path, name):
    with pytest.raises(ValueError, match=f"name is {name!r}; expected a text such as"):
        Study(name, path)


def test_a_bad_grace_is_refused(path):
    with pytest.raises(ValueError, match="grace is 1; expected a whole number of at"):
        Study("s", path, grace=1)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("optuna", r"utils\.sweep needs optuna, which is not .*: pip install optuna"),
        ("psycopg2", "PostgreSQL needs psycopg2, .*: pip install psycopg2-binary"),
        ("cloudpickle", "Several workers needs cloudpickle, .* install cloudpickle"),
    ],
)
def test_what_is_not_installed_is_named(study, monkeypatch, module, message):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert len(grid(a=[1, 2])) == 2
    storage = "postgresql://host/name" if module == "psycopg2" else study.storage
    with pytest.raises(ModuleNotFoundError, match=message):
        Study(study.name, storage).run(Objective(), grid(a=[1]), workers=2)


@pytest.mark.parametrize(
    "path", sorted(Path(utils.sweep.__file__).parent.glob("*.py")), ids=lambda p: p.name
)
def test_what_the_chapters_do_not_need_is_imported_late(path):
    late = {"optuna", "sqlalchemy", "cloudpickle", "psycopg2"}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            assert not late & {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.module not in late
