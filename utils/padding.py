"""Sequences of different length in one batch: padding, packing and masking."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from utils.cells import State, state_parts


def check_lengths(lengths: Tensor, num_steps: int, batch: int) -> None:
    """Raise a clear error unless ``lengths`` says how many steps each row of a batch has. Any order will do.

    Raises:
        TypeError: the dtype is not int64.
        ValueError: not ``(batch,)``, not on the CPU, or a length outside 1 .. ``num_steps``.
    """
    if lengths.dtype != torch.int64:
        raise TypeError(f"lengths have dtype {lengths.dtype}; expected torch.int64.")
    if tuple(lengths.shape) != (batch,):
        raise ValueError(
            f"lengths have shape {tuple(lengths.shape)}; expected ({batch},), one for each row of the batch."
        )
    if lengths.device.type != "cpu":
        raise ValueError(
            f"lengths are on device {lengths.device}; expected the CPU, where packing reads them. "
            "Leave them there when the batch is moved, or use lengths.cpu()."
        )
    if not 1 <= int(lengths.min()) <= int(lengths.max()) <= num_steps:
        wrong = int(((lengths < 1) | (lengths > num_steps)).nonzero()[0])
        raise ValueError(
            f"row {wrong} has length {int(lengths[wrong])}; expected 1 to {num_steps}, the steps of the batch. "
            "Leave out rows that are padding only: they have no last state."
        )


def run_layer(
    layer: nn.Module,
    inputs: Tensor,
    state: State = None,
    lengths: Tensor | None = None,
) -> tuple[Tensor, State]:
    """Return ``layer(inputs, state)``, each row read only up to its length, ``(batch,)``; None: to the end.

    Layers of PyTorch get packed sequences, layers of ours that are made of others hand the lengths on,
    and every other one is run by ``run_padded``. The outputs after a row's length are zeros.
    ``check_lengths`` says what it raises.
    """
    if lengths is None:
        return layer(inputs, state)
    check_lengths(lengths, *inputs.shape[:2])
    if isinstance(layer, nn.RNNBase):
        return run_packed(layer, inputs, lengths, state)
    if getattr(layer, "takes_lengths", False):
        outputs, state = layer(inputs, state, lengths)
        mask = length_mask(lengths, len(inputs)).to(outputs.device)
        return outputs.masked_fill(~mask.unsqueeze(-1), 0.0), state
    return run_padded(layer, inputs, lengths, state)


# ---- Below: exported from the chapters by `make notebooks`. Edit there, not here. ----


def reverse(inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Return ``inputs (num_steps, batch, ...)`` with each row reversed up to its length; padding stays."""
    if lengths is None:
        return inputs.flip(0)
    steps = torch.arange(len(inputs)).unsqueeze(1)
    order = torch.where(steps < lengths, lengths - 1 - steps, steps).to(inputs.device)
    return inputs[order, torch.arange(inputs.shape[1], device=inputs.device)]


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the ``values`` where ``mask``, of the same shape, is True."""
    return values[mask].mean()


def pad(sequences: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return ``sequences``, each ``(length, ...)``, as one batch ``(num_steps, batch, ...)``, and their lengths.

    What is missing is filled up with zeros.
    """
    return pad_sequence(list(sequences)), torch.tensor([len(s) for s in sequences])


def length_mask(lengths: Tensor, num_steps: int) -> Tensor:
    """Return ``(num_steps, batch)``: True where a row of ``lengths (batch,)`` still has an element."""
    return torch.arange(num_steps, device=lengths.device).unsqueeze(1) < lengths


def run_packed(
    rnn: nn.RNNBase, inputs: Tensor, lengths: Tensor, state: State = None
) -> tuple[Tensor, State]:
    """Return outputs and last state of a layer of PyTorch, each row read only up to its length.

    The shapes are those of the layer; outputs after a row's length are zeros.
    """
    packed = pack_padded_sequence(inputs, lengths, enforce_sorted=False)
    outputs, state = rnn(packed, state)
    return pad_packed_sequence(outputs, total_length=len(inputs))[0], state


def run_padded(
    layer: nn.Module, inputs: Tensor, lengths: Tensor, state: State = None
) -> tuple[Tensor, State]:
    """Return what ``run_packed`` returns, for any layer that reads from left to right.

    A row that has ended keeps its state, and puts out zeros.
    """
    mask = length_mask(lengths, len(inputs)).to(inputs.device)
    outputs = []
    for X, going in zip(
        inputs.split(1), mask.unsqueeze(-1), strict=True
    ):  # going: (batch, 1)
        output, new = layer(X, state)
        if state is not None:
            parts = zip(state_parts(new), state_parts(state), strict=True)
            parts = tuple(torch.where(going, now, before) for now, before in parts)
            new = parts if isinstance(new, tuple) else parts[0]
        outputs.append(output.masked_fill(~going, 0.0))
        state = new  # (1, batch, num_hiddens), or two of these
    return torch.cat(outputs), state
