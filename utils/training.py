"""Training and evaluation: one loop for every model of the course."""

from __future__ import annotations

import io
import json
import math
import pickle
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from utils.files import write_atomically

REPORT_EVERY = (
    50  # updates between two looks at the losses: each look waits for the GPU
)

State = Tensor | tuple[Tensor, ...] | None
Loss = Callable[[nn.Module, Any, State], tuple[Tensor, State]]


@dataclass
class History:
    """What happened in a training run.

    Attributes:
        losses: the training loss of each update (for a language model: nats a character).
        valid_steps: the updates after which the model was validated.
        valid_scores: what ``validate`` returned there (for a language model: perplexity).
        seconds: time spent, resumed runs included; no part of a comparison.
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


def language_model_loss(
    model: nn.Module, batch: tuple[Tensor, Tensor], state: State
) -> tuple[Tensor, State]:
    """Return the mean negative log-likelihood of the targets in nats, and the state after the batch.

    ``batch`` is ``inputs, targets``, both ``(num_steps, batch)``.
    """
    inputs, targets = batch
    logits, state = model(inputs, state)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()), state


@torch.no_grad()
def evaluate(model: nn.Module, ids: Tensor, num_steps: int = 512) -> float:
    """Return the model's perplexity on ``ids (n,)``: exp of the total NLL over the number of predictions.

    The text is read once from left to right with the state carried along, so every character but the
    first is predicted exactly once, from all that went before. ``num_steps`` only bounds the memory.

    Raises:
        ValueError: ``ids`` are not one-dimensional or fewer than two.
    """
    if ids.dim() != 1 or len(ids) < 2:
        raise ValueError(
            f"ids have shape {tuple(ids.shape)}; expected (n,) with n of at least 2."
        )
    was_training = model.training
    model.eval()
    state, totals = None, []
    for inputs, targets in zip(
        ids[:-1].split(num_steps), ids[1:].split(num_steps), strict=True
    ):
        logits, state = model(inputs.unsqueeze(1), state)
        totals.append(F.cross_entropy(logits.squeeze(1), targets, reduction="sum"))
    model.train(was_training)
    mean = torch.stack(totals).cpu().double().sum().item() / (len(ids) - 1)
    return math.exp(mean) if mean < 700 else math.inf  # exp overflows just above 700


def adamw_one_cycle(
    model: nn.Module, lr: float, updates: int
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.OneCycleLR]:
    """Return the course's usual recipe: AdamW whose rate rises to ``lr`` and falls to 0 over ``updates``.

    Loshchilov and Hutter (2019); Smith and Topin (2018).

    Raises:
        ValueError: ``lr`` is not positive or ``updates`` below 2.
    """
    if not lr > 0 or updates < 2:
        raise ValueError(
            f"lr is {lr} and updates is {updates}; expected a positive rate and at least 2 updates."
        )
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lr, total_steps=updates
    )


def detach(state: State) -> State:
    """Return ``state`` (a tensor or a tuple of them) cut from its graph: same values, no gradient."""
    if isinstance(state, tuple):
        return tuple(part.detach() for part in state)
    return None if state is None else state.detach()


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Callable[[int], Iterable[Any]],
    *,
    updates: int,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    loss: Loss = language_model_loss,
    clip: float | None = 1.0,
    carry_state: bool = False,
    validate: Callable[[nn.Module], float] | None = None,
    validate_every: int = 200,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 200,
) -> History:
    """Train ``model`` in place for ``updates`` updates, on the device it is on.

    Args:
        optimizer: built on the model's parameters.
        batches: ``batches(epoch)`` yields the batches of that epoch, on the model's device. It must yield
            the same ones whenever it is called with the same number, or a resumed run differs.
        scheduler: stepped after every update.
        loss: ``loss(model, batch, state)`` returns the loss, a scalar, and the state after the batch.
        clip: the bound on the global norm of the gradients; None leaves them alone.
        carry_state: hand the detached state to the next batch of the epoch. Only right when row i
            continues row i: see :func:`utils.text.consecutive_batches`.
        validate: ``validate(model)`` returns a score; called every ``validate_every`` updates and at the end.
        checkpoint: a file that the run is saved to every ``checkpoint_every`` updates and when it ends or
            is interrupted. If the file is there, the run resumes from it, bit for bit on a CPU.

    The first Ctrl-C stops after the update in progress: the checkpoint is saved and the history returned,
    marked ``interrupted``. A second one stops at once.

    Raises:
        ValueError: a count is below 1, an epoch has no batch, or the checkpoint is of another run or damaged.
        DivergenceError: a loss became NaN or infinite; the last good checkpoint is kept.
    """
    for name, value in {
        "updates": updates,
        "validate_every": validate_every,
        "checkpoint_every": checkpoint_every,
    }.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(
                f"{name} is {value!r}; expected a whole number of at least 1."
            )
    if clip is not None and not clip > 0:
        raise ValueError(
            f"clip is {clip}; expected a positive bound such as 1.0, or None for no clipping."
        )
    settings = {"updates": updates, "clip": clip, "carry_state": carry_state}
    run = _Run(model, optimizer, scheduler, checkpoint and Path(checkpoint), settings)
    run.restore()
    with (
        tqdm(total=updates, initial=run.step, unit="update") as bar,
        _interruptible() as interrupted,
    ):
        for batch in _stream(batches, run):
            if run.step == updates:  # a finished run was resumed
                break
            model.train()
            value, state = loss(model, batch, run.state)
            optimizer.zero_grad()
            value.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            run.pending.append((value.detach(), optimizer.param_groups[0]["lr"]))
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            run.step += 1
            run.state = detach(state) if carry_state else None
            bar.update()
            if validate is not None and (
                run.step % validate_every == 0 or run.step == updates
            ):
                run.collect_losses()
                run.history.valid_steps.append(run.step)
                run.history.valid_scores.append(validate(model))
            if len(run.pending) == REPORT_EVERY:
                run.collect_losses()
            if run.step % checkpoint_every == 0 and run.step < updates:
                run.save()
            if run.step == updates or interrupted.is_set():
                run.collect_losses()
                run.save()
                break
    if run.step < updates:
        run.history.interrupted = True
        kept = (
            f"{checkpoint} holds this state"
            if checkpoint
            else "no checkpoint was asked for"
        )
        warnings.warn(
            f"training was interrupted after update {run.step} of {updates}; {kept}.",
            stacklevel=2,
        )
    return run.history


@dataclass
class _Run:
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

    def collect_losses(self) -> None:
        """Move the pending losses into the history; raise DivergenceError at the first that is not finite."""
        if not self.pending:
            return
        losses = torch.stack(
            [value for value, _ in self.pending]
        ).tolist()  # the one wait for the device
        good = next(
            (i for i, value in enumerate(losses) if not math.isfinite(value)),
            len(losses),
        )
        self.history.losses += losses[:good]
        rates = [rate for _, rate in self.pending]
        self.pending.clear()
        now = time.perf_counter()
        self.history.seconds, self.clock = self.history.seconds + now - self.clock, now
        if good < len(losses):
            self._diverged(f"the loss became {losses[good]}", rates[good])

    def _diverged(self, what: str, rate: float) -> None:
        kept = (
            f"The last good checkpoint is kept in {self.path}."
            if self.path and self.path.exists()
            else "No checkpoint was saved."
        )
        raise DivergenceError(
            f"training stopped at update {len(self.history.losses) + 1}: {what} at learning rate {rate:g}. "
            f"Try a smaller learning rate or a smaller clip. {kept}",
            self.history,
        )

    def save(self) -> None:
        """Write the checkpoint atomically. A failure to write is a warning: the run in memory goes on."""
        if self.path is None:
            return
        self.collect_losses()
        if not all(bool(p.isfinite().all()) for p in self.model.parameters()):
            self._diverged(
                "a parameter became NaN or infinite",
                self.optimizer.param_groups[0]["lr"],
            )
        content = {
            "fingerprint": json.dumps(self.fingerprint, sort_keys=True),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler else None,
            "progress": {
                name: getattr(self, name)
                for name in ("step", "epoch", "position", "state")
            },
            "history": asdict(self.history),
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all()
            if torch.cuda.is_available()
            else [],
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

    def restore(self) -> None:
        """Take everything up from the checkpoint, if there is one."""
        if self.path is None or not self.path.exists():
            return
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            theirs = json.loads(content["fingerprint"])
        except (
            RuntimeError,
            EOFError,
            KeyError,
            TypeError,
            ValueError,
            pickle.UnpicklingError,
            OSError,
        ) as error:
            raise ValueError(
                f"{self.path} is no whole checkpoint of this course ({type(error).__name__}): it is truncated or "
                "something else. Delete it to start afresh, or choose another path."
            ) from error
        ours = json.loads(json.dumps(self.fingerprint))
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
        if len(content["cuda_rng"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(content["cuda_rng"])


def _to(state: State, device: torch.device) -> State:
    if isinstance(state, tuple):
        return tuple(part.to(device) for part in state)
    return None if state is None else state.to(device)


def _stream(batches: Callable[[int], Iterable[Any]], run: _Run) -> Iterator[Any]:
    """Yield the batches of one epoch after another, from where ``run`` stands, without end."""
    while True:
        for batch in islice(batches(run.epoch), run.position, None):
            run.position += 1
            yield batch
        if run.position == 0:
            raise ValueError(
                f"batches({run.epoch}) yielded no batch; expected at least one an epoch."
            )
        run.epoch, run.position, run.state = run.epoch + 1, 0, None


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event that the loop looks at; a second one interrupts as usual."""
    event = threading.Event()
    if (
        threading.current_thread() is not threading.main_thread()
    ):  # only there may signals be handled
        yield event
        return

    def handle(*_: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, previous)
