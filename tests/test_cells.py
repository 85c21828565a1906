import re
from itertools import chain, permutations, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from utils.cells import (
    GRUScratch,
    LSTMScratch,
    RNNFunction,
    RNNScratch,
    check_inputs,
    set_forget_bias,
)

sizes = st.integers(1, 6)
seeds = st.integers(0, 1000)

SCRATCH = {nn.RNN: RNNScratch, nn.GRU: GRUScratch, nn.LSTM: LSTMScratch}
GATES = {nn.RNN: "h", nn.GRU: "rzh", nn.LSTM: "ifco"}  # in PyTorch's order
kinds = pytest.mark.parametrize("kind", SCRATCH, ids=lambda kind: kind.__name__)


def build_pair(kind, num_inputs, num_hiddens):
    """Return PyTorch's layer and our copy of it, in float64."""
    module = kind(num_inputs, num_hiddens).double()
    return module, SCRATCH[kind].from_torch(module)


def draw(*shape):
    return torch.randn(shape, dtype=torch.float64)


def parts_of(state):
    return state if isinstance(state, tuple) else (state,)


def state_of(parts):
    """Return the state that has ``parts``: None, a tensor or a pair."""
    return tuple(parts) if len(parts) > 1 else (*parts, None)[0]


def run(layer, inputs, parts, weights):
    """Return outputs, state and the gradients of inputs and state for one loss."""
    leaves = [tensor.clone().requires_grad_() for tensor in (inputs, *parts)]
    outputs, last = layer(leaves[0], state_of(leaves[1:]))
    last = parts_of(last)
    loss = (outputs * weights).sum()
    for factor, part in enumerate(last, 2):
        loss = loss + factor * (part * weights[-1]).sum()
    loss.backward()
    return [outputs, *last, *(leaf.grad for leaf in leaves)]


def assert_equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def gradients_as_pytorchs(scratch, gates):
    """Return the gradients of our parameters, stacked as in PyTorch's four."""
    two_biases = isinstance(scratch, GRUScratch)
    names = [
        [f"W_x{gate}" for gate in gates],
        [f"W_h{gate}" for gate in gates],
        [f"b_{gate}" for gate in gates],
        [f"b_{'hh' if gate == 'h' and two_biases else gate}" for gate in gates],
    ]
    assert {*chain(*names)} == {name for name, _ in scratch.named_parameters()}
    return [
        torch.cat([scratch.get_parameter(name).grad for name in row], dim=-1)
        for row in names
    ]


@kinds
@given(sizes, sizes, sizes, sizes, st.booleans(), seeds)
def test_values_states_and_gradients_are_pytorchs(
    kind, num_steps, batch, num_inputs, num_hiddens, with_state, seed
):
    torch.manual_seed(seed)
    module, scratch = build_pair(kind, num_inputs, num_hiddens)
    inputs = draw(num_steps, batch, num_inputs)
    weights = draw(num_steps, batch, num_hiddens)
    num_parts = (2 if kind is nn.LSTM else 1) * with_state
    parts = [draw(1, batch, num_hiddens) for _ in range(num_parts)]
    results = [run(layer, inputs, parts, weights) for layer in (scratch, module)]
    assert_equal(*results)
    assert_equal(
        gradients_as_pytorchs(scratch, GATES[kind]),
        [
            module.weight_ih_l0.grad.T,
            module.weight_hh_l0.grad.T,
            module.bias_ih_l0.grad,
            module.bias_hh_l0.grad,
        ],
    )


@kinds
def test_from_torch_copies_dtype_and_values_but_shares_no_memory(kind):
    module, scratch = build_pair(kind, 3, 4)
    assert {p.dtype for p in scratch.parameters()} == {torch.float64}
    before = [parameter.clone() for parameter in scratch.parameters()]
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert all(map(torch.equal, scratch.parameters(), before))


def test_the_candidate_of_a_gru_keeps_its_two_biases_apart():
    module, scratch = build_pair(nn.GRU, 3, 4)
    for place, gate in enumerate("rz"):
        both = module.bias_ih_l0.chunk(3)[place] + module.bias_hh_l0.chunk(3)[place]
        assert torch.equal(scratch.get_parameter(f"b_{gate}"), both)
    assert torch.equal(scratch.b_h, module.bias_ih_l0.chunk(3)[2])
    assert torch.equal(scratch.b_hh, module.bias_hh_l0.chunk(3)[2])


SETTINGS = [{"num_layers": 2}, {"bidirectional": True}, {"batch_first": True}]
SETTINGS += [{"bias": False}]
OWN_SETTINGS = [(nn.RNN, {"nonlinearity": "relu"}), (nn.LSTM, {"proj_size": 2})]


@pytest.mark.parametrize(
    ("kind", "setting"),
    [*product(SCRATCH, SETTINGS), *OWN_SETTINGS],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value.__name__,
)
def test_from_torch_refuses_a_setting_that_we_do_not_build(kind, setting):
    ((name, value),) = setting.items()
    with pytest.raises(
        ValueError, match=f"^got a {kind.__name__} with {name}={value!r}; only {name}="
    ):
        SCRATCH[kind].from_torch(kind(3, 4, **setting))


@pytest.mark.parametrize(
    ("kind", "other"),
    [*permutations(SCRATCH, 2), *product(SCRATCH, [nn.Linear, RNNScratch])],
    ids=lambda kind: kind.__name__,
)
def test_from_torch_refuses_another_layer(kind, other):
    with pytest.raises(
        TypeError,
        match=rf"^got a {other.__name__}; expected a torch\.nn\.{kind.__name__}\.$",
    ):
        SCRATCH[kind].from_torch(other(3, 4))


def test_from_torch_cannot_copy_a_gru_that_resets_before_the_product():
    with pytest.raises(
        ValueError,
        match=r"^from_torch got reset_after=False; expected True: nn\.GRU .* after the mat",
    ):
        GRUScratch.from_torch(nn.GRU(3, 4), reset_after=False)


@pytest.mark.parametrize(
    ("layer", "gates", "biases"),
    [
        (RNNScratch(20, 100), "h", {"b_h"}),
        (GRUScratch(20, 100), "rzh", {"b_r", "b_z", "b_h", "b_hh"}),
        (GRUScratch(20, 100, reset_after=False), "rzh", {"b_r", "b_z", "b_h"}),
        (LSTMScratch(20, 100), "ifco", {"b_i", "b_f", "b_c", "b_o"}),
    ],
    ids=["RNN", "GRU", "GRU with one bias", "LSTM"],
)
def test_a_new_layer_starts_within_the_bound_that_pytorch_uses(layer, gates, biases):
    expected = {f"W_x{gate}": (20, 100) for gate in gates}
    expected |= {f"W_h{gate}": (100, 100) for gate in gates}
    expected |= {name: (100,) for name in biases}
    assert {n: tuple(p.shape) for n, p in layer.named_parameters()} == expected
    for parameter in layer.parameters():
        assert 0.08 < parameter.abs().max() <= 0.1
        assert parameter.min() < 0 < parameter.max()


readers = pytest.mark.parametrize(
    "build",
    [
        RNNScratch,
        GRUScratch,
        lambda *sizes: GRUScratch(*sizes, reset_after=False),
        LSTMScratch,
    ],
    ids=["RNN", "GRU", "GRU of 2014", "LSTM"],
)


@readers
@given(sizes, sizes)
def test_reading_in_two_parts_with_the_state_is_reading_in_one(build, first, second):
    torch.manual_seed(0)
    layer, inputs = build(3, 4).double(), draw(first + second, 2, 3)
    whole, last = layer(inputs)
    one, state = layer(inputs[:first])
    two, state = layer(inputs[first:], state)
    assert_equal([torch.cat([one, two]), *parts_of(state)], [whole, *parts_of(last)])
    assert torch.equal(parts_of(last)[0][0], whole[-1])


# ---- The gates ----


def gru_of_2014(inputs, H, W_xr, W_hr, b_r, W_xz, W_hz, b_z, W_xh, W_hh, b_h):
    """Return the outputs by the formula of Cho et al. (2014), one row at a time."""
    rows = []
    for row in range(inputs.shape[1]):
        h, outputs = H[0, row], []
        for x in inputs[:, row]:
            r = 1 / (1 + torch.exp(-(W_xr.T @ x + W_hr.T @ h + b_r)))
            z = 1 / (1 + torch.exp(-(W_xz.T @ x + W_hz.T @ h + b_z)))
            n = torch.tanh(W_xh.T @ x + W_hh.T @ (r * h) + b_h)
            h = z * h + (1 - z) * n
            outputs.append(h)
        rows.append(torch.stack(outputs))
    return torch.stack(rows, dim=1)


def values_and_gradients(function, leaves, weights):
    """Return what ``function`` returns, and the gradients of all ``leaves``."""
    outputs = function()
    return [outputs, *torch.autograd.grad((outputs * weights).sum(), leaves)]


@given(sizes, sizes, sizes, sizes, seeds)
def test_resetting_before_the_product_is_the_formula_of_cho(
    num_steps, batch, num_inputs, num_hiddens, seed
):
    torch.manual_seed(seed)
    layer = GRUScratch(num_inputs, num_hiddens, reset_after=False).double()
    inputs = draw(num_steps, batch, num_inputs).requires_grad_()
    H = draw(1, batch, num_hiddens).requires_grad_()
    leaves = [inputs, H, *layer.parameters()]
    weights = draw(num_steps, batch, num_hiddens)
    assert_equal(
        values_and_gradients(lambda: layer(inputs, H)[0], leaves, weights),
        values_and_gradients(lambda: gru_of_2014(*leaves), leaves, weights),
    )


@pytest.fixture
def both_grus():
    """Two GRUs with the same weights, the second one without ``b_hh``."""
    torch.manual_seed(0)
    after = GRUScratch(3, 4).double()
    before = GRUScratch(3, 4, reset_after=False).double()
    before.load_state_dict(after.state_dict(), strict=False)
    return after, before


def test_where_the_reset_gate_stands_makes_a_difference(both_grus):
    after, before = both_grus
    nn.init.zeros_(after.b_hh)
    inputs = draw(5, 2, 3)
    difference = after(inputs)[0] - before(inputs)[0]
    assert torch.equal(difference[0], torch.zeros_like(difference[0]))  # H is still 0
    assert (difference[1:].abs() > 1e-6).all()


def test_where_an_open_reset_gate_stands_makes_no_difference(both_grus):
    nn.init.zeros_(both_grus[0].b_hh)
    for gru in both_grus:
        nn.init.constant_(gru.b_r, 1000.0)
    inputs, state = draw(5, 2, 3), draw(1, 2, 4)
    assert_equal(*[gru(inputs, state) for gru in both_grus])


@pytest.mark.parametrize(
    ("build", "biases"),
    [
        (GRUScratch, {"b_r": (1000, 1), "b_z": (-1000, 0)}),
        (LSTMScratch, {"b_i": (1000, 1), "b_f": (-1000, 0), "b_o": (500, 1)}),
        (LSTMScratch, {"b_i": (-1000, 0), "b_f": (1000, 1), "b_o": (-500, 0)}),
    ],
)
def test_the_gates_come_in_the_order_of_the_documentation(build, biases):
    layer = build(3, 4)
    for name, (bias, _) in biases.items():
        nn.init.constant_(layer.get_parameter(name), bias)
    gates = layer.gates(torch.randn(2, 3), torch.randn(2, 4))
    for gate, (_, value) in zip(gates, biases.values(), strict=True):
        assert torch.equal(gate, torch.full((2, 4), float(value)))


@pytest.mark.parametrize("method", ["gates", "step"])
@pytest.mark.parametrize("build", [GRUScratch, LSTMScratch])
@pytest.mark.parametrize(
    ("X", "H", "message"),
    [
        ((2, 5), (2, 4), "an input of shape (2, 5); expected (2, 3), (batch, 3)."),
        ((3,), (2, 4), "an input of shape (3,); expected "),
        ((1, 2, 3), (2, 4), "an input of shape (1, 2, 3); expected "),
        ((2, 3), (2, 5), "a state of shape (2, 5); expected (2, 4), (batch, 4)."),
        ((2, 3), (4,), "a state of shape (4,); expected (2, 4), (batch, 4)."),
        ((2, 3), (1, 2, 4), "a state of shape (1, 2, 4); expected (2, 4), (batch, 4)."),
        ((2, 3), (1, 4), "a state of shape (1, 4); expected (2, 4), (batch, 4)."),
        ((2, 3), (5, 4), "a state of shape (5, 4); expected (2, 4), (batch, 4)."),
    ],
    ids=str,
)
def test_a_step_refuses_an_input_or_a_state_of_the_wrong_shape(
    build, method, X, H, message
):
    C = [torch.zeros(2, 4)] if (build, method) == (LSTMScratch, "step") else []
    message = re.escape(f"a step of {build.__name__} got {message}")
    with pytest.raises(ValueError, match=f"^{message}"):
        getattr(build(3, 4), method)(torch.zeros(X), torch.zeros(H), *C)


@pytest.mark.parametrize("shape", [(2, 5), (1, 4), (4,), (1, 2, 4), ()], ids=str)
def test_a_step_of_an_lstm_refuses_a_cell_of_the_wrong_shape(shape):
    message = f"a state of shape {shape}; expected (2, 4), (batch, 4)."
    with pytest.raises(
        ValueError, match=f"^a step of LSTMScratch got {re.escape(message)}$"
    ):
        LSTMScratch(3, 4).step(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(shape))


# ---- The backward pass by hand ----


def draw_arguments(num_steps, batch, num_inputs, num_hiddens):
    """Return arguments for ``RNNFunction``: inputs, H_0, W_xh, W_hh and b_h."""
    return [
        tensor.requires_grad_()
        for tensor in (
            draw(num_steps, batch, num_inputs),
            draw(batch, num_hiddens),
            draw(num_inputs, num_hiddens),
            draw(num_hiddens, num_hiddens),
            draw(num_hiddens),
        )
    ]


@given(*[st.integers(1, 3)] * 4, seeds)
@settings(max_examples=10)
def test_the_backward_pass_by_hand_is_the_derivative_of_the_forward_pass(
    num_steps, batch, num_inputs, num_hiddens, seed
):
    torch.manual_seed(seed)
    arguments = draw_arguments(num_steps, batch, num_inputs, num_hiddens)
    assert torch.autograd.gradcheck(RNNFunction.apply, arguments)


@given(sizes, sizes, sizes, sizes, seeds)
def test_the_function_by_hand_computes_what_the_layer_does(
    num_steps, batch, num_inputs, num_hiddens, seed
):
    torch.manual_seed(seed)
    arguments = draw_arguments(num_steps, batch, num_inputs, num_hiddens)
    inputs, H_0, *parameters = arguments
    layer = RNNScratch(num_inputs, num_hiddens).double()
    for name, parameter in zip(("W_xh", "W_hh", "b_h"), parameters, strict=True):
        setattr(layer, name, nn.Parameter(parameter.detach()))
    weights = draw(num_steps, batch, num_hiddens)
    assert_equal(
        values_and_gradients(lambda: RNNFunction.apply(*arguments), arguments, weights),
        values_and_gradients(
            lambda: layer(inputs, H_0.unsqueeze(0))[0],
            [inputs, H_0, layer.W_xh, layer.W_hh, layer.b_h],
            weights,
        ),
    )


# ---- The forget gate's bias ----


def biases_of(layer):
    """Return the bias of each gate by its letter; for nn.LSTM, the sum of its two."""
    if isinstance(layer, nn.LSTM):
        sums = layer.bias_ih_l0 + layer.bias_hh_l0
        return dict(zip("ifco", sums.detach().chunk(4), strict=True))
    return {gate: layer.get_parameter(f"b_{gate}").detach() for gate in "ifco"}


lstms = pytest.mark.parametrize("build", [LSTMScratch, nn.LSTM])


@lstms
@pytest.mark.parametrize("bias", [1, -2.5, torch.tensor([0.0, 1.0, 2.0, 3.0])], ids=str)
def test_the_forget_bias_is_set_and_nothing_else(build, bias):
    layer = build(3, 4)
    expected = {gate: value.clone() for gate, value in biases_of(layer).items()}
    expected["f"] = torch.ones(4) * bias
    weights = [p.clone() for p in layer.parameters() if p.dim() == 2]
    set_forget_bias(layer, bias)
    after = biases_of(layer)
    assert all(torch.equal(after[gate], expected[gate]) for gate in "ifco")
    assert all(
        map(torch.equal, weights, (p for p in layer.parameters() if p.dim() == 2))
    )
    assert all(p.is_leaf and p.requires_grad for p in layer.parameters())


def test_setting_the_forget_bias_before_copying_is_setting_it_after():
    module, scratch = build_pair(nn.LSTM, 3, 4)
    set_forget_bias(module, 2.0)
    set_forget_bias(scratch, 2.0)
    copied = LSTMScratch.from_torch(module)
    for name, parameter in scratch.named_parameters():
        assert torch.equal(copied.get_parameter(name), parameter), name


@lstms
def test_a_huge_forget_bias_keeps_the_cell(build):
    layer = build(3, 4)
    set_forget_bias(layer, 1000.0)
    with torch.no_grad():  # and nothing comes in
        (layer.b_i if build is LSTMScratch else layer.bias_ih_l0[:4]).fill_(-1000.0)
    C = torch.randn(1, 2, 4)
    _, (_, last) = layer(torch.randn(6, 2, 3), (torch.randn(1, 2, 4), C))
    assert torch.equal(last, C)


@pytest.mark.parametrize("build", [nn.GRU, GRUScratch, nn.Linear])
def test_a_layer_without_a_forget_gate_is_refused(build):
    with pytest.raises(
        TypeError, match=rf"^got a {build.__name__}; expected a torch\.nn\.LSTM\.$"
    ):
        set_forget_bias(build(3, 4), 1.0)


@pytest.mark.parametrize(
    "setting", [*SETTINGS, {"proj_size": 2}], ids=lambda setting: next(iter(setting))
)
def test_an_lstm_that_we_do_not_build_is_refused_and_left_alone(setting):
    layer = nn.LSTM(3, 4, **setting)
    before = [parameter.clone() for parameter in layer.parameters()]
    ((name, value),) = setting.items()
    with pytest.raises(
        ValueError, match=f"^got a LSTM with {name}={value!r}; only {name}=.* supported"
    ):
        set_forget_bias(layer, 1.0)
    assert all(map(torch.equal, before, layer.parameters()))


# ---- Wrong inputs and states ----


@pytest.fixture(params=SCRATCH.values())
def layer(request):
    return request.param(3, 4)


@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 7), (5, 2, 3, 1)], ids=str)
def test_inputs_of_the_wrong_shape_are_refused(layer, shape):
    with pytest.raises(ValueError, match=r"inputs of shape .*\(num_steps, batch, 3\)"):
        layer(torch.zeros(shape))


def test_inputs_of_no_time_steps_are_refused(layer):
    with pytest.raises(ValueError, match="inputs of 0 time steps"):
        layer(torch.zeros(0, 2, 3))


def test_inputs_of_the_wrong_dtype_are_refused(layer):
    with pytest.raises(
        TypeError, match=r"inputs of dtype torch\.float64; expected torch\.float32"
    ):
        layer(torch.zeros(5, 2, 3).double())


def test_inputs_on_the_wrong_device_are_refused(layer):
    with pytest.raises(ValueError, match="inputs on device meta; expected cpu"):
        layer(torch.zeros(5, 2, 3, device="meta"))


@pytest.fixture(
    params=[(RNNScratch, 0), (GRUScratch, 0), (LSTMScratch, 0), (LSTMScratch, 1)],
    ids=["RNN", "GRU", "H of LSTM", "C of LSTM"],
)
def start_from(request):
    """A function that reads two rows from a state with the given tensor in it."""
    build, place = request.param

    def start(part):
        parts = [torch.zeros(1, 2, 4) for _ in range(1 + (build is LSTMScratch))]
        parts[place] = part
        return build(3, 4)(torch.zeros(5, 2, 3), state_of(parts))

    return start


@pytest.mark.parametrize("shape", [(2, 4), (1, 3, 4), (1, 2, 5), (2, 2, 4)], ids=str)
def test_a_state_of_the_wrong_shape_is_refused(start_from, shape):
    with pytest.raises(ValueError, match=r"state of shape .* = \(1, 2, 4\)"):
        start_from(torch.zeros(shape))


def test_a_state_of_the_wrong_dtype_is_refused(start_from):
    with pytest.raises(TypeError, match=r"state of dtype torch\.float16; expected"):
        start_from(torch.zeros(1, 2, 4).half())


def test_a_state_on_the_wrong_device_is_refused(start_from):
    with pytest.raises(ValueError, match="state on device meta; expected cpu"):
        start_from(torch.zeros(1, 2, 4, device="meta"))


H = torch.zeros(1, 2, 4)


@pytest.mark.parametrize("build", [RNNScratch, GRUScratch])
@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ((), "tuple of 0"),
        ((H,), "tuple of 1"),
        ((H, H), "tuple of 2"),
        ([H], "list"),
        (0, "int"),
    ],
    ids=["an empty tuple", "in a tuple", "the pair of an LSTM", "in a list", "zero"],
)
def test_a_layer_with_one_state_refuses_what_is_no_tensor(build, state, kind):
    with pytest.raises(
        TypeError,
        match=rf"^{build.__name__} got a state of type {kind}; expected one tensor "
        r"\(a pair \(H, C\) is the state of an LSTM\), or None to start afresh\.$",
    ):
        build(3, 4)(torch.zeros(5, 2, 3), state)


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (H, "Tensor"),
        (H[0], "Tensor"),
        ((), "tuple of 0"),
        ((H,), "tuple of 1"),
        ((H, H, H), "tuple of 3"),
        ((H, None), "tuple of 2"),
        ([H, H], "list"),
    ],
    ids=["H", "2-d", "no part", "one part", "three parts", "half a pair", "a list"],
)
def test_an_lstm_refuses_what_is_no_pair_of_tensors(state, kind):
    with pytest.raises(
        TypeError,
        match=rf"^LSTMScratch got a state of type {kind}; expected a pair \(H, C\) of "
        r"tensors \(one tensor is the state of an RNN or a GRU\), or None",
    ):
        LSTMScratch(3, 4)(torch.zeros(5, 2, 3), state)


def test_the_check_names_the_layer_that_was_called():
    class OtherCell(RNNScratch):
        pass

    with pytest.raises(ValueError, match="OtherCell got inputs"):
        check_inputs(OtherCell(3, 4), torch.zeros(3), None)
