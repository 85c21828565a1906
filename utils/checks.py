"""Assertions for learners: each says what was expected, what came, and gives a hint."""

from collections.abc import Callable

import torch
from torch import Tensor

from utils.arguments import require_counts


def check(passed: bool, name: str, expected: str, actual: str, hint: str = "") -> None:
    """Print a tick if the check called ``name`` has ``passed``.

    Raises:
        AssertionError: it has not; the message says what was ``expected``, what came,
            and the ``hint``.
    """
    if not passed:
        raise AssertionError(
            f"{name}: expected {expected}, got {actual}."
            + (f" Hint: {hint}" if hint else "")
        )
    print(f"✓ {name}: {expected}")


def check_shape(
    name: str, tensor: Tensor, expected: tuple[int, ...], hint: str = ""
) -> None:
    """Check that ``tensor`` has the shape ``expected``; say so.

    Raises:
        AssertionError: it has another.
    """
    shape = tuple(tensor.shape)
    check(shape == tuple(expected), name, f"shape {expected}", f"shape {shape}", hint)


def check_close(
    name: str,
    actual: Tensor | float,
    expected: Tensor | float,
    tolerance: float = 1e-6,
    hint: str = "",
) -> None:
    """Check that ``actual`` differs from ``expected`` by at most ``tolerance``; say so.

    Raises:
        AssertionError: the shapes differ, or a value is further away or NaN.
    """
    actual, expected = _double(actual), _double(expected)
    if actual.shape != expected.shape:
        check_shape(name, actual, tuple(expected.shape), hint)
    gap = (actual - expected).abs().max().item() if actual.numel() else 0.0
    wanted = f"a difference of at most {tolerance:g}"
    got = f"a difference of {gap:.3g}"
    if actual.dim() == 0:
        wanted = f"{expected.item():.6g} within {tolerance:g}"
        got = f"{actual.item():.6g}"
    check(gap <= tolerance, name, wanted, got, hint)


def _double(value: Tensor | float) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().cpu().double()
    return torch.tensor(value, dtype=torch.float64)


def check_between(
    name: str, value: float, low: float, high: float, hint: str = ""
) -> None:
    """Check that ``low <= value <= high``; say so.

    Raises:
        AssertionError: it lies outside, or is NaN.
    """
    wanted = f"a value from {low:g} to {high:g}"
    check(low <= value <= high, name, wanted, f"{value:.6g}", hint)


# ---- Below: exported from the chapters by `make notebooks`. Edit there, not here. ----


# From chapters/07_bidirectional.ipynb
@torch.no_grad()
def check_causal(
    name: str,
    predict: Callable[[Tensor], Tensor],
    ids: Tensor,
    vocab_size: int,
    tolerance: float = 1e-5,
) -> None:
    """Check that changing the future does not change the past; say so.

    ``predict`` maps ids ``(num_steps, batch)`` to scores, time first: for a language
    model in eval mode, ``lambda ids: model(ids)[0]``. For every step, all ids from
    there on are replaced by others; no score of an earlier step may then differ by
    more than ``tolerance``.

    Raises:
        AssertionError: one does.
        ValueError: fewer than 2 steps, or fewer than 2 characters to choose from.
    """
    require_counts(2, num_steps=len(ids), vocab_size=vocab_size)
    scores, leaks = predict(ids), []
    for step in range(1, len(ids)):
        changed = torch.cat([ids[:step], (ids[step:] + 1) % vocab_size])
        moved = (predict(changed)[:step] - scores[:step]).abs()
        if not moved.max() <= tolerance:  # NaN is no proof either
            leaks.append(step)
    wanted = "no change of the past when the future changes"
    got = f"other scores before the change, for changes from steps {leaks} on"
    hint = "does a layer read from right to left, or average over time?"
    check(not leaks, name, wanted, got, hint)
