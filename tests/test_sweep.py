import ast
import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import utils
import utils.sweep
from utils.history import DivergenceError, History
from utils.progress import progress_bar
from utils.sweep import Study, grid
from utils.sweep.database import Trials
from utils.sweep.interrupts import Interrupts
from utils.sweep.plans import key_of
from utils.sweep.processes import Crew

ROOT = Path(utils.__file__).parents[1]
SPACE = {
    "lr": (0.001, 10.0, "log"),
    "num_hiddens": (1, 20),
    "dropout": (0.0, 0.5),
    "cell": ["GRU", "LSTM"],
}


@pytest.fixture(autouse=True)
def _quick_and_quiet(monkeypatch):
    monkeypatch.setattr(utils.sweep, "POLL", 0.05)
    monkeypatch.setenv("TQDM_DISABLE", "1")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "studies.db"


class Objective:
    """A quick objective that remembers which settings it was called with."""

    def __init__(self, **metrics):
        self.calls = []
        self.metrics = metrics

    def __call__(self, setting, report):
        self.calls.append(setting)
        return {"perplexity": float(sum(setting.values()))} | self.metrics


def descend(setting, report):
    """Report four scores that fall towards one that depends on the setting."""
    best = abs(math.log(setting["lr"])) + setting["num_hiddens"] / 10
    for step in range(1, 5):
        report(step, best + 1 / step)
    return {"perplexity": best}


def states_of(frame):
    return frame.state.tolist()


def comparable(frame):
    """Return the table without what differs from run to run."""
    return frame.drop(columns=["seconds", "worker"])


def kill(*processes):
    for process in processes:
        process.kill()


# ---- Grids ----


def test_a_grid_has_all_combinations_in_reading_order():
    assert grid(lr=[0.1, 0.01], cell=["GRU", "LSTM"]) == [
        {"lr": 0.1, "cell": "GRU"},
        {"lr": 0.1, "cell": "LSTM"},
        {"lr": 0.01, "cell": "GRU"},
        {"lr": 0.01, "cell": "LSTM"},
    ]


values = st.lists(
    st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    min_size=1,
    max_size=4,
    unique=True,
)


@given(st.dictionaries(st.text("abcxyz", min_size=1), values, min_size=1, max_size=3))
def test_a_grid_has_each_combination_once(choices):
    settings = grid(**choices)
    assert len(settings) == math.prod(len(listed) for listed in choices.values())
    assert len({key_of(setting) for setting in settings}) == len(settings)
    for setting in settings:
        assert list(setting) == list(choices)
        assert all(setting[name] in listed for name, listed in choices.items())


def test_a_grid_takes_ranges_and_arrays_and_makes_plain_numbers_of_them():
    settings = grid(n=range(2), lr=np.logspace(-2, -1, 2), bias=(True, False))
    assert settings[0] == {"n": 0, "lr": 0.01, "bias": True}
    assert [type(value) for value in settings[0].values()] == [int, float, bool]
    assert len(settings) == 8


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({}, r"grid\(\) got no choices; expected some, such as grid\(lr="),
        ({"lr": []}, r"lr is \[\]; expected a list of values"),
        ({"lr": 0.1}, r"lr is 0\.1; expected a list of values"),
        ({"cell": "GRU"}, "cell is 'GRU'; expected a list of values"),
        ({"lr": {0.1}}, r"lr is \{0\.1\}; expected a list of values"),
        ({"lr": [1, 1.0]}, r"lr is \[1, 1\.0\]; expected different values"),
        ({"lr": [None]}, "lr is None; expected a finite number, a text"),
        ({"lr": [[1]]}, r"lr is \[1\]; expected a finite number, a text"),
        ({"lr": [math.nan]}, "lr is nan; expected a finite number"),
        ({"lr": [-math.inf]}, "lr is -inf; expected a finite number"),
        ({"state": [1]}, "a hyperparameter is called 'state'; expected a text other"),
    ],
    ids=str,
)
def test_bad_choices_are_refused(choices, message):
    with pytest.raises(ValueError, match=message):
        grid(**choices)


# ---- Running settings ----


def test_every_setting_is_trained_once_and_stands_in_the_table(path):
    settings = grid(a=[1, 2], b=[10, 20])
    objective = Objective(text="fine", characters=7)
    frame = Study("s", path).run(objective, settings)
    assert objective.calls == settings
    assert list(frame.columns) == [
        *("a", "b", "state", "perplexity", "text", "characters"),
        *("steps", "seconds", "worker", "error"),
    ]
    assert frame[["a", "b"]].to_dict("records") == settings
    assert set(states_of(frame)) == {"finished"}
    assert frame.perplexity.tolist() == [11, 21, 12, 22]
    assert frame.seconds.between(0, 5).all()
    assert frame.worker.str.endswith(f":{os.getpid()}").all()
    assert frame.error.isna().all()


def test_a_study_is_opened_again_by_its_name(path):
    settings = grid(a=[1, 2])
    first = Study("s", path).run(Objective(), settings)
    objective = Objective()
    pd.testing.assert_frame_equal(Study("s", path).run(objective, settings), first)
    pd.testing.assert_frame_equal(Study("s", str(path)).frame(), first)
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


def test_a_grid_can_grow_and_a_part_of_it_can_be_asked_for(path):
    study = Study("s", path)
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


def test_scores_of_numpy_and_torch_are_numbers_in_the_table(path):
    def objective(setting, report):
        report(3, torch.tensor(2.0))
        return {"perplexity": torch.tensor(1.5), "other": np.float32(2.5)}

    frame = Study("s", path).run(objective, [{"a": np.int64(4)}])
    assert frame[["a", "perplexity", "other", "steps"]].values.tolist() == [
        [4, 1.5, 2.5, 3]
    ]


def test_an_objective_may_change_its_setting(path):
    def objective(setting, report):
        return {"perplexity": setting.pop("a")}

    assert Study("s", path).run(objective, grid(a=[1])).a.tolist() == [1]


def test_one_bar_shows_the_settings_and_hides_those_of_the_trainings(
    path, monkeypatch, capsys
):
    monkeypatch.delenv("TQDM_DISABLE")

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


def test_nothing_is_written_to_the_screen_and_nothing_warned_of(path, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study = Study("s", path)
        study.run(Objective(), grid(a=[1]))
        Study("t", path).search(descend, SPACE, trials=12, prune=True)
    assert capfd.readouterr() == ("", "")


# ---- Divergence ----


def diverging(setting, report):
    report(1, 3.0)
    if setting["way"] == "error":
        raise DivergenceError("the loss became nan", History())
    if setting["way"] == "report":
        report(2, math.inf)
    score = math.nan if setting["way"] == "score" else 1.0
    return {"perplexity": score, "other": math.inf}


def test_a_diverged_setting_is_recorded_and_not_run_again(path):
    settings = grid(way=["error", "report", "score", "no"])
    study = Study("s", path)
    frame = study.run(diverging, settings)
    assert states_of(frame) == ["diverged", "diverged", "diverged", "finished"]
    assert frame.error.tolist()[:3] == [
        "the loss became nan",
        "the score at step 2 is inf",
        "perplexity is nan",
    ]
    assert frame.steps.tolist() == [1, 2, 1, 1]
    assert frame.perplexity.isna().tolist() == [True, True, True, False]
    assert frame.other.tolist()[2:] == [math.inf, math.inf]
    assert frame.seconds.notna().all()
    objective = Objective()
    pd.testing.assert_frame_equal(study.run(objective, settings), frame)
    assert objective.calls == []


# ---- A mistake in the objective ----


def test_a_failure_stops_the_study_and_the_setting_is_run_again(path):
    def objective(setting, report):
        if setting["a"] == 2:
            raise KeyError("W_xz")
        return {"perplexity": 1.0}

    study = Study("s", path)
    with pytest.raises(
        RuntimeError,
        match=r"the objective failed at \{'a': 2\}: KeyError: 'W_xz'\. All results are "
        "kept; mend it and make the same call again",
    ) as caught:
        study.run(objective, grid(a=[1, 2, 3]))
    assert isinstance(caught.value.__cause__, KeyError)
    frame = study.frame()
    assert states_of(frame) == ["finished", "failed", "waiting"]
    assert frame.error[1] == "KeyError: 'W_xz'"
    mended = Objective()
    frame = study.run(mended, grid(a=[1, 2, 3]))
    assert mended.calls == [{"a": 2}, {"a": 3}]
    assert states_of(frame) == ["finished"] * 3
    assert frame.error.isna().all()


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "it returned None; expected a dictionary with 'perplexity'"),
        (2.0, r"it returned 2\.0; expected a dictionary with 'perplexity'"),
        ({"loss": 1.0}, r"it returned \{'loss': 1\.0\}; expected .* 'perplexity'"),
        ({"perplexity": "low"}, "'perplexity': 'low'; expected numbers and texts"),
        ({"perplexity": 1.0, "x": [1]}, r"'x': \[1\]; expected numbers and texts"),
        ({"perplexity": 1.0, "a": 1}, "'a': 1; .* names that are no hyperparameter"),
        ({"perplexity": 1.0, "seconds": 1}, "'seconds': 1; .* no column of the table"),
    ],
    ids=str,
)
def test_an_objective_that_returns_something_else_fails(path, returned, message):
    with pytest.raises(RuntimeError, match=f"failed at .*ValueError: .*{message}"):
        Study("s", path).run(lambda *_: returned, grid(a=[1]))


# ---- Ctrl-C ----


def test_ctrl_c_stops_the_study_and_keeps_its_results(path):
    calls = []

    def objective(setting, report):
        calls.append(setting["a"])
        if calls == [1, 2]:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
        return {"perplexity": 1.0}

    study = Study("s", path)
    with pytest.raises(KeyboardInterrupt, match="study 's' was stopped; its results"):
        study.run(objective, grid(a=[1, 2, 3]))
    assert states_of(study.frame()) == ["finished", "waiting", "waiting"]
    assert states_of(study.run(objective, grid(a=[1, 2, 3]))) == ["finished"] * 3
    assert calls == [1, 2, 2, 3]


def test_a_training_that_ctrl_c_broke_off_is_no_result(path, make_model, fit, loss_at):
    def interrupt(value):
        os.kill(os.getpid(), signal.SIGINT)
        return value

    def objective(setting, report):
        history = fit(make_model(), loss=loss_at(5, interrupt))
        return {"perplexity": history.losses[-1]}

    study = Study("s", path)
    with pytest.raises(KeyboardInterrupt, match="the same call goes on"):
        study.run(objective, grid(a=[1]))
    assert states_of(study.frame()) == ["waiting"]


def press_ctrl_c(*_):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)  # signals are handled between two steps of Python


def pressed_before(interrupts, done):
    press_ctrl_c()
    done.append("held back")
    with interrupts.let_through():
        done.append("let through")


def pressed_in_a_part(interrupts, done):
    with interrupts.let_through():
        with interrupts.hold_back():
            press_ctrl_c()
            done.append("held back")
        done.append("let through")


def pressed_and_not_let_through(interrupts, done):
    press_ctrl_c()
    done.append("held back")


def pressed_twice(interrupts, done):
    press_ctrl_c()
    done.append("held back")
    press_ctrl_c()
    done.append("held back again")


@pytest.mark.parametrize(
    "body",
    [
        pressed_before,
        pressed_in_a_part,
        pressed_and_not_let_through,
        pressed_twice,
    ],
)
def test_ctrl_c_waits_until_it_is_let_through(body):
    interrupts, before, done = Interrupts(), signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt), interrupts:
        body(interrupts, done)
    assert done == ["held back"]
    assert signal.getsignal(signal.SIGINT) == before


def test_only_the_main_thread_can_hold_ctrl_c_back():
    before = signal.getsignal(signal.SIGINT)

    def enter():
        with Interrupts():
            return signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(enter).result() == before


@pytest.mark.parametrize("step", ["fail_stale", "claim", "record"])
def test_ctrl_c_breaks_off_no_transaction(path, monkeypatch, step):
    whole = getattr(Trials, step)

    def interrupted(trials, *arguments):
        monkeypatch.setattr(Trials, step, whole)
        press_ctrl_c()
        return whole(trials, *arguments)

    monkeypatch.setattr(Trials, step, interrupted)
    study = Study("s", path)
    with pytest.raises(KeyboardInterrupt, match="study 's' was stopped"):
        study.run(Objective(), grid(a=[1, 2]))
    first = "finished" if step == "record" else "waiting"
    assert states_of(study.frame()) == [first, "waiting"]


def test_ctrl_c_breaks_off_no_report(path, monkeypatch):
    reported = []

    def report(trial, value, step):
        press_ctrl_c()
        reported.append(step)

    def objective(setting, report):
        report(1, 2.0)
        reported.append("too far")

    monkeypatch.setattr("optuna.trial.Trial.report", report)
    with pytest.raises(KeyboardInterrupt, match="study 's' was stopped"):
        Study("s", path).run(objective, grid(a=[1]))
    assert reported == [1]


def test_another_warning_that_is_an_error_is_a_mistake_of_the_objective(path):
    def objective(setting, report):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.warn("of something else", stacklevel=2)

    with pytest.raises(RuntimeError, match="UserWarning: of something else"):
        Study("s", path).run(objective, grid(a=[1]))


# ---- Dead workers and several at once ----


@pytest.fixture
def trials(path):
    """The trials of study "s", whose workers count as dead after two seconds."""
    Study("s", path, grace=2)
    return Trials("s", str(path), 2)


def test_the_setting_of_a_dead_worker_is_taken_up_again(path, trials):
    trials.add(key_of({"a": 1}), [])
    assert trials.claim(trials.all()[0]._trial_id)
    objective, start = Objective(), time.monotonic()
    frame = Study("s", path, grace=2).run(objective, grid(a=[1, 2]))
    assert 1 < time.monotonic() - start < 20
    assert objective.calls == [{"a": 2}, {"a": 1}]
    assert states_of(frame) == ["finished"] * 2
    assert [trial.state.name for trial in trials.all()] == ["FAIL"] + ["COMPLETE"] * 2


def test_a_worker_that_gives_signs_of_life_is_waited_for(path, trials):
    trials.add(key_of({"a": 1}), [])
    trial_id = trials.all()[0]._trial_id
    assert trials.claim(trial_id)
    result = {"metrics": {"perplexity": 7.0}, "steps": 0}

    def finish_late():
        with trials.signs_of_life(trial_id):
            time.sleep(4)
            trials.record(trial_id, "COMPLETE", 7.0, result)

    thread = threading.Thread(target=finish_late)
    thread.start()
    objective = Objective()
    frame = Study("s", path, grace=2).run(objective, grid(a=[1]))
    thread.join()
    assert objective.calls == []
    assert frame.perplexity.tolist() == [7.0]


def test_a_worker_that_died_before_it_began_leaves_nothing_behind(path, trials):
    trials.add(key_of({"a": 1}), [])
    trials.storage.record_heartbeat(trials.all()[0]._trial_id)
    frame = Study("s", path, grace=2).run(Objective(), grid(a=[1]))
    assert states_of(frame) == ["finished"]
    assert len(trials.all()) == 1


@pytest.mark.parametrize("reports", [False, True])
def test_one_that_was_taken_for_dead_by_mistake_records_nothing(path, trials, reports):
    calls = []

    def objective(setting, report):
        calls.append(setting)
        if len(calls) == 1:
            trials.record(trials.all()[0]._trial_id, "FAIL", None, {})
        if reports:
            report(1, 2.0)
        return {"perplexity": float(len(calls))}

    frame = Study("s", path, grace=2).run(objective, grid(a=[1]))
    assert len(calls) == 2
    assert frame.perplexity.tolist() == [2.0]
    assert [trial.state.name for trial in trials.all()] == ["FAIL", "COMPLETE"]


def test_of_several_trials_of_a_setting_one_is_started(path, trials):
    for _ in range(3):
        trials.add(key_of({"a": 1}), [])
    objective = Objective()
    frame = Study("s", path, grace=2).run(objective, grid(a=[1]))
    assert objective.calls == [{"a": 1}]
    assert states_of(frame) == ["finished"]
    assert not trials.claim(trials.all()[0]._trial_id)


def test_a_trial_can_be_claimed_by_one_worker_only(path, trials):
    for number in range(40):
        trials.add(str(number), [])
    ids = [trial._trial_id for trial in trials.all()]
    ready = threading.Barrier(4)

    def claim_all(_):
        worker = Trials("s", str(path), 2)
        ready.wait()
        return [trial_id for trial_id in ids if worker.claim(trial_id)]

    with ThreadPoolExecutor(4) as pool:
        claimed = [
            trial_id for part in pool.map(claim_all, range(4)) for trial_id in part
        ]
    assert sorted(claimed) == ids


def test_several_can_begin_a_study_at_the_same_time(path):
    with ThreadPoolExecutor(4) as pool:
        studies = list(pool.map(lambda _: Study("s", path), range(4)))
    assert studies[0].run(Objective(), grid(a=[1])).a.tolist() == [1]
    assert studies[3].frame().a.tolist() == [1]


# ---- Killed runs ----

# Trains 100 settings, of which ten diverge. What is trained to the end is noted in a file.
SCRIPT = """
import sys, time
from utils.sweep import Study, grid

database, notes, workers = sys.argv[1:]

def objective(setting, report):
    report(1, 2.0)
    time.sleep(0.01)
    with open(notes, "a") as file:
        file.write(f"{setting['lr']} {setting['num_hiddens']}\\n")
    score = float("nan") if setting["lr"] == 3 else setting["lr"] / setting["num_hiddens"]
    return {"perplexity": score}

settings = grid(lr=range(10), num_hiddens=range(1, 11))
Study("grid", database, grace=3).run(objective, settings, workers=int(workers))
"""
SETTINGS = grid(lr=range(10), num_hiddens=range(1, 11))


def start_script(path, notes, at_least, workers):
    """Start the script; return it and its workers once so many settings are noted."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, path, notes, str(workers)], env=environment
    )
    deadline = time.monotonic() + 120
    while len(notes.read_text().splitlines()) < at_least:
        assert process.poll() is None, "the script ended early"
        assert time.monotonic() < deadline, "the script hangs"
        time.sleep(0.005)
    return process, psutil.Process(process.pid).children()


def test_a_run_that_is_killed_three_times_ends_as_if_it_had_not_been(tmp_path, path):
    def objective(setting, report):
        report(1, 2.0)
        score = setting["lr"] / setting["num_hiddens"]
        return {"perplexity": math.nan if setting["lr"] == 3 else score}

    whole = Study("grid", tmp_path / "whole.db").run(objective, SETTINGS)
    notes = tmp_path / "notes"
    notes.touch()
    rng = random.Random(0)
    moments = sorted(rng.sample(range(5, 80), 3))
    for moment, workers in zip(moments, [2, 1, 1], strict=True):
        process, crew = start_script(path, notes, moment, workers)
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.wait()
        for worker in crew[:1]:
            worker.kill()
        # The other one finds out that it has been left alone.
        assert psutil.wait_procs(crew, timeout=60)[1] == []

    frame = Study("grid", path, grace=3).run(objective, SETTINGS)
    assert len(frame) == 100
    assert Counter(frame.state) == {"finished": 90, "diverged": 10}
    pd.testing.assert_frame_equal(comparable(frame), comparable(whole))
    completed = [
        trial.user_attrs["key"]
        for trial in Trials("grid", str(path), 3).all()
        if trial.state.name == "COMPLETE"
    ]
    assert sorted(completed) == sorted(map(key_of, SETTINGS))
    # A setting is trained to the end twice only if the kill came before that could be recorded.
    lines = notes.read_text().splitlines()
    assert len(lines) - len(set(lines)) <= 4


# ---- Several processes ----


def test_workers_run_what_a_notebook_defines_and_one_may_die_but_none_may_fail(
    path, tmp_path
):
    factor, killed = 10.0, tmp_path / "killed"

    def objective(setting, report):
        if setting["a"] == 0 and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if setting["a"] == 7:
            raise TypeError("no layer of this name")
        score = factor * setting["a"]
        return {"perplexity": score, "threads": torch.get_num_threads()}

    study = Study("s", path, grace=3)
    settings = grid(a=range(8))
    with pytest.raises(
        RuntimeError,
        match=r"(?s)a worker process failed:.*TypeError: no layer of this name.*"
        r"the objective failed at \{'a': 7\}: TypeError",
    ):
        study.run(objective, settings, workers=2)
    assert killed.exists()
    frame = study.frame()
    done = frame[frame.state == "finished"]
    assert len(done) >= 5
    assert done.perplexity.tolist() == [10.0 * a for a in done.a]
    assert set(done.threads) == {1}
    assert not done.worker.str.endswith(f":{os.getpid()}").any()
    assert frame.state[7] == "failed"
    mended = Objective()
    assert states_of(study.run(mended, settings)) == ["finished"] * 8
    assert len(mended.calls) == 8 - len(done)


def test_ctrl_c_ends_the_workers_and_frees_their_settings(path, tmp_path):
    begun = tmp_path / "begun"

    def objective(setting, report):
        begun.touch()
        time.sleep(60)

    def stop():
        while not begun.exists():
            time.sleep(0.05)
        press_ctrl_c()

    study = Study("s", path)
    thread = threading.Thread(target=stop)
    before = psutil.Process().children()  # of other tests in this process
    thread.start()
    with pytest.raises(KeyboardInterrupt, match="study 's' was stopped"):
        study.run(objective, grid(a=[1, 2]), workers=2)
    thread.join()
    assert states_of(study.frame()) == ["waiting"] * 2
    assert set(psutil.Process().children()) <= set(before)


def test_if_all_workers_are_killed_the_run_says_so(path, monkeypatch):
    monkeypatch.setattr(Crew, "__enter__", lambda crew: crew)  # none is there
    with pytest.raises(
        RuntimeError, match=r"all 2 workers were killed, .* make the same call again"
    ):
        Study("s", path).run(Objective(), grid(a=[1, 2]), workers=2)


# ---- Searching ----


def test_a_search_stays_in_its_space(path):
    frame = Study("s", path).search(
        descend, SPACE | {"layers": (1, 64, "log")}, trials=15, sampler="random"
    )
    assert list(frame.columns)[:6] == [*SPACE, "layers", "state"]
    assert len(frame) == 15
    assert frame.lr.between(0.001, 10).all()
    assert (frame.lr < 0.1).sum() in range(4, 12)  # half of them, as it is logarithmic
    assert frame.num_hiddens.between(1, 20).all()
    assert frame.num_hiddens.dtype == frame.layers.dtype == int
    assert frame.dropout.between(0, 0.5).all()
    assert set(frame.cell) == {"GRU", "LSTM"}
    assert frame.steps.tolist() == [4] * 15


def test_tpe_learns_and_random_does_not(path):
    def objective(setting, report):
        return {"perplexity": abs(math.log(setting["lr"]))}

    space = {"lr": (1e-6, 1e6, "log")}
    tpe = Study("tpe", path).search(objective, space, trials=30)
    rnd = Study("rnd", path).search(objective, space, trials=30, sampler="random")
    assert tpe.lr[:10].tolist() == rnd.lr[:10].tolist()
    assert tpe.lr[10:].tolist() != rnd.lr[10:].tolist()
    assert tpe.perplexity[20:].median() < 0.6 * rnd.perplexity[20:].median()


def test_the_seed_decides_what_is_chosen(path):
    def choices(name, seed):
        study = Study(name, path)
        frame = study.search(descend, SPACE, trials=3, sampler="random", seed=seed)
        return frame.lr.tolist()

    assert choices("a", 1) == choices("b", 1) != choices("c", 2)


def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(path):
    calls = []

    def stopping(setting, report):
        calls.append(setting)
        if len(calls) in (2, 14):
            raise KeyboardInterrupt
        return descend(setting, report)

    whole = Study("whole", path).search(descend, SPACE, trials=16, prune=True)
    for trials in (16, 16, 12, 16):
        study = Study("stopped", path)
        try:
            frame = study.search(stopping, SPACE, trials=trials, prune=True)
        except KeyboardInterrupt:
            assert states_of(study.frame())[-1] == "waiting"
    assert len(calls) == 18
    assert calls[1] == calls[2]
    assert calls[13] == calls[14]
    pd.testing.assert_frame_equal(comparable(frame), comparable(whole))


def test_what_a_dead_worker_had_chosen_is_not_lost(path, trials):
    study = Study("s", path, grace=2)
    study.search(descend, SPACE, trials=2)
    trials.add("2", [])
    trial = trials.all()[-1]
    assert trials.claim(trial._trial_id)
    choose = trials.optuna.trial.Trial(trials.study, trial._trial_id)
    lost = {
        "lr": choose.suggest_float("lr", 0.001, 10.0, log=True),
        "num_hiddens": choose.suggest_int("num_hiddens", 1, 20),
        "dropout": choose.suggest_float("dropout", 0.0, 0.5),
        "cell": choose.suggest_categorical("cell", ["GRU", "LSTM"]),
    }
    frame = study.search(descend, SPACE, trials=4)
    assert frame[list(SPACE)].loc[2].to_dict() == lost
    assert states_of(frame) == ["finished"] * 4


def test_pruning_stops_what_is_worse_than_the_median(path):
    study = Study("s", path)
    frame = study.search(descend, SPACE, trials=20, sampler="random", prune=True)
    pruned = frame[frame.state == "pruned"]
    assert len(pruned) >= 5
    assert states_of(frame)[:5] == ["finished"] * 5
    assert (frame.steps == 4).equals(frame.state == "finished")
    assert pruned.perplexity.isna().all()
    assert pruned.seconds.notna().all()
    objective = Objective()
    again = study.search(objective, SPACE, trials=20, sampler="random", prune=True)
    pd.testing.assert_frame_equal(again, frame)
    assert objective.calls == []


def test_a_search_learns_where_it_diverges(path):
    def objective(setting, report):
        report(1, math.nan if setting["lr"] > 1 else 2.0)
        return {"perplexity": 1.0 / setting["lr"]}

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        space = {"lr": (0.001, 1000.0, "log")}
        frame = Study("s", path).search(objective, space, trials=25, prune=True)
    diverged = frame.state == "diverged"
    assert ((frame.lr > 1) == diverged).all()
    assert diverged[:10].mean() > diverged[10:].mean()


def test_a_budget_bounds_the_steps_of_all_settings_together(path):
    study = Study("s", path)
    frame = study.search(descend, SPACE, trials=100, budget=18)
    assert frame.steps.tolist() == [4] * 5
    assert len(study.search(descend, SPACE, trials=100, budget=20)) == 5
    assert len(study.search(descend, SPACE, trials=100, budget=21)) == 6
    assert len(study.search(descend, SPACE, trials=7, budget=1000)) == 7


def test_pruning_leaves_more_of_a_budget(path):
    searches = [
        Study(str(prune), path).search(
            descend, SPACE, trials=100, budget=50, sampler="random", prune=prune
        )
        for prune in (False, True)
    ]
    assert len(searches[0]) == 13
    assert len(searches[1]) > 16
    assert all(50 <= frame.steps.sum() < 54 for frame in searches)


def test_a_budget_needs_steps_to_count(path):
    with pytest.raises(
        RuntimeError, match="it reported no step to count for the budget"
    ):
        Study("s", path).search(
            lambda *_: {"perplexity": 1.0}, SPACE, trials=5, budget=10
        )


# ---- What is refused ----


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """The database of a study "empty", a grid "s" and a search "t"."""
    path = tmp_path_factory.mktemp("begun") / "studies.db"
    Study("empty", path)
    Study("s", path).run(Objective(), grid(a=[1]))
    Study("t", path).search(Objective(), {"lr": (1, 2)}, trials=1)
    return path


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], r"settings is \[\]; expected a list of dictionaries"),
        ({"a": 1}, r"settings is \{'a': 1\}; expected a list of dictionaries"),
        ([1], r"settings is \[1\]; expected a list of dictionaries"),
        ([{}], r"settings is \[\{\}\]; expected a list of dictionaries"),
        ([{"a": 1}, {"b": 1}], "one setting has b, the first one a; expected the same"),
        ([{"a": 1}, {"a": 1}], r"settings has \{'a': 1\} twice; expected different"),
        ([{"a": None}], "a is None; expected a finite number, a text"),
        ([{1: 1}], "a hyperparameter is called 1; expected a text"),
    ],
    ids=str,
)
def test_bad_settings_are_refused(begun, settings, message):
    with pytest.raises(ValueError, match=message):
        Study("empty", begun).run(Objective(), settings)


@pytest.mark.parametrize("workers", [0, -1, 1.5])
def test_a_bad_number_of_workers_is_refused(begun, workers):
    with pytest.raises(ValueError, match=f"workers is {workers}; expected a whole"):
        Study("s", begun).run(Objective(), grid(a=[1]), workers=workers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"space": {}}, r"space is \{\}; expected a dictionary such as \{'lr'"),
        ({"space": [1]}, r"space is \[1\]; expected a dictionary such as"),
        ({"space": {"a": 1}}, "a is 1; expected a list of values"),
        ({"space": {"a": []}}, r"a is \[\]; expected a list of values"),
        ({"space": {"a": (1,)}}, r"a is \(1,\); expected .* a range \(low, high\)"),
        ({"space": {"a": (2, 1)}}, r"a is \(2, 1\); expected .* with low below high"),
        ({"space": {"a": ("x", "y")}}, r"a is \('x', 'y'\); expected .* a range"),
        ({"space": {"a": (1, 2, "exp")}}, r"a is \(1, 2, 'exp'\); expected .* range"),
        ({"space": {"a": (0, 1, "log")}}, r"a is \(0, 1, 'log'\); .* above 0 for"),
        ({"space": {"error": [1]}}, "a hyperparameter is called 'error'; expected"),
        ({"trials": 0}, "trials is 0; expected a whole number of at least 1"),
        ({"budget": 0}, "budget is 0; expected a whole number of at least 1"),
        ({"seed": -1}, "seed is -1; expected a whole number of at least 0"),
        ({"sampler": "grid"}, "sampler is 'grid'; expected 'tpe' or 'random'"),
        ({"workers": 0}, "workers is 0; expected a whole number of at least 1"),
    ],
    ids=str,
)
def test_bad_arguments_of_a_search_are_refused(begun, arguments, message):
    usual = {"space": SPACE, "trials": 1}
    with pytest.raises(ValueError, match=message):
        Study("empty", begun).search(Objective(), **usual | arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda path: Study("s", path, "accuracy"),
            "study 's' was begun with metric 'perplexity'; now metric is 'accuracy'",
        ),
        (
            lambda path: Study("s", path, grace=9),
            "study 's' was begun with grace 60; now grace is 9",
        ),
        (
            lambda path: Study("s", path).run(Objective(), grid(b=[1])),
            r"study 's' was begun with names \['a'\]; now names is \['b'\]",
        ),
        (
            lambda path: Study("s", path).search(descend, SPACE, trials=1),
            "study 's' was begun with kind 'grid'; now kind is 'search'",
        ),
        (
            lambda path: Study("t", path).search(descend, {"lr": (1, 3)}, trials=1),
            r"study 't' was begun with space \{'lr': '\(1, 2\)'\}; now .*\(1, 3\)",
        ),
        (
            lambda path: Study("t", path).search(
                descend, {"lr": (1, 2)}, trials=1, seed=5
            ),
            "study 't' was begun with seed 0; now seed is 5. Take what it was begun "
            "with, or another name",
        ),
    ],
)
def test_a_study_that_was_begun_otherwise_is_refused(begun, call, message):
    with pytest.raises(ValueError, match=message):
        call(begun)


@pytest.mark.parametrize("name", ["", " ", None, 3])
def test_a_bad_name_is_refused(path, name):
    with pytest.raises(ValueError, match=f"name is {name!r}; expected a text such as"):
        Study(name, path)


def test_a_bad_grace_is_refused(path):
    with pytest.raises(ValueError, match="grace is 1; expected a whole number of at"):
        Study("s", path, grace=1)


@pytest.mark.parametrize(
    ("storage", "reason"),
    [
        ("missing/studies.db", "missing/studies.db cannot be opened: unable to open"),
        (".", "unable to open database file"),
        ("text.db", "text.db cannot be opened: file is not a database"),
        ("nosuch://host/name", "nosuch://host/name cannot be opened: "),
        ("postgresql://host:port/name", "cannot be opened: "),
        (
            "postgresql://me:secret@localhost:1/x",
            r"//me:\*\*\*@localhost:1/x cannot be",
        ),
    ],
)
def test_a_storage_that_cannot_be_opened_is_refused(
    tmp_path, monkeypatch, storage, reason
):
    monkeypatch.chdir(tmp_path)
    Path("text.db").write_text("Twice a day the sea climbed over the bar of sand." * 9)
    with pytest.raises(ValueError, match=reason) as caught:
        Study("s", storage)
    assert "Expected the path of an SQLite file in a folder that" in str(caught.value)
    assert "secret" not in str(caught.value)


# ---- What is not installed ----


def test_without_optuna_the_message_says_what_to_install(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert len(grid(a=[1, 2])) == 2
    with pytest.raises(
        ModuleNotFoundError,
        match=r"utils\.sweep needs Optuna, .* not installed here: pip install optuna",
    ):
        Study("s", path)


def test_without_cloudpickle_the_message_says_what_to_install(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(ModuleNotFoundError, match="Several workers needs cloudpickle"):
        Study("s", path).run(Objective(), grid(a=[1]), workers=2)


def test_without_a_driver_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match="pip install psycopg2-binary"):
        Study("s", "postgresql://host/name")


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


def test_a_key_is_the_same_for_the_same_values():
    assert key_of({"b": 1, "a": "x"}) == key_of({"a": "x", "b": 1})
    assert json.loads(key_of({"a": 0.1})) == {"a": 0.1}
