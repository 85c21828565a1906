"""The reference results are whole, and bear what the chapters say."""

import pytest

from tests.data.stored import stored
from tools.studies.common import CHOSEN_ON, OTHER_TEXT, SEEDS
from tools.studies.texts import (
    CHOICES,
    DECAYS,
    EQUAL_PARAMETERS,
    EQUAL_WIDTH,
    RATES,
    Network,
)

BOUNDS = {"RNN": 5.3, "GRU": 4.3, "LSTM": 4.4}


def network_of(run):
    return Network(run["network"], run["num_hiddens"])


def perplexities(name):
    """Return the stored perplexities of each network, one for each seed."""
    found = {}
    for run in stored(name)["runs"]:
        found.setdefault(network_of(run), []).append(run["perplexity"])
    return found


@pytest.mark.parametrize(
    ("name", "networks"),
    [(CHOSEN_ON, EQUAL_WIDTH + EQUAL_PARAMETERS), (OTHER_TEXT, EQUAL_WIDTH)],
)
def test_every_network_was_trained_with_every_seed(name, networks):
    found = perplexities(name)
    assert found.keys() == set(networks)
    assert {len(scores) for scores in found.values()} == {len(SEEDS)}


def test_the_stored_results_on_the_time_machine_keep_their_bounds():
    found = perplexities(OTHER_TEXT)
    for network, bound in BOUNDS.items():
        assert max(found[Network(network, 256)]) <= bound


@pytest.mark.parametrize("name", [CHOSEN_ON, OTHER_TEXT])
def test_gated_networks_are_well_below_the_rnn(name):
    found = perplexities(name)
    for network in ("GRU", "LSTM"):
        worst = max(found[Network(network, 256)])
        assert worst < 0.97 * min(found[Network("RNN", 256)])


def test_the_setting_of_each_network_is_the_best_that_was_tried():
    tried = stored(CHOSEN_ON)["tried"]
    for network, scores in perplexities(CHOSEN_ON).items():
        rivals = {}
        for row in tried:
            if network_of(row) == network:
                setting = tuple(row[name] for name in CHOICES)
                rivals.setdefault(setting, []).append(row["perplexity"])
        assert len(rivals) == len(RATES) * len(DECAYS)
        assert sum(scores) == pytest.approx(min(map(sum, rivals.values())))


def test_equal_parameters_means_within_one_percent():
    counts = {network_of(r): r["parameters"] for r in stored(CHOSEN_ON)["runs"]}
    rnn = counts[Network("RNN", 256)]
    for network in EQUAL_PARAMETERS:
        assert abs(counts[network] - rnn) <= 0.01 * rnn
