"""The recurrent layers of the course, each built in the chapter that teaches it.

All of them, like PyTorch's own, keep one contract: ``outputs, state = rnn(inputs, state)`` with
``inputs (num_steps, batch, num_inputs)``, ``outputs (num_steps, batch, num_hiddens)`` and
``state (1, batch, num_hiddens)``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# One tensor, or a pair (H, C) for an LSTM; None stands for zeros.
State = Tensor | tuple[Tensor, ...] | None


def check_inputs(layer: nn.Module, inputs: Tensor, state: Tensor | None) -> None:
    """Raise a clear error unless ``layer`` can read ``inputs`` starting from ``state``.

    Raises:
        TypeError: a wrong dtype, or a state that is not one tensor.
        ValueError: a wrong shape or device.
    """
    name, weight = type(layer).__name__, next(layer.parameters())
    if inputs.dim() != 3 or inputs.shape[2] != layer.num_inputs:
        raise ValueError(
            f"{name} got inputs of shape {tuple(inputs.shape)}; expected (num_steps, batch, {layer.num_inputs})."
        )
    if len(inputs) == 0:
        raise ValueError(f"{name} got inputs of 0 time steps; expected at least 1.")
    _check_like(f"{name} got inputs", inputs, weight)
    if state is None:
        return
    if not isinstance(state, Tensor):
        raise TypeError(
            f"{name} got a state of type {type(state).__name__}; expected one tensor. "
            "A pair (H, C) is the state of an LSTM: pass None to start afresh."
        )
    expected = (1, inputs.shape[1], layer.num_hiddens)
    if tuple(state.shape) != expected:
        raise ValueError(
            f"{name} got a state of shape {tuple(state.shape)}; expected (1, batch, num_hiddens) = {expected}. "
            "A state fits one batch size and one layer: pass None to start afresh."
        )
    _check_like(f"{name} got a state", state, weight)


def _check_like(what: str, tensor: Tensor, weight: Tensor) -> None:
    if tensor.dtype != weight.dtype:
        raise TypeError(
            f"{what} of dtype {tensor.dtype}; expected {weight.dtype}, the parameters' own: "
            f"convert it with .to({weight.dtype})."
        )
    if tensor.device != weight.device:
        raise ValueError(
            f"{what} on device {tensor.device}; expected {weight.device}, where the parameters are: "
            f"move it with .to('{weight.device}')."
        )


def check_module(module: nn.Module, expected: type[nn.RNNBase]) -> None:
    """Raise a clear error unless ``module`` is one that ``from_torch`` can copy.

    Raises:
        TypeError: it is not an ``expected`` layer.
        ValueError: it has several layers, two directions or another setting that we do not build.
    """
    if not isinstance(module, expected):
        raise TypeError(
            f"from_torch got a {type(module).__name__}; expected a torch.nn.{expected.__name__}."
        )
    supported = {
        "num_layers": 1,
        "bidirectional": False,
        "bias": True,
        "batch_first": False,
        "proj_size": 0,
        "nonlinearity": "tanh",
    }
    for name, value in supported.items():
        if getattr(module, name, value) != value:
            raise ValueError(
                f"from_torch got a {expected.__name__} with {name}={getattr(module, name)!r}; "
                f"only {name}={value!r} is supported."
            )


# ---- Below: exported from the chapters by `make notebooks`. Edit there, not here. ----


def uniform_parameter(*shape: int, bound: float) -> nn.Parameter:
    """Return a parameter of ``shape`` drawn uniformly from -bound .. bound."""
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


class RNNScratch(nn.Module):
    """H_t = tanh(X_t W_xh + H_{t-1} W_hh + b_h), as in Elman (1990)."""

    def __init__(self, num_inputs: int, num_hiddens: int) -> None:
        super().__init__()
        self.num_inputs, self.num_hiddens = num_inputs, num_hiddens
        bound = num_hiddens**-0.5
        self.W_xh = uniform_parameter(num_inputs, num_hiddens, bound=bound)
        self.W_hh = uniform_parameter(num_hiddens, num_hiddens, bound=bound)
        self.b_h = uniform_parameter(num_hiddens, bound=bound)

    def forward(
        self, inputs: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return outputs ``(num_steps, batch, num_hiddens)`` and the last state.

        ``inputs`` are ``(num_steps, batch, num_inputs)``. A state is ``(1, batch,
        num_hiddens)``; None stands for zeros. ``check_inputs`` says what it raises.
        """
        check_inputs(self, inputs, state)
        zeros = inputs.new_zeros(inputs.shape[1], self.num_hiddens)
        H = zeros if state is None else state[0]
        outputs = []
        for X in inputs:  # X: (batch, num_inputs)
            H = torch.tanh(X @ self.W_xh + H @ self.W_hh + self.b_h)
            outputs.append(H)  # H: (batch, num_hiddens)
        return torch.stack(outputs), H.unsqueeze(0)

    @classmethod
    def from_torch(cls, module: nn.RNN) -> "RNNScratch":
        """Return a layer with the weights of ``module`` (one layer, one direction)."""
        check_module(module, nn.RNN)
        layer = cls(module.input_size, module.hidden_size).to(module.weight_hh_l0)
        with torch.no_grad():
            layer.W_xh.copy_(module.weight_ih_l0.T)
            layer.W_hh.copy_(module.weight_hh_l0.T)
            layer.b_h.copy_(module.bias_ih_l0 + module.bias_hh_l0)
        return layer
