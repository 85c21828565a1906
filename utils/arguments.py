"""Requirements on plain arguments that many functions share."""


def require_counts(minimum: int = 1, **counts: int) -> None:
    """Raise a ValueError unless each count, by name, is an integer from ``minimum``."""
    for name, value in counts.items():
        if not isinstance(value, int) or value < minimum:
            raise ValueError(
                f"{name} is {value!r}; expected a whole number of at least {minimum}."
            )


def require_shares(**shares: float) -> None:
    """Raise a ValueError unless each share, by name, is above 0 and below 1."""
    for name, value in shares.items():
        if not 0 < value < 1:
            raise ValueError(
                f"{name} is {value}; expected a share between 0 and 1, such as 0.1."
            )
