import math
import os
import re
import signal
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

import utils.sweep
from tests.helpers import ctrl_c
from utils.history import DivergenceError, History
from utils.progress import progress_bar
from utils.sweep import Study, grid
from utils.sweep.database import Trials
from utils.sweep.interrupts import Interrupts


class Objective:
    """A quick objective that notes the settings it gets, and may change them."""

    def __init__(self, **metrics):
        self.calls = []
        self.metrics = metrics

    def __call__(self, setting, report):
        self.calls.append(dict(setting))
        return {"perplexity": float(setting.pop("a"))} | self.metrics


def test_every_setting_is_trained_once_and_stands_in_the_table(path, study):
    settings = grid(a=[1, 2], b=[10, 20])
    objective = Objective(text="fine", characters=7)
    frame = study.run(objective, settings)
    assert objective.calls == settings
    names = "a b state perplexity text characters steps seconds worker error"
    assert list(frame.columns) == names.split()
    assert frame[["a", "b"]].to_dict("records") == settings
    assert set(frame.state) == {"finished"}
    assert frame.perplexity.tolist() == [1, 1, 2, 2]
    assert (frame.seconds >= 0).all()
    assert frame.worker.str.endswith(f":{os.getpid()}").all()
    assert frame.error.isna().all()
    again = Study(study.name, str(path), grace=2)  # is the same one
    pd.testing.assert_frame_equal(again.run(pytest.fail, settings), frame)
    pd.testing.assert_frame_equal(again.frame(), frame)


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


def test_one_bar_shows_the_settings_and_hides_others(path, monkeypatch, capsys):
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


def test_nothing_is_written_and_nothing_warned_of(path, study, monkeypatch, capfd):
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
    pd.testing.assert_frame_equal(study.run(pytest.fail, settings), frame)


def test_a_failure_stops_the_study_and_the_setting_is_run_again(study):
    def objective(setting, report):
        if setting["a"] == 2:
            raise KeyError("W_xz")
        return {"perplexity": 1.0}

    message = r"failed at \{'a': 2\}: KeyError: 'W_xz'\. All results are kept; mend it"
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


def press(done, text):
    ctrl_c()
    time.sleep(0.01)  # signals are handled between two steps of Python
    done.append(text)


def press_and_let_through(case, interrupts, done):
    if case == "in a part":
        with interrupts.let_through():
            with interrupts.hold_back():
                press(done, "held back")
            done.append("let through")
    press(done, "held back")
    if case == "twice":
        press(done, "held back again")
    if case == "before":
        with interrupts.let_through():
            done.append("let through")


@pytest.mark.parametrize("case", ["before", "in a part", "never let through", "twice"])
def test_ctrl_c_waits_until_it_is_let_through(case):
    interrupts, before, done = Interrupts(), signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt), interrupts:
        press_and_let_through(case, interrupts, done)
    assert done == ["held back"]
    assert signal.getsignal(signal.SIGINT) == before


def test_only_the_main_thread_can_hold_ctrl_c_back():
    before = signal.getsignal(signal.SIGINT)

    def enter():
        with Interrupts():
            return signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(enter).result() == before


def test_ctrl_c_stops_the_study_and_keeps_its_results(study):
    calls = []

    def objective(setting, report):
        calls.append(setting["a"])
        if calls == [1, 2]:
            ctrl_c()
            time.sleep(10)
        return {"perplexity": 1.0}

    with pytest.raises(KeyboardInterrupt, match=r"study .* was stopped; its results"):
        study.run(objective, grid(a=[1, 2, 3]))
    assert study.frame().state.tolist() == ["finished", "waiting", "waiting"]
    frame = study.run(objective, grid(a=[1, 2, 3]))
    assert frame.state.tolist() == ["finished"] * 3
    assert calls == [1, 2, 2, 3]


def test_a_training_that_ctrl_c_broke_off_is_no_result(study, make_model, fit, loss_at):
    def objective(setting, report):
        history = fit(make_model(), loss=loss_at(5, ctrl_c))
        return {"perplexity": history.losses[-1]}

    with pytest.raises(KeyboardInterrupt, match="the same call goes on"):
        study.run(objective, grid(a=[1]))
    assert study.frame().state.tolist() == ["waiting"]


def test_another_warning_that_is_an_error_is_a_mistake_of_the_objective(study):
    def objective(setting, report):
        with warnings.catch_warnings(action="error"):
            warnings.warn("training was interrupted", stacklevel=2)

    with pytest.raises(RuntimeError, match="UserWarning: training was interrupted"):
        study.run(objective, grid(a=[1]))


@pytest.mark.parametrize("step", ["fail_stale", "claim", "end"])
def test_ctrl_c_breaks_off_no_transaction(study, monkeypatch, step):
    whole = getattr(Trials, step)

    def interrupted(trials, *arguments):
        monkeypatch.setattr(Trials, step, whole)
        press([], "")
        return whole(trials, *arguments)

    monkeypatch.setattr(Trials, step, interrupted)
    with pytest.raises(KeyboardInterrupt, match="was stopped"):
        study.run(Objective(), grid(a=[1, 2]))
    first = "finished" if step == "end" else "waiting"
    assert study.frame().state.tolist() == [first, "waiting"]


def test_ctrl_c_breaks_off_no_report(study, monkeypatch):
    done = []
    monkeypatch.setattr("optuna.trial.Trial.report", lambda *_: press(done, "reported"))

    def objective(setting, report):
        report(1, 2.0)
        done.append("too far")

    with pytest.raises(KeyboardInterrupt, match="was stopped"):
        study.run(objective, grid(a=[1]))
    assert done == ["reported"]


def run(path, settings, **arguments):
    return Study("s", path).run(Objective(), settings, **arguments)


def search(path, space, name="t", **arguments):
    return Study(name, path).search(Objective(), space, trials=1, **arguments)


@pytest.fixture(scope="module")
def begun(path):
    """The database of a grid "s" and a search "t"."""
    run(path, grid(a=[1]))
    search(path, {"a": (1, 2)})
    return path


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda path: Study(" ", path), "name is ' '; expected a text such as 'gru'"),
        (lambda path: Study("s", path, grace=1), "grace is 1; expected a whole number"),
        (lambda path: run(path, []), r"settings is \[\]; expected a list of dictionar"),
        (lambda path: run(path, [{"a": 1}], workers=0), "workers is 0; expected a who"),
        (lambda path: Study("s", path, "loss"), "metric 'perplexity'; now metric is"),
        (lambda path: Study("s", path, grace=9), "begun with grace 60; now grace is 9"),
        (lambda path: run(path, grid(b=[1])), r"names \['a'\]; now names is \['b'\]"),
        (lambda path: search(path, {"a": (1, 2)}, name="s"), "now kind is 'search'"),
        (lambda path: search(path, {"a": (1, 3)}), r"'\(1, 2\)'\}; now space is"),
        (lambda path: search(path, {"a": (1, 2)}, seed=5), "seed is 5. Take what it"),
    ],
)
def test_what_makes_no_sense_or_was_begun_otherwise_is_refused(begun, call, message):
    with pytest.raises(ValueError, match=message):
        call(begun)


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
        Study(study.name, storage, grace=2).run(Objective(), grid(a=[1]), workers=2)


def test_what_the_chapters_do_not_need_is_imported_late():
    late = re.compile(r"^(import|from) (optuna|sqlalchemy|cloudpickle|psycopg)", re.M)
    for path in Path(utils.sweep.__file__).parent.glob("*.py"):
        assert not late.search(path.read_text(encoding="utf-8")), path.name
