from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from utils import padding
from utils.cells import GRUScratch, LSTMScratch, RNNScratch
from utils.models import (
    Bidirectional,
    DeepRNN,
    Embedded,
    Normalized,
    Residual,
    Reversed,
    make_layers,
)
from utils.padding import (
    check_lengths,
    length_mask,
    masked_mean,
    pad,
    reverse,
    run_layer,
    run_packed,
    run_padded,
)

SCRATCH = {nn.RNN: RNNScratch, nn.GRU: GRUScratch, nn.LSTM: LSTMScratch}
kinds = pytest.mark.parametrize("kind", SCRATCH, ids=lambda kind: kind.__name__)
lists_of_lengths = st.lists(st.integers(1, 6), min_size=1, max_size=5)
seeds = st.integers(0, 1000)


def draw(*shape):
    return torch.randn(shape, dtype=torch.float64)


def parts_of(state):
    return state if isinstance(state, tuple) else (state,)


# ---- Padding and masks ----


@given(lists_of_lengths, st.sampled_from([(), (2,), (3, 2)]), seeds)
def test_a_padded_batch_holds_every_sequence_and_zeros_after_it(lengths, shape, seed):
    torch.manual_seed(seed)
    sequences = [draw(length, *shape) for length in lengths]
    batch, given_lengths = pad(sequences)
    assert batch.shape == (max(lengths), len(lengths), *shape)
    assert given_lengths.tolist() == lengths
    assert given_lengths.dtype == torch.int64
    for row, sequence in enumerate(sequences):
        assert torch.equal(batch[: len(sequence), row], sequence)
        assert not batch[len(sequence) :, row].any()


def test_ids_stay_ids_when_they_are_padded():
    batch, lengths = pad([torch.tensor([5, 6]), torch.tensor([7])])
    assert batch.dtype == torch.int64
    assert batch.tolist() == [[5, 7], [6, 0]]
    assert lengths.tolist() == [2, 1]


@given(lists_of_lengths, st.integers(1, 8))
def test_the_mask_is_true_as_long_as_a_row_goes_on(lengths, num_steps):
    mask = length_mask(torch.tensor(lengths), num_steps)
    assert mask.dtype == torch.bool
    expected = [[step < length for length in lengths] for step in range(num_steps)]
    assert mask.tolist() == expected


def test_the_mask_is_where_the_lengths_are():
    assert length_mask(torch.ones(2, device="meta"), 3).device.type == "meta"


@given(lists_of_lengths, seeds)
def test_the_masked_mean_is_the_mean_of_what_is_no_padding(lengths, seed):
    torch.manual_seed(seed)
    sequences = [draw(length) for length in lengths]
    values, lengths = pad(sequences)
    values[~length_mask(lengths, len(values))] = 1e6  # whatever the padding says
    mean = masked_mean(values, length_mask(lengths, len(values)))
    torch.testing.assert_close(mean, torch.cat(sequences).mean())


@given(lists_of_lengths, seeds)
def test_the_gradient_of_the_masked_mean_is_0_at_the_padding_and_equal_elsewhere(
    lengths, seed
):
    torch.manual_seed(seed)
    mask = length_mask(torch.tensor(lengths), max(lengths))
    values = draw(*mask.shape).requires_grad_()
    masked_mean(values, mask).backward()
    assert torch.equal(values.grad != 0, mask)
    torch.testing.assert_close(values.grad, mask / mask.sum(dtype=torch.float64))


@pytest.mark.parametrize("bad", [torch.inf, torch.nan])
def test_padding_that_is_no_number_does_not_spoil_the_masked_mean(bad):
    values = torch.tensor([[1.0, 4.0], [3.0, bad]], requires_grad=True)
    mean = masked_mean(values, length_mask(torch.tensor([2, 1]), 2))
    mean.backward()
    assert mean.item() == pytest.approx(8 / 3)
    torch.testing.assert_close(values.grad, torch.tensor([[1, 1], [1, 0]]) / 3)


# ---- Two ways to run a layer on a padded batch ----


@kinds
@pytest.mark.parametrize("num_layers", [1, 2])
@given(lists_of_lengths, st.integers(0, 2), st.booleans(), seeds)
@settings(max_examples=25)
def test_a_row_that_keeps_its_state_is_a_packed_row(
    kind, num_layers, lengths, more, with_state, seed
):
    torch.manual_seed(seed)
    module, state = kind(3, 4, num_layers).double(), None
    inputs = draw(max(lengths) + more, len(lengths), 3)
    if with_state:
        parts = [draw(num_layers, len(lengths), 4) for _ in range(2)]
        state = tuple(parts) if kind is nn.LSTM else parts[0]
    lengths = torch.tensor(lengths)
    expected = run_packed(module, inputs, lengths, state)
    assert expected[0].shape == (*inputs.shape[:2], 4)
    layers = [module]
    if num_layers == 1:
        layers.append(SCRATCH[kind].from_torch(module))
    for layer in layers:
        result = run_padded(layer, inputs, lengths, state)
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)


def both_ways(make_layer, *sizes):
    return Bidirectional(make_layer(*sizes), make_layer(*sizes))


def deep(make_layer, *sizes):
    return DeepRNN(make_layers(make_layer, *sizes, num_layers=2))


LAYERS = {
    "nn.RNN": nn.RNN,
    "nn.GRU of two layers": partial(nn.GRU, num_layers=2),
    "nn.LSTM": nn.LSTM,
    "nn.LSTM, both ways": partial(nn.LSTM, num_layers=2, bidirectional=True),
    "RNNScratch": RNNScratch,
    "GRUScratch": GRUScratch,
    "LSTMScratch": LSTMScratch,
    "DeepRNN": partial(deep, GRUScratch),
    "DeepRNN of nn.LSTM": partial(deep, nn.LSTM),
    "DeepRNN, both ways": partial(deep, partial(both_ways, LSTMScratch)),
    "DeepRNN, residual": partial(deep, lambda *s: Residual(LSTMScratch(*s))),
    "Bidirectional": partial(both_ways, GRUScratch),
    "Bidirectional of nn.GRU": partial(both_ways, nn.GRU),
    "Normalized": lambda *sizes: Normalized(nn.GRU(*sizes)),
    "Reversed": lambda *sizes: Reversed(LSTMScratch(*sizes)),
    "Embedded": lambda num_inputs, num_hiddens: Embedded(
        deep(GRUScratch, 2, num_hiddens), num_inputs
    ),
}


@pytest.fixture(params=LAYERS)
def layer(request):
    """Each kind of layer that ``run_layer`` knows, in float64."""
    torch.manual_seed(0)
    return LAYERS[request.param](3, 4).double()


UNSORTED = torch.tensor([3, 5, 1, 4])  # the batch has 6 steps: no row fills it


def state_like(state):
    parts = tuple(draw(*part.shape) for part in parts_of(state))
    return parts if isinstance(state, tuple) else parts[0]


@pytest.mark.parametrize("with_state", [False, True], ids=["zeros", "a state"])
def test_each_row_is_read_as_if_it_were_alone(layer, with_state):
    inputs = draw(6, 4, 3)
    state = state_like(layer(inputs)[1]) if with_state else None
    outputs, last = run_layer(layer, inputs, state, UNSORTED)
    assert len(outputs) == 6
    for row, length in enumerate(UNSORTED.tolist()):
        start = state
        if with_state:
            start = tuple(part[:, row : row + 1] for part in parts_of(state))
            start = start if isinstance(state, tuple) else start[0]
        alone, end = layer(inputs[:length, row : row + 1], start)
        torch.testing.assert_close(outputs[:length, row : row + 1], alone)
        assert not outputs[length:, row].any()
        for part, expected in zip(parts_of(last), parts_of(end), strict=True):
            torch.testing.assert_close(part[:, row : row + 1], expected)


def test_what_stands_in_the_padding_does_not_matter(layer):
    inputs = draw(6, 4, 3)
    changed = inputs.clone()
    changed[~length_mask(UNSORTED, 6)] = 1e3
    before = run_layer(layer, inputs, None, UNSORTED)
    after = run_layer(layer, changed, None, UNSORTED)
    assert torch.equal(before[0], after[0])
    assert all(map(torch.equal, parts_of(before[1]), parts_of(after[1])))


@pytest.mark.parametrize(
    "wrap",
    [
        Residual,
        Normalized,
        lambda layer: Residual(Normalized(layer)),
        lambda layer: Reversed(Normalized(layer)),
        lambda layer: DeepRNN([layer, Normalized(type(layer)(4, 4))]),
    ],
    ids=["residual", "normalized", "both", "reversed", "deep"],
)
@pytest.mark.parametrize("build", [LSTMScratch, nn.GRU])
def test_what_wraps_a_layer_leaves_its_zeros_after_a_rows_length(wrap, build):
    torch.manual_seed(0)
    layer, inputs = wrap(build(4, 4)).double(), draw(6, 4, 4)
    for module in layer.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.bias)  # as training leaves it: no longer 0
    outputs, _ = run_layer(layer, inputs, None, UNSORTED)
    assert torch.equal((outputs != 0).all(dim=2), length_mask(UNSORTED, 6))
    assert torch.equal((outputs != 0).any(dim=2), length_mask(UNSORTED, 6))


def test_no_gradient_reaches_the_padding(layer):
    inputs = draw(6, 4, 3).requires_grad_()
    outputs, last = run_layer(layer, inputs, None, UNSORTED)
    loss = outputs.sum() + sum(part.square().sum() for part in parts_of(last))
    loss.backward()
    mask = length_mask(UNSORTED, 6)
    assert torch.equal((inputs.grad != 0).all(dim=2), mask)
    assert torch.equal((inputs.grad != 0).any(dim=2), mask)


def test_without_lengths_every_row_goes_to_the_end(layer):
    inputs = draw(6, 4, 3)
    expected = layer(inputs)
    assert torch.equal(run_layer(layer, inputs)[0], expected[0])
    full = run_layer(layer, inputs, None, torch.full((4,), 6))
    torch.testing.assert_close(full, expected)


@pytest.mark.parametrize(
    ("build", "ways"),
    [
        (nn.LSTM, ["run_packed"]),
        (LSTMScratch, ["run_padded"]),
        (partial(deep, LSTMScratch), ["run_padded"] * 2),
        (partial(both_ways, nn.GRU), ["run_packed"] * 2),
    ],
    ids=["PyTorch's", "ours", "made of ours", "made of PyTorch's"],
)
def test_layers_of_pytorch_are_packed_and_ours_are_not(monkeypatch, build, ways):
    seen = []
    for name in ("run_packed", "run_padded"):
        usual = getattr(padding, name)

        def spy(*arguments, name=name, usual=usual):
            seen.append(name)
            return usual(*arguments)

        monkeypatch.setattr(padding, name, spy)
    run_layer(build(3, 4), torch.zeros(6, 4, 3), None, UNSORTED)
    assert seen == ways


# ---- Reversed rows ----


@given(lists_of_lengths, st.integers(0, 2), st.sampled_from([(), (2,)]), seeds)
def test_each_row_is_reversed_up_to_its_length_and_its_padding_stays(
    lengths, more, shape, seed
):
    torch.manual_seed(seed)
    inputs = draw(max(lengths) + more, len(lengths), *shape)
    backwards = reverse(inputs, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        assert torch.equal(backwards[:length, row], inputs[:length, row].flip(0))
        assert torch.equal(backwards[length:, row], inputs[length:, row])
    assert torch.equal(reverse(backwards, torch.tensor(lengths)), inputs)


def test_without_lengths_all_of_every_row_is_reversed():
    inputs = draw(5, 3, 2)
    assert torch.equal(reverse(inputs), reverse(inputs, torch.tensor([5, 5, 5])))
    assert torch.equal(reverse(reverse(inputs)), inputs)
    assert torch.equal(reverse(inputs)[0], inputs[-1])


# ---- Lengths that are none ----

BAD_LENGTHS = [
    (
        torch.tensor([3, 0, 1]),
        ValueError,
        r"^row 1 has length 0; expected 1 to 6, the steps of the batch\. Leave out rows",
    ),
    (torch.tensor([3, 2, -1]), ValueError, "^row 2 has length -1; expected 1 to 6, "),
    (torch.tensor([7, 2, 8]), ValueError, "^row 0 has length 7; expected 1 to 6, "),
    (
        torch.tensor([3, 2]),
        ValueError,
        r"^lengths have shape \(2,\); expected \(3,\), one for each row of the batch\.$",
    ),
    (torch.tensor([3, 2, 1, 1]), ValueError, r"shape \(4,\); expected \(3,\), one"),
    (torch.tensor([[3, 2, 1]]), ValueError, r"shape \(1, 3\); expected \(3,\), one"),
    (torch.tensor(3), ValueError, r"shape \(\); expected \(3,\), one for each row"),
    (
        torch.tensor([3.0, 2.0, 1.0]),
        TypeError,
        r"^lengths have dtype torch\.float32; expected torch\.int64\.$",
    ),
    (
        torch.tensor([3, 2, 1], dtype=torch.int32),
        TypeError,
        r"^lengths have dtype torch\.int32; expected torch\.int64\.$",
    ),
    (
        torch.ones(3, dtype=torch.int64, device="meta"),
        ValueError,
        r"^lengths are on device meta; expected the CPU, .* or use lengths\.cpu\(\)\.$",
    ),
]


@pytest.mark.parametrize(
    "check",
    [
        lambda lengths: check_lengths(lengths, 6, 3),
        lambda lengths: run_layer(nn.GRU(2, 4), torch.zeros(6, 3, 2), None, lengths),
        lambda lengths: run_layer(
            both_ways(GRUScratch, 2, 4), torch.zeros(6, 3, 2), None, lengths
        ),
    ],
    ids=["check_lengths", "run_layer", "two directions"],
)
@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    BAD_LENGTHS,
    ids=[
        "0",
        "below 0",
        "too long",
        "too few",
        "too many",
        "2-d",
        "a number",
        "float",
        "int32",
        "device",
    ],
)
def test_lengths_that_do_not_fit_the_batch_are_refused(check, lengths, error, message):
    with pytest.raises(error, match=message):
        check(lengths)


@given(lists_of_lengths)
def test_lengths_may_come_in_any_order(lengths):
    check_lengths(torch.tensor(lengths), 6, len(lengths))


@pytest.mark.cuda
def test_on_cuda_the_lengths_stay_on_the_cpu(layer):
    inputs = draw(6, 4, 3)
    expected = run_layer(layer, inputs, None, UNSORTED)
    outputs, last = run_layer(layer.cuda(), inputs.cuda(), None, UNSORTED)
    assert outputs.is_cuda
    torch.testing.assert_close(outputs.cpu(), expected[0])
    for part, other in zip(parts_of(last), parts_of(expected[1]), strict=True):
        torch.testing.assert_close(part.cpu(), other)
    with pytest.raises(ValueError, match=r"^lengths are on device cuda"):
        run_layer(layer, inputs.cuda(), None, UNSORTED.cuda())
