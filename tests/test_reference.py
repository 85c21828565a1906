"""The reference results on The Time Machine hold when they are trained again."""

import json

import pytest

from tools import results
from tools.results import Network

BOUNDS = {"RNN": 5.3, "GRU": 4.3, "LSTM": 4.4}
TEXTS = (results.CHOSEN_ON, results.OTHER_TEXT)


def stored(name):
    return json.loads(results.target(name).read_text(encoding="utf-8"))


def perplexities(name):
    """Return the stored perplexities of each network, one for each seed."""
    found = {}
    for run in stored(name)["runs"]:
        network = Network(run["network"], run["num_hiddens"])
        found.setdefault(network, []).append(run["perplexity"])
    return found


@pytest.fixture(scope="module")
def corpus():
    try:
        return results.load(results.OTHER_TEXT)
    except ConnectionError as error:
        pytest.skip(f"The Time Machine is not here: {str(error).splitlines()[0]}")


@pytest.mark.parametrize("network", BOUNDS)
def test_a_network_reaches_its_bound_on_the_time_machine(network, corpus):
    assert results.UPDATES <= 1200
    runs = stored(results.OTHER_TEXT)["runs"]
    run = next(run for run in runs if run["network"] == network and run["seed"] == 0)
    assert run["num_hiddens"] == 256
    again = results.train_reference(results.setting_of(run), *corpus, seed=0)
    assert again["perplexity"] <= BOUNDS[network]
    assert again["perplexity"] == pytest.approx(run["perplexity"], abs=0.1)


@pytest.mark.parametrize("name", TEXTS)
def test_every_network_was_trained_with_every_seed(name):
    expected = set(results.EQUAL_WIDTH)
    if name == results.CHOSEN_ON:
        expected |= set(results.EQUAL_PARAMETERS)
    found = perplexities(name)
    assert found.keys() == expected
    assert {len(scores) for scores in found.values()} == {len(results.SEEDS)}


def test_the_stored_results_on_the_time_machine_keep_their_bounds():
    found = perplexities(results.OTHER_TEXT)
    for network, bound in BOUNDS.items():
        assert max(found[Network(network, 256)]) <= bound


@pytest.mark.parametrize("name", TEXTS)
def test_gated_networks_are_well_below_the_rnn(name):
    found = perplexities(name)
    for network in ("GRU", "LSTM"):
        worst = max(found[Network(network, 256)])
        assert worst < 0.97 * min(found[Network("RNN", 256)])


def test_the_setting_of_each_network_is_the_best_that_was_tried():
    tried = stored(results.CHOSEN_ON)["tried"]
    for network, scores in perplexities(results.CHOSEN_ON).items():
        rivals = {}
        for row in tried:
            if (row["network"], row["num_hiddens"]) == network:
                setting = results.setting_of(row)
                rivals.setdefault(setting, []).append(row["perplexity"])
        assert len(rivals) == len(results.RATES) * len(results.DECAYS)
        assert sum(scores) == pytest.approx(min(map(sum, rivals.values())))


def test_equal_parameters_means_within_one_percent():
    counts = {
        Network(run["network"], run["num_hiddens"]): run["parameters"]
        for run in stored(results.CHOSEN_ON)["runs"]
    }
    rnn = counts[Network("RNN", 256)]
    for network in results.EQUAL_PARAMETERS:
        assert abs(counts[network] - rnn) <= 0.01 * rnn
