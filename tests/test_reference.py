"""The reference result on The Time Machine holds when it is trained again."""

import json

import pytest

from tools import results


def test_a_plain_rnn_reaches_5_3_on_the_time_machine():
    try:
        corpus = results.load("time_machine")
    except ConnectionError as error:
        pytest.skip(f"The Time Machine is not here: {str(error).splitlines()[0]}")
    assert results.UPDATES <= 1200
    history = results.train_reference(*corpus, seed=0)
    assert history.valid_scores[-1] <= 5.3


def test_the_stored_results_are_those_of_the_recipe():
    stored = json.loads(results.TARGET.read_text(encoding="utf-8"))
    assert stored["recipe"]["updates"] == results.UPDATES
    assert stored["recipe"]["num_hiddens"] == results.NUM_HIDDENS
    assert [run["seed"] for run in stored["rnn"]] == list(results.SEEDS)
    assert all(run["perplexity"] <= 5.3 for run in stored["rnn"])
