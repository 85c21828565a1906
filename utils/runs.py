"""What a training run consists of: its history, and the checkpoint that it resumes from."""

from __future__ import annotations

import io
import json
import math
import time
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn

from utils.cells import State
from utils.files import write_atomically

# Updates between two looks at the losses: each look waits for the GPU.
REPORT_EVERY = 50


@dataclass
class History:
    """What happened in a training run.

    Attributes:
        losses: the training loss of each update (for a language model: nats a character).
        valid_steps: the updates after which the model was validated.
        valid_scores: what ``validate`` returned there (for a language model: perplexity).
        seconds: time spent training, resumed runs included; no part of a comparison.
        interrupted: whether Ctrl-C stopped the run before its last update; no part of a comparison.
    """

    losses: list[float] = field(default_factory=list)
    valid_steps: list[int] = field(default_factory=list)
    valid_scores: list[float] = field(default_factory=list)
    seconds: float = field(default=0.0, compare=False)
    interrupted: bool = field(default=False, compare=False)

    def plot(
        self, ax: plt.Axes | None = None, label: str = "model", color: str | None = None
    ) -> plt.Axes:
        """Draw the training perplexity (thin, means of 50 updates) and the validation perplexity (dots)."""
        ax = ax or plt.subplots()[1]
        chunks = torch.tensor(self.losses).split(REPORT_EVERY)
        ends = torch.tensor([len(chunk) for chunk in chunks]).cumsum(0)
        training = [chunk.mean().exp().item() for chunk in chunks]
        (line,) = ax.plot(
            ends, training, linewidth=1, color=color, label=f"{label}, training"
        )
        ax.plot(
            self.valid_steps,
            self.valid_scores,
            "o--",
            color=line.get_color(),
            label=f"{label}, held out",
        )
        ax.set(xlabel="update", ylabel="perplexity")
        ax.legend()
        return ax


class DivergenceError(ArithmeticError):
    """The loss or a parameter became NaN or infinite. ``history`` holds what was good before."""

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history


def detach(state: State) -> State:
    """Return ``state`` (a tensor or a tuple of them) cut from its graph: same values, no gradient."""
    if isinstance(state, tuple):
        return tuple(part.detach() for part in state)
    return None if state is None else state.detach()


def _to(state: State, device: torch.device) -> State:
    if isinstance(state, tuple):
        return tuple(part.to(device) for part in state)
    return None if state is None else state.to(device)


@dataclass
class Run:
    """All that a training run consists of, and so all that a checkpoint must hold."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler | None
    path: Path | None
    settings: dict[str, Any]
    step: int = 0  # updates done
    epoch: int = 0
    position: int = 0  # batches of this epoch handed out
    state: State = None  # carried to the next batch
    pending: list[tuple[Tensor, float]] = field(
        default_factory=list
    )  # losses still on the device, rates
    history: History = field(default_factory=History)
    clock: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        groups = [
            {key: group[key] for key in ("initial_lr", "max_lr") if key in group}
            for group in self.optimizer.param_groups
        ]
        self.fingerprint = {
            "model": type(self.model).__name__,
            "parameters": {
                name: list(p.shape) for name, p in self.model.named_parameters()
            },
            "optimizer": type(self.optimizer).__name__,
            "scheduler": type(self.scheduler).__name__,
            "rates": groups,
            **{
                key: value
                for key, value in self.optimizer.defaults.items()
                if not callable(value)
            },
            **self.settings,
        }

    def report(self) -> None:
        """Move the pending losses into the history; the only time that a run waits for the device.

        Raises:
            DivergenceError: a loss or a parameter is not finite.
        """
        finite = torch.stack(
            [p.isfinite().all() for p in self.model.parameters()]
        ).all()
        losses = [value for value, _ in self.pending]
        rates = [rate for _, rate in self.pending]
        self.pending.clear()
        values = torch.stack(losses).tolist() if losses else []
        now = time.perf_counter()
        self.history.seconds, self.clock = self.history.seconds + now - self.clock, now
        for value, rate in zip(values, rates, strict=True):
            if not math.isfinite(value):
                step = len(self.history.losses) + 1
                self._diverged(f"at update {step}: the loss became {value}", rate)
            self.history.losses.append(value)
        if not finite:
            rate = self.optimizer.param_groups[0]["lr"]
            self._diverged(
                f"at update {self.step}: a parameter became NaN or infinite", rate
            )

    def _diverged(self, what: str, rate: float) -> None:
        kept = "No checkpoint was saved."
        if self.path and self.path.exists():
            kept = f"The last good checkpoint is kept in {self.path}."
        raise DivergenceError(
            f"training stopped {what} at learning rate {rate:g}. "
            f"Try a smaller learning rate or a smaller clip. {kept}",
            self.history,
        )

    def save(self) -> bool:
        """Write the checkpoint atomically; return whether that was done.

        A failure to write is a warning: the run in memory goes on.
        """
        if self.path is None:
            return False
        self.report()
        on_cuda = next(self.model.parameters()).is_cuda
        content = {
            "fingerprint": json.dumps(self.fingerprint, default=str),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler else None,
            "progress": {
                name: getattr(self, name)
                for name in ("step", "epoch", "position", "state")
            },
            "history": asdict(self.history),
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if on_cuda else [],
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        try:
            write_atomically(self.path, buffer.getvalue())
        except OSError as error:
            old = (
                "the one saved before is still there"
                if self.path.exists()
                else "none was saved before"
            )
            warnings.warn(
                f"the checkpoint {self.path} could not be written after update {self.step} ({error}); {old}. "
                "Training goes on; free some space or choose another folder.",
                stacklevel=3,
            )
            return False
        return True

    def restore(self) -> None:
        """Take everything up from the checkpoint, if there is one."""
        if self.path is None or not self.path.exists():
            return
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            if not isinstance(content, dict):
                raise TypeError(f"it holds a {type(content).__name__}")
            theirs = json.loads(content["fingerprint"])
        except (
            Exception
        ) as error:  # what a foreign file makes of unpickling is anybody's guess
            raise ValueError(
                f"{self.path} is no whole checkpoint of this course ({type(error).__name__}): it is truncated or "
                "something else. Delete it to start afresh, or choose another path."
            ) from error
        ours = json.loads(json.dumps(self.fingerprint, default=str))
        different = [
            f"{key} {theirs.get(key)} there, {ours.get(key)} here"
            for key in sorted(theirs.keys() | ours.keys())
            if theirs.get(key) != ours.get(key)
        ]
        if different:
            raise ValueError(
                f"{self.path} is the checkpoint of another run: {'; '.join(different)}. "
                "Delete it to start afresh, or choose another path."
            )
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        if self.scheduler:
            self.scheduler.load_state_dict(content["scheduler"])
        for name, value in content["progress"].items():
            setattr(self, name, value)
        self.state = _to(self.state, next(self.model.parameters()).device)
        self.history = History(**content["history"])
        torch.set_rng_state(content["rng"])
        if (
            content["cuda_rng"]
            and len(content["cuda_rng"]) == torch.cuda.device_count()
        ):
            torch.cuda.set_rng_state_all(content["cuda_rng"])
