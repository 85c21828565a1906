"""The recurrent layers of the course from scratch, and what they are made with."""

from typing import Any

import torch
from torch import Tensor, nn

from utils.contract import State, map_state, require_inputs, require_once, state_parts
from utils.conversion import copy_gates, require_module
from utils.initialization import uniform_parameter

# ---- Below: exported from the chapters by `make notebooks`. Edit there, not here. ----


# From chapters/02_rnn.ipynb
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
        num_hiddens)``; None stands for zeros.
        """
        require_inputs(self, inputs, state)
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
        require_module(module, nn.RNN)
        layer = cls(module.input_size, module.hidden_size).to(module.weight_hh_l0)
        with torch.no_grad():
            layer.W_xh.copy_(module.weight_ih_l0.T)
            layer.W_hh.copy_(module.weight_hh_l0.T)
            layer.b_h.copy_(module.bias_ih_l0 + module.bias_hh_l0)
        return layer


# From chapters/03_bptt.ipynb
class RNNFunction(torch.autograd.Function):
    """All steps of a plain RNN, with a backward pass written by hand (Werbos, 1990)."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, H_0: Tensor, W_xh: Tensor, W_hh: Tensor, b_h: Tensor
    ) -> Tensor:
        """Return every state; the shapes are ``RNNScratch``'s, H_0 ``(batch, h)``."""
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
        require_once("RNNFunction")
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


# From chapters/04_gru.ipynb
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
        shapes = (d, h), (h, h), (h,)
        return tuple(uniform_parameter(*shape, bound=h**-0.5) for shape in shapes)

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Return outputs ``(num_steps, batch, num_hiddens)`` and the last state.

        ``inputs`` are ``(num_steps, batch, num_inputs)``. A state, or each of its two
        parts, is ``(1, batch, num_hiddens)``; None stands for zeros.
        """
        require_inputs(self, inputs, state)
        zeros = inputs.new_zeros(1, inputs.shape[1], self.num_hiddens)
        parts = (zeros,) * self.num_states if state is None else state_parts(state)
        parts, outputs = [part[0] for part in parts], []
        for X in inputs:  # X: (batch, num_inputs)
            state = self.step(X, *parts)
            parts = state_parts(state)
            outputs.append(parts[0])  # H: (batch, num_hiddens)
        return torch.stack(outputs), map_state(lambda part: part.unsqueeze(0), state)


# From chapters/04_gru.ipynb
class GRUScratch(StepwiseLayer):
    """A gated recurrent unit (Cho et al., 2014), by default just as PyTorch has it."""

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
        """Return reset and update gate, each ``(batch, num_hiddens)``."""
        r = torch.sigmoid(X @ self.W_xr + H @ self.W_hr + self.b_r)
        z = torch.sigmoid(X @ self.W_xz + H @ self.W_hz + self.b_z)
        return r, z

    def candidate(self, X: Tensor, H: Tensor, r: Tensor) -> Tensor:
        """Return the state if nothing were kept, ``(batch, num_hiddens)``."""
        from_input = X @ self.W_xh + self.b_h
        if self.reset_after:
            return torch.tanh(from_input + r * (H @ self.W_hh + self.b_hh))
        return torch.tanh(from_input + (r * H) @ self.W_hh)

    def step(self, X: Tensor, H: Tensor) -> Tensor:
        """Return the next state from ``X (batch, num_inputs)`` and the last state."""
        r, z = self.gates(X, H)
        return (1 - z) * self.candidate(X, H, r) + z * H

    @classmethod
    def from_torch(cls, module: nn.GRU, reset_after: bool = True) -> "GRUScratch":
        """Return a layer with the weights of ``module`` (one layer, one direction)."""
        require_module(module, nn.GRU, reset_after)
        return copy_gates(module, cls(module.input_size, module.hidden_size), "rzh")


# From chapters/05_lstm.ipynb
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
        """Return input, forget and output gate, each ``(batch, num_hiddens)``."""
        i = torch.sigmoid(X @ self.W_xi + H @ self.W_hi + self.b_i)
        f = torch.sigmoid(X @ self.W_xf + H @ self.W_hf + self.b_f)
        o = torch.sigmoid(X @ self.W_xo + H @ self.W_ho + self.b_o)
        return i, f, o

    def step(self, X: Tensor, H: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next H and C, from ``X (batch, num_inputs)`` and the last ones."""
        i, f, o = self.gates(X, H)
        g = torch.tanh(X @ self.W_xc + H @ self.W_hc + self.b_c)  # candidate
        C = f * C + i * g
        return o * torch.tanh(C), C

    @classmethod
    def from_torch(cls, module: nn.LSTM) -> "LSTMScratch":
        """Return a layer with the weights of ``module`` (one layer, one direction)."""
        require_module(module, nn.LSTM)
        return copy_gates(module, cls(module.input_size, module.hidden_size), "ifco")


# From chapters/05_lstm.ipynb
def set_forget_bias(layer: LSTMScratch | nn.LSTM, bias: float | Tensor) -> None:
    """Set the forget gate's bias, a number or ``(num_hiddens,)``.

    ``nn.LSTM`` has two, whose sum is set. ``require_module`` says what is raised for
    other layers.
    """
    with torch.no_grad():
        if isinstance(layer, LSTMScratch):
            layer.b_f.copy_(torch.as_tensor(bias))
        else:
            require_module(layer, nn.LSTM)
            layer.bias_ih_l0.chunk(4)[1].copy_(torch.as_tensor(bias))
            layer.bias_hh_l0.chunk(4)[1].zero_()
