import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.sweep import grid
from utils.sweep.plans import key_of, plain_metrics, plain_settings, plain_space


def test_a_grid_has_all_combinations_in_reading_order():
    assert grid(lr=[0.1, 0.01], cell=["GRU", "LSTM"]) == [
        {"lr": 0.1, "cell": "GRU"},
        {"lr": 0.1, "cell": "LSTM"},
        {"lr": 0.01, "cell": "GRU"},
        {"lr": 0.01, "cell": "LSTM"},
    ]


numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.lists(numbers | st.text(), min_size=1, max_size=4, unique=True)


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


def test_a_key_is_the_same_for_the_same_values():
    settings = [{"b": np.int64(1), "a": "x"}, {"a": "x", "b": 2}]
    keys = [key_of({"a": "x", "b": 1}), key_of({"b": 2, "a": "x"})]
    assert list(plain_settings(settings)) == keys


def test_scores_of_numpy_and_torch_are_numbers_in_the_table():
    metrics = {"loss": torch.tensor([1.5]), "other": np.float32(2.5), "text": "fine"}
    plain = plain_metrics(metrics, "loss", {"lr": 0.1})
    assert plain == {"loss": 1.5, "other": 2.5, "text": "fine"}
    assert [type(value) for value in plain.values()] == [float, float, str]


def choices(choices):
    return grid(**choices)


def metrics(metrics):
    return plain_metrics(metrics, "loss", {"lr": 0.1})


@pytest.mark.parametrize(
    ("call", "argument", "message"),
    [
        (choices, {}, r"grid\(\) got no choices; expected some, such as grid\(lr="),
        (choices, {"lr": "GRU"}, r"lr is 'GRU'; expected a list of values, such as \["),
        (choices, {"lr": [1, 1.0]}, r"lr is \[1, 1\.0\]; expected different values"),
        (choices, {"lr": [math.nan]}, "lr is nan; expected a finite .* Give anything"),
        (choices, {"state": [1]}, "hyperparameter's name is 'state'; expected a text"),
        (plain_settings, {"a": 1}, r"settings is \{'a': 1\}; expected a list of dict"),
        (plain_settings, [{"a": 1}, {"b": 1}], r"'b': 1\}; .* the names of \{'a': 1\}"),
        (plain_settings, [{"a": 1}, {"a": 1}], r"settings has \{'a': 1\} twice; expec"),
        (plain_space, {}, r"space is \{\}; expected a dictionary such as \{'lr': \("),
        (plain_space, {"a": (2, 1)}, r"a is \(2, 1\); .* a range .* low below high"),
        (plain_space, {"a": (0, 1, "log")}, r"a is \(0, 1, 'log'\); .* above 0 for"),
        (metrics, 2.0, r"returned 2\.0; expected a dictionary with the score 'loss'"),
        (metrics, {"loss": "low"}, "returned 'loss': 'low'; .* texts, 'loss' a number"),
        (metrics, {"loss": 1, "lr": 1}, "'lr': 1; .* names that are no hyperparameter"),
    ],
)
def test_what_makes_no_sense_is_refused(call, argument, message):
    with pytest.raises(ValueError, match=message):
        call(argument)
