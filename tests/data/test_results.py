"""The stored measurements are whole, and bear what chapters and assignments say."""

import itertools
import statistics
from collections import defaultdict

import pytest

from tests.data.stored import stored
from tools.studies import ablation, grid
from tools.studies.common import FULL, SEEDS
from tools.studies.dates import SETTINGS
from tools.studies.depth import EQUAL_PARAMETERS, RATES, REMEDIES, STACKS, Stack

NAMES = sorted(path.stem for path in FULL.results.glob("*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_a_study_says_how_and_where_it_was_measured(name):
    study = stored(name)
    assert {"text", "command", "machine", "torch", "recipe"} <= study.keys()
    assert study["machine"]
    assert study["command"].startswith("make ")


def stack_of(run):
    return Stack(*(run[field] for field in Stack._fields))


@pytest.fixture(scope="module")
def perplexities():
    """The perplexities of all seeds by stack and learning rate."""
    found = defaultdict(list)
    for run in stored("depth")["runs"]:
        found[stack_of(run), run["lr"]].append(run["perplexity"])
    return found


def best(perplexities, stack):
    """Return the perplexities of all seeds at the rate with the lowest mean."""
    return min((perplexities[stack, lr] for lr in RATES), key=statistics.mean)


def test_every_stack_was_trained_at_every_rate_with_every_seed(perplexities):
    assert perplexities.keys() == set(itertools.product(STACKS, RATES))
    assert {len(scores) for scores in perplexities.values()} == {len(SEEDS)}


def test_equal_parameters_are_equal_within_1_percent():
    counts = {stack_of(r): r["parameters"] for r in stored("depth")["runs"]}
    counts = [counts[stack] for stack in (*EQUAL_PARAMETERS, Stack(6, 64))]
    assert max(counts) <= 1.01 * min(counts)


def test_two_layers_beat_one_at_equal_parameters_with_every_seed(perplexities):
    one, two = (best(perplexities, stack) for stack in EQUAL_PARAMETERS)
    assert max(two) < min(one)


def test_six_plain_layers_fail_and_each_remedy_mends_them(perplexities):
    assert max(best(perplexities, Stack(6, 64))) > 15
    for remedy in REMEDIES[1:4]:
        assert max(best(perplexities, remedy)) < 4


def date_runs(setting):
    wanted = setting._asdict().items()
    return [run for run in stored("dates")["runs"] if wanted <= run.items()]


def share(run, keep):
    """Return the share of right lines in the groups that ``keep`` accepts."""
    kept = [group for group in run["groups"] if keep(group)]
    return sum(g["right"] for g in kept) / sum(g["lines"] for g in kept)


def test_every_decoder_was_trained_with_every_seed():
    for setting in SETTINGS:
        assert [run["seed"] for run in date_runs(setting)] == list(SEEDS)


def test_attention_is_compared_at_equal_parameters_too():
    pair = SETTINGS[1], SETTINGS[-1]
    context, attention = (date_runs(setting)[0]["parameters"] for setting in pair)
    assert context == pytest.approx(attention, rel=0.01)


def test_attention_is_right_on_99_of_100_lines_with_held_out_days():
    for run in date_runs(SETTINGS[-1]):
        assert run["exact_match"] >= 0.99
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


def test_every_gate_was_trained_on_both_tasks_with_every_seed():
    study = stored("ablation")
    chosen = defaultdict(list)
    for run in study["runs"]:
        chosen[run["task"], run["cell"]].append((run["lr"], run["seed"]))
    assert len(chosen) == 16
    for cell, runs in chosen.items():
        rows = [row for row in study["tried"] if (row["task"], row["cell"]) == cell]
        best = min(rows, key=lambda row: row["score"])["lr"]
        assert sorted(runs) == [(best, seed) for seed in ablation.SEEDS]


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
    stored_grid = stored("grid")
    assert stored_grid["workers"]["ratio"] >= 1.5
    assert sum(s["seconds"] for s in stored_grid["settings"]) / 2 < 20 * 60


def test_every_search_spent_the_budget_of_the_grid():
    spent = defaultdict(int)
    for run in stored("searches")["runs"]:
        spent[run["search"], run["seed"]] += run["steps"]
    assert spent.keys() == set(itertools.product(grid.SEARCHES, SEEDS))
    assert all(400 <= epochs < 404 for epochs in spent.values())
