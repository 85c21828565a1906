"""Weights from the layers of ``torch.nn``: into ours, and into parts of their kind."""

from collections.abc import Iterator

import torch
from torch import nn

from utils.contract import output_size, require_layer

# What our layers have no other setting for.
SUPPORTED = {"bias": True, "nonlinearity": "tanh"}


def require_module(
    module: nn.Module, expected: type[nn.RNNBase], reset_after: bool = True
) -> None:
    """Require a ``module`` of one layer and one direction whose weights fit ours.

    Raises:
        TypeError: it is not an ``expected`` layer.
        ValueError: it has another setting, or ``reset_after`` is False.
    """
    if not isinstance(module, expected):
        raise TypeError(
            f"got a {type(module).__name__}; expected a torch.nn.{expected.__name__}."
        )
    require_layer(module, num_layers=1, bidirectional=False, **SUPPORTED)
    if not reset_after:
        raise ValueError(
            "from_torch got reset_after=False; expected True: nn.GRU applies the reset "
            "gate after the matrix product, and no weights make the other cell compute "
            "the same. Train one from new weights."
        )


def copy_gates(module: nn.RNNBase, layer: nn.Module, gates: str) -> nn.Module:
    """Return ``layer`` with PyTorch's stacked, transposed weights in its own.

    Those are ``W_x?``, ``W_h?`` and ``b_?`` for each of ``gates``, the letters of the
    gates in PyTorch's order. Its two biases are added, except for a GRU's candidate,
    which comes last and keeps them apart as ``b_h`` and ``b_hh``. The layer moves to
    the device and dtype of ``module``.
    """
    layer.to(module.weight_hh_l0)
    stacked = (
        module.weight_ih_l0.T,
        module.weight_hh_l0.T,
        module.bias_ih_l0 + module.bias_hh_l0,
    )
    pieces = [tensor.chunk(len(gates), dim=-1) for tensor in stacked]
    with torch.no_grad():
        for gate, *values in zip(gates, *pieces, strict=True):
            for name, value in zip(("W_x", "W_h", "b_"), values, strict=True):
                getattr(layer, name + gate).copy_(value)
        if isinstance(module, nn.GRU):
            layer.b_h.copy_(module.bias_ih_l0.chunk(3)[-1])
            layer.b_hh.copy_(module.bias_hh_l0.chunk(3)[-1])
    return layer


def unstack(module: nn.RNNBase) -> Iterator[nn.RNNBase]:
    """Yield the layers of ``module`` from the lowest on, each a module of its own.

    Raises:
        ValueError: a setting that we do not build, such as ``batch_first=True``.
    """
    require_layer(module, **SUPPORTED)
    suffixes = ("", "_reverse") if module.bidirectional else ("",)
    for depth in range(module.num_layers):
        yield _cut_out(module, depth, suffixes)


def directions(module: nn.RNNBase) -> Iterator[nn.RNNBase]:
    """Yield the two directions of a one-layer ``module``, each a module of its own.

    Raises:
        ValueError: several layers, one direction, or a setting that we do not build.
    """
    require_layer(module, num_layers=1, bidirectional=True, **SUPPORTED)
    for suffix in ("", "_reverse"):
        yield _cut_out(module, 0, (suffix,))


def _cut_out(module: nn.RNNBase, depth: int, suffixes: tuple[str, ...]) -> nn.RNNBase:
    """Return a layer of ``module``, with directions named as its parameters end."""
    width = module.input_size if depth == 0 else output_size(module)
    part = type(module)(width, module.hidden_size, bidirectional=len(suffixes) == 2)
    part.to(module.weight_hh_l0)
    with torch.no_grad():
        for target, source in zip(("", "_reverse"), suffixes, strict=False):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                value = getattr(module, f"{name}_l{depth}{source}")
                getattr(part, f"{name}_l0{target}").copy_(value)
    return part
