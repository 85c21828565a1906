import pytest
import torch
from torch import nn

from tests.layers import SCRATCH, assert_equal, draw, kinds
from utils.cells import GRUScratch, set_forget_bias
from utils.conversion import directions, require_module, unstack

# ---- Into ours; the tests of the cells compare what the copies compute ----


@kinds
def test_a_copy_has_dtype_device_and_values_but_shares_no_memory(kind):
    module = kind(3, 4).double()
    copy = SCRATCH[kind].from_torch(module)
    assert {p.dtype for p in copy.parameters()} == {torch.float64}
    before = [parameter.clone() for parameter in copy.parameters()]
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    assert all(map(torch.equal, copy.parameters(), before))
    elsewhere = SCRATCH[kind].from_torch(module.to("meta"))
    assert {p.device.type for p in elsewhere.parameters()} == {"meta"}


def test_the_candidate_of_a_gru_keeps_its_two_biases_apart():
    module = nn.GRU(3, 4)
    copy = GRUScratch.from_torch(module)
    from_input, from_state = module.bias_ih_l0.chunk(3), module.bias_hh_l0.chunk(3)
    assert torch.equal(copy.b_r, from_input[0] + from_state[0])
    assert torch.equal(copy.b_z, from_input[1] + from_state[1])
    assert torch.equal(copy.b_h, from_input[2])
    assert torch.equal(copy.b_hh, from_state[2])


@pytest.mark.parametrize("module", [nn.RNN(3, 4), GRUScratch(3, 4), nn.Linear(3, 4)])
def test_only_a_module_of_the_same_kind_is_copied(module):
    name = type(module).__name__
    with pytest.raises(TypeError, match=rf"a {name}; expected a torch\.nn\.GRU"):
        require_module(module, nn.GRU)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_layers": 2}, "num_layers=2; expected num_layers=1"),
        ({"bidirectional": True}, "bidirectional=True; expected bidirectional=False"),
        ({"bias": False}, "bias=False; expected bias=True"),
        ({"nonlinearity": "relu"}, "nonlinearity='relu'; expected nonlinearity='tanh'"),
    ],
)
def test_only_a_module_whose_weights_fit_ours_is_copied(settings, message):
    require_module(nn.RNN(3, 4), nn.RNN)
    with pytest.raises(ValueError, match=f"got a RNN with {message}"):
        require_module(nn.RNN(3, 4, **settings), nn.RNN)


def test_no_weights_make_a_gru_that_resets_before_the_product_the_same():
    with pytest.raises(ValueError, match=r"reset_after=False; .* Train one from new"):
        GRUScratch.from_torch(nn.GRU(3, 4), reset_after=False)


@kinds
def test_every_way_into_ours_asks_for_one_layer_of_its_kind(kind):
    other = nn.RNN if kind is nn.GRU else nn.GRU
    for copy in [SCRATCH[kind].from_torch] + [set_forget_bias] * (kind is nn.LSTM):
        bias = [1.0] * (copy is set_forget_bias)
        with pytest.raises(TypeError):
            copy(other(3, 4), *bias)
        for settings in ({"num_layers": 2}, {"batch_first": True}, {"bias": False}):
            module = kind(3, 4, **settings)
            before = [parameter.clone() for parameter in module.parameters()]
            with pytest.raises(ValueError, match="expected"):
                copy(module, *bias)
            assert all(map(torch.equal, before, module.parameters()))


# ---- Into parts of their kind ----


@kinds
@pytest.mark.parametrize("both", [False, True], ids=["one direction", "two"])
def test_the_layers_of_a_module_run_one_after_the_other_are_the_module(kind, both):
    torch.manual_seed(0)
    module = kind(3, 4, num_layers=3, bidirectional=both).double()
    outputs = inputs = draw(5, 2, 3)
    parts = [*unstack(module)]
    for part in parts:
        outputs, _ = part(outputs)
    assert [part.num_layers for part in parts] == [1, 1, 1]
    assert_equal([outputs], [module(inputs)[0]])


@kinds
def test_the_directions_of_a_module_run_apart_are_the_module(kind):
    torch.manual_seed(0)
    module, inputs = kind(3, 4, bidirectional=True).double(), draw(5, 2, 3)
    right, left = directions(module)
    both = [right(inputs)[0], left(inputs.flip(0))[0].flip(0)]
    assert_equal([torch.cat(both, dim=-1)], [module(inputs)[0]])


@pytest.mark.parametrize("take_apart", [unstack, directions])
def test_a_part_shares_no_memory_with_the_module(take_apart):
    module = nn.GRU(3, 4, bidirectional=True)
    part = next(take_apart(module))
    before = part.weight_hh_l0.clone()
    nn.init.zeros_(module.weight_hh_l0)
    assert torch.equal(part.weight_hh_l0, before)


@pytest.mark.parametrize(
    ("take_apart", "settings", "message"),
    [
        (directions, {}, "bidirectional=False; expected bidirectional=True"),
        (directions, {"num_layers": 2, "bidirectional": True}, "expected num_layers=1"),
        (directions, {"bias": False, "bidirectional": True}, "expected bias=True"),
        (unstack, {"bias": False}, "expected bias=True"),
        (unstack, {"batch_first": True}, "expected batch_first=False"),
    ],
)
def test_a_module_that_we_do_not_build_is_not_taken_apart(
    take_apart, settings, message
):
    with pytest.raises(ValueError, match=message):
        next(take_apart(nn.GRU(3, 4, **settings)))
