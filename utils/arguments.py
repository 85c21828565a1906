"""Requirements on plain arguments that many functions share."""

from __future__ import annotations


def require_counts(minimum: int = 1, **counts: int) -> None:
    """Require that each of ``counts``, given by name, is a whole number.

    Raises:
        ValueError: one is not an integer, or below ``minimum``; the message names it.
    """
    for name, value in counts.items():
        if not isinstance(value, int) or value < minimum:
            raise ValueError(
                f"{name} is {value!r}; expected a whole number of at least {minimum}."
            )


def require_shares(**shares: float) -> None:
    """Require that each of ``shares``, given by name, is a part of a whole.

    Raises:
        ValueError: one is not above 0 and below 1; the message names it.
    """
    for name, value in shares.items():
        if not 0 < value < 1:
            raise ValueError(
                f"{name} is {value}; expected a share between 0 and 1, such as 0.1."
            )
