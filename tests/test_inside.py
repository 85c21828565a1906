import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd.functional import jacobian

from tests.helpers import seeds
from tests.layers import SCRATCH, assert_equal, draw, kinds, state_of
from utils.cells import GRUScratch, LSTMScratch, RNNScratch
from utils.contract import state_parts
from utils.inside import (
    correlations,
    gradient_by_lag,
    linear_readout,
    text_gradient_by_lag,
)
from utils.models import LanguageModel

# ---- How far a gradient reaches ----


@pytest.fixture
def seeded():
    torch.manual_seed(0)


def loss(H):
    return (H**3 + H).sum()


def by_jacobians(module, inputs, max_lag):
    """Return the norms by lag; to each lag the rest of the text is one function."""
    outputs, _ = module(inputs)
    width, norms = module.hidden_size, [jacobian(loss, outputs[-1]).norm(dim=-1)]
    for lag in range(1, max_lag + 1):
        flat = torch.cat(state_parts(module(inputs[:-lag])[1]), dim=-1)

        def rest(flat, lag=lag):
            state = state_of([part.contiguous() for part in flat.split(width, dim=-1)])
            return loss(module(inputs[-lag:], state)[0][-1])

        norms.append(jacobian(rest, flat.detach())[0].norm(dim=-1))
    return torch.stack([norm.mean() for norm in norms]) / norms[0].mean()


def assert_close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@kinds
@given(st.integers(1, 8), st.integers(1, 3), st.integers(1, 4), st.data(), seeds)
@settings(max_examples=20)
def test_ours_and_pytorchs_layer_give_the_norms_of_the_jacobians(
    kind, num_steps, batch, num_hiddens, data, seed
):
    max_lag = data.draw(st.integers(0, num_steps - 1))
    torch.manual_seed(seed)
    module, inputs = kind(3, num_hiddens).double(), draw(num_steps, batch, 3)
    expected = by_jacobians(module, inputs, max_lag)
    for layer in (module, SCRATCH[kind].from_torch(module)):
        norms = gradient_by_lag(layer, inputs, loss, max_lag)
        assert norms.shape == (max_lag + 1,)
        assert norms[0] == 1
        assert not norms.requires_grad
        assert_close(norms, expected)


def test_the_gradient_of_an_rnn_is_a_product_of_slopes_and_weights(seeded):
    layer, inputs = RNNScratch(3, 4).double(), draw(6, 1, 3)
    outputs = layer(inputs)[0].detach()[:, 0]
    row = 3 * outputs[-1] ** 2 + 1  # the slope of the loss
    norms = [row.norm()]
    for t in range(5, 0, -1):  # dH_t / dH_{t-1}, with H a row
        row = layer.W_hh.detach() @ torch.diag(1 - outputs[t] ** 2) @ row
        norms.append(row.norm())
    expected = torch.stack(norms) / norms[0]
    assert_close(gradient_by_lag(layer, inputs, loss, 5), expected)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_an_almost_linear_rnn_multiplies_the_gradient_at_every_lag(factor):
    layer = RNNScratch(3, 4).double()
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        layer.W_hh.copy_(factor * torch.eye(4))
    norms = gradient_by_lag(layer, draw(9, 2, 3), torch.sum, 8)
    assert_close(norms, factor ** torch.arange(9, dtype=torch.float64))


def test_an_update_gate_that_stays_open_keeps_the_gradient_whole(seeded):
    layer = GRUScratch(3, 4).double()
    nn.init.constant_(layer.b_z, 1000.0)  # H_t = H_{t-1}
    norms = gradient_by_lag(layer, draw(12, 2, 3), loss, 11)
    assert_close(norms, torch.ones_like(norms))


def test_a_forget_gate_that_stays_open_hands_the_gradient_on_at_every_step(seeded):
    layer = LSTMScratch(3, 4).double()
    nn.init.constant_(layer.b_f, 1000.0)
    for gate in "ifco":  # the gates do not look at H, so all goes through C
        nn.init.zeros_(layer.get_parameter(f"W_h{gate}"))
    norms = gradient_by_lag(layer, draw(12, 2, 3), loss, 11)
    assert_close(norms[1:], norms[1].expand(11))


def test_an_rnn_that_ignores_its_state_has_no_gradient_before_the_last_step():
    layer = RNNScratch(3, 4).double()
    nn.init.zeros_(layer.W_hh)
    norms = gradient_by_lag(layer, draw(5, 2, 3), loss, 4)
    assert norms.tolist() == [1, 0, 0, 0, 0]


def leaky_pair(X, state):
    """C = C + H / 2 + X and H = C: a layer that returns the C its H comes from."""
    H, C = state or (torch.zeros_like(X), torch.zeros_like(X))
    C = C + H / 2 + X
    H = C * 1
    return H, (H, C)


def test_both_parts_of_a_state_hear_of_the_loss_from_the_next_step_alone():
    norms = gradient_by_lag(leaky_pair, draw(4, 1, 1).requires_grad_(), torch.sum, 3)
    # 1 from the next C and 1/2 from the next H, which each step back makes 1.5 times.
    expected = [1] + [math.hypot(1, 0.5) * 1.5**lag for lag in range(3)]
    assert norms.tolist() == pytest.approx(expected)


def test_neither_the_layers_gradients_nor_the_inputs_are_touched():
    module, inputs = nn.GRU(3, 4).double(), draw(5, 2, 3).requires_grad_()
    gradient_by_lag(module, inputs, loss, 4)
    assert inputs.grad is None
    assert all(parameter.grad is None for parameter in module.parameters())


@pytest.mark.parametrize("max_lag", [-1, 5])
def test_a_lag_that_the_sequence_does_not_have_is_refused(max_lag):
    with pytest.raises(ValueError, match=f"max_lag is {max_lag}; expected 0 to 4"):
        gradient_by_lag(RNNScratch(3, 4), torch.zeros(5, 2, 3), torch.sum, max_lag)


@kinds
def test_on_text_the_loss_is_that_of_the_character_after_each_piece(seeded, kind):
    model = LanguageModel(kind(5, 4), 5).double()
    ids = torch.randint(5, (64 * 13 + 1,))
    pieces = ids[:-1].view(64, 13).t()
    inputs = nn.functional.one_hot(pieces, 5).double()

    def loss(H):
        logits = H @ model.W_hq + model.b_q
        return nn.functional.cross_entropy(logits, ids[13::13], reduction="sum")

    expected = gradient_by_lag(model.rnn, inputs, loss, 3)
    assert_equal([text_gradient_by_lag(model, ids, max_lag=3)], [expected])


@pytest.mark.parametrize("shape", [(64 * 13,), (64 * 13 + 1, 1)], ids=str)
def test_a_text_too_short_for_64_pieces_is_refused(shape):
    model = LanguageModel(nn.RNN(5, 4), 5)
    with pytest.raises(ValueError, match=r"expected \(n,\) with n of at least 833"):
        text_gradient_by_lag(model, torch.zeros(shape, dtype=torch.int64), max_lag=3)


# ---- What units know ----


@given(st.integers(2, 6), seeds)
def test_correlations_are_those_of_each_unit_alone(num_units, seed):
    torch.manual_seed(seed)
    units, values = torch.randn(30, num_units), torch.randn(30)
    expected = [torch.corrcoef(torch.stack([unit, values]))[0, 1] for unit in units.t()]
    torch.testing.assert_close(correlations(units, values), torch.stack(expected))


def test_a_unit_that_equals_the_values_correlates_fully_and_a_constant_one_not_at_all():
    values = torch.arange(10.0)
    units = torch.stack([values, -2 * values, torch.ones(10)], dim=1)
    expected = torch.tensor([1.0, -1.0, 0.0])
    torch.testing.assert_close(correlations(units, values), expected)


def test_a_linear_readout_finds_what_is_spread_over_all_units(seeded):
    units = torch.randn(400, 5)
    values = units @ torch.randn(5) + 3
    assert linear_readout(units, values) == pytest.approx(1, abs=1e-4)
    assert correlations(units, values).abs().max() < 0.95


def test_a_linear_readout_is_judged_on_the_half_that_it_was_not_fitted_to(seeded):
    units, values = torch.randn(400, 5), torch.randn(400)
    values[:200] = units[:200].sum(1)  # the second half is noise
    assert abs(linear_readout(units, values)) < 0.3
