"""Layers made of layers: stacks, two directions, and what wraps a layer."""

import warnings
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from tests.helpers import seeds
from tests.layers import (
    SCRATCH,
    assert_as_pytorchs,
    assert_equal,
    both_ways,
    cells,
    copy_of,
    deep,
    draw,
    inside,
    kinds,
    lists_of_lengths,
    run_packed_by_hand,
    sizes,
    values_and_gradients,
)
from utils.cells import GRUScratch, LSTMScratch
from utils.contract import input_size, output_size, state_parts
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

widths = st.tuples(sizes, sizes)
some_lengths = pytest.mark.parametrize(
    "lengths", [None, torch.tensor([2, 5, 1])], ids=["whole", "unsorted lengths"]
)


# ---- As deep as PyTorch's, in one direction and in two ----


@kinds
@pytest.mark.parametrize("packed", [False, True], ids=["whole", "packed"])
@pytest.mark.parametrize("both", [False, True], ids=["one way", "both ways"])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@given(lists_of_lengths, st.integers(0, 2), widths, st.booleans(), seeds)
@settings(max_examples=15)
def test_outputs_states_and_gradients_are_pytorchs(
    kind, num_layers, both, packed, lengths, more, widths, with_state, seed
):
    torch.manual_seed(seed)
    module = kind(*widths, num_layers, bidirectional=both).double()
    inputs = draw(max(lengths) + more, len(lengths), widths[0])
    lengths = torch.tensor(lengths) if packed else None
    assert_as_pytorchs(module, copy_of(module), inputs, with_state, lengths)


@kinds
@pytest.mark.parametrize("with_state", [False, True], ids=["zeros", "a state"])
@some_lengths
def test_two_directions_alone_are_pytorchs(kind, with_state, lengths):
    torch.manual_seed(0)
    module = kind(3, 4, bidirectional=True).double()
    ours = Bidirectional(*map(SCRATCH[kind].from_torch, directions(module)))
    assert_as_pytorchs(module, ours, draw(6, 3, 3), with_state, lengths)


@kinds
@some_lengths
def test_layers_of_pytorch_can_be_stacked_too(kind, lengths):
    torch.manual_seed(0)
    module, inputs = kind(3, 4, 2, bidirectional=True).double(), draw(6, 3, 3)
    ours = partial(DeepRNN(unstack(module)), lengths=lengths)
    theirs = partial(run_packed_by_hand, module, lengths=lengths)
    assert_equal(*[values_and_gradients(read, inputs) for read in (ours, theirs)])


@pytest.mark.cuda
@kinds
@some_lengths
def test_on_cuda_the_copy_is_pytorchs_layer_too(kind, lengths):
    torch.manual_seed(0)
    module = kind(3, 4, 2, bidirectional=True).double().cuda()
    assert_as_pytorchs(module, copy_of(module), draw(6, 3, 3).cuda(), lengths=lengths)


# ---- Making a stack ----


@pytest.mark.parametrize(
    ("make", "sizes"),
    [
        (GRUScratch, [(3, 4), (4, 4), (4, 4)]),
        (partial(nn.LSTM, bidirectional=True), [(3, 8), (8, 8), (8, 8)]),
        (partial(both_ways, GRUScratch), [(3, 8), (8, 8), (8, 8)]),
    ],
    ids=["one way", "PyTorch's both ways", "both ways"],
)
def test_each_layer_that_is_made_reads_what_the_one_below_puts_out(make, sizes):
    layers = make_layers(make, 3, 4, 3)
    assert [(input_size(layer), output_size(layer)) for layer in layers] == sizes
    assert DeepRNN(layers).num_layers == 3


@pytest.mark.parametrize("num_layers", [0, 1.0])
def test_less_than_one_layer_cannot_be_made(num_layers):
    with pytest.raises(ValueError, match=f"^num_layers is {num_layers}; expected a wh"):
        make_layers(GRUScratch, 3, 4, num_layers)


def test_a_stack_of_one_layer_may_stand_for_the_layer():
    below = Bidirectional(DeepRNN([GRUScratch(3, 4)]), nn.GRU(3, 4))
    layer = DeepRNN([below, nn.GRU(8, 4, bidirectional=True)])
    outputs, state = layer(torch.zeros(5, 2, 3))
    assert outputs.shape == (5, 2, 8)
    assert layer(torch.zeros(5, 2, 3), state)[1].shape == (4, 2, 4)


# ---- Dropout ----


def test_dropout_acts_between_layers_and_nowhere_else():
    torch.manual_seed(0)
    model = deep(GRUScratch, 3, 50, num_layers=3, dropout=0.5)
    inputs, read, written = torch.randn(6, 2, 3), [], []

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
    plain, inputs = deep(GRUScratch, 3, 4), torch.randn(6, 2, 3)
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
    with pytest.warns(UserWarning, match=r"num_layers is 1: .* nothing is") as caught:
        model = DeepRNN([GRUScratch(3, 4)], dropout=0.5)
    assert [warning.filename for warning in caught] == [__file__]
    inputs = torch.randn(6, 2, 3)
    assert torch.equal(model(inputs)[0], model.eval()(inputs)[0])


def test_dropout_with_two_layers_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        deep(GRUScratch, 3, 4, dropout=0.5)


# ---- Residual connections and layer normalization ----


def test_a_residual_layer_adds_its_inputs_if_they_are_as_wide_as_its_outputs(any_layer):
    torch.manual_seed(0)
    same, wider = any_layer(4, 4), any_layer(3, 4)
    inputs = torch.randn(6, 2, 4)
    outputs, state = same(inputs)
    torch.testing.assert_close(Residual(same)(inputs), (outputs + inputs, state))
    assert torch.equal(Residual(wider)(inputs[..., :3])[0], wider(inputs[..., :3])[0])


def test_a_normalized_layer_has_outputs_of_mean_0_and_variance_1(any_layer):
    torch.manual_seed(0)
    layer, inputs = Normalized(any_layer(3, 8)).double(), draw(6, 2, 3)
    outputs, state = layer(inputs)
    torch.testing.assert_close(outputs.mean(-1), draw(6, 2) * 0)
    raw, last = layer.layer(inputs)
    variance = raw.var(-1, unbiased=False, keepdim=True)
    expected = (raw - raw.mean(-1, keepdim=True)) / (variance + 1e-5).sqrt()
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(state, last)  # the state is not normalized
    nn.init.constant_(layer.norm.weight, 3.0)
    nn.init.constant_(layer.norm.bias, 1.0)
    torch.testing.assert_close(layer(inputs)[0], 3 * expected + 1)


@cells
def test_a_stack_of_residual_and_normalized_layers_is_what_a_loop_computes(cell):
    torch.manual_seed(0)
    model = deep(inside(Normalized, Residual, cell), 3, 4, num_layers=3).double()
    outputs = inputs = draw(6, 2, 3)
    states = []
    for depth, layer in enumerate(model.layers):
        above, state = layer.layer.layer(outputs)
        above = above + outputs if depth else above  # the lowest reads 3, not 4
        outputs = F.layer_norm(above, (4,))
        states.append(state_parts(state)[0])
    result, last = model(inputs)
    assert_equal([result, state_parts(last)[0]], [outputs, torch.cat(states)])


# ---- Reversed and Bidirectional ----


def test_a_reversed_layer_reads_from_the_right_and_outputs_keep_their_places(any_layer):
    torch.manual_seed(0)
    layer, inputs = any_layer(3, 4).double(), draw(6, 2, 3)
    outputs, last = Reversed(layer)(inputs)
    flipped, expected = layer(inputs.flip(0))
    torch.testing.assert_close(outputs.flip(0), flipped)
    torch.testing.assert_close(last, expected)
    for step in range(6):  # each output is the state after all from the right end on
        _, state = layer(inputs[step:].flip(0))
        torch.testing.assert_close(outputs[step], state_parts(state)[0][0])


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


def test_an_embedded_layer_is_an_embedding_and_the_layer(any_layer):
    torch.manual_seed(0)
    rnn = any_layer(3, 4)
    layer, ids = Embedded(rnn, 9), torch.randint(9, (6, 2))
    inputs, embedded = F.one_hot(ids, 9).float(), F.embedding(ids, layer.W_e)
    outputs, state = layer(inputs)
    torch.testing.assert_close((outputs, state), rnn(embedded))
    torch.testing.assert_close(layer(inputs, state), rnn(embedded, state))


def test_an_embedding_is_trained_where_its_characters_are():
    torch.manual_seed(0)
    layer, ids = Embedded(GRUScratch(3, 4), 9), torch.tensor([[0], [7], [2]])
    layer(F.one_hot(ids, 9).float())[0].sum().backward()
    moved = layer.W_e.grad.abs().sum(1) > 0
    assert moved.nonzero().flatten().tolist() == [0, 2, 7]


# ---- What is refused; the tests of the contract compare the messages ----

WRAPPERS = {
    "Residual": Residual,
    "Normalized": Normalized,
    "Reversed": Reversed,
    "Embedded": lambda layer: Embedded(layer, 9),
    "the first of two directions": lambda layer: Bidirectional(layer, nn.GRU(3, 4)),
    "the second of two directions": lambda layer: Bidirectional(nn.GRU(3, 4), layer),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize(
    ("layer", "error"),
    [
        (nn.Linear(3, 4), TypeError),
        (nn.GRU(3, 4, batch_first=True), ValueError),
        (nn.GRU(3, 2, bidirectional=True), ValueError),
        (Reversed(nn.GRU(3, 4)), ValueError),
    ],
    ids=["no layer", "batch_first", "both ways", "reversed"],
)
def test_a_layer_inside_another_must_read_from_left_to_right(wrap, layer, error):
    with pytest.raises(error, match=r"got a .*; expected"):
        wrap(layer)


def test_layers_that_do_not_fit_together_are_refused():
    for other in (GRUScratch(5, 4), nn.GRU(4, 4, 2)):
        with pytest.raises(ValueError, match="expected"):
            DeepRNN([GRUScratch(3, 4), other])
    for other in (GRUScratch(3, 5), nn.GRU(3, 4, 2)):
        with pytest.raises(ValueError, match="expected"):
            Bidirectional(GRUScratch(3, 4), other)


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (partial(deep, GRUScratch), 2),
        (partial(deep, nn.LSTM), 2),
        (partial(both_ways, GRUScratch), 2),
        (partial(deep, partial(both_ways, GRUScratch)), 4),
    ],
    ids=["deep", "deep, PyTorch's", "both ways", "deep, both ways"],
)
def test_a_state_without_an_entry_for_every_layer_and_direction_is_refused(make, count):
    layer, inputs = make(3, 4), torch.zeros(5, 2, 3)
    assert len(state_parts(layer(inputs)[1])[0]) == count
    parts = state_parts(layer(inputs)[1])
    for wrong in (torch.zeros(count - 1, 2, 4), torch.zeros(count + 1, 2, 4)):
        state = tuple(wrong for _ in parts) if len(parts) > 1 else wrong
        with pytest.raises(ValueError, match=f"{type(layer).__name__} got a state of"):
            layer(inputs, state)
    for state in ([*parts], parts[0] if len(parts) > 1 else parts * 2, ()):
        with pytest.raises(TypeError, match="got a state of type"):
            layer(inputs, state)


@pytest.mark.parametrize("make", [deep, both_ways])
def test_the_batch_and_the_kind_of_the_state_are_looked_at_by_the_cells(make):
    inputs = torch.zeros(5, 2, 3)
    with pytest.raises(ValueError, match=r"^GRUScratch got a state of shape"):
        make(GRUScratch, 3, 4)(inputs, torch.zeros(2, 3, 4))
    with pytest.raises(
        TypeError, match=r" got a state of type Tensor; expected a pair"
    ):
        make(LSTMScratch, 3, 4)(inputs, torch.zeros(2, 2, 4))


@pytest.mark.parametrize(
    "layer",
    [
        DeepRNN([GRUScratch(3, 4), GRUScratch(4, 5)]),
        DeepRNN([nn.LSTM(3, 4), nn.RNN(4, 4)]),
        Bidirectional(GRUScratch(3, 4), LSTMScratch(3, 4)),
    ],
    ids=["widths", "kinds", "two directions"],
)
def test_layers_whose_states_do_not_fit_together_are_refused(layer):
    with pytest.raises(ValueError, match="states of different kinds or widths"):
        layer(torch.zeros(5, 2, 3))


@pytest.mark.parametrize(
    "make",
    [partial(deep, GRUScratch), partial(both_ways, GRUScratch)]
    + [inside(wrapper, GRUScratch) for wrapper in (Residual, Normalized, Reversed)],
    ids=["deep", "both ways", "Residual", "Normalized", "Reversed"],
)
def test_inputs_on_another_device_or_of_another_dtype_are_refused(make):
    with pytest.raises(ValueError, match="inputs on device meta; expected cpu"):
        make(3, 4)(torch.zeros(5, 2, 3, device="meta"))
    with pytest.raises(TypeError, match=r"inputs of dtype torch\.float64; expected"):
        make(3, 4)(torch.zeros(5, 2, 3).double())
