"""Assertions for learners: each says what was expected, what came, and gives a hint."""

from __future__ import annotations

import torch
from torch import Tensor


def check_shape(
    name: str, tensor: Tensor, expected: tuple[int, ...], hint: str = ""
) -> None:
    """Check that ``tensor`` has the shape ``expected``; say so.

    Raises:
        AssertionError: it has another.
    """
    _check(
        tuple(tensor.shape) == tuple(expected),
        name,
        f"shape {expected}",
        f"shape {tuple(tensor.shape)}",
        hint,
    )


def check_close(
    name: str,
    actual: Tensor | float,
    expected: Tensor | float,
    tolerance: float = 1e-6,
    hint: str = "",
) -> None:
    """Check that ``actual`` differs from ``expected`` by at most ``tolerance`` anywhere; say so.

    Raises:
        AssertionError: the shapes differ, or a value is further away or NaN.
    """
    actual, expected = _double(actual), _double(expected)
    if actual.shape != expected.shape:
        _check(
            False,
            name,
            f"shape {tuple(expected.shape)}",
            f"shape {tuple(actual.shape)}",
            hint,
        )
    gap = (actual - expected).abs().max().item() if actual.numel() else 0.0
    if actual.dim() == 0:
        wanted, got = (
            f"{expected.item():.6g} within {tolerance:g}",
            f"{actual.item():.6g}",
        )
    else:
        wanted, got = (
            f"a difference of at most {tolerance:g}",
            f"a difference of {gap:.3g}",
        )
    _check(gap <= tolerance, name, wanted, got, hint)


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
    _check(
        low <= value <= high,
        name,
        f"a value from {low:g} to {high:g}",
        f"{value:.6g}",
        hint,
    )


def _check(passed: bool, name: str, expected: str, actual: str, hint: str) -> None:
    if not passed:
        raise AssertionError(
            f"{name}: expected {expected}, got {actual}."
            + (f" Hint: {hint}" if hint else "")
        )
    print(f"✓ {name}: {expected}")
