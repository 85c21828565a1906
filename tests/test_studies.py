"""The stored measurements are whole, and bear what the chapters and assignments say."""

import itertools
import json
import statistics
from collections import defaultdict

import pytest

from tools import ablation_study, date_study, depth_study, grid_study, results
from tools.__main__ import parser
from tools.date_study import SETTINGS
from tools.depth_study import EQUAL_PARAMETERS, EQUAL_WIDTH, RATES, REMEDIES, Stack


def stored(name):
    return json.loads(results.target(name).read_text(encoding="utf-8"))


def stack_of(run):
    return Stack(*(run[field] for field in Stack._fields))


@pytest.fixture(scope="module")
def perplexities():
    """Return the perplexities of all seeds by stack and learning rate."""
    found = defaultdict(list)
    for run in stored("depth")["runs"]:
        found[stack_of(run), run["lr"]].append(run["perplexity"])
    return found


def best(perplexities, stack):
    """Return the perplexities of all seeds at the rate with the lowest mean."""
    return min((perplexities[stack, lr] for lr in RATES), key=statistics.mean)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["time_machine", "depth", "dates", "ablation", "grid", "searches"]),
        (["depth"], ["depth"]),
        (["dates"], ["dates"]),
        (["grid"], ["grid"]),
    ],
    ids=["all", "depth", "dates", "grid"],
)
def test_the_command_measures_what_it_is_asked_for(words, expected, monkeypatch):
    written = []
    monkeypatch.setattr(results, "write", lambda study: written.extend(study))
    monkeypatch.setattr(results, "measure", lambda: ["time_machine"])
    monkeypatch.setattr(depth_study, "measure", lambda: ["depth"])
    monkeypatch.setattr(date_study, "measure", lambda: ["dates"])
    monkeypatch.setattr(ablation_study, "measure", lambda: ["ablation"])
    monkeypatch.setattr(grid_study, "measure", lambda: ["grid"])
    monkeypatch.setattr(grid_study, "measure_searches", lambda: ["searches"])
    arguments = parser().parse_args(["results", *words])
    assert arguments.function(arguments) == 0
    assert written == expected


def test_an_unknown_study_is_refused(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["results", "speed"])
    assert "invalid choice: 'speed'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["depth", "dates", "ablation", "grid", "searches"])
def test_a_study_says_how_and_where_it_was_measured(name):
    assert {"text", "command", "machine", "torch", "recipe"} <= stored(name).keys()


def test_every_stack_was_trained_at_every_rate_with_every_seed(perplexities):
    stacks = EQUAL_WIDTH + EQUAL_PARAMETERS + REMEDIES
    assert perplexities.keys() == {(stack, lr) for stack in stacks for lr in RATES}
    assert {len(scores) for scores in perplexities.values()} == {len(results.SEEDS)}


def test_equal_parameters_are_equal_within_1_percent():
    counts = {
        stack_of(r): r["parameters"]
        for r in stored("depth")["runs"]
        if stack_of(r) in (*EQUAL_PARAMETERS, Stack(6, 64))
    }
    assert max(counts.values()) <= 1.01 * min(counts.values())


def test_two_layers_beat_one_at_equal_parameters_with_every_seed(perplexities):
    one, two = (best(perplexities, stack) for stack in EQUAL_PARAMETERS)
    assert max(two) < min(one)


def test_six_plain_layers_fail_and_each_remedy_mends_them(perplexities):
    plain = best(perplexities, Stack(6, 64))
    assert max(plain) > 15
    for remedy in REMEDIES[1:4]:
        assert max(best(perplexities, remedy)) < 4


def test_a_run_of_the_depth_study_can_be_repeated(perplexities):
    again = depth_study.train_stack(
        Stack(1, 64), 0.016, results.load(results.CHOSEN_ON), seed=0
    )
    assert again["perplexity"] == pytest.approx(
        perplexities[Stack(1, 64), 0.016][0], rel=0.02
    )


def date_runs(setting):
    return [
        run
        for run in stored("dates")["runs"]
        if all(run[field] == value for field, value in setting._asdict().items())
    ]


def share(run, keep):
    """Return the share of right lines in the groups that ``keep`` accepts."""
    kept = [group for group in run["groups"] if keep(group)]
    return sum(g["right"] for g in kept) / sum(g["lines"] for g in kept)


def test_every_decoder_was_trained_with_every_seed():
    for setting in SETTINGS:
        assert [run["seed"] for run in date_runs(setting)] == list(results.SEEDS)


def test_attention_is_compared_at_equal_parameters_too():
    (context,), (attention,) = (
        {run["parameters"] for run in date_runs(setting)}
        for setting in (SETTINGS[1], SETTINGS[-1])
    )
    assert context == pytest.approx(attention, rel=0.01)


def test_attention_is_right_on_99_of_100_lines_with_held_out_days():
    runs = date_runs(SETTINGS[-1])
    assert min(run["exact_match"] for run in runs) >= 0.99
    for run in runs:
        assert share(run, lambda group: True) == pytest.approx(run["exact_match"])


@pytest.mark.parametrize(
    "keep",
    [lambda group: group["length"] == "45-109", lambda group: group["dates"] == 2],
    ids=["the longest lines", "two dates"],
)
def test_attention_beats_the_context_alone(keep):
    attention = [share(run, keep) for run in date_runs(SETTINGS[-1])]
    for setting in SETTINGS[:-1]:
        assert min(attention) > max(share(run, keep) for run in date_runs(setting))


def test_the_groups_of_the_date_study_count_every_line_once():
    train_days, held_out, new_formats, _ = date_study.data()
    right = [len(line) < 12 for line, _ in held_out]
    found = date_study.groups(held_out, right)
    assert sum(group["lines"] for group in found) == len(held_out)
    assert sum(group["right"] for group in found) == sum(right)
    assert {group["length"] for group in found if group["right"]} == {"0-11"}
    assert sum(g["lines"] for g in found if g["dates"] == 2) == sum(
        "/" in target for _, target in held_out
    )
    assert len(new_formats) == 8
    assert not {target for _, target in held_out} & {d.isoformat() for d in train_days}


def test_every_gate_was_trained_on_both_tasks_with_every_seed():
    study = stored("ablation")
    chosen = defaultdict(list)
    for run in study["runs"]:
        chosen[run["task"], run["cell"]].append((run["lr"], run["seed"]))
    assert len(chosen) == 16
    for (task, cell), runs in chosen.items():
        tried = {
            run["score"]: run["lr"]
            for run in study["tried"]
            if (run["task"], run["cell"]) == (task, cell)
        }
        best = tried[min(tried)]
        assert sorted(runs) == [(best, seed) for seed in ablation_study.SEEDS]


def test_the_stored_grid_has_every_setting_once():
    settings = stored("grid")["settings"]
    keys = [(s["num_steps"], s["num_hiddens"], s["lr"]) for s in settings]
    sizes = (8, 16, 32, 64, 128)
    expected = itertools.product(sizes, sizes, (0.01, 0.1, 1.0, 10.0))
    assert sorted(keys) == sorted(expected)
    assert {s["state"] for s in settings} == {"finished", "diverged"}
    for setting in settings:
        assert (setting["perplexity"] is None) == (setting["state"] == "diverged")
        assert setting["text"].startswith("the ")


def test_two_workers_trained_the_grid_faster_than_one_process():
    grid = stored("grid")
    assert grid["workers"]["ratio"] >= 1.5
    assert sum(s["seconds"] for s in grid["settings"]) / 2 < 20 * 60


def test_every_search_spent_the_budget_of_the_grid():
    spent = defaultdict(int)
    for run in stored("searches")["runs"]:
        spent[run["search"], run["seed"]] += run["steps"]
    searches = itertools.product(grid_study.SEARCHES, grid_study.SEEDS)
    assert spent.keys() == set(searches)
    for epochs in spent.values():
        assert 400 <= epochs < 404
