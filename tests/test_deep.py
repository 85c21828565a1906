"""Layers made of layers: DeepRNN, Bidirectional, Reversed, Embedded, Residual and Normalized."""

import re
import warnings
from functools import partial
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from utils.cells import GRUScratch, LSTMScratch, RNNScratch
from utils.layers import directions, unstack
from utils.models import (
    Bidirectional,
    DeepRNN,
    Embedded,
    LanguageModel,
    LastStep,
    Normalized,
    Residual,
    Reversed,
    make_layers,
)

SCRATCH = {nn.RNN: RNNScratch, nn.GRU: GRUScratch, nn.LSTM: LSTMScratch}
GATES = {nn.RNN: "h", nn.GRU: "rzh", nn.LSTM: "ifco"}  # in PyTorch's order
kinds = pytest.mark.parametrize("kind", SCRATCH, ids=lambda kind: kind.__name__)
cells = pytest.mark.parametrize(
    "cell", SCRATCH.values(), ids=lambda cell: cell.__name__
)
sizes = st.integers(1, 4)
seeds = st.integers(0, 1000)


def draw(*shape):
    return torch.randn(shape, dtype=torch.float64)


def parts_of(state):
    return state if isinstance(state, tuple) else (state,)


def state_of(parts):
    """Return the state that has ``parts``: None, a tensor or a pair."""
    return tuple(parts) if len(parts) > 1 else (*parts, None)[0]


def assert_equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


# ---- As deep as PyTorch's, in one direction and in two ----


def both_ways(make_layer, *sizes):
    return Bidirectional(make_layer(*sizes), make_layer(*sizes))


def deep(make_layer, num_layers, num_inputs=3, num_hiddens=4, dropout=0.0):
    return DeepRNN(
        make_layers(make_layer, num_inputs, num_hiddens, num_layers), dropout
    )


def copy_of(module):
    """Return our layers with the weights of PyTorch's ``module``."""
    convert = SCRATCH[type(module)].from_torch
    layers = unstack(module)
    if module.bidirectional:
        layers = (Bidirectional(*map(convert, directions(part))) for part in layers)
        return DeepRNN(layers, module.dropout)
    return DeepRNN(map(convert, layers), module.dropout)


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


def gradients_by_pytorchs_names(layer, gates):
    """Return the gradients of all our parameters, stacked and named as PyTorch's."""
    gradients, used = {}, 0
    for ending, cell in cells_of(layer):
        last = "hh" if isinstance(cell, GRUScratch) else "h"  # it keeps its two apart
        names = {
            "weight_ih": [f"W_x{gate}" for gate in gates],
            "weight_hh": [f"W_h{gate}" for gate in gates],
            "bias_ih": [f"b_{gate}" for gate in gates],
            "bias_hh": [f"b_{last if gate == 'h' else gate}" for gate in gates],
        }
        for name, row in names.items():
            stacked = torch.cat([cell.get_parameter(n).grad for n in row], dim=-1)
            gradients[f"{name}_{ending}"] = stacked.T if stacked.dim() > 1 else stacked
        used += len({name for row in names.values() for name in row})
    assert used == len([*layer.parameters()])
    return gradients


def run_torchs(module, inputs, state, lengths):
    if lengths is None:
        return module(inputs, state)
    packed = pack_padded_sequence(inputs, lengths, enforce_sorted=False)
    outputs, last = module(packed, state)
    return pad_packed_sequence(outputs, total_length=len(inputs))[0], last


def run(read, inputs, parts, weights):
    """Return outputs, last state and the gradients of inputs and state for one loss."""
    leaves = [tensor.clone().requires_grad_() for tensor in (inputs, *parts)]
    outputs, last = read(leaves[0], state_of(leaves[1:]))
    last = parts_of(last)
    loss = (outputs * weights).sum()
    for factor, part in enumerate(last, 2):
        loss = loss + factor * (part.sin() * part).sum()
    loss.backward()
    return [outputs, *last, *(leaf.grad for leaf in leaves)]


@st.composite
def unsorted_lengths(draw):
    """Lengths of which the first is not the longest, and so many steps or more."""
    longest = draw(st.integers(2, 5))
    rest = draw(st.lists(st.integers(1, longest), max_size=2))
    lengths = [draw(st.integers(1, longest - 1)), *rest, longest]
    return lengths, longest + draw(st.integers(0, 2))


def compare(module, ours, inputs, with_state, lengths):
    """Assert that PyTorch's layer and ours give the same outputs, states and gradients."""
    directions = 2 if module.bidirectional else 1
    num_parts = (2 if isinstance(module, nn.LSTM) else 1) * with_state
    shape = (directions * module.num_layers, inputs.shape[1], module.hidden_size)
    parts = [draw(*shape) for _ in range(num_parts)]
    weights = draw(*inputs.shape[:2], directions * module.hidden_size)
    assert_equal(
        run(partial(ours, lengths=lengths), inputs, parts, weights),
        run(partial(run_torchs, module, lengths=lengths), inputs, parts, weights),
    )
    gradients = gradients_by_pytorchs_names(ours, GATES[type(module)])
    expected = {name: p.grad for name, p in module.named_parameters()}
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(
            gradient, expected[name], rtol=0, atol=1e-10, msg=f"{name}: {{}}".format
        )


settings_of_pytorch = pytest.mark.parametrize(
    ("num_layers", "both"),
    [*product([1, 2, 3], [False, True])],
    ids=lambda value: (
        {False: "one way", True: "both ways"}.get(value)
        if isinstance(value, bool)
        else f"{value} layers"
    ),
)


@kinds
@settings_of_pytorch
@pytest.mark.parametrize("with_state", [False, True], ids=["zeros", "a state"])
@given(sizes, sizes, sizes, sizes, seeds)
@settings(max_examples=15)
def test_outputs_states_and_gradients_are_pytorchs(
    kind, num_layers, both, with_state, num_steps, batch, num_inputs, num_hiddens, seed
):
    torch.manual_seed(seed)
    module = kind(num_inputs, num_hiddens, num_layers, bidirectional=both).double()
    inputs = draw(num_steps, batch, num_inputs)
    compare(module, copy_of(module), inputs, with_state, None)


@kinds
@settings_of_pytorch
@pytest.mark.parametrize("with_state", [False, True], ids=["zeros", "a state"])
@given(unsorted_lengths(), sizes, sizes, seeds)
@settings(max_examples=15)
def test_of_unsorted_lengths_they_are_those_of_packed_sequences(
    kind, num_layers, both, with_state, lengths, num_inputs, num_hiddens, seed
):
    torch.manual_seed(seed)
    lengths, num_steps = lengths
    module = kind(num_inputs, num_hiddens, num_layers, bidirectional=both).double()
    inputs = draw(num_steps, len(lengths), num_inputs)
    compare(module, copy_of(module), inputs, with_state, torch.tensor(lengths))


@kinds
@pytest.mark.parametrize("with_state", [False, True], ids=["zeros", "a state"])
@pytest.mark.parametrize("lengths", [None, torch.tensor([2, 5, 1])], ids=str)
def test_two_directions_alone_are_pytorchs(kind, with_state, lengths):
    torch.manual_seed(0)
    module = kind(3, 4, bidirectional=True).double()
    ours = Bidirectional(*map(SCRATCH[kind].from_torch, directions(module)))
    compare(module, ours, draw(6, 3, 3), with_state, lengths)


@kinds
@pytest.mark.parametrize("lengths", [None, torch.tensor([2, 5, 1])], ids=str)
def test_layers_of_pytorch_can_be_stacked_too(kind, lengths):
    torch.manual_seed(0)
    module = kind(3, 4, 2, bidirectional=True).double()
    ours = DeepRNN(unstack(module))
    inputs, parts, weights = draw(6, 3, 3), [], draw(6, 3, 8)
    assert_equal(
        run(partial(ours, lengths=lengths), inputs, parts, weights),
        run(partial(run_torchs, module, lengths=lengths), inputs, parts, weights),
    )


@kinds
def test_a_copy_keeps_dtype_and_dropout_and_shares_no_memory(kind):
    module = kind(3, 4, 2, dropout=0.25).double()
    ours = copy_of(module)
    assert {p.dtype for p in ours.parameters()} == {torch.float64}
    assert ours.dropout.p == 0.25
    before = [parameter.clone() for parameter in ours.parameters()]
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    assert all(map(torch.equal, ours.parameters(), before))


# ---- Residual connections and layer normalization ----


@pytest.mark.parametrize("build", [*SCRATCH.values(), *SCRATCH])
def test_a_residual_layer_adds_its_inputs_if_they_are_as_wide_as_its_outputs(build):
    torch.manual_seed(0)
    same, wider = build(4, 4), build(3, 4)
    inputs = torch.randn(6, 2, 4)
    outputs, state = same(inputs)
    torch.testing.assert_close(Residual(same)(inputs), (outputs + inputs, state))
    assert torch.equal(Residual(wider)(inputs[..., :3])[0], wider(inputs[..., :3])[0])


@pytest.mark.parametrize("build", [*SCRATCH.values(), *SCRATCH])
def test_a_normalized_layer_has_outputs_of_mean_0_and_variance_1(build):
    torch.manual_seed(0)
    layer, inputs = Normalized(build(3, 8)).double(), draw(6, 2, 3)
    outputs, state = layer(inputs)
    torch.testing.assert_close(outputs.mean(-1), draw(6, 2) * 0)
    raw, last = layer.layer(inputs)
    variance = raw.var(-1, unbiased=False, keepdim=True)
    expected = (raw - raw.mean(-1, keepdim=True)) / (variance + 1e-5).sqrt()
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(state, last)  # the state is not normalized
    with torch.no_grad():
        layer.norm.weight.fill_(3.0)
        layer.norm.bias.fill_(1.0)
    torch.testing.assert_close(layer(inputs)[0], 3 * expected + 1)


@cells
def test_a_stack_of_residual_and_normalized_layers_is_what_a_loop_computes(cell):
    torch.manual_seed(0)
    model = deep(lambda *sizes: Normalized(Residual(cell(*sizes))), 3).double()
    outputs = inputs = draw(6, 2, 3)
    states = []
    for depth, layer in enumerate(model.layers):
        above, state = layer.layer.layer(outputs)
        above = above + outputs if depth else above  # the lowest reads 3, not 4
        outputs = F.layer_norm(above, (4,))
        states.append(parts_of(state)[0])
    result, last = model(inputs)
    torch.testing.assert_close(result, outputs)
    torch.testing.assert_close(parts_of(last)[0], torch.cat(states))


@pytest.mark.parametrize("wrap", [Residual, Normalized])
@cells
def test_a_wrapped_layer_reads_each_row_up_to_its_length_and_from_a_state(wrap, cell):
    torch.manual_seed(0)
    layer, inputs = wrap(cell(4, 4)).double(), draw(6, 3, 4)
    start = tuple(draw(1, 3, 4) for _ in parts_of(layer(inputs)[1]))
    outputs, last = layer(inputs, state_of(start), torch.tensor([4, 6, 1]))
    for row, length in enumerate([4, 6, 1]):
        own = slice(row, row + 1)
        alone, state = layer(inputs[:length, own], state_of([p[:, own] for p in start]))
        torch.testing.assert_close(outputs[:length, own], alone)
        for part, expected in zip(parts_of(last), parts_of(state), strict=True):
            torch.testing.assert_close(part[:, own], expected)


# ---- Dropout ----


def test_dropout_acts_between_layers_and_nowhere_else():
    torch.manual_seed(0)
    model = deep(GRUScratch, 3, num_hiddens=50, dropout=0.5)
    inputs = torch.randn(6, 2, 3)
    read, written = [], []

    def record(_, given, result):
        read.append(given[0])
        written.append(result[0])

    for layer in model.layers:
        layer.register_forward_hook(record)
    outputs, _ = model(inputs)
    assert torch.equal(read[0], inputs)
    assert torch.equal(outputs, written[2])
    for above, below in zip(read[1:], written, strict=False):
        kept = above != 0
        torch.testing.assert_close(above[kept], 2 * below[kept])
        assert 0.4 < kept.float().mean() < 0.6


def test_dropout_is_for_training_only_and_repeats_with_the_seed():
    torch.manual_seed(0)
    plain, inputs = deep(GRUScratch, 2), torch.randn(6, 2, 3)
    model = DeepRNN(plain.layers, dropout=0.5)

    def read(seed):
        torch.manual_seed(seed)
        return model(inputs)[0]

    assert torch.equal(read(1), read(1))
    assert not torch.equal(read(1), read(2))
    assert not torch.equal(read(1), plain(inputs)[0])
    model.eval()
    assert torch.equal(read(1), plain(inputs)[0])
    assert torch.equal(read(1), read(2))


def test_dropout_with_one_layer_drops_nothing_and_says_so():
    with pytest.warns(
        UserWarning,
        match=r"^dropout is 0\.5 but num_layers is 1: .* so nothing is dropped\.$",
    ) as caught:
        model = DeepRNN([GRUScratch(3, 4)], dropout=0.5)
    assert caught[0].filename == __file__
    inputs = torch.randn(6, 2, 3)
    assert torch.equal(model(inputs)[0], model.eval()(inputs)[0])


def test_dropout_with_two_layers_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        deep(GRUScratch, 2, dropout=0.5)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 1.5, float("nan")])
def test_a_dropout_outside_0_to_1_is_refused(dropout):
    with pytest.raises(
        ValueError,
        match=f"^dropout is {dropout}; expected a share of at least 0 and below 1",
    ):
        deep(GRUScratch, 2, dropout=dropout)


# ---- States ----


@pytest.mark.parametrize(
    "wrap", [lambda layer: layer, Residual, Normalized], ids=["plain", "res", "norm"]
)
@pytest.mark.parametrize("build", [*SCRATCH.values(), *SCRATCH])
@given(st.integers(2, 8), st.data(), st.integers(1, 3))
@settings(max_examples=5)
def test_two_pieces_with_the_state_carried_over_are_the_whole(
    build, wrap, num_steps, data, num_layers
):
    cut = data.draw(st.integers(1, num_steps - 1))
    torch.manual_seed(0)
    model = deep(lambda *sizes: wrap(build(*sizes)), num_layers).double()
    inputs = draw(num_steps, 2, 3)
    whole, last = model(inputs)
    first, state = model(inputs[:cut])
    second, end = model(inputs[cut:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(end, last)
    assert parts_of(last)[0].shape == (num_layers, 2, 4)


@pytest.mark.parametrize("shape", [(1, 2, 4), (3, 2, 4), (2, 4)], ids=str)
@pytest.mark.parametrize("cell", [GRUScratch, nn.GRU])
def test_a_state_of_another_number_of_layers_is_refused(cell, shape):
    with pytest.raises(
        ValueError,
        match=rf"^DeepRNN got a state of shape {re.escape(str(shape))}; expected "
        r"\(2, batch, num_hiddens\), one entry for each of its layers and directions",
    ):
        deep(cell, 2)(torch.zeros(5, 2, 3), torch.zeros(shape))


@pytest.mark.parametrize("shape", [(1, 2, 4), (3, 2, 4), (2, 4)], ids=str)
def test_two_directions_refuse_a_state_of_another_number(shape):
    with pytest.raises(
        ValueError,
        match=rf"^Bidirectional got a state of shape {re.escape(str(shape))}; "
        r"expected \(2, batch, num_hiddens\)",
    ):
        both_ways(GRUScratch, 3, 4)(torch.zeros(5, 2, 3), torch.zeros(shape))


@pytest.mark.parametrize(
    "layer",
    [deep(LSTMScratch, 2), deep(nn.LSTM, 2), both_ways(LSTMScratch, 3, 4)],
    ids=["DeepRNN", "DeepRNN of nn.LSTM", "Bidirectional"],
)
@pytest.mark.parametrize("place", [0, 1], ids=["H", "C"])
def test_each_part_of_a_pair_must_have_an_entry_for_every_layer(layer, place):
    pair = [torch.zeros(2, 2, 4), torch.zeros(2, 2, 4)]
    pair[place] = torch.zeros(1, 2, 4)
    with pytest.raises(
        ValueError,
        match=rf"^{type(layer).__name__} got a state of shape \(1, 2, 4\); expected \(2, ",
    ):
        layer(torch.zeros(5, 2, 3), tuple(pair))


def test_deep_layers_of_two_directions_need_two_entries_each():
    model = deep(partial(both_ways, GRUScratch), 2)
    assert model(torch.zeros(5, 2, 3))[1].shape == (4, 2, 4)
    with pytest.raises(
        ValueError, match=r"^DeepRNN got a state of shape \(2, 2, 4\); expected \(4, "
    ):
        model(torch.zeros(5, 2, 3), torch.zeros(2, 2, 4))


@pytest.mark.parametrize(
    "make",
    [lambda cell: deep(cell, 2), lambda cell: both_ways(cell, 3, 4)],
    ids=["DeepRNN", "Bidirectional"],
)
def test_the_batch_and_the_kind_of_the_state_are_checked_by_the_cells(make):
    inputs = torch.zeros(5, 2, 3)
    with pytest.raises(
        ValueError,
        match=r"^GRUScratch got a state of shape \(1, 3, 4\); .* = \(1, 2, 4\)",
    ):
        make(GRUScratch)(inputs, torch.zeros(2, 3, 4))
    with pytest.raises(
        TypeError, match=r"^LSTMScratch got a state of type Tensor; expected a pair"
    ):
        make(LSTMScratch)(inputs, torch.zeros(2, 2, 4))


@pytest.mark.parametrize(
    "layer",
    [
        DeepRNN([GRUScratch(3, 4), GRUScratch(4, 5)]),
        DeepRNN([GRUScratch(3, 4), LSTMScratch(4, 4)]),
        DeepRNN([nn.LSTM(3, 4), nn.RNN(4, 4)]),
        Bidirectional(GRUScratch(3, 4), LSTMScratch(3, 4)),
    ],
    ids=["widths", "kinds", "PyTorch's", "two directions"],
)
def test_layers_whose_states_do_not_fit_together_are_refused(layer):
    with pytest.raises(
        ValueError,
        match=r"^the layers have states of different kinds or widths; expected",
    ):
        layer(torch.zeros(5, 2, 3))


@pytest.mark.parametrize(
    "layer",
    [
        deep(GRUScratch, 2),
        deep(nn.GRU, 2),
        deep(LSTMScratch, 2),
        deep(nn.LSTM, 2),
        both_ways(nn.LSTM, 3, 4),
    ],
    ids=["GRUScratch", "nn.GRU", "LSTMScratch", "nn.LSTM", "both ways"],
)
def test_a_list_is_no_state(layer):
    with pytest.raises(
        TypeError,
        match=r"^a state holds a list; expected a tensor, or a pair of them",
    ):
        layer(torch.zeros(5, 2, 3), [torch.zeros(2, 2, 4)] * 2)


@pytest.mark.parametrize("num_layers", [1, 3])
def test_deep_layers_say_how_many_they_are(num_layers):
    assert deep(GRUScratch, num_layers).num_layers == num_layers
    assert deep(partial(both_ways, nn.GRU), num_layers).num_layers == num_layers


# ---- Reversed and Bidirectional ----


@pytest.mark.parametrize("build", [*SCRATCH.values(), *SCRATCH])
def test_a_reversed_layer_reads_from_the_right_and_leaves_outputs_at_their_places(
    build,
):
    torch.manual_seed(0)
    layer, inputs = build(3, 4).double(), draw(6, 2, 3)
    outputs, last = Reversed(layer)(inputs)
    flipped, expected = layer(inputs.flip(0))
    torch.testing.assert_close(outputs.flip(0), flipped)
    torch.testing.assert_close(last, expected)
    for step in range(6):  # each output is the state after all from the right end on
        _, state = layer(inputs[step:].flip(0))
        torch.testing.assert_close(outputs[step], parts_of(state)[0][0])


@pytest.mark.parametrize("build", [*SCRATCH.values(), *SCRATCH])
def test_a_reversed_row_begins_at_its_own_end(build):
    torch.manual_seed(0)
    layer = Reversed(build(3, 4).double())
    inputs, lengths = draw(6, 3, 3), [4, 6, 1]
    outputs, last = layer(inputs, None, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        alone, state = layer(inputs[:length, row : row + 1])
        torch.testing.assert_close(outputs[:length, row : row + 1], alone)
        assert not outputs[length:, row].any()
        for part, expected in zip(parts_of(last), parts_of(state), strict=True):
            torch.testing.assert_close(part[:, row : row + 1], expected)


def test_the_two_directions_stand_side_by_side_the_first_from_left_to_right():
    torch.manual_seed(0)
    layer, inputs = both_ways(GRUScratch, 3, 4), torch.randn(6, 2, 3)
    outputs, state = layer(inputs)
    right, last = layer.rightward(inputs)
    left, first = layer.leftward(inputs)
    assert torch.equal(outputs, torch.cat([right, left], dim=2))
    assert torch.equal(state, torch.cat([last, first]))
    assert torch.equal(state[0], outputs[-1, :, :4])
    assert torch.equal(state[1], outputs[0, :, 4:])


# ---- Embedded ----


@pytest.mark.parametrize("build", [*SCRATCH.values(), *SCRATCH])
def test_an_embedded_layer_is_an_embedding_and_the_layer(build):
    torch.manual_seed(0)
    rnn = build(3, 4)
    layer, ids = Embedded(rnn, 9), torch.randint(9, (6, 2))
    embedding = nn.Embedding(9, 3)
    embedding.load_state_dict({"weight": layer.W_e})
    outputs, state = layer(F.one_hot(ids, 9).float())
    torch.testing.assert_close((outputs, state), rnn(embedding(ids)))
    torch.testing.assert_close(
        layer(F.one_hot(ids, 9).float(), state), rnn(embedding(ids), state)
    )


def test_an_embedding_is_trained_where_its_characters_are():
    torch.manual_seed(0)
    layer, ids = Embedded(GRUScratch(3, 4), 9), torch.tensor([[0], [7], [2]])
    layer(F.one_hot(ids, 9).float())[0].sum().backward()
    moved = layer.W_e.grad.abs().sum(1) > 0
    assert moved.nonzero().flatten().tolist() == [0, 2, 7]


def test_an_embedded_layer_makes_a_language_model():
    model = LanguageModel(Embedded(deep(LSTMScratch, 2), 9), 9)
    logits, (H, C) = model(torch.zeros(5, 2, dtype=torch.int64))
    assert logits.shape == (5, 2, 9)
    assert H.shape == C.shape == (2, 2, 4)


# ---- In a model, and on a device ----


@pytest.mark.parametrize("build", [*SCRATCH.values(), *SCRATCH])
def test_the_gradient_reaches_every_layer_and_the_first_input(build):
    torch.manual_seed(0)
    model = LastStep(deep(build, 3, 2, 8))
    inputs = torch.randn(7, 5, 2, requires_grad=True)
    model(inputs).sum().backward()
    assert (inputs.grad[0] != 0).any(dim=1).all()
    assert all(p.grad.abs().max() > 0 for p in model.parameters())


@pytest.mark.parametrize(
    "layer",
    [
        deep(GRUScratch, 2),
        both_ways(GRUScratch, 3, 4),
        Reversed(GRUScratch(3, 4)),
        Residual(GRUScratch(3, 4)),
        Normalized(GRUScratch(3, 4)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_inputs_on_another_device_or_of_another_dtype_are_refused(layer):
    with pytest.raises(ValueError, match="inputs on device meta; expected cpu"):
        layer(torch.zeros(5, 2, 3, device="meta"))
    with pytest.raises(
        TypeError, match=r"inputs of dtype torch\.float64; expected torch\.float32"
    ):
        layer(torch.zeros(5, 2, 3).double())


@pytest.mark.cuda
@kinds
@pytest.mark.parametrize("lengths", [None, torch.tensor([2, 5, 1])], ids=str)
def test_on_cuda_the_copy_is_pytorchs_layer_too(kind, lengths):
    torch.manual_seed(0)
    module = kind(3, 4, 2, bidirectional=True).double().cuda()
    ours = copy_of(module)
    inputs = draw(6, 3, 3).cuda()
    outputs, last = ours(inputs, None, lengths)
    expected, state = run_torchs(module, inputs, None, lengths)
    assert outputs.is_cuda
    assert_equal([outputs, *parts_of(last)], [expected, *parts_of(state)])
