import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from utils.initialization import uniform_parameter


@given(st.lists(st.integers(1, 5), max_size=3), st.floats(0.01, 10))
def test_a_parameter_has_its_shape_and_stays_within_its_bound(shape, bound):
    parameter = uniform_parameter(*shape, bound=bound)
    assert isinstance(parameter, nn.Parameter)
    assert parameter.requires_grad
    assert parameter.shape == tuple(shape)
    assert (parameter.abs() <= bound * (1 + 1e-6)).all()


def test_it_is_drawn_uniformly_and_repeats_with_the_seed():
    torch.manual_seed(0)
    drawn = uniform_parameter(20_000, bound=0.5).detach()
    shares = drawn.histc(bins=10, min=-0.5, max=0.5) / len(drawn)
    torch.testing.assert_close(shares, torch.full((10,), 0.1), rtol=0, atol=0.01)
    torch.manual_seed(0)
    assert torch.equal(uniform_parameter(20_000, bound=0.5), drawn)
