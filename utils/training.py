"""Training: the loop for every model, its optimizer, its losses and its scores."""

import math
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

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from utils.arguments import require_counts, require_shares
from utils.checkpoints import read_checkpoint, write_checkpoint
from utils.contract import State, map_state
from utils.history import DivergenceError, History, TrainingInterrupted
from utils.padding import masked_mean
from utils.progress import progress_bar
from utils.text import require_text

Loss = Callable[[nn.Module, Any, State], tuple[Tensor, State]]
Validate = Callable[[nn.Module], float]
# Updates between two looks at the losses: each look waits for the GPU.
REPORT_EVERY = 50
# What a checkpoint holds of a run's place in its data.
PROGRESS = ("step", "epoch", "position", "state")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put ``model`` into eval mode, and afterwards back into the mode it was in."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def language_model_loss(
    model: nn.Module, batch: tuple[Tensor, Tensor], state: State
) -> tuple[Tensor, State]:
    """Return the mean loss of the targets in nats, and the state after the batch.

    ``batch`` is ``inputs, targets``, both ``(num_steps, batch)``.
    """
    inputs, targets = batch
    logits, state = model(inputs, state)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()), state


@torch.no_grad()
def evaluate(model: nn.Module, ids: Tensor, num_steps: int = 512) -> float:
    """Return the model's perplexity on ``ids (n,)``: exp of the mean loss of an id.

    The text is read once from left to right with the state carried along, so every
    character but the first is predicted exactly once, from all that went before.
    ``num_steps``, at least 1, only bounds the memory. ``require_text`` says what is
    raised.
    """
    require_text(ids)
    require_counts(num_steps=num_steps)
    state, totals = None, []
    pieces = zip(ids[:-1].split(num_steps), ids[1:].split(num_steps), strict=True)
    with evaluating(model):
        for inputs, targets in pieces:
            logits, state = model(inputs.unsqueeze(1), state)
            totals.append(F.cross_entropy(logits.squeeze(1), targets, reduction="sum"))
    mean = torch.stack(totals).cpu().double().sum().item() / (len(ids) - 1)
    return math.inf if mean > 700 else math.exp(mean)  # exp overflows just above 700


def adamw_one_cycle(
    model: nn.Module,
    lr: float,
    updates: int,
    weight_decay: float = 0.01,
    warm_up: float = 0.3,
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.OneCycleLR]:
    """Return AdamW, and a schedule: its rate rises to ``lr`` and falls to 0.

    The rate rises during ``warm_up``, a share of the ``updates``. Each update also
    shrinks every parameter by its share of ``weight_decay`` times the rate. Loshchilov
    and Hutter (2019); Smith and Topin (2019).

    Raises:
        ValueError: ``lr`` is not positive, ``updates`` below 2, ``weight_decay`` below
            0, or ``warm_up`` not between 0 and 1.
    """
    if not lr > 0 or updates < 2 or not weight_decay >= 0:
        raise ValueError(
            f"lr is {lr}, updates is {updates} and weight_decay is {weight_decay}; "
            "expected a positive rate, at least 2 updates and a weight decay of at "
            "least 0."
        )
    require_shares(warm_up=warm_up)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    # In a run of a few updates at least the first one is warm-up; PyTorch divides by
    # zero at 1 / updates.
    share = max(warm_up, 1.5 / updates)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lr, total_steps=updates, pct_start=share
    )


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
    validate: Validate | None = None,
    validate_every: int = 200,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 200,
) -> History:
    """Train ``model`` in place for ``updates`` updates, on the device it is on.

    Args:
        optimizer: built on the model's parameters.
        batches: ``batches(epoch)`` yields the batches of that epoch, on the model's
            device. It must yield the same ones whenever it is called with the same
            number, or a resumed run differs.
        scheduler: stepped after every update.
        loss: ``loss(model, batch, state)`` returns the loss, a scalar, and the state
            after the batch.
        clip: the bound on the global norm of the gradients; None leaves them alone.
        carry_state: hand the detached state to the next batch of the epoch. Only right
            when row i continues row i: see :func:`utils.text.consecutive_batches`.
        validate: ``validate(model)`` returns a score; called every ``validate_every``
            updates and at the end.
        checkpoint: a file that the run is saved to every ``checkpoint_every`` updates
            and when it ends or is interrupted. If the file is there, the run resumes
            from it, bit for bit on a CPU.

    The first Ctrl-C stops after the update in progress: the checkpoint is saved and the
    history returned, marked ``interrupted``, with a warning
    :class:`~utils.history.TrainingInterrupted`. A second one stops at once.

    Raises:
        ValueError: a count is below 1, ``clip`` is not positive, a loss is no scalar,
            an epoch has no batch, or the checkpoint is of another run or version, or
            damaged.
        DivergenceError: a loss, the norm of a gradient that is clipped or a parameter
            became NaN or infinite; the last good checkpoint is kept.
    """
    require_counts(
        updates=updates,
        validate_every=validate_every,
        checkpoint_every=checkpoint_every,
    )
    if clip is not None and not clip > 0:
        raise ValueError(
            f"clip is {clip}; expected a positive bound such as 1.0, or None for no "
            "clipping."
        )
    settings = {"updates": updates, "clip": clip, "carry_state": carry_state}
    run = Run(model, optimizer, scheduler, checkpoint and Path(checkpoint), settings)
    run.restore()
    bar = progress_bar(total=updates, initial=run.step, unit="update")
    with bar, _interruptible() as interrupted:
        for batch in _stream(batches, run):
            if run.step == updates:  # a finished run was resumed
                break
            model.train()
            value, state = loss(model, batch, run.state)
            _require_scalar(value)
            optimizer.zero_grad()
            value.backward()
            norm = None
            if clip is not None:
                norm = nn.utils.clip_grad_norm_(model.parameters(), clip)
            run.note(value, norm)
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            run.step += 1
            run.state = map_state(Tensor.detach, state) if carry_state else None
            bar.update()
            if validate and (run.step % validate_every == 0 or run.step == updates):
                run.validate(validate)
            ends = run.step == updates or interrupted.is_set()
            if ends or len(run.pending) == REPORT_EVERY:
                run.report()
            if ends or run.step % checkpoint_every == 0:
                run.save()
            if ends:
                break
    if run.step < updates:
        run.history.interrupted = True
        kept = "this state is in no checkpoint"
        if run.saved == run.step:
            kept = f"{checkpoint} holds this state"
        warnings.warn(
            f"training was interrupted after update {run.step} of {updates}; {kept}.",
            TrainingInterrupted,
            stacklevel=2,
        )
    return run.history


def _require_scalar(value: Tensor) -> None:
    if value.dim() != 0:
        raise ValueError(
            f"loss returned a tensor of shape {tuple(value.shape)}; expected a scalar, "
            "such as its mean."
        )


@dataclass
class Run:
    """All that a training run consists of; what goes on is kept in its checkpoint."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler | None
    path: Path | None
    settings: dict[str, Any]
    step: int = 0  # updates done
    epoch: int = 0
    position: int = 0  # batches of this epoch handed out
    state: State = None  # carried to the next batch
    # Still on the device: the loss and the gradient's norm of an update; its rate.
    pending: list[tuple[Tensor, Tensor, float]] = field(default_factory=list)
    history: History = field(default_factory=History)
    clock: float = field(default_factory=time.perf_counter)
    saved: int | None = None  # the update of the last checkpoint written

    def __post_init__(self) -> None:
        # Now, because some optimizers change when they take up an older state.
        self.fingerprint = self._fingerprint()

    def note(self, loss: Tensor, norm: Tensor | None) -> None:
        """Take down an update, without a look at its values; ``norm`` None: unknown."""
        loss = loss.detach()
        rate = self.optimizer.param_groups[0]["lr"]
        self.pending.append((loss, loss if norm is None else norm, rate))

    def validate(self, validate: Validate) -> None:
        """Add a score to the history; this is no training time."""
        self.report()
        self.history.valid_steps.append(self.step)
        self.history.valid_scores.append(float(validate(self.model)))
        self.clock = time.perf_counter()

    def report(self) -> None:
        """Move what is pending to the history: all that a run waits for the device.

        Raises:
            DivergenceError: a loss, a gradient's norm or a parameter is not finite.
        """
        if not self.pending:
            return
        finite = [p.isfinite().all() for p in self.model.parameters()]
        finite = torch.stack(finite).all()
        values = [torch.stack([loss, norm]) for loss, norm, _ in self.pending]
        rates = [rate for _, _, rate in self.pending]
        self.pending.clear()
        values = torch.stack(values).tolist()
        now = time.perf_counter()
        self.history.seconds, self.clock = self.history.seconds + now - self.clock, now
        for (loss, norm), rate in zip(values, rates, strict=True):
            step = len(self.history.losses) + 1
            for what, value in (("loss", loss), ("norm of the gradient", norm)):
                if not math.isfinite(value):
                    self._diverged(step, rate, f"the {what} became {value}")
            self.history.losses.append(loss)
        if not finite:
            rate = self.optimizer.param_groups[0]["lr"]
            self._diverged(self.step, rate, "a parameter became NaN or infinite")

    def _diverged(self, step: int, rate: float, what: str) -> None:
        kept = "No checkpoint was saved."
        if self.path and self.path.exists():
            kept = f"The last good checkpoint is kept in {self.path}."
        raise DivergenceError(
            f"training stopped at update {step}: {what} at learning rate {rate:g}. Try "
            "a smaller learning rate or a smaller clip; a loss that is NaN from the "
            "start comes from a batch with nothing to predict, or with NaN in it. "
            f"{kept}",
            self.history,
        )

    def _fingerprint(self) -> dict[str, Any]:
        """Return what a run must share with a checkpoint to go on from it."""
        named = {name: list(p.shape) for name, p in self.model.named_parameters()}
        kept, groups = ("initial_lr", "max_lr"), self.optimizer.param_groups
        defaults = self.optimizer.defaults.items()
        return {
            "model": type(self.model).__name__,
            "parameters": named,
            "optimizer": type(self.optimizer).__name__,
            "scheduler": type(self.scheduler).__name__,
            "rates": [{key: g[key] for key in kept if key in g} for g in groups],
            **{key: value for key, value in defaults if not callable(value)},
            **self.settings,
        }

    def save(self) -> None:
        """Write the checkpoint, if there is to be one.

        A failure to write is a warning: the run in memory goes on.
        """
        if self.path is None:
            return
        self.report()
        on_cuda = next(self.model.parameters()).is_cuda
        content = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler else None,
            "progress": {name: getattr(self, name) for name in PROGRESS},
            "history": asdict(self.history),
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if on_cuda else [],
        }
        try:
            write_checkpoint(self.path, self.fingerprint, content)
            self.saved = self.step
        except OSError as error:
            old = "none was saved before"
            if self.path.exists():
                old = "the one saved before is still there"
            warnings.warn(
                f"the checkpoint {self.path} could not be written after update "
                f"{self.step} ({error}); {old}. Training goes on; free some space or "
                "choose another folder.",
                stacklevel=3,
            )

    def restore(self) -> None:
        """Take everything up from the checkpoint, if there is one."""
        if self.path is None or not self.path.exists():
            return
        content = read_checkpoint(self.path, self.fingerprint)
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        if self.scheduler:
            self.scheduler.load_state_dict(content["scheduler"])
        for name, value in content["progress"].items():
            setattr(self, name, value)
        device = next(self.model.parameters()).device
        self.state = map_state(lambda part: part.to(device), self.state)
        self.history = History(**content["history"])
        torch.set_rng_state(content["rng"])
        if len(content["cuda_rng"]) == torch.cuda.device_count() > 0:
            torch.cuda.set_rng_state_all(content["cuda_rng"])


def _stream(batches: Callable[[int], Iterable[Any]], run: Run) -> Iterator[Any]:
    """Yield the batches of one epoch after another, from where ``run`` stands."""
    while True:
        for batch in islice(batches(run.epoch), run.position, None):
            run.position += 1
            yield batch
        if run.position == 0:
            raise ValueError(
                f"batches({run.epoch}) yielded no batch; expected at least one an "
                "epoch."
            )
        run.epoch, run.position, run.state = run.epoch + 1, 0, None


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event; a second one interrupts as usual."""
    event = threading.Event()
    # Only there may signals be handled.
    if threading.current_thread() is not threading.main_thread():
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


# ---- Below: exported from the chapters by `make notebooks`. Edit there, not here. ----


# From chapters/03_bptt.ipynb
def squared_error(model: nn.Module, batch: Any, state: State) -> tuple[Tensor, State]:
    """Return the mean squared error of ``model(inputs)``; no state goes on."""
    inputs, targets = batch
    return F.mse_loss(model(inputs), targets), None


# From chapters/07_bidirectional.ipynb
def labeling_loss(model: nn.Module, batch: Any, state: State) -> tuple[Tensor, State]:
    """Return the mean loss of the labels where the mask is True, in nats.

    ``batch`` is ids, labels and mask, all ``(num_steps, batch)``, and lengths
    ``(batch,)`` or None. No state goes on.
    """
    ids, labels, mask, lengths = batch
    logits = model(ids, lengths).transpose(1, 2)  # (num_steps, num_labels, batch)
    losses = F.cross_entropy(logits, labels, reduction="none")
    return masked_mean(losses, mask), None


# From chapters/08_encoder_decoder.ipynb
def translation_loss(
    model: nn.Module, batch: Any, state: State
) -> tuple[Tensor, State]:
    """Return the mean loss of each target's id after those before it, in nats."""
    sources, lengths, targets = batch
    logits = model(sources, lengths, targets[:-1])  # given everything but the end
    following = targets[1:]  # asked for everything but the start
    losses = F.cross_entropy(logits.transpose(1, 2), following, reduction="none")
    return masked_mean(losses, following != 0), None
