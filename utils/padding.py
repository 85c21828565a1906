"""Sequences of different length in one batch: padding, packing and masking."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pad_packed_sequence,
    pad_sequence,
)

from utils.contract import State, map_state


def require_lengths(lengths: Tensor, num_steps: int, batch: int) -> None:
    """Require that ``lengths`` say how many steps each row has, in any order.

    Raises:
        TypeError: the dtype is not int64.
        ValueError: not ``(batch,)``, not on the CPU, or one outside 1 .. ``num_steps``.
    """
    if lengths.dtype != torch.int64:
        raise TypeError(f"lengths have dtype {lengths.dtype}; expected torch.int64.")
    if tuple(lengths.shape) != (batch,):
        raise ValueError(
            f"lengths have shape {tuple(lengths.shape)}; expected ({batch},), one for "
            "each row of the batch."
        )
    if lengths.device.type != "cpu":
        raise ValueError(
            f"lengths are on device {lengths.device}; expected the CPU, where packing "
            "reads them. Leave them there when the batch is moved, or use "
            "lengths.cpu()."
        )
    if not 1 <= int(lengths.min()) <= int(lengths.max()) <= num_steps:
        wrong = int(((lengths < 1) | (lengths > num_steps)).nonzero()[0])
        raise ValueError(
            f"row {wrong} has length {int(lengths[wrong])}; expected 1 to {num_steps}, "
            "the steps of the batch. Leave out rows that are padding only: they have "
            "no last state."
        )


def require_places(mask: Tensor) -> None:
    """Raise a ValueError if ``mask``, on the CPU, is False everywhere.

    A GPU would have to be waited for.
    """
    if mask.device.type == "cpu" and not mask.any():
        raise ValueError(
            f"the mask of shape {tuple(mask.shape)} is False everywhere; expected at "
            "least one place that counts. Leave out batches without any."
        )


def run_layer(
    layer: nn.Module,
    inputs: Tensor,
    state: State = None,
    lengths: Tensor | None = None,
) -> tuple[Tensor, State]:
    """Return ``layer(inputs, state)``, each row read only up to its length.

    Layers of PyTorch get packed sequences, those with ``takes_lengths`` hand the
    ``lengths (batch,)`` on (None: to the end), and every other one is run by
    ``run_padded``. The outputs after a row's length are zeros, and what stands there in
    the inputs reaches neither output nor gradient. ``require_lengths`` says what is
    raised.
    """
    if lengths is None:
        return layer(inputs, state)
    require_lengths(lengths, *inputs.shape[:2])
    if isinstance(layer, nn.RNNBase):
        return run_packed(layer, inputs, lengths, state)
    if not getattr(layer, "takes_lengths", False):
        return run_padded(layer, inputs, lengths, state)
    outputs, state = layer(inputs, state, lengths)
    padding = ~length_mask(lengths, len(inputs)).to(outputs.device)
    return outputs.masked_fill(padding.unsqueeze(-1), 0.0), state


# ---- Below: exported from the chapters by `make notebooks`. Edit there, not here. ----


# From chapters/07_bidirectional.ipynb
def reverse(inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Return ``inputs (num_steps, batch, ...)``, each row reversed up to its length."""
    if lengths is None:
        return inputs.flip(0)
    steps = torch.arange(len(inputs)).unsqueeze(1)
    order = torch.where(steps < lengths, lengths - 1 - steps, steps).to(inputs.device)
    return inputs[order, torch.arange(inputs.shape[1], device=inputs.device)]


# From chapters/07_bidirectional.ipynb
def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the ``values`` where ``mask``, of the same shape, is True."""
    require_places(mask)
    return torch.where(mask, values, 0.0).sum() / mask.sum()


# From chapters/07_bidirectional.ipynb
def pad(sequences: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return ``sequences``, each ``(length, ...)``, as one batch, and their lengths.

    The batch is ``(num_steps, batch, ...)``; what is missing is filled up with zeros.
    """
    return pad_sequence(list(sequences)), torch.tensor([len(s) for s in sequences])


def length_mask(lengths: Tensor, num_steps: int) -> Tensor:
    """Return ``(num_steps, batch)``: True up to the length of each row."""
    return torch.arange(num_steps, device=lengths.device).unsqueeze(1) < lengths


# From chapters/07_bidirectional.ipynb
def run_packed(
    rnn: nn.RNNBase, inputs: Tensor, lengths: Tensor, state: State = None
) -> tuple[Tensor, State]:
    """Return outputs and last state of a layer of PyTorch, each row up to its length.

    The shapes are those of the layer; outputs after a row's length are zeros.
    """
    packed = pack_padded_sequence(inputs, lengths, enforce_sorted=False)
    outputs, state = rnn(packed, state)
    # The rows come back longest first. Left to itself, PyTorch would look up their
    # order on the CPU, and wait for a GPU.
    longest_first = PackedSequence(outputs.data, outputs.batch_sizes)
    outputs, _ = pad_packed_sequence(longest_first, total_length=len(inputs))
    return outputs[:, packed.unsorted_indices], state


# From chapters/07_bidirectional.ipynb
def run_padded(
    layer: nn.Module, inputs: Tensor, lengths: Tensor, state: State = None
) -> tuple[Tensor, State]:
    """Return what ``run_packed`` returns, for any layer that reads from left to right.

    A row that has ended keeps its state, and puts out zeros.
    """
    mask = length_mask(lengths, len(inputs)).to(inputs.device).unsqueeze(-1)
    inputs = inputs.masked_fill(~mask, 0.0)  # whatever stood there: 0 times NaN is NaN
    outputs = []
    for X, going in zip(inputs.split(1), mask, strict=True):  # going: (batch, 1)
        output, new = layer(X, state)
        if state is not None:
            new = map_state(partial(torch.where, going), new, state)
        outputs.append(output.masked_fill(~going, 0.0))
        state = new  # (1, batch, num_hiddens), or two of these
    return torch.cat(outputs), state
