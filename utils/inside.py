"""A look inside a network: how far a gradient reaches, what its units know."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from utils.contract import map_state, state_parts


def require_lag(max_lag: int, num_steps: int) -> None:
    """Raise a ValueError unless a sequence has states ``max_lag`` before its last."""
    if not 0 <= max_lag < num_steps:
        raise ValueError(
            f"max_lag is {max_lag}; expected 0 to {num_steps - 1}, since the sequence "
            f"has {num_steps} steps."
        )


def require_pieces(ids: Tensor, length: int) -> None:
    """Raise a ValueError unless ``ids (n,)`` hold 64 pieces of ``length``, and one."""
    needed = 64 * length + 1
    if ids.dim() != 1 or len(ids) < needed:
        raise ValueError(
            f"ids have shape {tuple(ids.shape)}; expected (n,) with n of at least "
            f"{needed}, 64 pieces of max_lag + 10 = {length} characters and one more."
        )


# ---- Below: exported from the chapters by `make notebooks`. Edit there, not here. ----


# From chapters/02_rnn.ipynb
def correlations(units: Tensor, values: Tensor) -> Tensor:
    """Return how each of ``units (n, num_units)`` correlates with ``values (n,)``."""
    stacked = torch.cat([values.unsqueeze(1), units], dim=1)
    return torch.corrcoef(stacked.t())[0, 1:].nan_to_num()  # a constant one has none


def linear_readout(units: Tensor, values: Tensor) -> float:
    """Fit a linear combination of all ``units`` to the first half of ``values``.

    Return its correlation with the second half; shapes are as in ``correlations``.
    """
    half = len(units) // 2
    A = torch.cat([units, torch.ones(len(units), 1)], dim=1)
    weights = torch.linalg.pinv(A[:half], rtol=1e-5) @ values[:half]
    return correlations((A[half:] @ weights).unsqueeze(1), values[half:]).item()


# From chapters/03_bptt.ipynb
def gradient_by_lag(
    rnn: nn.Module, inputs: Tensor, loss: Callable[[Tensor], Tensor], max_lag: int
) -> Tensor:
    """Return how the gradient of a loss at the last step depends on the lag.

    Entry k of the result, ``(max_lag + 1,)``, is the norm of the loss's gradient with
    respect to the state k steps before the last one (for an LSTM: of both its parts
    together), averaged over the batch and divided by entry 0. ``inputs`` are
    ``(num_steps, batch, num_inputs)``, and ``loss`` maps the last output, ``(batch,
    num_hiddens)``, to a scalar. ``require_lag`` says what is raised.
    """
    require_lag(max_lag, len(inputs))
    states, state = [], None
    for X in inputs.split(1):  # one step at a time, so that every state can be had
        outputs, state = rnn(X, state)
        # The next step reads copies: an LSTM's H depends on its C within a step too.
        state = map_state(Tensor.clone, state)
        states.append(state_parts(state))
    earlier = states[-2 : -2 - max_lag : -1]  # lag 1, 2, ..., max_lag
    by_lag = [(outputs,), *earlier]
    loss(outputs[0]).backward(inputs=[part for parts in by_lag for part in parts])
    gradients = [torch.cat([p.grad for p in parts], -1) for parts in by_lag]
    norms = torch.stack([gradient.norm(dim=-1).mean() for gradient in gradients])
    return norms / norms[0]


# From chapters/03_bptt.ipynb
def text_gradient_by_lag(model: nn.Module, ids: Tensor, max_lag: int = 50) -> Tensor:
    """Return how a language model's gradient depends on the lag, ``(max_lag + 1,)``.

    The loss is that of one character, at 64 places of the text ``ids (n,)``, each after
    ``max_lag + 10`` others; otherwise it is like ``gradient_by_lag``.
    ``require_pieces`` says what is raised.
    """
    length = max_lag + 10
    require_pieces(ids, length)
    pieces = ids[: 64 * length].view(64, length).t()  # (num_steps, batch)
    targets = ids[length : 64 * length + 1 : length]
    inputs = F.one_hot(pieces, model.vocab_size).to(model.W_hq.dtype)

    def loss(H: Tensor) -> Tensor:
        return F.cross_entropy(H @ model.W_hq + model.b_q, targets, reduction="sum")

    return gradient_by_lag(model.rnn, inputs, loss, max_lag).cpu()
