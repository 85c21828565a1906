"""What the tests of layers share: layers of every kind, and parity with PyTorch's."""

from functools import partial

import pytest
import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from utils.cells import GRUScratch, LSTMScratch, RNNScratch
from utils.contract import map_state, state_parts
from utils.conversion import directions, unstack
from utils.layers import (
    Bidirectional,
    DeepRNN,
    Embedded,
    Normalized,
    Residual,
    Reversed,
    make_layers,
)
from utils.padding import run_layer

SCRATCH = {nn.RNN: RNNScratch, nn.GRU: GRUScratch, nn.LSTM: LSTMScratch}
GATES = {nn.RNN: "h", nn.GRU: "rzh", nn.LSTM: "ifco"}  # in PyTorch's order
kinds = pytest.mark.parametrize("kind", SCRATCH, ids=lambda kind: kind.__name__)
cells = pytest.mark.parametrize("cell", SCRATCH.values(), ids=lambda c: c.__name__)

sizes = st.integers(1, 5)
lists_of_lengths = st.lists(st.integers(1, 6), min_size=1, max_size=4)
UNSORTED = torch.tensor([3, 5, 1, 4])  # for batches of 6 steps: no row fills one


# ---- Layers of every kind: functions of num_inputs and num_hiddens ----


def both_ways(make, *sizes):
    return Bidirectional(make(*sizes), make(*sizes))


def deep(make, num_inputs, num_hiddens, num_layers=2, dropout=0.0):
    layers = make_layers(make, num_inputs, num_hiddens, num_layers)
    return DeepRNN(layers, dropout)


def inside(*wrappers_and_make):
    """Return a function that makes a layer and wraps it, the last wrapper first."""
    *wrappers, make = wrappers_and_make

    def wrapped(*sizes):
        layer = make(*sizes)
        for wrapper in reversed(wrappers):
            layer = wrapper(layer)
        return layer

    return wrapped


CAUSAL = {
    "RNNScratch": RNNScratch,
    "GRUScratch": GRUScratch,
    "GRU of 2014": partial(GRUScratch, reset_after=False),
    "LSTMScratch": LSTMScratch,
    "nn.RNN": nn.RNN,
    "nn.GRU": nn.GRU,
    "nn.LSTM of two layers": partial(nn.LSTM, num_layers=2),
    "DeepRNN of one": partial(deep, RNNScratch, num_layers=1),
    "DeepRNN of three": partial(deep, GRUScratch, num_layers=3),
    "DeepRNN of nn.LSTM": partial(deep, nn.LSTM),
    "Residual": inside(Residual, RNNScratch),
    "Residual nn.GRU": inside(Residual, nn.GRU),
    "Residual, deep": partial(deep, inside(Residual, LSTMScratch)),
    "Normalized": inside(Normalized, LSTMScratch),
    "Normalized nn.RNN": inside(Normalized, nn.RNN),
    "Normalized, residual, deep": partial(deep, inside(Normalized, Residual, nn.GRU)),
    "Embedded": lambda d, h: Embedded(GRUScratch(2, h), d),
    "Embedded nn.LSTM": lambda d, h: Embedded(nn.LSTM(2, h), d),
    "Embedded, deep": lambda d, h: Embedded(deep(LSTMScratch, 2, h), d),
}
RIGHT_TO_LEFT = {
    "Reversed": inside(Reversed, LSTMScratch),
    "Reversed nn.GRU": inside(Reversed, nn.GRU),
    "Reversed, normalized, residual": inside(Reversed, Normalized, Residual, nn.RNN),
    "one of three Reversed": lambda d, h: DeepRNN(
        [GRUScratch(d, h), Reversed(GRUScratch(h, h)), GRUScratch(h, h)]
    ),
    "Bidirectional below": lambda d, h: DeepRNN(
        [both_ways(GRUScratch, d, h), GRUScratch(2 * h, h)]
    ),
}
BOTH_WAYS = {
    "nn.LSTM, both ways": partial(nn.LSTM, num_layers=2, bidirectional=True),
    "Bidirectional": partial(both_ways, GRUScratch),
    "Bidirectional nn.GRU": partial(both_ways, nn.GRU),
    "Bidirectional, residual": partial(both_ways, inside(Residual, RNNScratch)),
    "Bidirectional, deep": partial(deep, partial(both_ways, LSTMScratch)),
    "Bidirectional on top": lambda d, h: DeepRNN(
        [GRUScratch(d, h), both_ways(GRUScratch, h, h)]
    ),
}
LAYERS = CAUSAL | RIGHT_TO_LEFT | BOTH_WAYS
each_causal = pytest.mark.parametrize("make", CAUSAL.values(), ids=CAUSAL)
each_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


# ---- Numbers and states ----


def draw(*shape):
    return torch.randn(shape, dtype=torch.float64)


def state_of(parts):
    """Return the state that has ``parts``: None, a tensor or a pair."""
    return tuple(parts) if len(parts) > 1 else (*parts, None)[0]


def row_of(state, row):
    """Return one row of a batch's state, or of its outputs."""
    return map_state(lambda part: part[:, row : row + 1], state)


def assert_equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def values_and_gradients(read, inputs, parts=(), parameters=()):
    """Return outputs, last state, and the gradients of all that went in, for one loss.

    ``read`` maps inputs and a state of such ``parts`` to outputs and a state.
    """
    leaves = [tensor.detach().clone().requires_grad_() for tensor in (inputs, *parts)]
    outputs, last = read(leaves[0], state_of(leaves[1:]))
    values = [outputs, *state_parts(last)]
    loss = sum(k * (value.sin() * value).sum() for k, value in enumerate(values, 1))
    return [*values, *torch.autograd.grad(loss, [*leaves, *parameters])]


# ---- Parity with PyTorch ----


def copy_of(module):
    """Return our layers with the weights of PyTorch's ``module``."""
    convert = SCRATCH[type(module)].from_torch
    layers = unstack(module)
    if module.bidirectional:
        layers = (Bidirectional(*map(convert, directions(part))) for part in layers)
        return DeepRNN(layers)
    return DeepRNN(map(convert, layers))


def run_packed_by_hand(module, inputs, state, lengths):
    if lengths is None:
        return module(inputs, state)
    packed = pack_padded_sequence(inputs, lengths, enforce_sorted=False)
    outputs, last = module(packed, state)
    return pad_packed_sequence(outputs, total_length=len(inputs))[0], last


def cells_of(layer, depth=0):
    """Yield each of our cells after the ending of its parameters' names in PyTorch."""
    if isinstance(layer, DeepRNN):
        for depth, part in enumerate(layer.layers):
            yield from cells_of(part, depth)
    elif isinstance(layer, Bidirectional):
        yield f"l{depth}", layer.rightward
        yield f"l{depth}_reverse", layer.leftward.layer
    else:
        yield f"l{depth}", layer


def as_pytorch_has_them(layer, gates, gradients):
    """Return the gradients of all our parameters, stacked and named as PyTorch's."""
    known, used, stacked = dict(zip(layer.parameters(), gradients, strict=True)), [], {}
    for ending, cell in cells_of(layer):
        last = "hh" if isinstance(cell, GRUScratch) else "h"  # it keeps its two apart
        names = {
            "weight_ih": [f"W_x{gate}" for gate in gates],
            "weight_hh": [f"W_h{gate}" for gate in gates],
            "bias_ih": [f"b_{gate}" for gate in gates],
            "bias_hh": [f"b_{last if gate == 'h' else gate}" for gate in gates],
        }
        for name, row in names.items():
            parameters = [cell.get_parameter(n) for n in row]
            pieces = torch.cat([known[p] for p in parameters], dim=-1)
            stacked[f"{name}_{ending}"] = pieces.T if pieces.dim() > 1 else pieces
            used += parameters
    assert {*used} == {*known}
    return stacked


def assert_as_pytorchs(module, ours, inputs, with_state=False, lengths=None):
    """Compare outputs, last states and all gradients with those of PyTorch's layer."""
    entries = (1 + module.bidirectional) * module.num_layers
    shape = (entries, inputs.shape[1], module.hidden_size)
    count = (1 + isinstance(module, nn.LSTM)) * with_state
    given = inputs, [draw(*shape) for _ in range(count)]
    read = partial(run_layer, ours, lengths=lengths)
    one = values_and_gradients(read, *given, ours.parameters())
    read = partial(run_packed_by_hand, module, lengths=lengths)
    other = values_and_gradients(read, *given, module.parameters())
    split = -len([*ours.parameters()])
    expected = dict(module.named_parameters())
    assert_equal(one[:split], other[: -len(expected)])
    stacked = as_pytorch_has_them(ours, GATES[type(module)], one[split:])
    assert_equal([stacked[name] for name in expected], other[-len(expected) :])
    assert stacked.keys() == expected.keys()
