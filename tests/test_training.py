import contextlib
import math
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from tests import killed
from tests.helpers import (
    PAIRS,
    VOCABS,
    build_translator,
    ctrl_c,
    decoders,
    modes_of,
    same_parameters,
    seeds,
)
from tools.notebook import ROOT
from utils.cells import GRUScratch
from utils.contract import state_parts
from utils.dates import encode_pairs
from utils.history import DivergenceError, TrainingInterrupted
from utils.layers import Bidirectional
from utils.models import Tagger
from utils.text import consecutive_batches, random_batches
from utils.training import (
    REPORT_EVERY,
    adamw_one_cycle,
    evaluate,
    evaluating,
    labeling_loss,
    language_model_loss,
    squared_error,
    translation_loss,
)


def test_training_needs_neither_figures_nor_widgets():
    code = "import sys, utils.training; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    loaded = subprocess.check_output(command, cwd=ROOT, text=True).split()
    assert "torch" in loaded
    assert not {"matplotlib", "ipywidgets", "IPython", "optuna"} & {*loaded}


# ---- Evaluating ----


@pytest.mark.parametrize("training", [True, False])
def test_evaluating_restores_the_mode_also_after_an_error(training):
    model = nn.Sequential(nn.Dropout(0.9), nn.Linear(2, 2)).train(training)
    with evaluating(model):
        assert modes_of(model) == {False}
    assert modes_of(model) == {training}
    with pytest.raises(RuntimeError, match="out of memory"), evaluating(model):
        raise RuntimeError("out of memory")
    assert modes_of(model) == {training}


def perplexity_in_one_pass(model, ids):
    """exp of the total NLL over the count, from one reading of the whole text."""
    with torch.no_grad():
        logits, _ = model(ids[:-1].unsqueeze(1))
    shares = logits.squeeze(1).double().softmax(-1)
    nll = [-math.log(row[target]) for row, target in zip(shares, ids[1:], strict=True)]
    return math.exp(math.fsum(nll) / len(nll))


@given(num_steps=st.integers(1, 200))
@settings(max_examples=10)
def test_perplexity_is_exp_of_the_mean_loss_however_it_is_cut(
    make_model, any_layer, ids, num_steps
):
    model = make_model(any_layer)
    expected = perplexity_in_one_pass(model, ids)
    assert evaluate(model, ids, num_steps) == pytest.approx(expected, rel=1e-5)


def test_a_model_that_knows_nothing_scores_the_size_of_the_vocabulary(make_model, ids):
    model = make_model()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    assert evaluate(model, ids) == pytest.approx(model.vocab_size, rel=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_a_score_knows_no_dropout_and_leaves_no_gradient(make_model, ids, training):
    model = make_model(lambda *sizes: nn.LSTM(*sizes, num_layers=2, dropout=0.9))
    model.train(training)
    assert evaluate(model, ids) == evaluate(model, ids)
    assert model.training is training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_hopeless_model_scores_infinity_instead_of_an_overflow(make_model, ids):
    model = make_model()
    with torch.no_grad():
        model.b_q[0] = 1e6
    assert evaluate(model, ids) == math.inf


@pytest.mark.parametrize(
    ("shape", "num_steps", "message"),
    [
        ((1,), 8, r"shape \(1,\); expected \(n,\) with n of at least 2"),
        ((20, 1), 8, r"shape \(20, 1\); expected \(n,\)"),
        ((20,), 0, "num_steps is 0; expected a whole number"),
    ],
    ids=["one character", "two dimensions", "no steps"],
)
def test_what_cannot_be_evaluated_is_refused(make_model, shape, num_steps, message):
    with pytest.raises(ValueError, match=message):
        evaluate(make_model(), torch.zeros(shape, dtype=torch.int64), num_steps)


# ---- The learning rate ----


def rates_of(optimizer, scheduler, updates):
    rates = []
    for _ in range(updates):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@given(st.integers(3, 60), st.data())
def test_the_highest_rate_comes_after_the_warm_up_share_of_the_updates(updates, data):
    rising = data.draw(st.integers(2, updates - 1))
    recipe = adamw_one_cycle(nn.Linear(1, 1), 0.1, updates, warm_up=rising / updates)
    rates = rates_of(*recipe, updates)
    assert rates[rising - 1] == max(rates) == pytest.approx(0.1)
    assert rates[:rising] == sorted(rates[:rising])
    assert rates[rising - 1 :] == sorted(rates[rising - 1 :], reverse=True)


def test_the_rate_rises_for_three_tenths_of_the_updates_and_falls_to_almost_0():
    optimizer, scheduler = adamw_one_cycle(nn.Linear(1, 1), 0.1, 100)
    assert optimizer.param_groups[0]["weight_decay"] == 0.01
    rates = rates_of(optimizer, scheduler, 100)
    assert rates.index(max(rates)) == 29
    assert rates[-1] < 1e-4


@pytest.mark.parametrize("decay", [0.0, 0.01, 0.5])
def test_the_weight_decay_shrinks_what_has_no_gradient(make_model, decay):
    model = make_model()
    before = [parameter.clone() for parameter in model.parameters()]
    optimizer, _ = adamw_one_cycle(model, 0.1, 100, decay)
    rate = optimizer.param_groups[0]["lr"]
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for parameter, start in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(parameter, start * (1 - rate * decay))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((0, 10), "lr is 0, updates is 10 and weight_decay is 0.01; expected a posi"),
        ((math.nan, 10), "lr is nan, updates"),
        ((0.1, 1), "updates is 1 and .* at least 2 updates"),
        ((0.1, 10, -0.01), "weight_decay is -0.01; expected"),
        ((0.1, 10, math.nan), "weight_decay is nan; expected"),
        ((0.1, 10, 0.01, 1), "warm_up is 1; expected a share between 0 and 1"),
    ],
    ids=str,
)
def test_a_recipe_that_cannot_work_is_refused(make_model, settings, message):
    with pytest.raises(ValueError, match=message):
        adamw_one_cycle(make_model(), *settings)


# ---- Training ----


def test_every_layer_learns(make_model, any_layer, ids, fit):
    model = make_model(any_layer)
    before = evaluate(model, ids)
    history = fit(model, updates=40)
    assert evaluate(model, ids) < 0.9 * before
    assert len(history.losses) == 40
    assert not history.interrupted


def test_the_losses_are_those_before_each_update(make_model, ids, fit):
    first_batch = next(consecutive_batches(ids, 4, 8))
    expected, _ = language_model_loss(make_model(), first_batch, None)
    history = fit(make_model())
    assert history.losses[0] == expected.item()
    assert history.valid_steps == history.valid_scores == []


@pytest.mark.parametrize(
    ("every", "steps"), [(5, [5, 10, 12]), (4, [4, 8, 12]), (50, [12])]
)
def test_validation_comes_every_so_many_updates_and_at_the_end(
    make_model, fit, every, steps
):
    history = fit(make_model(), validate=lambda _: 3.5, validate_every=every)
    assert history.valid_steps == steps
    assert history.valid_scores == [3.5] * len(steps)


def test_the_model_trains_in_training_mode_even_after_a_validation(make_model, fit):
    modes = []

    def loss(model, batch, state):
        modes.append(model.training)
        return language_model_loss(model, batch, state)

    model = make_model().eval()
    fit(model, loss=loss, validate=lambda m: m.eval() and 1.0, validate_every=2)
    assert modes == [True] * 12


@pytest.mark.parametrize("kind", [random_batches, consecutive_batches])
def test_epochs_follow_one_another_and_are_numbered(make_model, ids, fit, kind):
    epochs = []

    def batches(epoch):
        epochs.append(epoch)
        return kind(ids, 4, 8)

    fit(make_model(), updates=10, batches=batches)
    assert epochs == list(range(len(epochs)))
    assert len(epochs) > 1


def states_seen(fit, model, **settings):
    seen = []

    def loss(model, batch, state):
        seen.append(state)
        return language_model_loss(model, batch, state)

    fit(model, loss=loss, **settings)
    return seen


def test_a_carried_state_has_no_graph_and_starts_afresh_with_every_epoch(
    make_model, any_layer, fit
):
    seen = states_seen(fit, make_model(any_layer), carry_state=True)
    assert [state is None for state in seen] == [True, False, False, False] * 3
    states = [state_parts(state) for state in seen if state is not None]
    assert not any(part.requires_grad for parts in states for part in parts)
    assert states_seen(fit, make_model(any_layer)) == [None] * 12


def test_a_carried_state_is_what_the_model_returned(make_model, ids, fit):
    model = make_model()
    batches = list(consecutive_batches(ids, 4, 8))
    frozen = torch.optim.SGD(model.parameters(), lr=0.0)
    seen = states_seen(fit, model, carry_state=True, optimizer=frozen)
    _, expected = model(torch.cat([inputs for inputs, _ in batches[:3]]))
    torch.testing.assert_close(seen[3], expected.detach())


@pytest.mark.parametrize(("clip", "longest"), [(0.01, 0.01), (None, math.inf)])
def test_gradients_are_clipped_to_the_bound(make_model, fit, clip, longest):
    model = make_model()
    before = [parameter.clone() for parameter in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    fit(model, updates=1, optimizer=optimizer, clip=clip)
    pairs = zip(model.parameters(), before, strict=True)
    length = math.hypot(*[(after - start).norm().item() for after, start in pairs])
    assert 0.009 < length < longest * 1.001
    assert clip is not None or length > 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"updates": 0}, "updates is 0; expected a whole number"),
        ({"validate_every": -1}, "validate_every is -1; expected"),
        ({"checkpoint_every": 1.5}, "checkpoint_every is 1.5; expected"),
        ({"clip": 0}, "clip is 0; expected a positive bound .* or None"),
        ({"clip": math.nan}, "clip is nan; expected a positive bound"),
    ],
    ids=str,
)
def test_a_run_that_makes_no_sense_is_refused(make_model, fit, settings, message):
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with pytest.raises(ValueError, match=message):
        fit(model, optimizer=optimizer, **settings)


@pytest.mark.parametrize("empty", [0, 2])
def test_an_epoch_without_batches_is_refused(make_model, ids, fit, empty):
    def batches(epoch):
        return [] if epoch == empty else consecutive_batches(ids, 4, 8)

    expected = rf"batches\({empty}\) yielded no batch; expected at least one an epoch"
    with pytest.raises(ValueError, match=expected):
        fit(make_model(), batches=batches)


def test_a_loss_that_is_no_scalar_is_refused(make_model, fit, loss_at):
    with pytest.raises(ValueError, match=r"of shape \(1,\); expected a scalar"):
        fit(make_model(), loss=loss_at(1, lambda value: value.unsqueeze(0)))


def test_training_asks_for_no_more_batches_than_updates(make_model, ids, fit):
    def batches(_):
        yield from consecutive_batches(ids, 4, 8)
        pytest.fail("a fifth batch was asked for")

    assert len(fit(make_model(), updates=4, batches=batches).losses) == 4


# ---- Losses ----


def test_the_squared_error_is_a_mean_and_carries_no_state():
    inputs, targets = torch.zeros(2, 1), torch.tensor([[1.0], [3.0]])
    loss, state = squared_error(nn.Identity(), (inputs, targets), "any state")
    assert loss.shape == ()
    assert loss.item() == (1**2 + 3**2) / 2
    assert state is None


NUM_IDS, NUM_LABELS = 6, 3
lists_of_lengths = st.lists(st.integers(1, 5), min_size=1, max_size=4)


def draw_labels(lengths, seed):
    """Return ids, labels and a mask: True somewhere, and nowhere after a row's end."""
    torch.manual_seed(seed)
    shape = max(lengths), len(lengths)
    ids, labels = torch.randint(NUM_IDS, shape), torch.randint(NUM_LABELS, shape)
    mask = torch.rand(shape) < 0.5
    mask[0, 0] = True
    for row, length in enumerate(lengths):
        mask[length:, row] = False
    return ids, labels, mask


def nll_by_hand(scores, right):
    """Return the negative log of the share that the softmax gives to the right one."""
    shares = [math.exp(score) for score in scores.tolist()]
    return -math.log(shares[right] / sum(shares))


@pytest.mark.parametrize("with_lengths", [False, True], ids=["to the end", "lengths"])
@given(lists_of_lengths, seeds)
@settings(max_examples=20)
def test_the_loss_of_labels_is_the_mean_over_the_masked_places(
    with_lengths, lengths, seed
):
    ids, labels, mask = draw_labels(lengths, seed)
    layer = Bidirectional(GRUScratch(NUM_IDS, 4), GRUScratch(NUM_IDS, 4))
    model = Tagger(layer, NUM_IDS, NUM_LABELS).double()
    given_lengths = torch.tensor(lengths) if with_lengths else None
    losses = []
    for row, length in enumerate(lengths):
        alone = ids[: length if with_lengths else None, row : row + 1]
        for step, scores in enumerate(model(alone)[:, 0]):
            if mask[step, row]:
                losses.append(nll_by_hand(scores, labels[step, row]))
    loss, state = labeling_loss(model, (ids, labels, mask, given_lengths), "a state")
    assert loss.shape == ()
    assert loss.item() == pytest.approx(math.fsum(losses) / len(losses))
    assert state is None


@given(lists_of_lengths, seeds)
@settings(max_examples=20)
def test_a_label_counts_where_the_mask_is_true_and_nowhere_else(lengths, seed):
    ids, labels, mask = draw_labels(lengths, seed)
    logits = torch.randn(*ids.shape, NUM_LABELS, requires_grad=True)

    def loss_of(labels):
        return labeling_loss(lambda *_: logits, (ids, labels, mask, None), None)[0]

    loss = loss_of(labels)
    assert loss_of(torch.where(mask, labels, (labels + 1) % NUM_LABELS)) == loss
    assert loss_of(torch.where(mask, (labels + 1) % NUM_LABELS, labels)) != loss
    loss.backward()
    assert torch.equal((logits.grad != 0).any(dim=2), mask)


def test_the_ids_in_the_padding_do_not_change_the_loss_of_labels():
    ids, labels, mask = draw_labels([3, 5, 1], seed=0)
    model = Tagger(nn.LSTM(NUM_IDS, 4, bidirectional=True), NUM_IDS, NUM_LABELS)
    changed = ids.clone()
    changed[3:, 0], changed[1:, 2] = 5, 5
    batches = [(i, labels, mask, torch.tensor([3, 5, 1])) for i in (ids, changed)]
    assert not torch.equal(ids, changed)
    one, other = (labeling_loss(model, batch, None)[0] for batch in batches)
    assert one == other


def nlls_of(model, source, target):
    """Return the losses of a target's characters and its end, each read anew."""
    source, ids = VOCABS[0].encode(source), VOCABS[1].encode(f"^{target}$")
    losses = []
    for step in range(1, len(ids)):
        before = ids[:step].unsqueeze(1)
        logits = model(source.unsqueeze(1), torch.tensor([len(source)]), before)
        losses.append(nll_by_hand(logits[-1, 0], ids[step]))
    return losses


@decoders
@pytest.mark.parametrize("pairs", [PAIRS, PAIRS[1:], PAIRS[:1], [("5", "")]], ids=len)
def test_the_loss_of_a_translation_is_the_mean_over_all_characters_and_ends(
    decoder, pairs
):
    model = build_translator(decoder).double()
    losses = [loss for pair in pairs for loss in nlls_of(model, *pair)]
    assert len(losses) == sum(len(target) + 1 for _, target in pairs)
    loss, state = translation_loss(model, encode_pairs(pairs, *VOCABS), "a state")
    assert loss.shape == ()
    assert loss.item() == pytest.approx(math.fsum(losses) / len(losses))
    assert state is None


@decoders
def test_the_padding_does_not_count_however_much_there_is(decoder):
    model = build_translator(decoder).double()
    sources, lengths, targets = encode_pairs(PAIRS, *VOCABS)
    wider = F.pad(sources, (0, 0, 0, 3)), lengths, F.pad(targets, (0, 0, 0, 4))
    loss, _ = translation_loss(model, (sources, lengths, targets), None)
    torch.testing.assert_close(translation_loss(model, wider, None)[0], loss)


def test_only_logits_before_a_character_or_an_end_have_a_gradient():
    _, lengths, targets = batch = encode_pairs(PAIRS, *VOCABS)
    logits = torch.randn(len(targets) - 1, 3, len(VOCABS[1]), requires_grad=True)
    seen = []

    def model(*inputs):
        seen.extend(inputs)
        return logits

    translation_loss(model, batch, None)[0].backward()
    assert torch.equal((logits.grad != 0).any(dim=2), targets[1:] != 0)
    assert all(map(torch.equal, seen, (batch[0], lengths, targets[:-1])))


# ---- Divergence ----


def poison(by):
    return lambda value: value * by


@pytest.mark.parametrize("by", [math.nan, math.inf], ids=["nan", "inf"])
def test_a_loss_that_is_not_finite_stops_training(make_model, fit, loss_at, by):
    healthy = fit(make_model())
    expected = rf"at update 7: the loss became {by} at learning rate 0\.00\d+\. Try a "
    with pytest.raises(DivergenceError, match=expected) as caught:
        fit(make_model(), loss=loss_at(7, poison(by)))
    assert caught.value.history.losses == healthy.losses[:6]
    assert "No checkpoint was saved" in str(caught.value)


def test_the_last_good_checkpoint_is_kept_and_can_be_resumed(
    make_model, fit, loss_at, tmp_path
):
    path = tmp_path / "run.pt"
    saving = {"checkpoint": path, "checkpoint_every": 3}
    with pytest.raises(DivergenceError, match=f"is kept in {path}") as caught:
        fit(make_model(), loss=loss_at(8, poison(math.nan)), **saving)
    assert len(caught.value.history.losses) == 7
    resumed, healthy = make_model(), make_model()
    assert fit(resumed, **saving) == fit(healthy)
    assert same_parameters(resumed, healthy)


def test_a_run_that_really_diverges_is_stopped(make_model, fit):
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e38)
    with pytest.raises(DivergenceError, match=r"at learning rate 1e\+38"):
        fit(model, optimizer=optimizer, clip=None)


class Steep(nn.Module):
    """Four numbers, and a loss whose gradient is 3e38 in each at one update, else 1."""

    def __init__(self, steep_at):
        super().__init__()
        self.W, self.steep_at, self.updates = nn.Parameter(torch.zeros(4)), steep_at, 0

    def loss(self, model, batch, state):
        self.updates += 1
        slope = 3e38 if self.updates == self.steep_at else 1.0
        return (slope * (self.W - self.W.detach())).sum(), None


@pytest.fixture
def descend(fit):
    """A function that trains a ``Steep`` at a rate of 1."""

    def descend(model, **settings):
        rate = settings.pop("rate", 1.0)
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        settings = {"batches": lambda _: [0], "loss": model.loss, **settings}
        return fit(model, optimizer=optimizer, **settings)

    return descend


@pytest.mark.parametrize(
    ("settings", "begun"),
    [
        ({}, 12),
        ({"updates": 3}, 3),
        ({"updates": 500}, REPORT_EVERY),
        ({"validate": lambda _: 1.0, "validate_every": 4}, 4),
        ({"checkpoint_every": 4}, 4),
    ],
    ids=["end", "same update", "look", "validation", "checkpoint"],
)
def test_a_gradient_too_long_to_be_clipped_is_found(descend, tmp_path, settings, begun):
    model, settings = Steep(3), {"checkpoint": tmp_path / "run.pt", **settings}
    expected = "at update 3: the norm of the gradient became inf at learning rate 1"
    with pytest.raises(DivergenceError, match=expected) as caught:
        descend(model, clip=1.0, **settings)
    assert model.updates == begun
    assert len(caught.value.history.losses) == 2
    assert caught.value.history.valid_scores == []
    assert list(tmp_path.iterdir()) == []


def test_a_gradient_that_is_clipped_or_does_no_harm_is_no_divergence(descend):
    assert len(descend(Steep(0), clip=1.0).losses) == 12
    assert len(descend(Steep(3), clip=None, rate=0.1).losses) == 12


@pytest.mark.parametrize(
    ("every", "found"),
    [(3, "at update 3: a parameter became"), (12, "at update 4: the loss became nan")],
)
def test_without_clipping_it_is_found_by_what_it_did(descend, tmp_path, every, found):
    saving = {"checkpoint": tmp_path / "run.pt", "checkpoint_every": every}
    with pytest.raises(DivergenceError, match=found):
        descend(Steep(3), clip=None, rate=2.0, **saving)
    assert list(tmp_path.iterdir()) == []


def nan_gradient(model, batch, state):
    value, state = language_model_loss(model, batch, state)
    return value + (0 * model.b_q).sqrt().sum(), state


@pytest.mark.parametrize(
    ("clip", "what"),
    [(1.0, "the norm of the gradient became nan"), (None, "a parameter became NaN")],
)
@pytest.mark.parametrize("updates", [1, 12])
def test_parameters_that_are_not_finite_are_never_saved(
    make_model, fit, tmp_path, clip, what, updates
):
    model, settings = make_model(), {"updates": updates, "clip": clip}
    settings |= {"checkpoint": tmp_path / "run.pt", "checkpoint_every": 1}
    settings["optimizer"] = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(DivergenceError, match=f"at update 1: {what}"):
        fit(model, loss=nan_gradient, **settings)
    assert list(tmp_path.iterdir()) == []


# ---- Ctrl-C ----


@pytest.mark.parametrize("step", [3, 4, 7])
def test_ctrl_c_keeps_the_run_and_resuming_gives_what_no_interruption_gives(
    make_model, fit, loss_at, tmp_path, step
):
    path = tmp_path / "run.pt"
    settings = {"carry_state": True, "validate_every": 5}
    settings["validate"] = lambda model: model.b_q.norm().item()
    expected = f"after update {step} of 12; {path} holds this state"
    loss = loss_at(step, ctrl_c)
    with pytest.warns(TrainingInterrupted, match=expected):
        first = fit(make_model(), loss=loss, checkpoint=path, **settings)
    assert first.interrupted
    assert len(first.losses) == step

    resumed, whole = make_model(), make_model()
    history = fit(resumed, checkpoint=path, **settings)
    assert history == fit(whole, **settings)
    assert not history.interrupted
    assert history.seconds > first.seconds
    assert same_parameters(resumed, whole)


def test_ctrl_c_between_two_updates_is_heard_too(make_model, ids, fit):
    def batches(_):
        for number, batch in enumerate(consecutive_batches(ids, 4, 8)):
            yield ctrl_c(batch) if number == 2 else batch

    expected = "after update 3 of 12; this state is in no"
    with pytest.warns(TrainingInterrupted, match=expected):
        history = fit(make_model(), batches=batches)
    assert history.interrupted
    assert len(history.losses) == 3


def test_ctrl_c_in_the_last_update_is_no_interruption(make_model, fit, loss_at):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = fit(make_model(), loss=loss_at(12, ctrl_c))
    assert not history.interrupted
    assert len(history.losses) == 12


def test_a_second_ctrl_c_stops_at_once(make_model, fit, loss_at):
    def twice(value):
        ctrl_c(ctrl_c())
        pytest.fail("the second Ctrl-C was not heard")

    with pytest.raises(KeyboardInterrupt):
        fit(make_model(), loss=loss_at(5, twice))


def test_after_training_and_after_an_error_ctrl_c_means_what_it_meant_before(
    make_model, fit
):
    def loss(model, batch, state):
        raise RuntimeError("out of memory")

    before = signal.getsignal(signal.SIGINT)
    fit(make_model())
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(RuntimeError, match="out of memory"):
        fit(make_model(), loss=loss)
    assert signal.getsignal(signal.SIGINT) is before


def test_training_works_outside_the_main_thread(make_model, fit):
    histories = []
    thread = threading.Thread(target=lambda: histories.append(fit(make_model())))
    thread.start()
    thread.join()
    assert histories == [fit(make_model())]


# ---- A full disk ----


def test_training_goes_on_when_the_disk_is_full(
    make_model, fit, loss_at, small_disk, files_in, tmp_path
):
    path, kept = tmp_path / "run.pt", []
    model, healthy = make_model(), make_model()
    with contextlib.ExitStack() as stack:

        def fill_disk(value):
            kept.append(path.read_bytes())
            stack.enter_context(small_disk())
            return value

        loss = loss_at(7, fill_disk)
        caught = stack.enter_context(pytest.warns(UserWarning, match="could not be"))
        history = fit(model, loss=loss, checkpoint=path, checkpoint_every=5)

    for warning, step in zip(caught, (10, 12), strict=True):
        assert f"after update {step} (" in str(warning.message)
        assert "File too large); the one saved before is still" in str(warning.message)
    assert [path.read_bytes()] == kept
    assert files_in(tmp_path) == ["run.pt"]
    assert history == fit(healthy)
    assert same_parameters(model, healthy)


def test_a_disk_that_was_full_all_along_leaves_no_file(
    make_model, fit, small_disk, files_in, tmp_path
):
    expected = "update 12 .*none was saved before"
    with small_disk(), pytest.warns(UserWarning, match=expected):
        history = fit(make_model(), checkpoint=tmp_path / "run.pt")
    assert len(history.losses) == 12
    assert files_in(tmp_path) == []


def test_an_interrupted_run_that_could_not_be_saved_does_not_say_that_it_was(
    make_model, fit, loss_at, small_disk, tmp_path
):
    with small_disk(), pytest.warns(UserWarning, match="interrupted") as caught:
        fit(make_model(), loss=loss_at(3, ctrl_c), checkpoint=tmp_path / "run.pt")
    messages = [str(warning.message) for warning in caught]
    assert any("could not be written" in message for message in messages)
    assert not any("holds this state" in message for message in messages)


# ---- Resuming ----


@pytest.fixture
def checkpoint(make_model, fit, tmp_path):
    """The file of a finished run of a plain recurrent network."""
    fit(make_model(), checkpoint=tmp_path / "run.pt")
    return tmp_path / "run.pt"


@pytest.mark.parametrize(
    ("sizes", "difference"),
    [
        ({"layer": nn.RNN}, r"parameters .*W_xh'.* there, .*weight_ih_l0'.* here"),
        ({"num_hiddens": 9}, r"parameters .*: \[8, 8\].* there, .*: \[9, 9\].* here"),
    ],
    ids=str,
)
def test_the_checkpoint_of_another_model_is_refused(
    make_model, fit, checkpoint, sizes, difference
):
    with pytest.raises(ValueError, match=f"of another run: {difference}"):
        fit(make_model(**sizes), checkpoint=checkpoint)


def another_rate(model):
    optimizer, scheduler = adamw_one_cycle(model, 0.5, 12)
    return {"optimizer": optimizer, "scheduler": scheduler}


def another_optimizer(model):
    return {"optimizer": torch.optim.SGD(model.parameters(), lr=0.1)}


@pytest.mark.parametrize(
    ("make_settings", "difference"),
    [
        (another_rate, r"rates .*0\.01.* there, .*0\.5.* here"),
        (another_optimizer, "momentum None there, 0 here; .*optimizer AdamW there"),
        (another_optimizer, "scheduler OneCycleLR there, NoneType here"),
        (lambda _: {"clip": None}, r"clip 1\.0 there, None here"),
        (lambda _: {"carry_state": True}, "carry_state False there, True here"),
        (lambda _: {"updates": 20}, "updates 12 there, 20 here"),
    ],
)
def test_the_checkpoint_of_a_run_with_other_settings_is_refused(
    make_model, fit, checkpoint, make_settings, difference
):
    model, before = make_model(), checkpoint.read_bytes()
    with pytest.raises(ValueError, match=f"of another run: .*{difference}.* Delete it"):
        fit(model, checkpoint=checkpoint, **make_settings(model))
    assert checkpoint.read_bytes() == before


def test_a_finished_run_is_taken_up_without_another_update(
    make_model, fit, loss_at, checkpoint
):
    def fail(value):
        pytest.fail("a finished run was trained on")

    resumed, whole = make_model(), make_model()
    history = fit(resumed, checkpoint=checkpoint, loss=loss_at(1, fail))
    assert history == fit(whole)
    assert same_parameters(resumed, whole)


def test_saving_changes_nothing_in_the_run(make_model, fit, tmp_path, files_in):
    saved, unsaved = make_model(nn.LSTM), make_model(nn.LSTM)
    path = tmp_path / "new folder" / "run.pt"
    history = fit(saved, checkpoint=str(path), checkpoint_every=1, carry_state=True)
    assert history == fit(unsaved, carry_state=True)
    assert same_parameters(saved, unsaved)
    assert files_in(tmp_path) == ["run.pt"]


@pytest.mark.parametrize("kind", [float, np.float64, torch.tensor])
def test_a_run_with_any_kind_of_score_can_be_resumed(make_model, fit, tmp_path, kind):
    settings = {"checkpoint": tmp_path / "run.pt", "validate": lambda _: kind(2.5)}
    first = fit(make_model(), **settings)
    assert fit(make_model(), **settings) == first
    assert first.valid_scores == [2.5]


@pytest.fixture(scope="module")
def uninterrupted():
    """The run that is killed in other tests, when nothing happens to it."""
    history, model, calls = killed.run()
    assert calls == len(history.losses) == 30
    assert history.valid_steps == [7, 14, 21, 28, 30]
    return history, model


# In the first epoch, past the end of one, and right after a checkpoint.
@pytest.mark.parametrize(("kill_at", "saved"), [(7, 4), (19, 16), (25, 24)])
def test_a_run_that_was_killed_resumes_bit_for_bit(
    uninterrupted, tmp_path, files_in, kill_at, saved
):
    path = tmp_path / "run.pt"
    command = [sys.executable, "-m", "tests.killed", path, str(kill_at)]
    ended = subprocess.run(command, cwd=ROOT, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    assert files_in(tmp_path) == ["run.pt"]
    history, model, calls = killed.run(path)
    assert calls == 30 - saved
    assert history == uninterrupted[0]
    assert same_parameters(model, uninterrupted[1])


# ---- CUDA ----


@pytest.fixture
def cuda_fit(ids, fit):
    """A function that trains on the GPU, with the batches and their generator there."""
    on_gpu = ids.to("cuda")

    def batches(epoch):
        generator = torch.Generator("cuda").manual_seed(epoch)
        return random_batches(on_gpu, 4, 8, generator)

    return lambda model, **settings: fit(model, batches=batches, **settings)


@pytest.mark.cuda
def test_every_layer_learns_on_cuda(make_model, any_layer, ids, cuda_fit):
    model = make_model(any_layer).cuda()
    history = cuda_fit(model, updates=40)
    assert all(math.isfinite(loss) for loss in history.losses)
    assert history.losses[-1] < history.losses[0]
    assert math.isfinite(evaluate(model, ids.to("cuda")))


@pytest.mark.cuda
def test_a_checkpoint_resumes_on_cuda(make_model, cuda_fit, loss_at, tmp_path):
    path = tmp_path / "run.pt"
    with pytest.warns(TrainingInterrupted, match="after update 5 of 12"):
        cuda_fit(make_model().cuda(), loss=loss_at(5, ctrl_c), checkpoint=path)
    resumed, whole = make_model().cuda(), make_model().cuda()
    history = cuda_fit(resumed, checkpoint=path)
    assert history.losses == pytest.approx(cuda_fit(whole).losses, rel=1e-3)
    for one, other in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert one.is_cuda
        torch.testing.assert_close(one, other, rtol=0, atol=1e-3)
