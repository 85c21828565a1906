import datetime
import itertools
import math

import pytest
import torch
from torch import nn

from tests.helpers import build_translator, ctrl_c, decoders, same_parameters, seeded
from utils import recipes
from utils.dates import TARGET_ALPHABET, date_pairs
from utils.decoding import exact_match
from utils.history import TrainingInterrupted
from utils.models import AttentionDecoder, Decoder, LastStep
from utils.recipes import train_on_dates, train_on_text, train_to_add
from utils.tasks import adding_problem, adding_problem_baseline
from utils.text import Vocab
from utils.training import evaluate


@pytest.fixture
def optimized(monkeypatch):
    """What the optimizer and its schedule are made of, one entry a run."""
    recipe, seen = recipes.adamw_one_cycle, []

    def spy(model, *numbers):
        seen.append(numbers)
        return recipe(model, *numbers)

    monkeypatch.setattr(recipes, "adamw_one_cycle", spy)
    return seen


# ---- The adding problem ----


def add(updates=3, layer=nn.GRU, num_hiddens=3, rnn=None, **settings):
    """Train a small layer to add, the same one each time."""
    torch.manual_seed(0)
    rnn = rnn or layer(2, num_hiddens)
    return train_to_add(rnn, updates, **{"num_steps": 4, **settings})


@pytest.mark.parametrize(("updates", "steps"), [(3, [3]), (120, [50, 100, 120])])
def test_adding_is_validated_every_50_updates_and_at_the_end(updates, steps):
    history = add(updates)
    assert len(history.losses) == updates
    assert history.valid_steps == steps
    assert len(history.valid_scores) == len(steps)


def test_every_layer_learns_to_add_two_numbers(any_layer):
    history = add(150, any_layer, num_hiddens=8, num_steps=2, lr=0.03)
    assert history.valid_scores[-1] < adding_problem_baseline() / 5


def test_seeds_repeat_the_run():
    default, other = add(), add(seed=1)
    assert default == add(seed=0)
    assert other == add(seed=1)
    assert default.losses != other.losses


def test_all_seeds_are_scored_on_the_same_sequences():
    one, other = (add(51, seed=seed, lr=0.0) for seed in (0, 1))  # nothing is learned
    assert one.losses != other.losses
    assert len({*one.valid_scores, *other.valid_scores}) == 1


def test_the_scores_are_mean_squared_errors_of_the_model():
    score = add(1, lr=0.0).valid_scores[0]
    torch.manual_seed(0)
    model = LastStep(nn.GRU(2, 3))
    inputs, targets = adding_problem(20_000, 4, seeded(1))
    expected = (model(inputs) - targets).square().mean().item()
    assert score == pytest.approx(expected, rel=0.1)


def test_the_layer_itself_is_trained():
    layer = nn.GRU(2, 3)
    before = [parameter.clone() for parameter in layer.parameters()]
    add(1, rnn=layer)
    assert not any(map(torch.equal, before, layer.parameters()))


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"num_steps": 1}, ValueError, "num_steps is 1; .* number of at least 2"),
        ({"updates": 0}, ValueError, "updates is 0; .* number of at least 1"),
        ({"rnn": nn.GRU(3, 4)}, ValueError, "got a GRU with 3 inputs; expected 2 "),
        ({"rnn": nn.Linear(2, 3)}, TypeError, "a Linear; expected a recurrent layer"),
    ],
    ids=["num_steps", "updates", "inputs", "layer"],
)
def test_what_cannot_be_trained_to_add_is_refused_before_training(
    monkeypatch, settings, kind, message
):
    monkeypatch.setattr(recipes, "squared_error", lambda *_: pytest.fail("too late"))
    with pytest.raises(kind, match=message):
        add(**settings)


# ---- Language models ----


@pytest.fixture(scope="session")
def texts(tide_clock, vocab):
    """The ids of 4 batches of 32 rows and 8 steps, and of a text held out."""
    return vocab.encode(tide_clock[:1040]), vocab.encode(tide_clock[1040:1100])


@pytest.fixture
def read(texts):
    """A function that trains a model on windows of 8 characters."""

    def read(model, **settings):
        settings = {"updates": 10, "num_steps": 8, "validate_every": 4, **settings}
        return train_on_text(model, *texts, **settings)

    return read


def test_a_run_on_a_text_has_its_losses_and_scores_and_repeats(make_model, read):
    one, other = make_model(), make_model()
    history = read(one)
    assert len(history.losses) == 10
    assert history.valid_steps == [4, 8, 10]
    assert history == read(other)
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
        ({}, (8e-3, 10, 0.01, 0.3)),
        ({"lr": 1, "updates": 7, "weight_decay": 2, "warm_up": 0.4}, (1, 7, 2, 0.4)),
    ],
)
def test_rate_updates_weight_decay_and_warm_up_reach_the_optimizer(
    make_model, read, optimized, given, expected
):
    read(make_model(), **given)
    assert optimized == [expected]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"updates": 1}, "updates is 1 and weight_decay"),
        ({"validate_every": 0}, "validate_every is 0; expected"),
        ({"num_steps": 8.0}, "num_steps is 8.0; expected a whole number of at least 1"),
        ({"num_steps": 64}, "batch_size is 32, but a text of 1040 .* 16 windows"),
    ],
    ids=str,
)
def test_what_is_no_run_on_a_text_is_refused(make_model, read, settings, message):
    with pytest.raises(ValueError, match=message):
        read(make_model(), **settings)


# ---- Dates ----

DAYS = [datetime.date(2031, 5, 5), datetime.date(1987, 12, 24)]
LINES, MORE = (date_pairs(count, DAYS, generator=seeded(count)) for count in (20, 1000))
DATE_VOCABS = Vocab("".join(line for line, _ in MORE)), Vocab(TARGET_ALPHABET)


def reader_of_dates(decoder=Decoder):
    return build_translator(decoder, DATE_VOCABS, num_hiddens=16)


def read_dates(model=None, days=DAYS, held_out=LINES, **settings):
    """Train a small model on two days, the same one each time."""
    model, settings = model or reader_of_dates(), {"updates": 3, **settings}
    return train_on_dates(model, days, held_out, *DATE_VOCABS, **settings)


@decoders
def test_a_run_on_dates_has_a_loss_an_update_and_scores_now_and_then(decoder):
    history = read_dates(reader_of_dates(decoder), updates=5, validate_every=2)
    assert len(history.losses) == 5
    assert history.valid_steps == [2, 4, 5]
    assert all(0 <= score <= 1 for score in history.valid_scores)
    assert history.losses[0] == pytest.approx(math.log(len(DATE_VOCABS[1])), rel=0.1)


def test_seeds_repeat_the_run_on_dates():
    default, other = read_dates(), read_dates(seed=1)
    assert read_dates(seed=0) == default
    assert other.losses != default.losses


def test_the_score_is_the_share_of_the_lines_that_are_right():
    model = reader_of_dates(AttentionDecoder)
    history = read_dates(model, updates=40, lr=0.03)
    right = exact_match(model, LINES, *DATE_VOCABS)
    assert history.valid_steps == [40]
    assert history.valid_scores == [right.float().mean().item()]
    assert 0 < history.valid_scores[0] < 1  # a model that has learned something
    assert history.losses[-1] < history.losses[0] / 2


@pytest.fixture
def batches_of(monkeypatch):
    """A function that returns the batches of an epoch, as pairs not yet encoded."""
    encoded, runs = [], []
    monkeypatch.setattr(recipes, "encode_pairs", lambda *args: encoded.append(args[0]))
    monkeypatch.setattr(recipes, "train", lambda *given, **_: runs.append(given[2]))

    def batches_of(epoch, **settings):
        read_dates(**settings)
        encoded.clear()
        assert len([*runs[-1](epoch)]) == 100
        return [*encoded]

    return batches_of


def test_an_epoch_of_dates_has_100_batches_of_64_lines_of_like_length(batches_of):
    batches = batches_of(0)
    assert [len(batch) for batch in batches] == [64] * 100
    spans = [[len(line) for line, _ in batch] for batch in batches]
    assert spans != sorted(spans)  # not the short ones first
    spans.sort()
    for shorter, longer in itertools.pairwise(spans):
        assert max(shorter) <= min(longer)
    targets = {target for batch in batches for _, target in batch}
    assert {"2031-05-05", "1987-12-24/2031-05-05"} <= targets


def test_an_epoch_of_dates_repeats_and_another_epoch_or_seed_differs(batches_of):
    epochs = [batches_of(e, seed=s) for e, s in [(0, 0), (1, 0), (0, 1), (1, 1)]]
    torch.manual_seed(7)  # the default generator plays no part
    assert batches_of(1, seed=1) == epochs[3]
    assert all(one != other for one in epochs for other in epochs if one is not other)


@pytest.mark.parametrize(
    ("given", "expected"), [({}, (8e-3, 3)), ({"lr": 0.5, "updates": 2}, (0.5, 2))]
)
def test_rate_and_updates_reach_the_optimizer(optimized, given, expected):
    read_dates(**given)
    assert optimized == [expected]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0}, "^lr is 0, updates is 3"),
        ({"days": []}, "days is 0; expected a whole number of at least 1"),
        ({"validate_every": 0}, "validate_every is 0; expected a whole number"),
        ({"held_out": [("", "2031-05-05")]}, r"ids have shape \(0, 1\); expected"),
        ({"model": build_translator()}, "ids range from .*; expected 0 to 10"),
    ],
    ids=["lr", "no days", "validate_every", "no source", "other vocabs"],
)
def test_what_is_no_run_on_dates_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        read_dates(**settings)


@pytest.mark.cuda
@decoders
def test_dates_are_learned_on_cuda_too(decoder):
    model = reader_of_dates(decoder).cuda()
    history = read_dates(model, updates=20, lr=0.03)
    assert history.losses[-1] < history.losses[0]
    found = exact_match(model, LINES, *DATE_VOCABS)
    assert found.device.type == "cpu"
    assert history.valid_scores == [found.float().mean().item()]


# ---- Stopping and going on ----


@pytest.fixture(params=["on text", "to add", "on dates"])
def recipe(request, make_model, read):
    """How a model is made, and a function that trains it for 6 updates."""
    return {
        "on text": (lambda: make_model(nn.LSTM), read),
        "to add": (lambda: nn.GRU(2, 3), lambda rnn, **kept: add(rnn=rnn, **kept)),
        "on dates": (reader_of_dates, read_dates),
    }[request.param]


@pytest.mark.parametrize("step", [2, 5])
def test_a_stopped_run_goes_on_from_its_checkpoint_to_the_same_end(
    recipe, step, tmp_path
):
    make, fit = recipe
    whole, stopped, resumed = make(), make(), make()
    for model in (stopped, resumed):
        model.load_state_dict(whole.state_dict())
    path, updates = tmp_path / "run.pt", itertools.count(1)

    def press(*_):
        if torch.is_grad_enabled() and next(updates) == step:
            ctrl_c()

    hook = stopped.register_forward_hook(press)
    expected = f"interrupted after update {step} of 6; {path} holds this state"
    with pytest.warns(TrainingInterrupted, match=expected):
        first = fit(stopped, updates=6, checkpoint=path)
    hook.remove()
    assert first.interrupted
    assert len(first.losses) == step

    history = fit(resumed, updates=6, checkpoint=path)
    assert history == fit(whole, updates=6)
    assert not history.interrupted
    assert same_parameters(resumed, whole)
