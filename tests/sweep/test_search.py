import math
import warnings

import pandas as pd
import pytest
import torch

from utils.sweep import Study
from utils.sweep.database import Trials

SPACE = {
    "lr": (0.001, 10.0, "log"),
    "num_hiddens": (1, 20),
    "dropout": (0.0, 0.5),
    "cell": ["GRU", "LSTM"],
}


def descend(setting, report):
    """Report four scores that fall towards one that depends on the setting."""
    best = abs(math.log(setting["lr"])) + setting["num_hiddens"] / 10
    for step in range(1, 5):
        report(step, torch.tensor(best + 1 / step, dtype=torch.float64))
    return {"perplexity": best}


def quick(setting, report):
    return {"perplexity": abs(math.log(setting["lr"]))}


def test_a_search_stays_in_its_space(study):
    space = SPACE | {"layers": (1, 64, "log")}
    frame = study.search(descend, space, trials=15, sampler="random")
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
    space = {"lr": (1e-6, 1e6, "log")}
    tpe = Study("tpe", path).search(quick, space, trials=25)
    rnd = Study("rnd", path).search(quick, space, trials=25, sampler="random")
    assert tpe.lr[:10].tolist() == rnd.lr[:10].tolist()
    assert tpe.lr[10:].tolist() != rnd.lr[10:].tolist()
    assert tpe.perplexity[17:].median() < 0.6 * rnd.perplexity[17:].median()


def test_the_seed_decides_what_is_chosen(path):
    def choices(name, seed):
        study = Study(name, path)
        frame = study.search(quick, SPACE, trials=3, sampler="random", seed=seed)
        return frame.lr.tolist()

    assert choices("a", 1) == choices("b", 1) != choices("c", 2)


def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(path):
    calls = []

    def stopping(setting, report):
        calls.append(setting)
        if len(calls) in (2, 13):
            raise KeyboardInterrupt
        return descend(setting, report)

    whole = Study("whole", path).search(descend, SPACE, trials=12, prune=True)
    for trials in (12, 12, 11, 12):
        study = Study("stopped", path)
        try:
            frame = study.search(stopping, SPACE, trials=trials, prune=True)
        except KeyboardInterrupt:
            assert study.frame().state.tolist()[-1] == "waiting"
    assert len(calls) == 14
    assert calls[1] == calls[2]
    assert calls[12] == calls[13]
    parts = [table.drop(columns=["seconds", "worker"]) for table in (frame, whole)]
    pd.testing.assert_frame_equal(*parts)


def test_what_a_dead_worker_had_chosen_is_not_lost(path, study, monkeypatch):
    monkeypatch.setattr("utils.sweep.study.POLL", 0.05)
    trials = Trials(study.name, str(path), 2)
    space = {"lr": SPACE["lr"]}
    study.search(quick, space, trials=2)
    trials.add("2", space)
    trial = trials.all()[-1]
    assert trials.claim(trial._trial_id)
    choose = trials.optuna.trial.Trial(trials.study, trial._trial_id)
    lost = choose.suggest_float("lr", 0.001, 10.0, log=True)
    frame = study.search(quick, space, trials=4)
    assert frame.lr[2] == lost
    assert frame.state.tolist() == ["finished"] * 4


def test_pruning_stops_what_is_worse_than_the_median(study):
    arguments = {"trials": 15, "sampler": "random", "prune": True}
    frame = study.search(descend, SPACE, **arguments)
    pruned = frame[frame.state == "pruned"]
    assert len(pruned) >= 4
    assert frame.state.tolist()[:5] == ["finished"] * 5
    assert (frame.steps == 4).equals(frame.state == "finished")
    assert pruned.perplexity.isna().all()
    assert pruned.seconds.notna().all()
    again = study.search(pytest.fail, SPACE, **arguments)
    pd.testing.assert_frame_equal(again, frame)


def test_a_search_learns_where_it_diverges(study):
    def objective(setting, report):
        report(1, math.nan if setting["lr"] > 1 else 2.0)
        return {"perplexity": 1.0 / setting["lr"]}

    with warnings.catch_warnings(action="error"):
        space = {"lr": (0.001, 1000.0, "log")}
        frame = study.search(objective, space, trials=22, prune=True)
    diverged = frame.state == "diverged"
    assert ((frame.lr > 1) == diverged).all()
    assert diverged[:10].mean() > diverged[10:].mean()


def test_a_budget_bounds_the_steps_of_all_settings_together(study):
    frame = study.search(descend, SPACE, trials=100, budget=18)
    assert frame.steps.tolist() == [4] * 5
    assert len(study.search(descend, SPACE, trials=100, budget=20)) == 5
    assert len(study.search(descend, SPACE, trials=100, budget=21)) == 6
    assert len(study.search(descend, SPACE, trials=7, budget=1000)) == 7


def test_pruning_leaves_more_of_a_budget(path):
    arguments = {"trials": 100, "budget": 34, "sampler": "random"}
    whole = Study("whole settings", path).search(descend, SPACE, **arguments)
    pruned = Study("pruned", path).search(descend, SPACE, **arguments, prune=True)
    assert len(pruned) > len(whole) == 9
    assert all(34 <= frame.steps.sum() < 38 for frame in (whole, pruned))


def test_a_budget_needs_steps_to_count(study):
    with pytest.raises(RuntimeError, match="it reported no step to count for the bud"):
        study.search(quick, SPACE, trials=5, budget=10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"space": [1]}, r"space is \[1\]; expected a dictionary such as \{'lr'"),
        ({"trials": 0}, "trials is 0; expected a whole number of at least 1"),
        ({"workers": 0}, "workers is 0; expected a whole number of at least 1"),
        ({"budget": 0}, "budget is 0; expected a whole number of at least 1"),
        ({"seed": -1}, "seed is -1; expected a whole number of at least 0"),
        ({"sampler": "grid"}, "sampler is 'grid'; expected 'tpe' or 'random'"),
    ],
    ids=str,
)
def test_bad_arguments_of_a_search_are_refused(path, arguments, message):
    usual = {"space": SPACE, "trials": 1}
    with pytest.raises(ValueError, match=message):
        Study("empty", path).search(quick, **usual | arguments)
