import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.probes import correlations, linear_readout


@given(st.integers(2, 6), st.integers(0, 1000))
def test_correlations_are_those_of_each_unit_alone(num_units, seed):
    torch.manual_seed(seed)
    units, values = torch.randn(30, num_units), torch.randn(30)
    expected = [torch.corrcoef(torch.stack([unit, values]))[0, 1] for unit in units.t()]
    torch.testing.assert_close(correlations(units, values), torch.stack(expected))


def test_a_unit_that_equals_the_values_correlates_fully_and_a_constant_one_not_at_all():
    values = torch.arange(10.0)
    units = torch.stack([values, -2 * values, torch.ones(10)], dim=1)
    torch.testing.assert_close(
        correlations(units, values), torch.tensor([1.0, -1.0, 0.0])
    )


def test_a_linear_readout_finds_what_is_spread_over_all_units():
    torch.manual_seed(0)
    units = torch.randn(400, 5)
    values = units @ torch.randn(5) + 3
    assert linear_readout(units, values) == pytest.approx(1, abs=1e-4)
    assert correlations(units, values).abs().max() < 0.95


def test_a_linear_readout_is_judged_on_the_half_that_it_was_not_fitted_to():
    torch.manual_seed(0)
    units, values = torch.randn(400, 5), torch.randn(400)
    values[:200] = units[:200].sum(1)  # the second half is noise
    assert abs(linear_readout(units, values)) < 0.3
