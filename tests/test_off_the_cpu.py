"""Nothing waits for the device, and nothing mixes two: shown without a GPU.

Tensors on PyTorch's ``meta`` device have no values, so that any look at one raises.
What ``meta`` lets pass, operations on two devices, :class:`OneDevice` refuses.
"""

import inspect
import re
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.helpers import PAIRS, VOCABS, build_translator, decoders
from tests.layers import LAYERS, both_ways, each_layer
from utils import cells, decoding, layers, models, training
from utils.cells import GRUScratch, LSTMScratch, RNNFunction, RNNScratch
from utils.contract import map_state, state_parts
from utils.inside import text_gradient_by_lag
from utils.models import (
    AdditiveAttention,
    AttentionDecoder,
    Decoder,
    Encoder,
    LanguageModel,
    LastStep,
    Seq2Seq,
    Tagger,
)
from utils.padding import length_mask, run_layer
from utils.tasks import adding_problem, blank_out, fresh_batches
from utils.text import Vocab, consecutive_batches, random_batches
from utils.training import Run, adamw_one_cycle, train

STEPS, BATCH, INPUTS, HIDDENS = 6, 3, 5, 4
LENGTHS = torch.tensor([4, 6, 1])  # packing reads them on the CPU


class OneDevice(TorchDispatchMode):
    """Refuse each operation whose tensors stand on two devices.

    Numbers may come from the CPU, and so may the lengths of packed sequences, which
    PyTorch keeps there.
    """

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        tensors = [
            t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)
        ]
        tensors = [t for t in tensors if t.dim() or t.device.type != "cpu"]
        devices = {str(tensor.device) for tensor in tensors}
        packing = "pack" in str(function) or "padded" in str(function)
        if len(devices) > 1 and not packing:
            raise RuntimeError(f"{function} mixes {sorted(devices)}")
        return function(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def one_device():
    with OneDevice():
        yield


def numbers(*shape):
    return torch.empty(shape, device="meta")


def some_ids(steps=STEPS, batch=BATCH):
    return torch.zeros(steps, batch, dtype=torch.int64, device="meta")


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
@each_layer
def test_a_layer(make, lengths):
    layer = make(INPUTS, HIDDENS).to("meta")
    inputs = numbers(STEPS, BATCH, INPUTS).requires_grad_()
    _, state = run_layer(layer, inputs, None, lengths)
    outputs, _ = run_layer(layer, inputs, map_state(torch.detach, state), lengths)
    outputs.sum().backward()
    assert {t.device.type for t in (outputs, *state_parts(state))} == {"meta"}
    assert inputs.grad.device.type == "meta"


def test_the_backward_pass_by_hand():
    tensors = (
        numbers(STEPS, BATCH, 2),
        numbers(BATCH, 4),
        numbers(2, 4),
        numbers(4, 4),
    )
    leaves = [tensor.requires_grad_() for tensor in (*tensors, numbers(4))]
    RNNFunction.apply(*leaves).sum().backward()


def attention():
    mask = length_mask(LENGTHS, STEPS).to("meta")
    module = AdditiveAttention(HIDDENS).to("meta")
    return module(numbers(BATCH, HIDDENS), numbers(STEPS, BATCH, HIDDENS), mask)[0]


def seq2seq(decoder):
    sizes = INPUTS, 2, HIDDENS
    return Seq2Seq(Encoder(*sizes, 2), decoder(*sizes, 2)).to("meta")


def translated(decoder):
    batch = some_ids(), LENGTHS, some_ids()
    return training.translation_loss(seq2seq(decoder), batch, None)[0]


def language_model(rnn=None):
    return LanguageModel(rnn or nn.GRU(INPUTS, HIDDENS), INPUTS).to("meta")


def labeled(lengths):
    tagger = Tagger(both_ways(nn.GRU, INPUTS, HIDDENS), INPUTS, 2).to("meta")
    ids, mask = blank_out(some_ids(), generator=torch.Generator().manual_seed(0))
    return training.labeling_loss(tagger, (ids, some_ids(), mask, lengths), None)[0]


def added():
    batches = fresh_batches(adding_problem, BATCH, STEPS, device="meta")
    model = LastStep(LSTMScratch(2, HIDDENS)).to("meta")
    return training.squared_error(model, next(batches(0)), None)[0]


def predicted():
    batch = some_ids(), some_ids()
    return training.language_model_loss(language_model(), batch, None)[0]


MODELS = {
    "LanguageModel": predicted,
    "LastStep": added,
    "Tagger": lambda: labeled(None),
    "Tagger, lengths": lambda: labeled(LENGTHS),
    "AdditiveAttention": attention,
    "Encoder, Decoder, Seq2Seq": lambda: translated(Decoder),
    "AttentionDecoder": lambda: translated(AttentionDecoder),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_and_its_loss(name):
    MODELS[name]().sum().backward()


def test_every_public_layer_and_model_and_loss_runs_here(monkeypatch):
    ran = set()

    def noted(name, loss):
        return lambda *batch: ran.add(name) or loss(*batch)

    losses = {name for name in vars(training) if re.search("_(loss|error)$", name)}
    for name in losses:
        monkeypatch.setattr(training, name, noted(name, getattr(training, name)))
    hook = register_module_forward_pre_hook(lambda one, _: ran.add(type(one).__name__))
    for make in LAYERS.values():
        run_layer(make(INPUTS, HIDDENS).to("meta"), numbers(STEPS, BATCH, INPUTS))
    for calculate in MODELS.values():
        calculate()
    hook.remove()
    public = {
        name
        for module in (cells, layers, models)
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__
    }
    # The one is a base, the other has a test of its own.
    assert public | losses <= ran | {"StepwiseLayer", "RNNFunction"}
    assert len(losses) == 4


@pytest.fixture
def reports(monkeypatch):
    """The updates at which a run reports, the one thing that may wait."""
    steps = []

    def report(run):
        if run.pending:
            steps.append(run.step)
        run.pending.clear()

    monkeypatch.setattr(Run, "report", report)
    return steps


def in_order(epoch):
    return consecutive_batches(some_ids(400, 1).flatten(), BATCH, STEPS, epoch % STEPS)


def at_random(epoch):
    ids = some_ids(400, 1).flatten()
    return random_batches(ids, BATCH, STEPS, torch.Generator().manual_seed(epoch))


@pytest.mark.parametrize("batches", [in_order, at_random])
def test_the_training_loop_waits_at_its_reports_only(batches, reports, monkeypatch):
    monkeypatch.setattr(training, "REPORT_EVERY", 4)
    model, updates = language_model(LSTMScratch(INPUTS, HIDDENS)), 11
    optimizer, scheduler = adamw_one_cycle(model, 0.01, updates)
    settings = {"scheduler": scheduler, "carry_state": batches is in_order}
    train(model, optimizer, batches, updates=updates, **settings)
    assert reports == [4, 8, 11]


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_other_optimizers_and_losses_do_not_wait_either(optimizer, reports):
    model = LastStep(GRUScratch(2, HIDDENS)).to("meta")
    batches = fresh_batches(adding_problem, BATCH, STEPS, device="meta")
    rates = optimizer(model.parameters(), lr=0.1)
    train(model, rates, batches, updates=9, loss=training.squared_error)
    assert reports == [9]


@pytest.fixture
def waits(monkeypatch):
    """What is done to wait for the device, by name, instead of waiting."""
    calls = []

    def cpu(tensor):
        calls.append("cpu")
        return torch.zeros(tensor.shape, dtype=tensor.dtype, device="cpu")

    monkeypatch.setattr(torch.Tensor, "cpu", cpu)
    monkeypatch.setattr(decoding, "require_scores", lambda _: calls.append("scores"))
    monkeypatch.setattr(Vocab, "decode", lambda *_: calls.append("text") or "")
    return calls


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.7}])
def test_generate_waits_at_the_end_of_a_text_only(settings, waits, monkeypatch):
    usual = torch.Generator  # `meta` has none, and cannot draw with one
    monkeypatch.setattr(torch, "Generator", lambda device: usual())
    monkeypatch.setattr(torch.Tensor, "exponential_", lambda odds, **_: odds)
    decoding.generate(language_model(), Vocab("abcd"), "ab", 9, **settings)
    assert waits == ["scores", "text"]


@decoders
def test_translate_waits_at_the_end_only(decoder, waits):
    model = seq2seq(decoder)
    decoding.translate(model, some_ids(), LENGTHS, start=1, end=2, max_steps=4)
    assert waits == ["scores"]


def test_exact_match_waits_at_the_end_only(waits):
    right = decoding.exact_match(build_translator().to("meta"), PAIRS, *VOCABS)
    assert right.tolist() == [False] * len(PAIRS)
    assert waits == ["scores", "cpu"]


def test_evaluate_waits_at_the_end_only(waits):
    ids = some_ids(400, 1).flatten()
    assert training.evaluate(language_model(), ids, num_steps=50) == 1
    assert waits == ["cpu"]


def test_the_forget_bias_may_be_set_on_any_device():
    for layer in (LSTMScratch(INPUTS, HIDDENS), nn.LSTM(INPUTS, HIDDENS)):
        cells.set_forget_bias(layer.to("meta"), 1.0)


@pytest.mark.usefixtures("waits")
def test_the_gradient_by_lag_may_be_measured_on_any_device():
    ids = torch.zeros(64 * 13 + 1, dtype=torch.int64, device="meta")
    assert text_gradient_by_lag(language_model(), ids, max_lag=3).shape == (4,)


class Faulty(nn.Module):
    """A layer with a constant that was made on the CPU, used in one way or another."""

    num_inputs, num_hiddens = INPUTS, HIDDENS

    def __init__(self, use):
        super().__init__()
        self.rnn, self.use = RNNScratch(INPUTS, HIDDENS), use

    def forward(self, inputs, state=None):
        return self.rnn(self.use(inputs), state)


CONSTANTS = {
    "product": lambda inputs: inputs @ torch.eye(INPUTS),
    "index": lambda inputs: inputs[torch.arange(STEPS).flip(0)],
    "sum": lambda inputs: inputs + torch.ones(INPUTS),
    "mask": lambda inputs: inputs.masked_fill(torch.ones(INPUTS) > 2, 0.0),
}


@pytest.mark.parametrize("use", CONSTANTS)
def test_a_constant_made_on_the_cpu_is_caught(use):
    model = language_model(Faulty(CONSTANTS[use]))
    with pytest.raises(RuntimeError, match=r"mixes \['cpu', 'meta'\]|device"):
        training.language_model_loss(model, (some_ids(), some_ids()), None)


LOOKS = {
    "item": lambda value: value.item(),
    "list": lambda value: value.tolist(),
    "if": lambda value: value if value > 0 else -value,
    "mask": lambda value: value[value > 0],
    "cpu": lambda value: value.cpu(),
}


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_at_a_value_in_the_loop_is_caught(look, reports):
    def loss(model, batch, state):
        value, state = training.language_model_loss(model, batch, state)
        LOOKS[look](value)
        return value, state

    model = language_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        train(model, optimizer, in_order, updates=3, loss=loss)


@pytest.mark.cuda
def test_on_a_gpu_the_loop_waits_at_its_reports_only(any_layer, reports):
    ids = torch.zeros(400, dtype=torch.int64, device="cuda")
    batches = partial(consecutive_batches, ids, BATCH, STEPS)  # offset: the epoch
    model = LanguageModel(any_layer(INPUTS, HIDDENS), INPUTS).cuda()
    for mode in ("default", "error"):  # the first run may wait for its memory
        optimizer, scheduler = adamw_one_cycle(model, 0.01, 9)
        torch.cuda.set_sync_debug_mode(mode)
        try:
            train(model, optimizer, batches, updates=9, scheduler=scheduler)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert reports == [9, 9]
