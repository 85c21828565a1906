"""The recurrent layers of the course, each built in the chapter that teaches it.

All of them, like PyTorch's own, keep one contract: ``outputs, state = rnn(inputs, state)`` with
``inputs (num_steps, batch, num_inputs)``, ``outputs (num_steps, batch, num_hiddens)`` and
``state (1, batch, num_hiddens)``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

# One tensor, or a pair (H, C) for an LSTM; None stands for zeros.
State = Tensor | tuple[Tensor, ...] | None
STATE_KINDS = {
    1: "one tensor (a pair (H, C) is the state of an LSTM)",
    2: "a pair (H, C) of tensors (one tensor is the state of an RNN or a GRU)",
}


def state_parts(state: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return a state as a tuple of tensors: one, or H and C for an LSTM."""
    return state if isinstance(state, tuple) else (state,)


def check_inputs(
    layer: nn.Module, inputs: Tensor, state: State, num_states: int = 1
) -> None:
    """Raise a clear error unless ``layer`` can read ``inputs`` starting from ``state``.

    ``num_states`` is how many tensors a state of the layer has: 1, or 2 for an LSTM.

    Raises:
        TypeError: a wrong dtype, or a state that has not ``num_states`` tensors.
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
    parts = state_parts(state)
    is_right = isinstance(state, tuple) == (num_states > 1) and len(parts) == num_states
    if not (is_right and all(isinstance(part, Tensor) for part in parts)):
        length = f" of {len(parts)}" if isinstance(state, tuple) else ""
        raise TypeError(
            f"{name} got a state of type {type(state).__name__}{length}; expected "
            f"{STATE_KINDS[num_states]}, or None to start afresh."
        )
    expected = (1, inputs.shape[1], layer.num_hiddens)
    for part in parts:
        if tuple(part.shape) != expected:
            raise ValueError(
                f"{name} got a state of shape {tuple(part.shape)}; expected (1, batch, num_hiddens) = {expected}. "
                "A state fits one batch size and one layer: pass None to start afresh."
            )
        _check_like(f"{name} got a state", part, weight)


def check_step(layer: nn.Module, X: Tensor, *states: Tensor) -> None:
    """Raise a clear error unless one step of ``layer`` can read the input ``X`` and the ``states``, H or H and C.

    Raises:
        ValueError: a wrong shape.
    """
    batch = X.shape[0] if X.dim() == 2 else 1
    expected = [("an input", X, (batch, layer.num_inputs))]
    expected += [("a state", state, (batch, layer.num_hiddens)) for state in states]
    for what, tensor, shape in expected:
        if tensor.shape != shape:
            raise ValueError(
                f"a step of {type(layer).__name__} got {what} of shape {tuple(tensor.shape)}; "
                f"expected {shape}, (batch, {shape[1]})."
            )


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


def check_settings(module: nn.RNNBase, **settings: Any) -> None:
    """Raise a clear error unless ``module`` has the ``settings``, and none that we do not build.

    Raises:
        ValueError: another setting, such as ``batch_first=True``.
    """
    supported = {
        "bias": True,
        "batch_first": False,
        "proj_size": 0,
        "nonlinearity": "tanh",
    }
    for name, value in (settings | supported).items():
        if getattr(module, name, value) != value:
            raise ValueError(
                f"got a {type(module).__name__} with {name}={getattr(module, name)!r}; "
                f"only {name}={value!r} is supported."
            )


def check_module(
    module: nn.Module, expected: type[nn.RNNBase], reset_after: bool = True
) -> None:
    """Raise a clear error unless ``module`` is one whose weights fit ours.

    Raises:
        TypeError: it is not an ``expected`` layer.
        ValueError: it has several layers, two directions or another setting that we do not build, or
            ``reset_after`` is False.
    """
    if not isinstance(module, expected):
        raise TypeError(
            f"got a {type(module).__name__}; expected a torch.nn.{expected.__name__}."
        )
    check_settings(module, num_layers=1, bidirectional=False)
    if not reset_after:
        raise ValueError(
            "from_torch got reset_after=False; expected True: nn.GRU applies the reset gate after the matrix "
            "product, and no weights make the other cell compute the same. Train one from new weights."
        )


def copy_gates(module: nn.RNNBase, layer: nn.Module, gates: str) -> nn.Module:
    """Return ``layer`` with PyTorch's stacked, transposed weights in its ``W_x?``, ``W_h?`` and ``b_?``.

    It moves to the device and dtype of ``module``. ``gates`` holds the letters of the gates in PyTorch's
    order. Its two biases are added, except for a GRU's candidate, which comes last and keeps them apart
    as ``b_h`` and ``b_hh``.
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


class RNNFunction(torch.autograd.Function):
    """All steps of a plain RNN, with a backward pass written by hand (Werbos, 1990)."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, H_0: Tensor, W_xh: Tensor, W_hh: Tensor, b_h: Tensor
    ) -> Tensor:
        """Return every hidden state; the shapes are ``RNNScratch``'s, H_0 ``(batch, h)``."""
        XW, H, outputs = inputs @ W_xh + b_h, H_0, []  # one product for all inputs
        for XW_t in XW:
            H = torch.tanh(XW_t + H @ W_hh)
            outputs.append(H)
        outputs = torch.stack(outputs)
        ctx.save_for_backward(inputs, H_0, W_xh, W_hh, outputs)
        return outputs

    @staticmethod
    def backward(ctx: Any, grad_outputs: Tensor) -> tuple[Tensor, ...]:
        """Walk back through time once; gather each weight's gradient at the end."""
        inputs, H_0, W_xh, W_hh, outputs = ctx.saved_tensors
        slopes = 1 - outputs**2  # of tanh
        grad_A, grad_H = torch.empty_like(outputs), torch.zeros_like(H_0)
        for t in reversed(range(len(outputs))):
            grad_A[t] = (grad_outputs[t] + grad_H) * slopes[t]
            grad_H = grad_A[t] @ W_hh.T  # what step t - 1 hears from the future
        H_before = torch.cat([H_0.unsqueeze(0), outputs[:-1]])
        grad_W_xh = inputs.flatten(0, 1).T @ grad_A.flatten(0, 1)
        grad_W_hh = H_before.flatten(0, 1).T @ grad_A.flatten(0, 1)
        return grad_A @ W_xh.T, grad_H, grad_W_xh, grad_W_hh, grad_A.sum((0, 1))


class StepwiseLayer(nn.Module):
    """A recurrent layer that repeats its ``step``, which a subclass defines.

    A state has ``num_states`` tensors: one, H, or two for an LSTM, H and C.
    """

    num_states = 1

    def __init__(self, num_inputs: int, num_hiddens: int) -> None:
        super().__init__()
        self.num_inputs, self.num_hiddens = num_inputs, num_hiddens

    def gate_parameters(self) -> tuple[nn.Parameter, nn.Parameter, nn.Parameter]:
        """Return new weights from the input and from the state, and a bias."""
        d, h = self.num_inputs, self.num_hiddens
        return tuple(
            uniform_parameter(*s, bound=h**-0.5) for s in [(d, h), (h, h), (h,)]
        )

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Return outputs ``(num_steps, batch, num_hiddens)`` and the last state.

        ``inputs`` are ``(num_steps, batch, num_inputs)``. A state, or each of its two parts,
        is ``(1, batch, num_hiddens)``; None stands for zeros. ``check_inputs`` says what it
        raises.
        """
        check_inputs(self, inputs, state, self.num_states)
        zeros = inputs.new_zeros(1, inputs.shape[1], self.num_hiddens)
        parts = (zeros,) * self.num_states if state is None else state_parts(state)
        parts = tuple(part[0] for part in parts)
        outputs = []
        for X in inputs:  # X: (batch, num_inputs)
            parts = state_parts(self.step(X, *parts))
            outputs.append(parts[0])  # H: (batch, num_hiddens)
        last = tuple(part.unsqueeze(0) for part in parts)
        return torch.stack(outputs), last if self.num_states > 1 else last[0]


class GRUScratch(StepwiseLayer):
    """A gated recurrent unit (Cho et al., 2014), by default exactly as PyTorch has it."""

    def __init__(
        self, num_inputs: int, num_hiddens: int, reset_after: bool = True
    ) -> None:
        super().__init__(num_inputs, num_hiddens)
        self.reset_after = reset_after
        self.W_xr, self.W_hr, self.b_r = self.gate_parameters()  # reset gate
        self.W_xz, self.W_hz, self.b_z = self.gate_parameters()  # update gate
        self.W_xh, self.W_hh, self.b_h = self.gate_parameters()  # candidate
        if reset_after:
            self.b_hh = uniform_parameter(num_hiddens, bound=num_hiddens**-0.5)

    def gates(self, X: Tensor, H: Tensor) -> tuple[Tensor, Tensor]:
        """Return reset and update gate, both of the shape of ``H (batch, num_hiddens)``."""
        check_step(self, X, H)
        r = torch.sigmoid(X @ self.W_xr + H @ self.W_hr + self.b_r)
        z = torch.sigmoid(X @ self.W_xz + H @ self.W_hz + self.b_z)
        return r, z

    def candidate(self, X: Tensor, H: Tensor, r: Tensor) -> Tensor:
        """Return what the state would be if nothing were kept, ``(batch, num_hiddens)``."""
        if self.reset_after:
            return torch.tanh(
                X @ self.W_xh + self.b_h + r * (H @ self.W_hh + self.b_hh)
            )
        return torch.tanh(X @ self.W_xh + self.b_h + (r * H) @ self.W_hh)

    def step(self, X: Tensor, H: Tensor) -> Tensor:
        """Return the next state from ``X (batch, num_inputs)`` and the last state."""
        r, z = self.gates(X, H)
        return (1 - z) * self.candidate(X, H, r) + z * H

    @classmethod
    def from_torch(cls, module: nn.GRU, reset_after: bool = True) -> "GRUScratch":
        """Return a layer with the weights of ``module`` (one layer, one direction)."""
        check_module(module, nn.GRU, reset_after)
        return copy_gates(module, cls(module.input_size, module.hidden_size), "rzh")


class LSTMScratch(StepwiseLayer):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997; Gers et al., 2000)."""

    num_states = 2

    def __init__(self, num_inputs: int, num_hiddens: int) -> None:
        super().__init__(num_inputs, num_hiddens)
        self.W_xi, self.W_hi, self.b_i = self.gate_parameters()  # input gate
        self.W_xf, self.W_hf, self.b_f = self.gate_parameters()  # forget gate
        self.W_xc, self.W_hc, self.b_c = self.gate_parameters()  # candidate
        self.W_xo, self.W_ho, self.b_o = self.gate_parameters()  # output gate

    def gates(self, X: Tensor, H: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the input, the forget and the output gate, each ``(batch, num_hiddens)``."""
        check_step(self, X, H)
        i = torch.sigmoid(X @ self.W_xi + H @ self.W_hi + self.b_i)
        f = torch.sigmoid(X @ self.W_xf + H @ self.W_hf + self.b_f)
        o = torch.sigmoid(X @ self.W_xo + H @ self.W_ho + self.b_o)
        return i, f, o

    def step(self, X: Tensor, H: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next H and C, ``(batch, num_hiddens)``, from ``X (batch, num_inputs)``."""
        check_step(self, X, H, C)
        i, f, o = self.gates(X, H)
        g = torch.tanh(X @ self.W_xc + H @ self.W_hc + self.b_c)  # candidate
        C = f * C + i * g
        return o * torch.tanh(C), C

    @classmethod
    def from_torch(cls, module: nn.LSTM) -> "LSTMScratch":
        """Return a layer with the weights of ``module`` (one layer, one direction)."""
        check_module(module, nn.LSTM)
        return copy_gates(module, cls(module.input_size, module.hidden_size), "ifco")


def set_forget_bias(layer: LSTMScratch | nn.LSTM, bias: float | Tensor) -> None:
    """Set the forget gate's bias, a number or ``(num_hiddens,)``; of ``nn.LSTM``, the sum of its two.

    ``check_module`` says what it raises for other layers.
    """
    with torch.no_grad():
        if isinstance(layer, LSTMScratch):
            layer.b_f.copy_(torch.as_tensor(bias))
        else:
            check_module(layer, nn.LSTM)
            layer.bias_ih_l0.chunk(4)[1].copy_(torch.as_tensor(bias))
            layer.bias_hh_l0.chunk(4)[1].zero_()
