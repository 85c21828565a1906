"""What happened in a training run, and how one may end early."""

from dataclasses import dataclass, field


@dataclass
class History:
    """What happened in a training run.

    Attributes:
        losses: the training loss of each update (for a language model: nats a
            character).
        valid_steps: the updates after which the model was validated.
        valid_scores: what ``validate`` returned there (for a language model:
            perplexity).
        seconds: time spent training, resumed runs included; no part of a comparison.
        interrupted: whether Ctrl-C stopped the run before its last update; no part of a
            comparison.
    """

    losses: list[float] = field(default_factory=list)
    valid_steps: list[int] = field(default_factory=list)
    valid_scores: list[float] = field(default_factory=list)
    seconds: float = field(default=0.0, compare=False)
    interrupted: bool = field(default=False, compare=False)


class DivergenceError(ArithmeticError):
    """A loss, a gradient or a parameter became NaN or infinite.

    ``history`` holds what was good before.
    """

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history


class TrainingInterrupted(UserWarning):
    """Ctrl-C stopped a training run before its last update."""
