"""How far back a gradient reaches."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from utils.cells import state_parts


def check_lag(max_lag: int, num_steps: int) -> None:
    """Raise a clear error unless a sequence of ``num_steps`` has states ``max_lag`` steps before its last.

    Raises:
        ValueError: ``max_lag`` is negative or too long.
    """
    if not 0 <= max_lag < num_steps:
        raise ValueError(
            f"max_lag is {max_lag}; expected 0 to {num_steps - 1}, since the sequence has {num_steps} steps."
        )


def check_pieces(ids: Tensor, length: int) -> None:
    """Raise a clear error unless a text can be cut into 64 pieces of ``length`` and one more character.

    Raises:
        ValueError: ``ids`` are not one text, ``(n,)``, or too short.
    """
    if ids.dim() != 1 or len(ids) < 64 * length + 1:
        raise ValueError(
            f"ids have shape {tuple(ids.shape)}; expected (n,) with n of at least {64 * length + 1}, "
            f"64 pieces of max_lag + 10 = {length} characters and one more."
        )


# ---- Below: exported from the chapters by `make notebooks`. Edit there, not here. ----


def gradient_by_lag(
    rnn: nn.Module, inputs: Tensor, loss: Callable[[Tensor], Tensor], max_lag: int
) -> Tensor:
    """Return how the gradient of a loss at the last step depends on the lag, ``(max_lag + 1,)``.

    Entry k is the norm of the loss's gradient with respect to the state k steps before the
    last one (for an LSTM: of both its parts together), averaged over the batch and divided
    by entry 0. ``inputs`` are ``(num_steps, batch, num_inputs)``, and ``loss`` maps the last
    output, ``(batch, num_hiddens)``, to a scalar. ``check_lag`` says what it raises.
    """
    check_lag(max_lag, len(inputs))
    states, state = [], None
    for X in inputs.split(1):  # one step at a time, so that every state can be had
        outputs, state = rnn(X, state)
        # The next step reads copies: an LSTM's H depends on its C within a step too.
        parts = tuple(part.clone() for part in state_parts(state))
        state = parts if isinstance(state, tuple) else parts[0]
        states.append(parts)
    earlier = states[-2 : -2 - max_lag : -1]  # lag 1, 2, ..., max_lag
    by_lag = [(outputs,), *earlier]
    loss(outputs[0]).backward(inputs=[part for parts in by_lag for part in parts])
    norms = [
        torch.cat([p.grad for p in parts], -1).norm(dim=-1).mean() for parts in by_lag
    ]
    return torch.stack(norms) / norms[0]


def text_gradient_by_lag(model: nn.Module, ids: Tensor, max_lag: int = 50) -> Tensor:
    """Return how a language model's gradient depends on the lag, ``(max_lag + 1,)``.

    The loss is that of one character, at 64 places of the text ``ids (n,)``, each after
    ``max_lag + 10`` others; ``check_pieces`` says what it raises. Otherwise it is like
    ``gradient_by_lag``.
    """
    length = max_lag + 10
    check_pieces(ids, length)
    pieces = ids[: 64 * length].view(64, length).t()  # (num_steps, batch)
    targets = ids[length : 64 * length + 1 : length]
    inputs = F.one_hot(pieces, model.vocab_size).to(model.W_hq.dtype)

    def loss(H: Tensor) -> Tensor:
        return F.cross_entropy(H @ model.W_hq + model.b_q, targets, reduction="sum")

    return gradient_by_lag(model.rnn, inputs, loss, max_lag).cpu()
