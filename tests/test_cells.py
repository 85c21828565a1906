import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from utils.cells import RNNScratch, check_inputs

sizes = st.integers(1, 6)


def build_pair(num_inputs, num_hiddens):
    """Return PyTorch's layer and our copy of it, in float64."""
    module = nn.RNN(num_inputs, num_hiddens).double()
    return module, RNNScratch.from_torch(module)


def run(layer, inputs, state, weights):
    """Return outputs, state and the gradients of inputs and state for a weighted sum of both results."""
    leaves = [t.clone().requires_grad_() for t in (inputs, state) if t is not None]
    outputs, last = layer(*leaves)
    ((outputs * weights).sum() + (last * weights[-1]).sum()).backward()
    return [outputs, last, *(leaf.grad for leaf in leaves)]


def assert_equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


@given(sizes, sizes, sizes, sizes, st.booleans(), st.integers(0, 1000))
def test_values_states_and_gradients_are_pytorchs(
    num_steps, batch, num_inputs, num_hiddens, with_state, seed
):
    torch.manual_seed(seed)
    module, scratch = build_pair(num_inputs, num_hiddens)
    inputs = torch.randn(num_steps, batch, num_inputs, dtype=torch.float64)
    state = torch.randn(1, batch, num_hiddens, dtype=torch.float64)
    weights = torch.randn(num_steps, batch, num_hiddens, dtype=torch.float64)
    results = [
        run(layer, inputs, state if with_state else None, weights)
        for layer in (scratch, module)
    ]
    assert_equal(*results)
    assert_equal(
        [scratch.W_xh.grad, scratch.W_hh.grad, scratch.b_h.grad, scratch.b_h.grad],
        [
            module.weight_ih_l0.grad.T,
            module.weight_hh_l0.grad.T,
            module.bias_ih_l0.grad,
            module.bias_hh_l0.grad,
        ],
    )


def test_from_torch_copies_dtype_and_values_but_shares_no_memory():
    module, scratch = build_pair(3, 4)
    assert {p.dtype for p in scratch.parameters()} == {torch.float64}
    before = scratch.W_hh.clone()
    with torch.no_grad():
        module.weight_hh_l0.zero_()
    assert torch.equal(scratch.W_hh, before)


@pytest.mark.parametrize(
    "setting",
    [
        {"nonlinearity": "relu"},
        {"num_layers": 2},
        {"bidirectional": True},
        {"batch_first": True},
        {"bias": False},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_from_torch_refuses_a_setting_that_we_do_not_build(setting):
    ((name, value),) = setting.items()
    with pytest.raises(ValueError, match=f"{name}={value!r}; only {name}="):
        RNNScratch.from_torch(nn.RNN(3, 4, **setting))


@pytest.mark.parametrize("layer", [nn.GRU(3, 4), nn.LSTM(3, 4), nn.Linear(3, 4)])
def test_from_torch_refuses_another_layer(layer):
    with pytest.raises(TypeError, match=f"got a {type(layer).__name__}; expected.*RNN"):
        RNNScratch.from_torch(layer)


def test_a_new_layer_starts_within_the_bound_that_pytorch_uses():
    layer = RNNScratch(20, 100)
    assert {name: tuple(p.shape) for name, p in layer.named_parameters()} == {
        "W_xh": (20, 100),
        "W_hh": (100, 100),
        "b_h": (100,),
    }
    for parameter in layer.parameters():
        assert 0.08 < parameter.abs().max() <= 0.1
        assert parameter.min() < 0 < parameter.max()


@given(sizes, sizes)
def test_reading_in_two_parts_with_the_state_is_reading_in_one(first, second):
    torch.manual_seed(0)
    layer = RNNScratch(3, 4).double()
    inputs = torch.randn(first + second, 2, 3, dtype=torch.float64)
    whole, last = layer(inputs)
    one, state = layer(inputs[:first])
    two, state = layer(inputs[first:], state)
    assert_equal([torch.cat([one, two]), state], [whole, last])
    assert torch.equal(last[0], whole[-1])


@pytest.fixture
def layer():
    return RNNScratch(3, 4)


@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 7), (5, 2, 3, 1)])
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


@pytest.mark.parametrize("shape", [(2, 4), (1, 3, 4), (1, 2, 5), (2, 2, 4)], ids=str)
def test_a_state_of_the_wrong_shape_is_refused(layer, shape):
    with pytest.raises(ValueError, match=r"state of shape .* = \(1, 2, 4\)"):
        layer(torch.zeros(5, 2, 3), torch.zeros(shape))


def test_a_state_of_the_wrong_dtype_is_refused(layer):
    with pytest.raises(TypeError, match=r"state of dtype torch\.float16; expected"):
        layer(torch.zeros(5, 2, 3), torch.zeros(1, 2, 4).half())


def test_a_state_on_the_wrong_device_is_refused(layer):
    with pytest.raises(ValueError, match="state on device meta; expected cpu"):
        layer(torch.zeros(5, 2, 3), torch.zeros(1, 2, 4, device="meta"))


def test_the_pair_of_an_lstm_is_refused(layer):
    _, pair = nn.LSTM(3, 4)(torch.zeros(5, 2, 3))
    with pytest.raises(TypeError, match=r"type tuple; .*the state of an LSTM"):
        layer(torch.zeros(5, 2, 3), pair)


def test_the_check_names_the_layer_that_was_called():
    class OtherCell(RNNScratch):
        pass

    with pytest.raises(ValueError, match="OtherCell got inputs"):
        check_inputs(OtherCell(3, 4), torch.zeros(3), None)
