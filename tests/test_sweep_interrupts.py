import signal
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.helpers import ctrl_c
from utils.sweep import Study, grid
from utils.sweep.database import Trials
from utils.sweep.interrupts import Interrupts


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("interrupts") / "studies.db"


@pytest.fixture
def study(path, request):
    return Study(request.node.name, path)


def train(setting, report):
    report(1, 2.0)
    return {"perplexity": 1.0}


def press(done, text):
    ctrl_c()
    time.sleep(0.01)  # signals are handled between two steps of Python
    done.append(text)


@pytest.mark.parametrize("case", ["before", "in a part", "at all", "twice"])
def test_ctrl_c_waits_until_it_is_let_through(case):
    interrupts, before, done = Interrupts(), signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt), interrupts:
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
        study.run(train, grid(a=[1, 2]))
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
