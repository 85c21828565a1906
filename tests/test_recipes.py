import math

import pytest
import torch
from torch import nn

from utils import recipes
from utils.models import LastStep
from utils.recipes import squared_error, train_on_text, train_to_add
from utils.tasks import adding_problem, adding_problem_baseline
from utils.training import evaluate

# ---- The adding problem ----


@pytest.fixture
def add():
    """A function that trains a small layer to add, the same one each time."""

    def add(updates=3, layer=nn.GRU, num_hiddens=3, **settings):
        torch.manual_seed(0)
        return train_to_add(
            layer(2, num_hiddens), updates, **{"num_steps": 4, **settings}
        )

    return add


@pytest.mark.parametrize(
    ("updates", "steps"), [(3, [3]), (100, [50, 100]), (120, [50, 100, 120])]
)
def test_adding_is_validated_every_50_updates_and_at_the_end(add, updates, steps):
    history = add(updates)
    assert len(history.losses) == updates
    assert history.valid_steps == steps
    assert len(history.valid_scores) == len(steps)


def test_every_layer_learns_to_add_two_numbers(add, any_layer):
    history = add(150, any_layer, num_hiddens=8, num_steps=2, lr=0.03)
    assert history.valid_scores[-1] < adding_problem_baseline() / 5


def test_seeds_repeat_the_run(add):
    assert add() == add()
    assert add(seed=1) == add(seed=1)
    assert add().losses != add(seed=1).losses


def test_all_seeds_are_scored_on_the_same_sequences(add):
    one, other = (add(51, seed=seed, lr=0.0) for seed in (0, 1))  # nothing is learned
    assert one.losses != other.losses
    assert len({*one.valid_scores, *other.valid_scores}) == 1


def test_the_scores_are_mean_squared_errors_of_the_model(add):
    score = add(1, lr=0.0).valid_scores[0]
    torch.manual_seed(0)
    model = LastStep(nn.GRU(2, 3))
    inputs, targets = adding_problem(20_000, 4, torch.Generator().manual_seed(1))
    expected = (model(inputs) - targets).square().mean().item()
    assert score == pytest.approx(expected, rel=0.1)


def test_the_layer_itself_is_trained():
    layer = nn.GRU(2, 3)
    before = [parameter.clone() for parameter in layer.parameters()]
    train_to_add(layer, 1, num_steps=4)
    assert not any(map(torch.equal, before, layer.parameters()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_steps": 1}, "num_steps is 1; expected a whole number of at least 2"),
        ({"num_steps": 4.0}, r"num_steps is 4\.0; expected"),
        ({"updates": 0}, "updates is 0; expected a whole number of at least 1"),
    ],
    ids=str,
)
def test_a_bad_number_is_refused_before_training(add, monkeypatch, settings, message):
    def too_late(*_):
        pytest.fail("an update was begun")

    monkeypatch.setattr(recipes, "squared_error", too_late)
    with pytest.raises(ValueError, match=message):
        add(**settings)


def test_only_a_recurrent_layer_can_be_trained_to_add():
    with pytest.raises(TypeError, match="got a Linear; expected a recurrent layer"):
        train_to_add(nn.Linear(2, 3), 1)


def test_a_layer_that_does_not_read_a_number_and_a_mark_is_refused(any_layer):
    layer = any_layer(3, 4)
    with pytest.raises(
        ValueError,
        match=f"^the model got a {type(layer).__name__} with 3 inputs; expected 2 ",
    ):
        train_to_add(layer, 1)


def test_the_squared_error_is_a_mean_and_carries_no_state():
    inputs, targets = torch.zeros(2, 1), torch.tensor([[1.0], [3.0]])
    loss, state = squared_error(nn.Identity(), (inputs, targets), "any state")
    assert loss.shape == ()
    assert loss.item() == (1**2 + 3**2) / 2
    assert state is None


# ---- Language models ----


@pytest.fixture(scope="session")
def texts(tide_clock, vocab):
    """The ids of a text of 4 batches of 32 rows and 8 steps, and of a text held out."""
    return vocab.encode(tide_clock[:1040]), vocab.encode(tide_clock[1040:1100])


@pytest.fixture
def read(texts):
    """A function that trains a model on windows of 8 characters."""

    def read(model, **settings):
        settings = {"updates": 10, "num_steps": 8, "validate_every": 4, **settings}
        return train_on_text(model, *texts, **settings)

    return read


def test_a_run_on_a_text_has_a_loss_an_update_and_scores_now_and_then(make_model, read):
    history = read(make_model())
    assert len(history.losses) == 10
    assert history.valid_steps == [4, 8, 10]
    assert read(make_model(), updates=3, validate_every=2).valid_steps == [2, 3]


def test_a_run_on_a_text_is_the_same_twice(make_model, read, same_parameters):
    one, other = make_model(), make_model()
    assert read(one) == read(other)
    assert same_parameters(one, other)


def test_every_layer_learns_from_a_text(make_model, any_layer, read, texts):
    model = make_model(any_layer)
    before = evaluate(model, texts[1])
    history = read(model, updates=30, lr=0.03)
    assert history.valid_scores[-1] == evaluate(model, texts[1]) < 0.8 * before
    assert math.exp(history.losses[0]) == pytest.approx(before, rel=0.1)


def test_an_epoch_is_read_in_order_and_the_next_one_begins_7_characters_later(
    make_model, read, texts
):
    model, calls = make_model(), []
    model.register_forward_hook(lambda model, args, _: calls.append(args))
    read(model, updates=9, validate_every=9)
    training, ids = calls[:9], texts[0]
    assert all(inputs.shape == (8, 32) for inputs, _ in training)
    fresh = [state is None for _, state in training]
    assert fresh == [True, False, False, False] * 2 + [True]
    starts = [0, 8, 16, 24, 7, 15, 23, 31, 6]  # 7 and 14 modulo the 8 steps
    for start, (inputs, _) in zip(starts, training, strict=True):
        assert torch.equal(inputs[:, 0], ids[start : start + 8])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (8e-3, 10, 0.01)),
        ({"lr": 0.5, "updates": 7, "weight_decay": 0.2}, (0.5, 7, 0.2)),
    ],
)
def test_rate_updates_and_weight_decay_reach_the_optimizer(
    make_model, read, monkeypatch, given, expected
):
    recipe, seen = recipes.adamw_one_cycle, []

    def spy(model, *numbers):
        seen.append(numbers)
        return recipe(model, *numbers)

    monkeypatch.setattr(recipes, "adamw_one_cycle", spy)
    read(make_model(), **given)
    assert seen == [expected]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"updates": 1}, "updates is 1 and weight_decay"),
        ({"weight_decay": -1}, "weight_decay is -1; expected"),
        ({"validate_every": 0}, "validate_every is 0; expected"),
        ({"num_steps": 0}, "^num_steps is 0; expected a whole number of at least 1"),
        ({"num_steps": -1}, "num_steps is -1; expected a whole number"),
        ({"num_steps": 8.0}, r"num_steps is 8\.0; expected a whole number"),
        ({"num_steps": 64}, "batch_size is 32, but a text of 1040 .* 16 windows"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_refused(make_model, read, settings, message):
    with pytest.raises(ValueError, match=message):
        read(make_model(), **settings)
