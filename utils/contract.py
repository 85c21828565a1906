"""The contract of recurrent layers, ours and PyTorch's, and what holds them to it.

The contract is ``outputs, state = rnn(inputs, state)`` with

- ``inputs (num_steps, batch, num_inputs)``: time comes first;
- ``outputs (num_steps, batch, num_hiddens)``: the top layer at every step;
- ``state (1, batch, num_hiddens)``: the layer at the last step, for an LSTM a pair
  (H, C) of such tensors. A stack has an entry for each layer and direction. None
  stands for zeros.

A layer says what it is by its attributes: ``num_inputs`` and ``num_hiddens``, which
PyTorch calls ``input_size`` and ``hidden_size``; ``bidirectional``, if its outputs are
those of two directions side by side; ``right_to_left``, if it reads backward;
``takes_lengths``, if it can be given the length of each row as a third argument;
``num_layers``; ``num_states``, 2 if a state is a pair, which what holds an LSTM of
PyTorch need not say. What is absent is False, or 1.

A ``require_...`` function returns nothing. It raises a TypeError for what is of another
kind or dtype, and a ValueError for other values, if it says nothing else.
"""

import itertools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from utils.arguments import require_counts

# One tensor, or a pair (H, C) for an LSTM; None stands for zeros.
State = Tensor | tuple[Tensor, ...] | None
STATE_KINDS = {
    1: "one tensor (a pair (H, C) is that of an LSTM, of which num_states is 2)",
    2: "a pair (H, C) of tensors (one tensor is the state of an RNN or a GRU)",
}


def input_size(rnn: nn.Module) -> int:
    """Return how many numbers a layer reads at each step; TypeError: none does."""
    return _size(rnn, "num_inputs", "input_size")


def output_size(rnn: nn.Module) -> int:
    """Return how many numbers a layer puts out at each step, directions together."""
    return _size(rnn, "num_hiddens", "hidden_size") * direction_count(rnn)


def direction_count(rnn: nn.Module) -> int:
    """Return 2 for a bidirectional layer, else 1."""
    return 2 if getattr(rnn, "bidirectional", False) else 1


def state_count(rnn: nn.Module) -> int:
    """Return how many tensors a state has: 2 if the layer is or holds an LSTM."""
    lstms = (isinstance(part, (nn.LSTM, nn.LSTMCell)) for part in rnn.modules())
    counts = (getattr(part, "num_states", 1) for part in rnn.modules())
    return max(1 + any(lstms), *counts)


def _size(rnn: nn.Module, ours: str, torchs: str) -> int:
    size = getattr(rnn, ours, getattr(rnn, torchs, None))
    if size is None:
        name = type(rnn).__name__
        raise TypeError(f"the model got a {name}; expected a recurrent layer.")
    return size


def state_parts(state: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return a state as a tuple of tensors: one, or H and C for an LSTM."""
    return state if isinstance(state, tuple) else (state,)


def map_state(function: Callable[..., Tensor], *states: State) -> State:
    """Return the state whose parts are ``function`` of the parts of ``states``.

    They are all of one kind. None, if the first one is None.
    """
    if states[0] is None:
        return None
    parts = zip(*map(state_parts, states), strict=True)
    made = tuple(function(*part) for part in parts)
    return made if isinstance(states[0], tuple) else made[0]


def join_states(states: Sequence[State]) -> State:
    """Return the states of several layers as one, stacked along the first dimension.

    Raises:
        ValueError: they are of different kinds or widths.
    """
    if len({(type(s), state_parts(s)[0].shape[1:]) for s in states}) > 1:
        raise ValueError(
            "the layers have states of different kinds or widths; expected one kind of "
            "layer, and one num_hiddens."
        )
    return map_state(lambda *parts: torch.cat(parts), *states)


def split_state(layer: nn.Module, state: State, sizes: Sequence[int]) -> list[State]:
    """Undo ``join_states``: return a state of each of the ``sizes``, or Nones for None.

    Raises:
        TypeError: ``state`` is of another kind than the layer's.
        ValueError: a first dimension is not the sum of ``sizes``.
    """
    if state is None:
        return [None] * len(sizes)
    _require_kind(layer, state)
    for part in state_parts(state):
        if part.dim() != 3 or len(part) != sum(sizes):
            raise ValueError(
                f"{type(layer).__name__} got a state of shape {tuple(part.shape)}; "
                f"expected ({sum(sizes)}, batch, num_hiddens), one entry for each of "
                "its layers and directions."
            )
    parts = zip(*(part.split(list(sizes)) for part in state_parts(state)), strict=True)
    return [one if isinstance(state, tuple) else one[0] for one in parts]


def require_inputs(layer: nn.Module, inputs: Tensor, state: State) -> None:
    """Require that ``layer`` can read ``inputs`` starting from ``state``."""
    name, weight = type(layer).__name__, next(layer.parameters())
    if inputs.dim() != 3 or inputs.shape[2] != layer.num_inputs:
        raise ValueError(
            f"{name} got inputs of shape {tuple(inputs.shape)}; "
            f"expected (num_steps, batch, {layer.num_inputs})."
        )
    if len(inputs) == 0:
        raise ValueError(f"{name} got inputs of 0 time steps; expected at least 1.")
    _require_like(f"{name} got inputs", inputs, weight)
    if state is None:
        return
    _require_kind(layer, state)
    expected = (1, inputs.shape[1], layer.num_hiddens)
    for part in state_parts(state):
        if tuple(part.shape) != expected:
            raise ValueError(
                f"{name} got a state of shape {tuple(part.shape)}; expected "
                f"(1, batch, num_hiddens) = {expected}. A state fits one batch size "
                "and one layer: pass None to start afresh."
            )
        _require_like(f"{name} got a state", part, weight)


def _require_kind(layer: nn.Module, state: Any) -> None:
    """Raise a TypeError unless a state has as many tensors as the layer's."""
    count, parts = state_count(layer), state_parts(state)
    fits = isinstance(state, tuple) == (count > 1) and len(parts) == count
    if not fits or not all(isinstance(part, Tensor) for part in parts):
        length = f" of {len(parts)}" if isinstance(state, tuple) else ""
        raise TypeError(
            f"{type(layer).__name__} got a state of type {type(state).__name__}{length}"
            f"; expected {STATE_KINDS[count]}, or None to start afresh."
        )


def _require_like(what: str, tensor: Tensor, weight: Tensor) -> None:
    if tensor.dtype != weight.dtype:
        raise TypeError(
            f"{what} of dtype {tensor.dtype}; expected {weight.dtype}, the parameters' "
            f"own: convert it with .to({weight.dtype})."
        )
    if tensor.device != weight.device:
        raise ValueError(
            f"{what} on device {tensor.device}; expected {weight.device}, where the "
            f"parameters are: move it with .to('{weight.device}')."
        )


def require_layer(
    rnn: nn.Module, num_inputs: int | None = None, **settings: Any
) -> None:
    """Require a layer that keeps the contract and reads ``num_inputs`` (None: any).

    It, and every layer inside it, must have the ``settings``, given by name, and be
    neither batch-first nor projected.
    """
    reads = input_size(rnn)  # or it is no recurrent layer
    settings = {"batch_first": False, "proj_size": 0} | settings
    for part, (name, value) in itertools.product(rnn.modules(), settings.items()):
        if getattr(part, name, value) != value:
            raise ValueError(
                f"got a {type(part).__name__} with {name}={getattr(part, name)!r}; "
                f"expected {name}={value!r}."
            )
    if num_inputs not in (None, reads):
        raise ValueError(
            f"the model got a {type(rnn).__name__} with {reads} inputs; expected "
            f"{num_inputs} (for one-hot characters, the vocabulary's size)."
        )


def require_causal(
    rnn: nn.Module, num_inputs: int | None = None, **settings: Any
) -> None:
    """Require what ``require_layer`` does, and that it reads from left to right."""
    require_layer(rnn, num_inputs, bidirectional=False, right_to_left=False, **settings)


def require_stack(layers: Sequence[nn.Module], dropout: float) -> None:
    """Require that each of ``layers`` reads what the one below puts out.

    ``dropout`` acts between them. With one layer there is no between, and a warning
    says that nothing is dropped.
    """
    require_counts(num_layers=len(layers))
    if not 0 <= dropout < 1:
        raise ValueError(
            f"dropout is {dropout}; expected a share of at least 0 and below 1, "
            "such as 0.2."
        )
    if dropout > 0 and len(layers) == 1:
        warnings.warn(
            f"dropout is {dropout} but num_layers is 1: dropout acts between layers, "
            "so nothing is dropped.",
            stacklevel=3,  # the line that makes the stack
        )
    for layer in layers:
        require_layer(layer, num_layers=1)
    for depth, (below, above) in enumerate(itertools.pairwise(layers), start=1):
        if output_size(below) != input_size(above):
            raise ValueError(
                f"layer {depth} puts out {output_size(below)} numbers a step, but "
                f"layer {depth + 1} reads {input_size(above)}; expected the same, as "
                "make_layers arranges."
            )


def require_pair(rightward: nn.Module, leftward: nn.Module) -> None:
    """Require that two layers can be the two directions of one."""
    for layer in (rightward, leftward):
        require_causal(layer, num_layers=1)
    sizes = [(input_size(r), output_size(r)) for r in (rightward, leftward)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"the two directions have (num_inputs, num_hiddens) {sizes[0]} and "
            f"{sizes[1]}; expected the same."
        )


def require_decoder_state(rnn: nn.GRU, state: Tensor, batch: int) -> None:
    """Require that a decoder's ``rnn`` can start from what an encoder hands over."""
    expected = (rnn.num_layers, batch, rnn.hidden_size)
    if tuple(state.shape) != expected:
        raise ValueError(
            f"the decoder got a state of shape {tuple(state.shape)}; expected "
            f"(num_layers, batch, num_hiddens) = {expected}. Give the encoder and the "
            "decoder the same num_layers and num_hiddens."
        )


def require_once(name: str) -> None:
    """Raise a RuntimeError if a backward pass is to be differentiated: once only."""
    if torch.is_grad_enabled():
        raise RuntimeError(
            f"{name} has a backward pass that was written by hand, and that has no "
            "derivative itself: leave out create_graph=True, or use a layer without it."
        )
