from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.helpers import seeds
from tests.layers import (
    SCRATCH,
    UNSORTED,
    both_ways,
    deep,
    draw,
    each_layer,
    inside,
    kinds,
    lists_of_lengths,
    row_of,
    state_of,
    values_and_gradients,
)
from utils import padding
from utils.cells import GRUScratch, LSTMScratch
from utils.contract import map_state, state_parts
from utils.layers import DeepRNN, Normalized, Residual, Reversed
from utils.models import Tagger
from utils.padding import (
    length_mask,
    masked_mean,
    pad,
    require_lengths,
    require_places,
    reverse,
    run_layer,
    run_packed,
    run_padded,
)

no_numbers = pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])

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


@no_numbers
def test_padding_that_is_no_number_does_not_spoil_the_masked_mean(bad):
    values = torch.tensor([[1.0, 4.0], [3.0, bad]], requires_grad=True)
    mean = masked_mean(values, length_mask(torch.tensor([2, 1]), 2))
    mean.backward()
    assert mean.item() == pytest.approx(8 / 3)
    torch.testing.assert_close(values.grad, torch.tensor([[1, 1], [1, 0]]) / 3)


def test_of_no_places_there_is_no_mean():
    nowhere = torch.zeros(3, 2, dtype=torch.bool)
    for ask in (require_places, partial(masked_mean, torch.ones(3, 2))):
        with pytest.raises(ValueError, match=r"shape \(3, 2\) is False everywhere"):
            ask(nowhere)
    require_places(nowhere.to("meta"))  # a GPU would have to be waited for
    nowhere[2, 1] = True
    require_places(nowhere)


# ---- Two ways to run a layer on a padded batch ----


@kinds
@pytest.mark.parametrize("num_layers", [1, 2])
@given(lists_of_lengths, st.integers(0, 2), st.booleans(), seeds)
@settings(max_examples=25)
def test_a_row_that_keeps_its_state_is_a_packed_row(
    kind, num_layers, lengths, more, with_state, seed
):
    torch.manual_seed(seed)
    module = kind(3, 4, num_layers).double()
    inputs = draw(max(lengths) + more, len(lengths), 3)
    count = (1 + (kind is nn.LSTM)) * with_state
    state = state_of([draw(num_layers, len(lengths), 4) for _ in range(count)])
    lengths = torch.tensor(lengths)
    expected = run_packed(module, inputs, lengths, state)
    assert expected[0].shape == (*inputs.shape[:2], 4)
    layers = [module]
    if num_layers == 1:
        layers.append(SCRATCH[kind].from_torch(module))
    for layer in layers:
        result = run_padded(layer, inputs, lengths, state)
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)


def draw_case(make, num_inputs=4):
    """Return a layer, inputs of 6 steps and 4 rows, and a state, at random."""
    torch.manual_seed(0)
    layer, inputs = make(num_inputs, 4).double(), draw(6, 4, num_inputs)
    return layer, inputs, map_state(torch.randn_like, layer(inputs)[1])


@each_layer
@pytest.mark.parametrize("with_state", [False, True], ids=["zeros", "a state"])
def test_each_row_is_read_as_if_it_were_alone(make, with_state):
    layer, inputs, state = draw_case(make, num_inputs=3)
    state = state if with_state else None
    outputs, last = run_layer(layer, inputs, state, UNSORTED)
    assert len(outputs) == 6
    for row, length in enumerate(UNSORTED.tolist()):
        alone, end = layer(row_of(inputs[:length], row), row_of(state, row))
        torch.testing.assert_close(row_of(outputs[:length], row), alone)
        torch.testing.assert_close(row_of(last, row), end)
        assert not outputs[length:, row].any()


@each_layer
@pytest.mark.parametrize("bad", [1e3, torch.nan, torch.inf, -torch.inf])
def test_what_stands_in_the_padding_reaches_no_output_no_state_and_no_gradient(
    make, bad
):
    layer, inputs, state = draw_case(make)
    mask = length_mask(UNSORTED, 6)
    given = state_parts(state), [*layer.parameters()]
    read = partial(run_layer, layer, lengths=UNSORTED)
    expected = values_and_gradients(read, inputs, *given)
    inputs[~mask] = bad
    results = values_and_gradients(read, inputs, *given)
    assert all(map(torch.equal, results, expected))
    of_inputs = results[1 + len(given[0])]
    assert torch.equal((of_inputs != 0).all(dim=2), mask)
    assert torch.equal((of_inputs != 0).any(dim=2), mask)


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
    layer, inputs, _ = draw_case(inside(wrap, build))
    for module in layer.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.bias)  # as training leaves it: no longer 0
    outputs, _ = run_layer(layer, inputs, None, UNSORTED)
    assert torch.equal((outputs != 0).all(dim=2), length_mask(UNSORTED, 6))
    assert torch.equal((outputs != 0).any(dim=2), length_mask(UNSORTED, 6))


@each_layer
def test_without_lengths_every_row_goes_to_the_end(make):
    layer, inputs, _ = draw_case(make)
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


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([3, 0, 1], r"row 1 has length 0; expected 1 to 6, .* Leave out rows"),
        ([3, 2, -1], "row 2 has length -1; expected 1 to 6"),
        ([7, 2, 8], "row 0 has length 7; expected 1 to 6"),
        ([3, 2], r"lengths have shape \(2,\); expected \(3,\)"),
        ([[3, 2, 1]], r"lengths have shape \(1, 3\); expected \(3,\)"),
        (3, r"lengths have shape \(\); expected \(3,\)"),
    ],
    ids=["0", "below 0", "too long", "too few", "2-d", "a number"],
)
def test_lengths_that_do_not_fit_the_batch_are_refused(lengths, message):
    with pytest.raises(ValueError, match=message):
        require_lengths(torch.tensor(lengths), num_steps=6, batch=3)


def test_lengths_are_whole_numbers_on_the_cpu():
    lengths = torch.tensor([3, 2, 1])
    with pytest.raises(TypeError, match=r"dtype torch\.float32; expected torch\.int64"):
        require_lengths(lengths.float(), 6, 3)
    with pytest.raises(ValueError, match=r"device meta; .* or use lengths\.cpu\(\)"):
        require_lengths(lengths.to("meta"), 6, 3)


@pytest.mark.parametrize(
    "make",
    [GRUScratch, nn.GRU, partial(both_ways, GRUScratch), partial(deep, nn.GRU)],
    ids=["ours", "PyTorch's", "both ways", "deep"],
)
def test_wrong_lengths_are_refused_whatever_reads(make):
    lengths, ids = torch.tensor([3, 0, 1]), torch.zeros(6, 3, dtype=torch.int64)
    with pytest.raises(ValueError, match="row 1 has length 0"):
        run_layer(make(2, 4), torch.zeros(6, 3, 2), None, lengths)
    with pytest.raises(ValueError, match="row 1 has length 0"):
        Tagger(make(2, 4), 2, 2)(ids, lengths)


@given(lists_of_lengths)
def test_lengths_may_come_in_any_order(lengths):
    require_lengths(torch.tensor(lengths), 6, len(lengths))


@pytest.mark.cuda
@each_layer
def test_on_cuda_the_lengths_stay_on_the_cpu(make):
    layer, inputs, _ = draw_case(make)
    expected, state = run_layer(layer, inputs, None, UNSORTED)
    outputs, last = run_layer(layer.cuda(), inputs.cuda(), None, UNSORTED)
    assert outputs.is_cuda
    torch.testing.assert_close(outputs.cpu(), expected)
    torch.testing.assert_close(map_state(torch.Tensor.cpu, last), state)
    with pytest.raises(ValueError, match=r"^lengths are on device cuda"):
        run_layer(layer, inputs.cuda(), None, UNSORTED.cuda())
