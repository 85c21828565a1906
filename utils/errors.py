"""The check of an argument that several modules share."""

from __future__ import annotations


def check_counts(minimum: int = 1, **counts: int) -> None:
    """Raise a clear error unless every one of ``counts``, given by name, is a whole number.

    Raises:
        ValueError: one is not an integer, or below ``minimum``; the message names it.
    """
    for name, value in counts.items():
        if not isinstance(value, int) or value < minimum:
            raise ValueError(
                f"{name} is {value!r}; expected a whole number of at least {minimum}."
            )
