"""What a model has to know about a recurrent layer, ours or PyTorch's: its sizes, its parts and its states."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from utils.cells import State, check_settings, state_parts
from utils.errors import check_counts


def input_size(rnn: nn.Module) -> int:
    """Return how many numbers a recurrent layer, ours or PyTorch's, reads at each step.

    Raises:
        TypeError: ``rnn`` is no recurrent layer.
    """
    return _size(rnn, "num_inputs", "input_size")


def output_size(rnn: nn.Module) -> int:
    """Return how many numbers a recurrent layer puts out at each step: those of both directions, if it has two.

    Raises:
        TypeError: ``rnn`` is no recurrent layer.
    """
    return _size(rnn, "num_hiddens", "hidden_size") * direction_count(rnn)


def _size(rnn: nn.Module, ours: str, torchs: str) -> int:
    size = getattr(rnn, ours, getattr(rnn, torchs, None))
    if size is None:
        name = type(rnn).__name__
        raise TypeError(f"the model got a {name}; expected a recurrent layer.")
    return size


def direction_count(rnn: nn.Module) -> int:
    """Return 2 for a bidirectional layer, else 1."""
    return 2 if getattr(rnn, "bidirectional", False) else 1


def check_layer(rnn: nn.Module, num_inputs: int | None = None) -> int:
    """Return the number of hidden units of ``rnn``, or raise unless a model of ours can use it.

    Raises:
        TypeError: ``rnn`` is no recurrent layer.
        ValueError: it does not read ``num_inputs`` (None: any number), or it is bidirectional,
            reads from right to left, or is batch-first or projected.
    """
    hiddens = output_size(rnn)
    settings = ("batch_first", "bidirectional", "right_to_left", "proj_size")
    for part, setting in itertools.product(rnn.modules(), settings):
        if getattr(part, setting, False):
            raise ValueError(
                f"the model got a {type(part).__name__} with {setting}={getattr(part, setting)!r}; expected "
                "a layer that reads (num_steps, batch, num_inputs) from left to right."
            )
    if num_inputs is not None:
        check_reads(rnn, num_inputs)
    return hiddens


def check_reads(rnn: nn.Module, num_inputs: int) -> None:
    """Raise a clear error unless a recurrent layer reads ``num_inputs`` numbers a step.

    Raises:
        TypeError: ``rnn`` is no recurrent layer.
        ValueError: it reads another number.
    """
    if input_size(rnn) != num_inputs:
        raise ValueError(
            f"the model got a {type(rnn).__name__} with {input_size(rnn)} inputs; expected {num_inputs} "
            "(for one-hot characters, the vocabulary's size)."
        )


def check_parts(layer: nn.Module, **settings: Any) -> None:
    """Raise a clear error unless a layer, and all layers inside it, have the ``settings``.

    Raises:
        ValueError: one has not, or is batch-first or projected.
    """
    settings = {"batch_first": False, "proj_size": 0} | settings
    for part, (name, value) in itertools.product(layer.modules(), settings.items()):
        if getattr(part, name, value) != value:
            raise ValueError(
                f"got a {type(part).__name__} with {name}={getattr(part, name)!r}; expected {name}={value!r}."
            )


def check_depth(num_layers: int, dropout: float) -> None:
    """Raise a clear error unless there can be so many layers, with ``dropout`` between them.

    With one layer there is no between: a dropout then has no effect, and a warning says so.

    Raises:
        ValueError: ``num_layers`` is below 1, or ``dropout`` outside 0 .. 1, 1 excluded.
    """
    check_counts(num_layers=num_layers)
    if not 0 <= dropout < 1:
        raise ValueError(
            f"dropout is {dropout}; expected a share of at least 0 and below 1, such as 0.2."
        )
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            f"dropout is {dropout} but num_layers is 1: dropout acts between layers, so nothing is dropped.",
            stacklevel=4,  # the line that makes the model
        )


def check_stack(layers: Sequence[nn.Module], dropout: float) -> None:
    """Raise a clear error unless each of ``layers`` reads what the one below puts out.

    ``check_depth`` says what it raises for their number and for ``dropout``.

    Raises:
        TypeError: one is no recurrent layer.
        ValueError: two do not fit, or one is a stack itself; ``check_parts`` says what else.
    """
    check_depth(len(layers), dropout)
    for layer in layers:
        check_parts(layer, num_layers=1)
    for depth, (below, above) in enumerate(itertools.pairwise(layers), start=1):
        if output_size(below) != input_size(above):
            raise ValueError(
                f"layer {depth} puts out {output_size(below)} numbers a step, but layer {depth + 1} reads "
                f"{input_size(above)}; expected the same, as make_layers arranges."
            )


def check_pair(rightward: nn.Module, leftward: nn.Module) -> tuple[int, int]:
    """Return the inputs and the hidden units of two layers, or raise unless they can be the two directions of one.

    ``check_layer`` says what it raises for each.

    Raises:
        ValueError: their sizes differ, or one is a stack.
    """
    sizes = [(input_size(r), check_layer(r)) for r in (rightward, leftward)]
    for layer in (rightward, leftward):
        check_parts(layer, num_layers=1)
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"the two directions have (num_inputs, num_hiddens) {sizes[0]} and {sizes[1]}; expected the same."
        )
    return sizes[0]


def stacked_gru(
    num_inputs: int, num_hiddens: int, num_layers: int, dropout: float
) -> nn.GRU:
    """Return a GRU with ``dropout`` between its layers; ``check_depth`` says what it raises and warns of."""
    check_depth(num_layers, dropout)
    between = dropout if num_layers > 1 else 0.0
    return nn.GRU(num_inputs, num_hiddens, num_layers, dropout=between)


def unstack(module: nn.RNNBase) -> Iterator[nn.RNNBase]:
    """Yield the layers of ``module`` from the lowest on, each a module of one layer with the same weights.

    Raises:
        ValueError: a setting that we do not build, such as ``batch_first=True``.
    """
    check_settings(module)
    suffixes = ("", "_reverse") if module.bidirectional else ("",)
    for depth in range(module.num_layers):
        yield _cut_out(module, depth, suffixes)


def directions(module: nn.RNNBase) -> Iterator[nn.RNNBase]:
    """Yield the two directions of a one-layer ``module``, each a module of one direction with the same weights.

    Raises:
        ValueError: several layers, one direction, or a setting that we do not build.
    """
    check_settings(module, num_layers=1, bidirectional=True)
    for suffix in ("", "_reverse"):
        yield _cut_out(module, 0, (suffix,))


def _cut_out(module: nn.RNNBase, depth: int, suffixes: tuple[str, ...]) -> nn.RNNBase:
    """Return the layer ``depth`` of ``module``, with the directions whose parameters end in ``suffixes``."""
    width = module.input_size if depth == 0 else output_size(module)
    part = type(module)(width, module.hidden_size, bidirectional=len(suffixes) == 2)
    part.to(module.weight_hh_l0)
    with torch.no_grad():
        for target, source in zip(("", "_reverse"), suffixes, strict=False):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                value = getattr(module, f"{name}_l{depth}{source}")
                getattr(part, f"{name}_l0{target}").copy_(value)
    return part


def check_decoder_state(rnn: nn.GRU, state: Tensor, batch: int) -> None:
    """Raise a clear error unless a decoder's ``rnn`` can start from ``state``.

    Raises:
        ValueError: another shape than ``(num_layers, batch, num_hiddens)``.
    """
    expected = (rnn.num_layers, batch, rnn.hidden_size)
    if tuple(state.shape) != expected:
        raise ValueError(
            f"the decoder got a state of shape {tuple(state.shape)}; expected (num_layers, batch, num_hiddens) = "
            f"{expected}. Give the encoder and the decoder the same num_layers and num_hiddens."
        )


def join_states(states: Sequence[State]) -> State:
    """Return the states of several layers as one, stacked along the first dimension.

    Raises:
        ValueError: they are of different kinds or widths.
    """
    if len({(type(s), state_parts(s)[0].shape[1:]) for s in states}) > 1:
        raise ValueError(
            "the layers have states of different kinds or widths; expected one kind of layer, and one num_hiddens."
        )
    parts = zip(*(state_parts(state) for state in states), strict=True)
    joined = tuple(torch.cat(part) for part in parts)
    return joined if isinstance(states[0], tuple) else joined[0]


def split_state(layer: nn.Module, state: State, sizes: Sequence[int]) -> list[State]:
    """Undo ``join_states``: return a state of each of the ``sizes``; None stands for zeros and gives None.

    Raises:
        TypeError: ``state`` is neither a tensor nor a tuple of them.
        ValueError: the first dimension of ``state``, or of one of its parts, is not the sum of ``sizes``.
    """
    if state is None:
        return [None] * len(sizes)
    for part in state_parts(state):
        if not isinstance(part, Tensor):
            raise TypeError(
                f"a state holds a {type(part).__name__}; expected a tensor, or a pair of them."
            )
        if part.dim() != 3 or len(part) != sum(sizes):
            raise ValueError(
                f"{type(layer).__name__} got a state of shape {tuple(part.shape)}; expected "
                f"({sum(sizes)}, batch, num_hiddens), one entry for each of its layers and directions."
            )
    pieces = zip(*(part.split(list(sizes)) for part in state_parts(state)), strict=True)
    return [piece if isinstance(state, tuple) else piece[0] for piece in pieces]
