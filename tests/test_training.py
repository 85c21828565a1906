import contextlib
import math
import os
import signal
import threading
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from utils.text import consecutive_batches, random_batches
from utils.training import (
    DivergenceError,
    adamw_one_cycle,
    evaluate,
    language_model_loss,
    train,
)

# ---- Evaluating ----


def perplexity_in_one_pass(model, ids):
    """exp of the total NLL over the count, from one reading of the whole text."""
    with torch.no_grad():
        logits, _ = model(ids[:-1].unsqueeze(1))
    shares = logits.squeeze(1).double().softmax(-1)
    nll = [-math.log(row[target]) for row, target in zip(shares, ids[1:], strict=True)]
    return math.exp(math.fsum(nll) / len(nll))


@given(st.integers(1, 200))
def test_perplexity_is_exp_of_the_mean_loss_whatever_num_steps_is(
    make_model, ids, num_steps
):
    model = make_model(nn.GRU)
    expected = perplexity_in_one_pass(model, ids)
    assert evaluate(model, ids, num_steps) == pytest.approx(expected, rel=1e-5)


def test_every_layer_can_be_evaluated(make_model, any_layer, ids):
    model = make_model(any_layer)
    expected = perplexity_in_one_pass(model, ids)
    assert evaluate(model, ids, num_steps=7) == pytest.approx(expected, rel=1e-5)


def test_a_model_that_knows_nothing_scores_the_size_of_the_vocabulary(make_model, ids):
    model = make_model()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    assert evaluate(model, ids) == pytest.approx(model.vocab_size, rel=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_evaluating_ignores_dropout_and_leaves_the_model_in_its_mode(
    make_model, ids, training
):
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


@pytest.mark.parametrize("shape", [(1,), (0,), (20, 1)], ids=str)
def test_evaluating_needs_one_text_of_two_characters(make_model, shape):
    with pytest.raises(ValueError, match=r"expected \(n,\) with n of at least 2"):
        evaluate(make_model(), torch.zeros(shape, dtype=torch.int64))


@pytest.mark.parametrize("num_steps", [0, -1])
def test_evaluating_in_pieces_of_no_steps_is_refused(make_model, ids, num_steps):
    with pytest.raises(ValueError, match=f"num_steps is {num_steps}; expected"):
        evaluate(make_model(), ids, num_steps)


# ---- The recipe ----


def rates_of(optimizer, scheduler, updates):
    rates = []
    for _ in range(updates):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_the_one_cycle_rate_rises_to_its_peak_and_falls_to_almost_0(make_model):
    rates = rates_of(*adamw_one_cycle(make_model(), 0.1, 100), 100)
    assert max(rates) == pytest.approx(0.1, rel=0.01)
    assert 0 < rates.index(max(rates)) < 50
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


def test_the_weight_decay_is_a_hundredth_unless_given(make_model):
    optimizer, _ = adamw_one_cycle(make_model(), 0.1, 100)
    assert optimizer.param_groups[0]["weight_decay"] == 0.01


@pytest.mark.parametrize(
    ("lr", "updates", "decay"),
    [
        (0, 10, 0.01),
        (-1, 10, 0.01),
        (math.nan, 10, 0.01),
        (0.1, 1, 0.01),
        (0.1, 10, -0.01),
        (0.1, 10, math.nan),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(make_model, lr, updates, decay):
    with pytest.raises(
        ValueError,
        match=f"lr is {lr}, updates is {updates} and weight_decay is {decay}; expected",
    ):
        adamw_one_cycle(make_model(), lr, updates, decay)


@given(st.integers(3, 60), st.data())
def test_the_highest_rate_comes_after_the_warm_up_share_of_the_updates(updates, data):
    rising = data.draw(st.integers(2, updates - 1))
    recipe = adamw_one_cycle(nn.Linear(1, 1), 0.1, updates, warm_up=rising / updates)
    rates = rates_of(*recipe, updates)
    assert rates[rising - 1] == max(rates) == pytest.approx(0.1)
    assert rates[:rising] == sorted(rates[:rising])
    assert rates[rising - 1 :] == sorted(rates[rising - 1 :], reverse=True)


def test_the_rate_rises_for_three_tenths_of_the_updates_unless_given():
    rates = rates_of(*adamw_one_cycle(nn.Linear(1, 1), 0.1, 100), 100)
    assert rates.index(max(rates)) == 29


@pytest.mark.parametrize("warm_up", [0, 0.0, 1, 1.0, -0.1, 1.5, math.nan])
def test_a_warm_up_that_is_no_share_between_0_and_1_is_refused(make_model, warm_up):
    with pytest.raises(
        ValueError,
        match=f"^warm_up is {warm_up}; expected a share of the updates between 0 and 1",
    ):
        adamw_one_cycle(make_model(), 0.1, 100, warm_up=warm_up)


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
    assert fit(make_model()).losses[0] == expected.item()


@pytest.mark.parametrize(
    ("every", "steps"), [(5, [5, 10, 12]), (4, [4, 8, 12]), (50, [12])]
)
def test_validation_comes_every_so_many_updates_and_at_the_end(
    make_model, fit, every, steps
):
    history = fit(make_model(), validate=lambda _: 3.5, validate_every=every)
    assert history.valid_steps == steps
    assert history.valid_scores == [3.5] * len(steps)


def test_without_validation_there_are_no_scores(make_model, fit):
    history = fit(make_model())
    assert history.valid_steps == history.valid_scores == []


def test_the_model_trains_in_training_mode_even_after_a_validation(make_model, fit):
    modes = []

    def loss(model, batch, state):
        modes.append(model.training)
        return language_model_loss(model, batch, state)

    model = make_model()
    model.eval()
    fit(model, loss=loss, validate=lambda m: m.eval() and 1.0, validate_every=2)
    assert modes == [True] * 12


@pytest.mark.parametrize("kind", [random_batches, consecutive_batches])
def test_epochs_follow_one_another_and_are_numbered(make_model, ids, fit, kind):
    epochs = []

    def batches(epoch):
        epochs.append(epoch)
        return kind(ids, 4, 8)

    fit(make_model(), updates=10, batches=batches)
    assert epochs[0] == 0
    assert epochs == list(range(len(epochs)))
    assert len(epochs) > 1


def states_seen(fit, model, **settings):
    seen = []

    def loss(model, batch, state):
        seen.append(state)
        return language_model_loss(model, batch, state)

    fit(model, loss=loss, **settings)
    return seen


def test_a_carried_state_starts_afresh_with_every_epoch(make_model, any_layer, fit):
    seen = states_seen(fit, make_model(any_layer), carry_state=True)
    assert [state is None for state in seen] == [True, False, False, False] * 3


def test_a_carried_state_is_cut_from_its_graph(make_model, any_layer, fit):
    _, *seen = states_seen(fit, make_model(any_layer), carry_state=True, updates=4)
    pairs = [state if isinstance(state, tuple) else (state,) for state in seen]
    assert not any(part.requires_grad for pair in pairs for part in pair)


def test_no_state_is_carried_unless_asked_for(make_model, fit):
    assert states_seen(fit, make_model()) == [None] * 12


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


@pytest.mark.parametrize("clip", [0, -1.0, float("nan")])
def test_a_bound_that_is_not_positive_is_refused(make_model, fit, clip):
    with pytest.raises(ValueError, match=f"clip is {clip}; expected a positive bound"):
        fit(make_model(), clip=clip)


@pytest.mark.parametrize("name", ["updates", "validate_every", "checkpoint_every"])
@pytest.mark.parametrize("bad", [0, -1, 1.5])
def test_a_count_below_1_or_not_whole_is_refused(make_model, name, bad):
    model = make_model()
    counts = {"updates": 12, name: bad}
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with pytest.raises(ValueError, match=f"{name} is {bad}; expected a whole number"):
        train(model, optimizer, lambda _: [], **counts)


def test_an_epoch_without_batches_is_refused(make_model, fit):
    with pytest.raises(ValueError, match=r"batches\(0\) yielded no batch"):
        fit(make_model(), batches=lambda _: [])


def test_an_empty_epoch_later_on_is_refused_too(make_model, ids, fit):
    with pytest.raises(ValueError, match=r"batches\(2\) yielded no batch"):
        fit(
            make_model(),
            batches=lambda epoch: consecutive_batches(ids, 4, 8) if epoch < 2 else [],
        )


def test_training_asks_for_no_more_batches_than_updates(make_model, ids, fit):
    def batches(_):
        yield from consecutive_batches(ids, 4, 8)
        pytest.fail("a fifth batch was asked for")

    assert len(fit(make_model(), updates=4, batches=batches).losses) == 4


def test_training_on_another_loss_and_another_model_works(ids):
    torch.manual_seed(0)
    model, x = nn.Linear(3, 1), torch.randn(16, 3)
    y = x.sum(1, keepdim=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    history = train(
        model,
        optimizer,
        lambda _: [(x, y)],
        updates=100,
        loss=lambda model, batch, _: (F.mse_loss(model(batch[0]), batch[1]), None),
    )
    assert history.losses[-1] < 1e-3 < history.losses[0]


# ---- Divergence ----


def poison(by):
    return lambda value: value * by


@pytest.mark.parametrize("by", [math.nan, math.inf], ids=["nan", "inf"])
def test_a_loss_that_is_not_finite_stops_training(make_model, fit, loss_at, by):
    healthy = fit(make_model())
    with pytest.raises(
        DivergenceError,
        match=r"at update 7: the loss became (nan|inf) at learning rate",
    ) as caught:
        fit(make_model(), loss=loss_at(7, poison(by)))
    assert caught.value.history.losses == healthy.losses[:6]
    assert f"became {by}" in str(caught.value)
    assert "No checkpoint was saved" in str(caught.value)


def test_the_error_gives_the_learning_rate_and_what_to_try(make_model, fit, loss_at):
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.25)
    with pytest.raises(
        ArithmeticError, match=r"learning rate 0\.25\. Try a smaller learning rate"
    ):
        fit(model, optimizer=optimizer, loss=loss_at(3, poison(math.nan)))


def test_divergence_is_noticed_long_before_a_long_run_ends(make_model, fit, loss_at):
    def too_late(value):
        pytest.fail("a 51st update was begun")

    loss = loss_at(7, poison(math.nan))
    with pytest.raises(DivergenceError, match="at update 7"):
        fit(make_model(), updates=500, loss=loss_at(51, too_late, loss))


def test_the_last_good_checkpoint_is_kept_and_can_be_resumed(
    make_model, fit, loss_at, same_parameters, tmp_path
):
    path = tmp_path / "run.pt"
    saving = {"checkpoint": path, "checkpoint_every": 3}
    with pytest.raises(
        DivergenceError, match=f"checkpoint is kept in {path}"
    ) as caught:
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


def nan_gradient(model, batch, state):
    value, state = language_model_loss(model, batch, state)
    return value + (0 * model.b_q).sqrt().sum(), state


def test_parameters_that_are_not_finite_are_never_saved(make_model, fit, tmp_path):
    with pytest.raises(
        DivergenceError, match="at update 1: a parameter became NaN or infinite"
    ):
        fit(
            make_model(),
            loss=nan_gradient,
            checkpoint=tmp_path / "run.pt",
            checkpoint_every=1,
        )
    assert list(tmp_path.iterdir()) == []


# ---- Ctrl-C ----


def ctrl_c(value=None):
    os.kill(os.getpid(), signal.SIGINT)
    return value


@pytest.mark.parametrize("step", [3, 4, 7])
def test_ctrl_c_keeps_the_run_and_resuming_gives_what_no_interruption_gives(
    make_model, fit, loss_at, same_parameters, tmp_path, step
):
    settings = {
        "carry_state": True,
        "checkpoint": tmp_path / "run.pt",
        "validate": lambda model: model.b_q.norm().item(),
        "validate_every": 5,
    }
    with pytest.warns(UserWarning, match=f"interrupted after update {step} of 12; .*"):
        first = fit(make_model(), loss=loss_at(step, ctrl_c), **settings)
    assert first.interrupted
    assert len(first.losses) == step

    resumed, whole = make_model(), make_model()
    history = fit(resumed, **settings)
    del settings["checkpoint"]
    assert history == fit(whole, **settings)
    assert not history.interrupted
    assert history.seconds > first.seconds
    assert same_parameters(resumed, whole)


def test_ctrl_c_between_two_updates_is_heard_too(make_model, ids, fit):
    def batches(_):
        for number, batch in enumerate(consecutive_batches(ids, 4, 8)):
            if number == 2:
                ctrl_c()
            yield batch

    with pytest.warns(UserWarning, match="after update 3 of 12; this state is in no"):
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
        ctrl_c()
        ctrl_c()
        pytest.fail("the second Ctrl-C was not heard")

    with pytest.raises(KeyboardInterrupt):
        fit(make_model(), loss=loss_at(5, twice))


def test_after_training_ctrl_c_means_what_it_meant_before(make_model, fit):
    before = signal.getsignal(signal.SIGINT)
    fit(make_model())
    assert signal.getsignal(signal.SIGINT) is before


def test_after_an_error_ctrl_c_means_what_it_meant_before(make_model, fit):
    def loss(model, batch, state):
        raise RuntimeError("out of memory")

    before = signal.getsignal(signal.SIGINT)
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
    make_model, fit, loss_at, same_parameters, small_disk, files_in, tmp_path
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
    path = tmp_path / "run.pt"
    with (
        small_disk(),
        pytest.warns(UserWarning, match="update 12 .*none was saved before"),
    ):
        history = fit(make_model(), checkpoint=path)
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


# ---- CUDA ----


@pytest.fixture
def cuda_fit(ids):
    """A function that trains on the GPU, with the batches and their generator there."""
    on_gpu = ids.to("cuda")

    def batches(epoch):
        generator = torch.Generator("cuda").manual_seed(epoch)
        return random_batches(on_gpu, 4, 8, generator)

    def fit(model, updates=12, **settings):
        optimizer, scheduler = adamw_one_cycle(model, 0.01, updates)
        return train(
            model, optimizer, batches, updates=updates, scheduler=scheduler, **settings
        )

    return fit


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
    with pytest.warns(UserWarning, match="interrupted after update 5 of 12"):
        cuda_fit(make_model().cuda(), loss=loss_at(5, ctrl_c), checkpoint=path)
    resumed, whole = make_model().cuda(), make_model().cuda()
    history = cuda_fit(resumed, checkpoint=path)
    assert history.losses == pytest.approx(cuda_fit(whole).losses, rel=1e-3)
    for one, other in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert one.is_cuda
        torch.testing.assert_close(one, other, rtol=0, atol=1e-3)


@pytest.mark.cuda
def test_training_does_not_wait_for_the_gpu_between_two_reports(
    make_model, any_layer, cuda_fit
):
    calls = []

    def loss(model, batch, state):
        calls.append(1)
        # The first updates may allocate; the 50th and the last one report.
        mode = "error" if 10 < len(calls) < 45 else "default"
        torch.cuda.set_sync_debug_mode(mode)
        return language_model_loss(model, batch, state)

    try:
        cuda_fit(make_model(any_layer).cuda(), updates=49, loss=loss)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(calls) == 49


def test_parameters_that_become_nan_in_the_last_update_are_reported(make_model, fit):
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(DivergenceError, match="at update 1: a parameter became NaN"):
        fit(model, loss=nan_gradient, updates=1, optimizer=optimizer)


def test_a_loss_that_is_no_scalar_is_refused(make_model, fit):
    def loss(model, batch, state):
        value, state = language_model_loss(model, batch, state)
        return value.unsqueeze(0), state

    with pytest.raises(
        ValueError, match=r"a tensor of shape \(1,\); expected a scalar"
    ):
        fit(make_model(), loss=loss)
