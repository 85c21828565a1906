import dataclasses
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from utils.runs import DivergenceError, History, detach
from utils.training import adamw_one_cycle

# ---- History ----


def test_histories_are_compared_by_what_happened_not_by_the_clock():
    one = History([2.0, 1.0], [2], [3.0], seconds=1.0, interrupted=True)
    assert one == History([2.0, 1.0], [2], [3.0], seconds=9.0)
    assert one != History([2.0, 1.5], [2], [3.0], seconds=1.0)


def test_a_history_plots_means_of_50_losses_and_the_scores():
    losses = [math.log(4.0)] * 50 + [math.log(3.0)] * 10
    ax = History(losses, [60], [5.0]).plot(label="GRU", color="green")
    training, held_out = ax.lines
    assert training.get_xdata().tolist() == [50, 60]
    assert training.get_ydata() == pytest.approx([4.0, 3.0])
    assert held_out.get_xydata().tolist() == [[60, 5.0]]
    assert training.get_color() == held_out.get_color() == "green"
    plt.close("all")


def test_a_history_is_drawn_into_given_axes():
    _, ax = plt.subplots()
    assert History([1.0], [1], [3.0]).plot(ax) is ax
    assert len(ax.lines) == 2
    plt.close("all")


def test_a_divergence_is_an_arithmetic_error_that_holds_the_history():
    history = History([1.0])
    error = DivergenceError("too fast", history)
    assert isinstance(error, ArithmeticError)
    assert error.history is history


def test_detaching_keeps_the_values_and_cuts_the_gradient():
    state = torch.ones(1, 2, 3, requires_grad=True) * 2
    cut = detach(state)
    assert torch.equal(cut, state)
    assert not cut.requires_grad
    pair = detach((state, state + 1))
    assert isinstance(pair, tuple)
    assert not any(part.requires_grad for part in pair)
    assert detach(None) is None


# ---- Checkpoints that do not fit ----


@pytest.fixture
def checkpoint(make_model, fit, tmp_path):
    """The file of a finished run of a plain recurrent network."""
    path = tmp_path / "run.pt"
    fit(make_model(), checkpoint=path)
    return path


@pytest.mark.parametrize(
    ("layer", "num_hiddens", "difference"),
    [
        (nn.RNN, 8, r"parameters .*'rnn\.W_xh'.* there, .*'rnn\.weight_ih_l0'.* here"),
        (None, 9, r"parameters .*'rnn\.W_hh': \[8, 8\].* there, .*\[9, 9\].* here"),
    ],
)
def test_the_checkpoint_of_another_model_is_refused(
    make_model, fit, checkpoint, layer, num_hiddens, difference
):
    layers = {"layer": layer} if layer else {}
    with pytest.raises(ValueError, match=f"of another run: {difference}"):
        fit(make_model(num_hiddens=num_hiddens, **layers), checkpoint=checkpoint)


@pytest.mark.parametrize(
    ("settings", "difference"),
    [
        ({"clip": 0.5}, r"clip 1\.0 there, 0\.5 here"),
        ({"clip": None}, r"clip 1\.0 there, None here"),
        ({"carry_state": True}, "carry_state False there, True here"),
        ({"updates": 20}, "updates 12 there, 20 here"),
    ],
    ids=str,
)
def test_the_checkpoint_of_a_run_with_other_settings_is_refused(
    make_model, fit, checkpoint, settings, difference
):
    before = checkpoint.read_bytes()
    with pytest.raises(ValueError, match=f"of another run: .*{difference}"):
        fit(make_model(), checkpoint=checkpoint, **settings)
    assert checkpoint.read_bytes() == before


def test_the_checkpoint_of_a_run_with_another_rate_is_refused(
    make_model, fit, checkpoint
):
    model = make_model()
    optimizer, scheduler = adamw_one_cycle(model, 0.5, 12)
    with pytest.raises(ValueError, match=r"rates .*0\.01.* there, .*0\.5.* here"):
        fit(model, optimizer=optimizer, scheduler=scheduler, checkpoint=checkpoint)


def test_the_checkpoint_of_another_optimizer_is_refused(make_model, fit, checkpoint):
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- four texts are checked
        fit(model, optimizer=optimizer, checkpoint=checkpoint)
    for difference in (
        "optimizer AdamW there, SGD here",
        "scheduler OneCycleLR there, NoneType here",
        "momentum None there, 0 here",
        "Delete it to start afresh, or choose another path",
    ):
        assert difference in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_checkpoint_is_refused(make_model, fit, checkpoint, share):
    data = checkpoint.read_bytes()
    checkpoint.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ValueError, match=r"run\.pt is no whole checkpoint .*truncated"):
        fit(make_model(), checkpoint=checkpoint)


@pytest.mark.parametrize(
    "data",
    [
        bytes(range(256)),
        b"PK\x03\x04 not a whole archive",
        b"Twice a day the sea climbed over the bar of sand",
        b"b, as a pickle: build on nothing",
        b"j\x9b;y",
    ],
)
def test_a_random_file_is_refused_and_left_alone(make_model, fit, tmp_path, data):
    path = tmp_path / "run.pt"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"run\.pt is no whole checkpoint .*Delete it"):
        fit(make_model(), checkpoint=path)
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    "content",
    [torch.zeros(3), [1, 2], {"model": {}}, "text"],
    ids=lambda content: type(content).__name__,
)
def test_another_file_of_pytorch_is_refused(make_model, fit, tmp_path, content):
    torch.save(content, tmp_path / "run.pt")
    with pytest.raises(ValueError, match=r"run\.pt is no whole checkpoint"):
        fit(make_model(), checkpoint=tmp_path / "run.pt")


def test_a_folder_is_no_checkpoint(make_model, fit, tmp_path):
    with pytest.raises(ValueError, match="is no whole checkpoint"):
        fit(make_model(), checkpoint=tmp_path)


# ---- Checkpoints that do ----


def test_a_finished_run_is_taken_up_without_another_update(
    make_model, fit, loss_at, checkpoint, same_parameters
):
    def fail(value):
        pytest.fail("a finished run was trained on")

    resumed, whole = make_model(), make_model()
    history = fit(resumed, checkpoint=checkpoint, loss=loss_at(1, fail))
    assert history == fit(whole)
    assert same_parameters(resumed, whole)


def test_saving_changes_nothing_in_the_run(
    make_model, fit, tmp_path, same_parameters, files_in
):
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


# ---- A run that is killed ----

# Trains a two-layer LSTM with dropout and a carried state. Each of its epochs has 7 batches.
SCRIPT = """
import dataclasses, os, signal, sys
import torch
from torch import nn
from utils.models import LanguageModel
from utils.text import consecutive_batches
from utils.training import adamw_one_cycle, evaluate, language_model_loss, train

torch.set_num_threads(1)
torch.manual_seed(0)
checkpoint, result = sys.argv[1:]
ids = torch.randint(10, (230,))
model = LanguageModel(nn.LSTM(10, 8, num_layers=2, dropout=0.5), 10)
optimizer, scheduler = adamw_one_cycle(model, 0.01, 30)
calls = 0

def loss(model, batch, state):
    global calls
    calls += 1
    if calls == int(os.environ.get("KILL_AT", 0)):
        os.kill(os.getpid(), signal.SIGKILL)
    return language_model_loss(model, batch, state)

history = train(
    model, optimizer, lambda epoch: consecutive_batches(ids, 4, 8, offset=epoch % 3),
    updates=30, scheduler=scheduler, loss=loss, carry_state=True,
    validate=lambda model: evaluate(model, ids), validate_every=7,
    checkpoint=checkpoint, checkpoint_every=4,
)
torch.save([calls, dataclasses.asdict(history), model.state_dict()], result)
"""


def run_script(folder, kill_at=0):
    """Run the script with its checkpoint in ``folder``; return its exit code."""
    root = Path(__file__).parents[1]
    environment = os.environ | {"KILL_AT": str(kill_at), "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", SCRIPT, folder / "run.pt", folder / "result.pt"]
    return subprocess.run(command, env=environment, timeout=120).returncode


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """How often the loss was called, the history and the parameters of the script when nothing happens."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert run_script(folder) == 0
    return torch.load(folder / "result.pt")


# Killed in the middle of the first epoch, past an epoch boundary and right after a checkpoint.
@pytest.mark.parametrize(("kill_at", "saved"), [(7, 4), (19, 16), (25, 24)])
def test_a_run_that_was_killed_resumes_bit_for_bit(
    uninterrupted, tmp_path, files_in, kill_at, saved
):
    assert run_script(tmp_path, kill_at) == -signal.SIGKILL
    assert files_in(tmp_path) == ["run.pt"]
    assert run_script(tmp_path) == 0
    calls, history, parameters = torch.load(tmp_path / "result.pt")
    _, whole_history, whole_parameters = uninterrupted
    assert calls == 30 - saved
    assert History(**history) == History(**whole_history)
    assert parameters.keys() == whole_parameters.keys()
    for name, value in parameters.items():
        assert torch.equal(value, whole_parameters[name]), name


def test_the_uninterrupted_run_has_all_its_losses_and_scores(uninterrupted):
    calls, history, _ = uninterrupted
    assert calls == len(history["losses"]) == 30
    assert history["valid_steps"] == [7, 14, 21, 28, 30]
    assert set(history) == {field.name for field in dataclasses.fields(History)}
