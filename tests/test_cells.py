import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.helpers import seeds
from tests.layers import (
    SCRATCH,
    assert_as_pytorchs,
    assert_equal,
    cells,
    draw,
    kinds,
    sizes,
    values_and_gradients,
)
from utils.cells import (
    GRUScratch,
    LSTMScratch,
    RNNFunction,
    RNNScratch,
    set_forget_bias,
)


@kinds
@given(sizes, sizes, sizes, sizes, st.booleans(), seeds)
def test_values_states_and_gradients_are_pytorchs(
    kind, num_steps, batch, num_inputs, num_hiddens, with_state, seed
):
    torch.manual_seed(seed)
    module = kind(num_inputs, num_hiddens).double()
    inputs = draw(num_steps, batch, num_inputs)
    assert_as_pytorchs(module, SCRATCH[kind].from_torch(module), inputs, with_state)


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


@cells
def test_what_it_is_given_is_looked_at_once_and_not_at_every_step(monkeypatch, cell):
    seen = []
    monkeypatch.setattr("utils.cells.require_inputs", lambda *given: seen.append(given))
    layer, inputs = cell(3, 4), torch.zeros(50, 2, 3)
    layer(inputs)
    assert seen == [(layer, inputs, None)]


@cells
def test_wrong_inputs_and_a_wrong_state_are_refused_by_every_layer(cell):
    with pytest.raises(ValueError, match=f"^{cell.__name__} got inputs"):
        cell(3, 4)(torch.zeros(5, 2, 7))
    with pytest.raises(TypeError, match=f"^{cell.__name__} got a state"):
        cell(3, 4)(torch.zeros(5, 2, 3), [torch.zeros(1, 2, 4)])


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


@given(sizes, sizes, sizes, sizes, seeds)
def test_resetting_before_the_product_is_the_formula_of_cho(
    num_steps, batch, num_inputs, num_hiddens, seed
):
    torch.manual_seed(seed)
    layer = GRUScratch(num_inputs, num_hiddens, reset_after=False).double()
    weights = [*layer.parameters()]

    def formula(inputs, H):
        outputs = gru_of_2014(inputs, H, *weights)
        return outputs, outputs[-1:]

    given = draw(num_steps, batch, num_inputs), [draw(1, batch, num_hiddens)]
    assert_equal(
        values_and_gradients(layer, *given, weights),
        values_and_gradients(formula, *given, weights),
    )


@pytest.fixture
def both_grus():
    """Two GRUs with the same weights, the second one without ``b_hh``."""
    torch.manual_seed(0)
    after = GRUScratch(3, 4).double()
    before = GRUScratch(3, 4, reset_after=False).double()
    before.load_state_dict(after.state_dict(), strict=False)
    nn.init.zeros_(after.b_hh)
    return after, before


def test_where_the_reset_gate_stands_makes_a_difference(both_grus):
    inputs = draw(5, 2, 3)
    one, other = (gru(inputs)[0] for gru in both_grus)
    assert torch.equal(one[0], other[0])  # H is still 0
    assert ((one - other)[1:].abs() > 1e-6).all()


def test_where_an_open_reset_gate_stands_makes_no_difference(both_grus):
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


# ---- The backward pass by hand ----


def draw_arguments(num_steps, batch, num_inputs, num_hiddens):
    """Return arguments for ``RNNFunction``: inputs, H_0, W_xh, W_hh and b_h."""
    d, h = num_inputs, num_hiddens
    shapes = (num_steps, batch, d), (batch, h), (d, h), (h, h), (h,)
    return [draw(*shape).requires_grad_() for shape in shapes]


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
    inputs, H_0, *_ = arguments
    layer = RNNScratch(num_inputs, num_hiddens).double()
    weights = [*layer.parameters()]

    def by_hand(inputs, state):
        outputs = RNNFunction.apply(inputs, state[0], *weights)
        return outputs, outputs[-1:]

    given = inputs, [H_0.unsqueeze(0)]
    assert_equal(
        values_and_gradients(by_hand, *given, weights),
        values_and_gradients(layer, *given, weights),
    )


def test_the_derivative_by_hand_has_no_derivative_and_says_so():
    arguments = draw_arguments(4, 2, 3, 5)
    outputs = RNNFunction.apply(*arguments)
    for loss in (outputs.sum(), outputs.square().sum()):
        with pytest.raises(RuntimeError, match=r"leave out create_graph=True, or use"):
            torch.autograd.grad(loss, arguments, create_graph=True)


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
    matrices = [p for p in layer.parameters() if p.dim() == 2]
    before = [matrix.clone() for matrix in matrices]
    set_forget_bias(layer, bias)
    after = biases_of(layer)
    assert all(torch.equal(after[gate], expected[gate]) for gate in "ifco")
    assert all(map(torch.equal, matrices, before))
    assert all(p.is_leaf and p.requires_grad for p in layer.parameters())


def test_setting_the_forget_bias_before_copying_is_setting_it_after():
    module = nn.LSTM(3, 4)
    copied = LSTMScratch.from_torch(module)
    set_forget_bias(copied, 2.0)
    set_forget_bias(module, 2.0)
    again = LSTMScratch.from_torch(module)
    assert all(map(torch.equal, copied.parameters(), again.parameters()))


@lstms
def test_a_huge_forget_bias_keeps_the_cell(build):
    layer = build(3, 4)
    set_forget_bias(layer, 1000.0)
    with torch.no_grad():  # and nothing comes in
        (layer.b_i if build is LSTMScratch else layer.bias_ih_l0[:4]).fill_(-1000.0)
    C = torch.randn(1, 2, 4)
    _, (_, last) = layer(torch.randn(6, 2, 3), (torch.randn(1, 2, 4), C))
    assert torch.equal(last, C)
