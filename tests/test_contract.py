"""The contract that every layer keeps, and what is said where one breaks it."""

import ast
import warnings
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import utils
from tests.layers import (
    BOTH_WAYS,
    assert_equal,
    both_ways,
    deep,
    draw,
    each_causal,
    each_layer,
    sizes,
    state_of,
)
from utils.cells import GRUScratch, LSTMScratch, RNNScratch
from utils.contract import (
    direction_count,
    input_size,
    join_states,
    map_state,
    output_size,
    require_causal,
    require_decoder_state,
    require_inputs,
    require_layer,
    require_pair,
    require_stack,
    split_state,
    state_parts,
)
from utils.layers import DeepRNN, Residual, Reversed

# ---- What every layer keeps ----


@each_layer
def test_a_layer_reads_and_puts_out_what_its_sizes_say(make):
    layer, ways = make(3, 4), 1 + (make in BOTH_WAYS.values())
    assert (input_size(layer), output_size(layer)) == (3, 4 * ways)
    assert direction_count(layer) == ways
    outputs, state = layer(torch.zeros(5, 2, 3))
    assert outputs.shape == (5, 2, 4 * ways)
    assert all(part.shape[1:] == (2, 4) for part in state_parts(state))


@each_causal
@given(sizes, sizes)
@settings(max_examples=10)
def test_reading_in_two_parts_with_the_state_is_reading_in_one(make, first, second):
    torch.manual_seed(0)
    layer, inputs = make(3, 4).double(), draw(first + second, 2, 3)
    whole, last = layer(inputs)
    one, state = layer(inputs[:first])
    two, state = layer(inputs[first:], state)
    assert_equal([torch.cat([one, two])], [whole])
    assert_equal(state_parts(state), state_parts(last))


# ---- States ----


def test_a_function_of_a_state_is_one_of_each_of_its_parts():
    H, C = draw(1, 2, 3), draw(1, 2, 3)
    assert map_state(pytest.fail, None) is None
    assert torch.equal(map_state(torch.neg, H), -H)
    pair = map_state(torch.sub, (H, C), (C, 2 * C))
    assert isinstance(pair, tuple)
    assert all(map(torch.equal, pair, (H - C, -C)))


def test_states_of_two_kinds_have_no_function_in_common():
    H = draw(1, 2, 3)
    with pytest.raises(ValueError, match="shorter"):
        map_state(torch.sub, (H, H), H)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.sampled_from([1, 2]))
def test_joined_states_stand_in_order_and_are_split_into_the_same_again(counts, parts):
    states = [state_of([draw(n, 3, 4) for _ in range(parts)]) for n in counts]
    joined = join_states(states)
    for place, part in enumerate(state_parts(joined)):
        assert torch.equal(part, torch.cat([state_parts(s)[place] for s in states]))
    layer = (nn.GRU, nn.LSTM)[parts - 1](1, 4)
    again = split_state(layer, joined, counts)
    assert [type(state) for state in again] == [type(state) for state in states]
    for one, other in zip(again, states, strict=True):
        assert all(map(torch.equal, state_parts(one), state_parts(other)))


def test_no_state_is_none_for_every_layer():
    assert split_state(nn.Identity(), None, [1, 2, 1]) == [None] * 3


H = torch.zeros(1, 2, 4)


@pytest.mark.parametrize("other", [torch.zeros(1, 2, 5), (H, H)], ids=["width", "kind"])
def test_states_of_different_kinds_or_widths_cannot_be_joined(other):
    for states in ([H, other], [other, H]):
        with pytest.raises(ValueError, match="states of different kinds or widths"):
            join_states(states)


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        ([H, H], TypeError, "GRU got a state of type list; expected one tensor"),
        ((H, H), TypeError, "GRU got a state of type tuple of 2; expected one tensor"),
        (H[0, :1], ValueError, r"GRU got a state of shape \(1, 4\); expected"),
        (H.expand(3, 2, 4), ValueError, "one entry for each of its layers"),
    ],
    ids=["a list", "a pair", "2-d", "too many"],
)
def test_a_state_that_does_not_have_an_entry_for_each_layer_is_not_split(
    state, error, message
):
    with pytest.raises(error, match=message):
        split_state(nn.GRU(1, 4), state, [1])


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        (H, TypeError, "LSTM got a state of type Tensor; expected a pair"),
        ((H, None), TypeError, r"LSTM got a state of type tuple of 2; expected a pair"),
        ((), TypeError, "LSTM got a state of type tuple of 0; expected a pair"),
        ((H, H.expand(3, 2, 4)), ValueError, r"shape \(3, 2, 4\); expected \(1, "),
    ],
    ids=["a tensor", "half a pair", "nothing", "too many in the second"],
)
def test_a_state_that_is_no_pair_is_not_split_for_an_lstm(state, error, message):
    with pytest.raises(error, match=message):
        split_state(nn.LSTM(1, 4), state, [1])


# ---- Inputs and a state that a layer can read ----


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (H[0], ValueError, r"shape \(2, 4\); expected \(num_steps, batch, 3\)"),
        (H, ValueError, r"shape \(1, 2, 4\); expected \(num_steps, batch, 3\)"),
        (H[:0, :, :3], ValueError, "0 time steps; expected at least 1"),
        (H[..., :3].double(), TypeError, r"float64; .* it with \.to\(torch\.float32\)"),
        (H[..., :3].to("meta"), ValueError, r"on device meta; .* with \.to\('cpu'\)"),
    ],
    ids=["2-d", "width", "no steps", "dtype", "device"],
)
def test_inputs_that_a_layer_cannot_read_are_refused_in_its_name(
    inputs, error, message
):
    class OwnCell(RNNScratch):
        pass

    with pytest.raises(error, match=f"^OwnCell got inputs .*{message}"):
        require_inputs(OwnCell(3, 4), inputs, None)


@pytest.mark.parametrize(
    ("cell", "state", "message"),
    [
        (GRUScratch, torch.zeros(1, 3, 4), r"\(1, 3, 4\); expected .* = \(1, 2, 4\)"),
        (GRUScratch, H[0], r"shape \(2, 4\); .* pass None to start afresh"),
        (LSTMScratch, (H, torch.zeros(2, 2, 4)), r"shape \(2, 2, 4\); expected"),
        (LSTMScratch, (H, H.to("meta")), "device meta; expected cpu"),
    ],
    ids=["batch", "2-d", "C of two layers", "C on another device"],
)
def test_a_state_that_does_not_fit_is_refused(cell, state, message):
    with pytest.raises(ValueError, match=f"^{cell.__name__} got a state .*{message}"):
        require_inputs(cell(3, 4), torch.zeros(5, 2, 3), state)


@pytest.mark.parametrize(
    ("cell", "state", "message"),
    [
        (GRUScratch, (H, H), r"tuple of 2; expected one tensor \(a pair .* is 2\)"),
        (GRUScratch, (H,), "tuple of 1; expected one tensor"),
        (GRUScratch, [H], "list; expected one tensor"),
        (LSTMScratch, H, r"Tensor; expected a pair \(H, C\) of tensors .* or None"),
        (LSTMScratch, (H, H, H), "tuple of 3; expected a pair"),
        (LSTMScratch, (H, None), "tuple of 2; expected a pair"),
        (LSTMScratch, (H, H.half()), r"dtype torch\.float16; expected torch\.float32"),
    ],
    ids=["a pair", "a tuple", "a list", "H", "three", "half a pair", "C of half"],
)
def test_a_state_of_another_kind_or_dtype_is_refused(cell, state, message):
    with pytest.raises(TypeError, match=f"^{cell.__name__} got a state .*{message}"):
        require_inputs(cell(3, 4), torch.zeros(5, 2, 3), state)


def test_what_a_layer_can_read_is_not_refused():
    inputs = torch.zeros(5, 2, 3)
    for state in (None, H):
        require_inputs(GRUScratch(3, 4), inputs, state)
    require_inputs(LSTMScratch(3, 4).double(), inputs.double(), (H.double(),) * 2)


# ---- Layers that a model can use, and layers that fit together ----


def test_what_is_no_recurrent_layer_is_refused():
    for use in (input_size, output_size, require_layer, require_causal):
        with pytest.raises(TypeError, match="got a Linear; expected a recurrent layer"):
            use(nn.Linear(3, 4))


@pytest.mark.parametrize(
    ("layer", "settings", "message"),
    [
        (nn.GRU(3, 4, batch_first=True), {}, "batch_first=True; expected .*=False"),
        (nn.LSTM(3, 4, proj_size=2), {}, "proj_size=2; expected proj_size=0"),
        (GRUScratch(3, 4), {"num_inputs": 5}, "3 inputs; expected 5 .*one-hot"),
        (nn.GRU(3, 4, 2), {"num_layers": 1}, "num_layers=2; expected num_layers=1"),
        (Residual(nn.GRU(3, 4, 2)), {"num_layers": 1}, "num_layers=2; expected"),
    ],
    ids=["batch_first", "proj_size", "inputs", "setting", "of a part"],
)
def test_a_layer_that_cannot_be_used_is_refused(layer, settings, message):
    for require in (require_layer, require_causal):
        with pytest.raises(ValueError, match=rf"got a [A-Z]+\w* with {message}"):
            require(layer, **settings)


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        (nn.RNN(3, 4, bidirectional=True), "RNN with bidirectional=True"),
        (both_ways(GRUScratch, 3, 4), "Bidirectional with bidirectional=True"),
        (Reversed(nn.LSTM(3, 4)), "Reversed with right_to_left=True"),
        (
            deep(partial(nn.GRU, bidirectional=True), 3, 4),
            "DeepRNN with bidirectional=True",
        ),
        (
            DeepRNN([both_ways(GRUScratch, 3, 4), nn.GRU(8, 4)]),
            "Bidirectional with bidirectional=True",
        ),
        (
            DeepRNN([nn.GRU(3, 4), Reversed(nn.GRU(4, 4)), nn.GRU(4, 4)]),
            "Reversed with right_to_left=True",
        ),
    ],
    ids=["PyTorch's", "ours", "reversed", "deep", "the lowest", "one of three"],
)
def test_a_layer_with_a_part_that_reads_from_the_right_is_not_causal(layer, what):
    require_layer(layer, 3)
    with pytest.raises(ValueError, match=f"^got a {what}; expected .*=False"):
        require_causal(layer, 3)


@each_causal
def test_a_layer_that_reads_from_left_to_right_is_causal(make):
    require_causal(make(3, 4))
    require_causal(make(3, 4), 3)


@pytest.mark.parametrize(
    ("layers", "dropout", "message"),
    [
        ([], 0.0, "num_layers is 0; expected a whole number of at least 1"),
        ([GRUScratch(3, 4)] * 2, 0.0, "layer 1 puts out 4 .* layer 2 reads 3"),
        (
            [nn.GRU(3, 4), nn.GRU(4, 4, bidirectional=True), nn.GRU(4, 4)],
            0.0,
            "layer 2 puts out 8 numbers a step, but layer 3 reads 4; .* make_layers",
        ),
        ([nn.GRU(3, 4), nn.GRU(4, 4, 2)], 0.0, "num_layers=2; expected num_layers=1"),
        ([deep(GRUScratch, 3, 4)], 0.0, "DeepRNN with num_layers=2; expected"),
        ([nn.GRU(4, 4)] * 2, 1.0, r"dropout is 1\.0; expected .* below 1"),
        ([nn.GRU(4, 4)] * 2, -0.1, r"dropout is -0\.1; expected .* at least 0"),
        ([nn.GRU(4, 4)] * 2, float("nan"), "dropout is nan; expected a share"),
    ],
)
def test_layers_that_make_no_stack_are_refused(layers, dropout, message):
    with pytest.raises(ValueError, match=message):
        require_stack(layers, dropout)


def test_a_stack_that_makes_sense_raises_and_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        require_stack([GRUScratch(3, 4)], 0.0)
        require_stack([both_ways(nn.GRU, 3, 4), nn.LSTM(8, 5)], 0.99)
        require_stack([DeepRNN([GRUScratch(3, 4)])], 0.0)


@pytest.mark.parametrize("other", [GRUScratch(3, 5), GRUScratch(2, 4)])
def test_the_two_directions_must_have_the_same_sizes(other):
    sizes = rf"\(3, 4\) and \({other.num_inputs}, {other.num_hiddens}\)"
    with pytest.raises(ValueError, match=f"two directions have .* {sizes}; expected"):
        require_pair(GRUScratch(3, 4), other)


@pytest.mark.parametrize(
    "other",
    [nn.GRU(3, 4, 2), nn.GRU(3, 2, bidirectional=True), Reversed(nn.GRU(3, 4))],
    ids=["a stack", "two directions", "one from the right"],
)
def test_each_direction_is_one_layer_that_reads_from_left_to_right(other):
    require_pair(GRUScratch(3, 4), nn.GRU(3, 4))
    for pair in [(GRUScratch(3, 4), other), (other, GRUScratch(3, 4))]:
        with pytest.raises(ValueError, match=r"got a .*; expected "):
            require_pair(*pair)


@pytest.mark.parametrize("shape", [(1, 3, 4), (2, 2, 4), (2, 3, 5), (3, 4)], ids=str)
def test_a_decoder_needs_an_encoders_state_of_its_own_shape(shape):
    rnn = nn.GRU(5, 4, num_layers=2)
    require_decoder_state(rnn, torch.zeros(2, 3, 4), batch=3)
    with pytest.raises(ValueError, match=r"= \(2, 3, 4\)\. Give .* same num_layers"):
        require_decoder_state(rnn, torch.zeros(shape), batch=3)


# ---- Where it is asked for: before the steps, never in them ----

ROOT = Path(utils.__file__).parent
TREES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(ROOT.rglob("*.py"))
}
LOOPS = ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp
STEPS = {"step", "gates", "candidate", "choose"}
# Their loops are over figures, updates and workers, not over steps or characters.
OTHERS = "plots.py", "training.py", "sweep/"


def required_in(tree):
    """Return the names of the ``require_...`` functions that are called in ``tree``."""
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [getattr(call, "id", getattr(call, "attr", "")) for call in calls]
    return [name for name in names if name.lstrip("_").startswith("require_")]


def test_nothing_is_required_at_every_step():
    found = []
    for module, tree in TREES.items():
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef):
                continue
            if function.name.lstrip("_").startswith("require_"):
                continue  # one that looks at each layer, or at each part of a state
            places = [function] if function.name in STEPS else []
            if not module.startswith(OTHERS):
                places += [n for n in ast.walk(function) if isinstance(n, LOOPS)]
            if any(map(required_in, places)):
                found.append(f"{module}: {function.name}")
    assert found == []


def test_the_cells_begin_with_a_class_and_raise_nothing_themselves():
    tree = TREES["cells.py"]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert classes[0].lineno <= 20
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]
