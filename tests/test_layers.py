import re
import warnings
from functools import partial

import pytest
import torch
from torch import nn

from utils.cells import GRUScratch, LSTMScratch, RNNScratch
from utils.layers import (
    check_depth,
    check_layer,
    check_pair,
    check_parts,
    check_stack,
    direction_count,
    directions,
    input_size,
    join_states,
    output_size,
    split_state,
    unstack,
)
from utils.models import (
    Bidirectional,
    DeepRNN,
    Embedded,
    LanguageModel,
    LastStep,
    Normalized,
    Residual,
    Reversed,
    Tagger,
    make_layers,
)

# ---- The layers that a model can use ----

builders = pytest.mark.parametrize(
    "build",
    [partial(LanguageModel, vocab_size=28), LastStep, partial(Embedded, vocab_size=28)],
    ids=["LanguageModel", "LastStep", "Embedded"],
)


def both_ways(layer, *sizes):
    return Bidirectional(layer(*sizes), layer(*sizes))


def build_deep(make_layer, num_layers=2):
    return DeepRNN(make_layers(make_layer, 28, 8, num_layers))


BAD_LAYERS = [
    (nn.GRU(28, 8, batch_first=True), "GRU with batch_first=True"),
    (nn.RNN(28, 8, bidirectional=True), "RNN with bidirectional=True"),
    (nn.LSTM(28, 8, proj_size=4), "LSTM with proj_size=4"),
    (both_ways(GRUScratch, 28, 8), "Bidirectional with bidirectional=True"),
    (Reversed(GRUScratch(28, 8)), "Reversed with right_to_left=True"),
    (Reversed(nn.LSTM(28, 8)), "Reversed with right_to_left=True"),
    (build_deep(partial(both_ways, LSTMScratch)), "DeepRNN with bidirectional=True"),
    (
        build_deep(partial(nn.GRU, bidirectional=True)),
        "DeepRNN with bidirectional=True",
    ),
    (
        build_deep(lambda *sizes: Reversed(RNNScratch(*sizes))),
        "Reversed with right_to_left=True",
    ),
    (
        DeepRNN([nn.GRU(28, 8, bidirectional=True), nn.GRU(16, 8)]),
        "GRU with bidirectional=True",
    ),
    (
        DeepRNN([GRUScratch(28, 8), Reversed(GRUScratch(8, 8)), GRUScratch(8, 8)]),
        "Reversed with right_to_left=True",
    ),
]


@builders
@pytest.mark.parametrize(
    ("layer", "what"),
    BAD_LAYERS,
    ids=[f"{type(layer).__name__}: {what}" for layer, what in BAD_LAYERS],
)
def test_a_layer_that_a_model_cannot_use_is_refused(build, layer, what):
    with pytest.raises(
        ValueError,
        match=rf"^the model got a {what}; expected a layer that reads "
        r"\(num_steps, batch, num_inputs\) from left to right\.$",
    ):
        build(layer)


@builders
@pytest.mark.parametrize(
    "layer",
    [
        build_deep(LSTMScratch),
        build_deep(nn.GRU, 1),
        nn.LSTM(28, 8, 3),
        Embedded(build_deep(GRUScratch), 28),
        build_deep(lambda *sizes: Normalized(Residual(RNNScratch(*sizes)))),
    ],
    ids=["deep", "DeepRNN of one", "three of PyTorch's", "embedded", "normalized"],
)
def test_a_stack_that_reads_from_left_to_right_is_used(build, layer):
    assert build(layer).rnn is layer


@builders
def test_something_that_is_no_recurrent_layer_is_refused(build):
    with pytest.raises(
        TypeError, match=r"^the model got a Linear; expected a recurrent layer\.$"
    ):
        build(nn.Linear(28, 8))


def test_a_language_model_needs_an_input_for_each_character(any_layer):
    layer = any_layer(27, 8)
    with pytest.raises(
        ValueError,
        match=rf"^the model got a {type(layer).__name__} with 27 inputs; expected 28 "
        r"\(for one-hot characters, the vocabulary's size\)\.$",
    ):
        LanguageModel(layer, 28)


def test_any_number_of_inputs_will_do_unless_one_is_given(any_layer):
    assert check_layer(any_layer(27, 8)) == check_layer(any_layer(28, 8), 28) == 8


# ---- Sizes ----


@pytest.mark.parametrize(
    ("layer", "inputs", "outputs", "count"),
    [
        (GRUScratch(3, 4), 3, 4, 1),
        (nn.LSTM(3, 4, 2), 3, 4, 1),
        (nn.GRU(3, 4, bidirectional=True), 3, 8, 2),
        (both_ways(RNNScratch, 3, 4), 3, 8, 2),
        (Reversed(LSTMScratch(3, 4)), 3, 4, 1),
        (Residual(GRUScratch(3, 4)), 3, 4, 1),
        (Normalized(nn.LSTM(3, 4)), 3, 4, 1),
        (DeepRNN([GRUScratch(3, 4), nn.RNN(4, 4)]), 3, 4, 1),
        (DeepRNN([GRUScratch(3, 4), both_ways(GRUScratch, 4, 4)]), 3, 8, 2),
        (DeepRNN([both_ways(GRUScratch, 3, 4), GRUScratch(8, 4)]), 3, 4, 1),
        (Embedded(nn.GRU(3, 4), 9), 9, 4, 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_sizes_of_a_layer_are_those_of_what_it_reads_and_puts_out(
    layer, inputs, outputs, count
):
    assert (input_size(layer), output_size(layer)) == (inputs, outputs)
    assert direction_count(layer) == count
    assert layer(torch.zeros(5, 2, inputs))[0].shape == (5, 2, outputs)


@pytest.mark.parametrize("size", [input_size, output_size])
def test_what_is_no_recurrent_layer_has_no_such_size(size):
    with pytest.raises(TypeError, match=r"got a Linear; expected a recurrent layer\.$"):
        size(nn.Linear(3, 4))


# ---- Depth and dropout ----


@pytest.mark.parametrize("num_layers", [0, -1, 1.5, "2"])
def test_a_depth_below_1_is_refused(num_layers):
    with pytest.raises(
        ValueError,
        match=f"^num_layers is {num_layers!r}; expected a whole number of at least 1",
    ):
        check_depth(num_layers, 0.0)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 1.5, float("nan")])
def test_a_dropout_that_is_no_share_below_1_is_refused(dropout):
    with pytest.raises(
        ValueError,
        match=f"^dropout is {dropout}; expected a share of at least 0 and below 1",
    ):
        check_depth(2, dropout)


@pytest.mark.parametrize(("num_layers", "dropout"), [(1, 0.0), (2, 0.0), (2, 0.99)])
def test_a_depth_that_makes_sense_raises_and_warns_of_nothing(num_layers, dropout):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_depth(num_layers, dropout)


# ---- Layers that do not fit together ----


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [GRUScratch(3, 4), GRUScratch(5, 4)],
            "layer 1 puts out 4 numbers a step, but layer 2 reads 5; expected the same",
        ),
        (
            [nn.GRU(3, 4), nn.GRU(4, 4, bidirectional=True), nn.GRU(4, 4)],
            "layer 2 puts out 8 numbers a step, but layer 3 reads 4; expected the same",
        ),
        (
            [nn.GRU(3, 4, batch_first=True)],
            "got a GRU with batch_first=True; expected batch_first=False",
        ),
        (
            [GRUScratch(3, 4), nn.LSTM(4, 4, 2)],
            "got a LSTM with num_layers=2; expected num_layers=1",
        ),
        (
            [DeepRNN([GRUScratch(3, 4), GRUScratch(4, 4)]), GRUScratch(4, 4)],
            "got a DeepRNN with num_layers=2; expected num_layers=1",
        ),
        (
            [Residual(nn.GRU(3, 4, 2)), GRUScratch(4, 4)],
            "got a GRU with num_layers=2; expected num_layers=1",
        ),
        (
            [nn.LSTM(3, 4, proj_size=2), nn.LSTM(2, 4)],
            "got a LSTM with proj_size=2; expected proj_size=0",
        ),
        ([], "num_layers is 0; expected a whole number of at least 1"),
    ],
    ids=[
        "sizes",
        "two directions",
        "batch_first",
        "a stack",
        "a stack of ours",
        "a wrapped stack",
        "projected",
        "none",
    ],
)
def test_layers_that_do_not_fit_on_top_of_each_other_are_refused(layers, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        check_stack(layers, 0.0)
    with pytest.raises(ValueError, match=f"^{message}"):
        DeepRNN(layers)


@pytest.mark.parametrize("layers", [[nn.Linear(3, 4)], [nn.GRU(3, 4), nn.Linear(4, 4)]])
def test_a_stack_takes_recurrent_layers_only(layers):
    with pytest.raises(TypeError, match=r"got a Linear; expected a recurrent layer\.$"):
        DeepRNN(layers)


@pytest.mark.parametrize("other", [GRUScratch(3, 5), GRUScratch(2, 4)], ids=str)
def test_the_two_directions_must_have_the_same_sizes(other):
    sizes = rf"\(3, 4\) and \({other.num_inputs}, {other.num_hiddens}\)"
    with pytest.raises(
        ValueError,
        match=rf"^the two directions have \(num_inputs, num_hiddens\) {sizes}; expected "
        r"the same\.$",
    ):
        check_pair(GRUScratch(3, 4), other)
    with pytest.raises(ValueError, match=f"^the two directions have .* {sizes}"):
        Bidirectional(GRUScratch(3, 4), other)


@pytest.mark.parametrize(
    ("stack", "what"),
    [
        (nn.GRU(3, 4, 2), "GRU"),
        (DeepRNN([GRUScratch(3, 4), GRUScratch(4, 4)]), "DeepRNN"),
        (Normalized(nn.LSTM(3, 4, 2)), "LSTM"),
    ],
    ids=["PyTorch's", "ours", "wrapped"],
)
def test_a_stack_is_no_direction(stack, what):
    for pair in [(stack, stack), (GRUScratch(3, 4), stack), (stack, GRUScratch(3, 4))]:
        with pytest.raises(
            ValueError,
            match=f"^got a {what} with num_layers=2; expected num_layers=1",
        ):
            Bidirectional(*pair)


def test_a_stack_of_one_layer_may_stand_for_the_layer():
    one = DeepRNN([GRUScratch(3, 4)])
    layer = DeepRNN(
        [Bidirectional(one, nn.GRU(3, 4)), nn.GRU(8, 4, bidirectional=True)]
    )
    outputs, state = layer(torch.zeros(5, 2, 3))
    assert outputs.shape == (5, 2, 8)
    assert layer(torch.zeros(5, 2, 3), state)[1].shape == (4, 2, 4)


@pytest.mark.parametrize("wrap", [lambda layer: layer, nn.Sequential, nn.ModuleList])
@pytest.mark.parametrize(
    ("layer", "wrong", "right"),
    [
        (nn.GRU(3, 4, batch_first=True), "batch_first=True", "batch_first=False"),
        (nn.LSTM(3, 4, proj_size=2), "proj_size=2", "proj_size=0"),
        (nn.RNN(3, 4, 3), "num_layers=3", "num_layers=1"),
        (nn.RNN(3, 4, bidirectional=True), "bidirectional=True", "bidirectional=False"),
    ],
    ids=["batch_first", "proj_size", "num_layers", "bidirectional"],
)
def test_every_part_of_a_layer_is_checked(wrap, layer, wrong, right):
    whole = (
        wrap(layer) if wrap is not nn.ModuleList else wrap([GRUScratch(3, 4), layer])
    )
    with pytest.raises(
        ValueError,
        match=rf"^got a {type(layer).__name__} with {wrong}; expected {right}\.$",
    ):
        check_parts(whole, num_layers=1, bidirectional=False)


def test_a_setting_that_is_not_asked_for_or_that_a_part_does_not_have_is_fine(
    any_layer,
):
    check_parts(any_layer(3, 4), num_layers=1, bidirectional=False)
    check_parts(nn.GRU(3, 4, 2, bidirectional=True))
    check_parts(nn.Linear(3, 4), num_layers=1)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.GRU(5, 4, batch_first=True), "got a GRU with batch_first=True; expected"),
        (nn.LSTM(5, 4, proj_size=2), "got a LSTM with proj_size=2; expected"),
    ],
    ids=["batch_first", "proj_size"],
)
def test_a_tagger_refuses_what_no_model_can_use(layer, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Tagger(layer, 5, 2)


@pytest.mark.parametrize(
    "layer",
    [
        nn.LSTM(5, 4, 2, bidirectional=True),
        both_ways(GRUScratch, 5, 4),
        Reversed(GRUScratch(5, 4)),
        DeepRNN([GRUScratch(5, 4), nn.GRU(4, 4)]),
    ],
    ids=["PyTorch's", "both ways", "reversed", "deep"],
)
def test_a_tagger_may_read_from_right_to_left_and_be_deep(layer):
    tagger = Tagger(layer, 5, 2)
    assert tagger(torch.zeros(6, 3, dtype=torch.int64)).shape == (6, 3, 2)


def test_the_sizes_of_two_directions_are_returned():
    assert check_pair(GRUScratch(3, 4), nn.GRU(3, 4)) == (3, 4)


@pytest.mark.parametrize(
    "wrap",
    [
        Reversed,
        Residual,
        Normalized,
        lambda layer: Bidirectional(layer, layer),
        lambda layer: Bidirectional(nn.GRU(3, 4), layer),
    ],
    ids=["Reversed", "Residual", "Normalized", "both ways", "the second of two"],
)
@pytest.mark.parametrize(
    ("layer", "what"),
    [
        (nn.GRU(3, 2, bidirectional=True), "GRU with bidirectional=True"),
        (nn.GRU(3, 4, batch_first=True), "GRU with batch_first=True"),
        (Reversed(nn.GRU(3, 4)), "Reversed with right_to_left=True"),
    ],
    ids=["both ways", "batch_first", "reversed"],
)
def test_a_layer_inside_another_must_read_from_left_to_right(wrap, layer, what):
    with pytest.raises(ValueError, match=f"^the model got a {what}; expected a layer"):
        wrap(layer)


@pytest.mark.parametrize("num_layers", [0, -1, 1.0])
def test_less_than_one_layer_cannot_be_made(num_layers):
    with pytest.raises(
        ValueError,
        match=f"^num_layers is {num_layers}; expected a whole number of at least 1",
    ):
        make_layers(GRUScratch, 3, 4, num_layers)


def test_each_layer_that_is_made_reads_what_the_one_below_puts_out():
    for make, expected in [
        (GRUScratch, [(3, 4), (4, 4), (4, 4)]),
        (partial(nn.LSTM, bidirectional=True), [(3, 8), (8, 8), (8, 8)]),
        (partial(both_ways, GRUScratch), [(3, 8), (8, 8), (8, 8)]),
    ]:
        layers = make_layers(make, 3, 4, 3)
        assert [(input_size(layer), output_size(layer)) for layer in layers] == expected


# ---- States of several layers ----


def parts_of(state):
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize("sizes", [[1], [1, 1], [2, 1, 3]], ids=str)
@pytest.mark.parametrize("num_parts", [1, 2], ids=["one tensor", "a pair"])
def test_states_are_joined_in_order_and_split_again(sizes, num_parts):
    states = []
    for size in sizes:
        parts = [torch.rand(size, 3, 4) for _ in range(num_parts)]
        states.append(tuple(parts) if num_parts > 1 else parts[0])
    joined = join_states(states)
    assert isinstance(joined, tuple) is (num_parts > 1)
    for place, part in enumerate(parts_of(joined)):
        expected = torch.cat([parts_of(state)[place] for state in states])
        assert torch.equal(part, expected)
    again = split_state(nn.Identity(), joined, sizes)
    assert [type(state) for state in again] == [type(state) for state in states]
    for one, other in zip(again, states, strict=True):
        assert all(map(torch.equal, parts_of(one), parts_of(other)))


def test_no_state_is_none_for_every_layer():
    assert split_state(nn.Identity(), None, [1, 2, 1]) == [None] * 3


H = torch.zeros(1, 3, 4)


@pytest.mark.parametrize(
    "states",
    [[H, torch.zeros(1, 3, 5)], [H, (H, H)], [(H, H), (torch.zeros(1, 3, 5),) * 2]],
    ids=["widths", "kinds", "widths of pairs"],
)
def test_states_of_different_kinds_or_widths_cannot_be_joined(states):
    message = (
        "^the layers have states of different kinds or widths; expected one kind of "
        r"layer, and one num_hiddens\.$"
    )
    for order in (states, states[::-1]):
        with pytest.raises(ValueError, match=message):
            join_states(order)


@pytest.mark.parametrize("state", [[H, H], 0, "H", H.numpy()], ids=type)
def test_what_is_no_tensor_is_no_state(state):
    with pytest.raises(
        TypeError,
        match=f"^a state holds a {type(state).__name__}; expected a tensor, or a pair",
    ):
        split_state(nn.Identity(), state, [1])


@pytest.mark.parametrize("shape", [(2, 3, 4), (4, 3, 4), (3, 4)], ids=str)
@pytest.mark.parametrize(
    "pair",
    [lambda s: s, lambda s: (s, H.expand(3, 3, 4)), lambda s: (H.expand(3, 3, 4), s)],
    ids=["one tensor", "the first of two", "the second of two"],
)
def test_a_state_of_another_number_of_layers_cannot_be_split(shape, pair):
    with pytest.raises(
        ValueError,
        match=rf"^Identity got a state of shape {re.escape(str(shape))}; expected "
        r"\(3, batch, num_hiddens\), one entry for each of its layers and directions\.$",
    ):
        split_state(nn.Identity(), pair(torch.zeros(shape)), [2, 1])


# ---- The parts of a layer of PyTorch ----

kinds = pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])


@kinds
@pytest.mark.parametrize("both", [False, True], ids=["one direction", "two"])
def test_the_layers_of_a_module_run_one_after_the_other_are_the_module(kind, both):
    torch.manual_seed(0)
    module = kind(3, 4, num_layers=3, bidirectional=both).double()
    inputs = torch.randn(5, 2, 3, dtype=torch.float64)
    outputs, parts = inputs, [*unstack(module)]
    for part in parts:
        outputs, _ = part(outputs)
    assert [part.num_layers for part in parts] == [1, 1, 1]
    torch.testing.assert_close(outputs, module(inputs)[0])


@kinds
def test_the_directions_of_a_module_run_apart_are_the_module(kind):
    torch.manual_seed(0)
    module = kind(3, 4, bidirectional=True).double()
    inputs = torch.randn(5, 2, 3, dtype=torch.float64)
    right, left = directions(module)
    both = [right(inputs)[0], left(inputs.flip(0))[0].flip(0)]
    torch.testing.assert_close(torch.cat(both, dim=-1), module(inputs)[0])


def test_a_part_shares_no_memory_with_the_module():
    module = nn.GRU(3, 4, 2)
    part = [*unstack(module)][1]
    before = part.weight_hh_l0.clone()
    nn.init.zeros_(module.weight_hh_l1)
    assert torch.equal(part.weight_hh_l0, before)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"num_layers": 2, "bidirectional": True}, "num_layers=2; only num_layers=1"),
        ({}, "bidirectional=False; only bidirectional=True"),
    ],
    ids=["two layers", "one direction"],
)
def test_only_one_layer_of_two_directions_has_two_to_take_apart(settings, wrong):
    with pytest.raises(ValueError, match=f"^got a GRU with {wrong} is supported"):
        next(directions(nn.GRU(3, 4, **settings)))


@pytest.mark.parametrize("take_apart", [unstack, directions])
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (nn.GRU, {"batch_first": True}),
        (nn.GRU, {"bias": False}),
        (nn.LSTM, {"proj_size": 2}),
        (nn.RNN, {"nonlinearity": "relu"}),
    ],
    ids=str,
)
def test_a_module_with_a_setting_that_we_do_not_build_is_not_taken_apart(
    take_apart, kind, settings
):
    ((name, value),) = settings.items()
    module = kind(3, 4, bidirectional=True, **settings)
    with pytest.raises(
        ValueError, match=f"^got a {kind.__name__} with {name}={value!r}; only {name}="
    ):
        next(take_apart(module))


@pytest.mark.parametrize("layer", [nn.GRU(4, 3), GRUScratch(4, 3)], ids=["nn", "ours"])
def test_a_tagger_refuses_a_layer_that_reads_another_vocabulary(layer):
    with pytest.raises(ValueError, match="with 4 inputs; expected 5"):
        Tagger(layer, 5, 2)
