"""Training and evaluation: one loop for every model of the course."""

from __future__ import annotations

import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from utils.cells import State
from utils.errors import check_counts
from utils.progress import progress_bar
from utils.runs import REPORT_EVERY, DivergenceError, History, Run, detach

__all__ = [
    "DivergenceError",
    "History",
    "adamw_one_cycle",
    "evaluate",
    "language_model_loss",
    "train",
]

Loss = Callable[[nn.Module, Any, State], tuple[Tensor, State]]


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
        ValueError: ``ids`` are not one-dimensional or fewer than two, or ``num_steps`` is below 1.
    """
    if ids.dim() != 1 or len(ids) < 2:
        raise ValueError(
            f"ids have shape {tuple(ids.shape)}; expected (n,) with n of at least 2."
        )
    check_counts(num_steps=num_steps)
    was_training = model.training
    model.eval()
    state, totals = None, []
    try:
        pieces = zip(ids[:-1].split(num_steps), ids[1:].split(num_steps), strict=True)
        for inputs, targets in pieces:
            logits, state = model(inputs.unsqueeze(1), state)
            totals.append(F.cross_entropy(logits.squeeze(1), targets, reduction="sum"))
    finally:
        model.train(was_training)
    mean = torch.stack(totals).cpu().double().sum().item() / (len(ids) - 1)
    return math.inf if mean > 700 else math.exp(mean)  # exp overflows just above 700


def adamw_one_cycle(
    model: nn.Module,
    lr: float,
    updates: int,
    weight_decay: float = 0.01,
    warm_up: float = 0.3,
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.OneCycleLR]:
    """Return the course's usual recipe: AdamW whose rate rises to ``lr`` and falls to 0 over ``updates``.

    The rate rises during ``warm_up``, a share of the updates. Each update also shrinks every parameter
    by its share of ``weight_decay`` times the rate. Loshchilov and Hutter (2019); Smith and Topin (2019).

    Raises:
        ValueError: ``lr`` is not positive, ``updates`` below 2, ``weight_decay`` below 0, or ``warm_up``
            not between 0 and 1.
    """
    if not lr > 0 or updates < 2 or not weight_decay >= 0:
        raise ValueError(
            f"lr is {lr}, updates is {updates} and weight_decay is {weight_decay}; "
            "expected a positive rate, at least 2 updates and a weight decay of at least 0."
        )
    if not 0 < warm_up < 1:
        raise ValueError(
            f"warm_up is {warm_up}; expected a share of the updates between 0 and 1."
        )
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    # In a run of a few updates at least the first one is warm-up; PyTorch divides by zero at 1 / updates.
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=lr,
        total_steps=updates,
        pct_start=max(warm_up, 1.5 / updates),
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
    check_counts(
        updates=updates,
        validate_every=validate_every,
        checkpoint_every=checkpoint_every,
    )
    if clip is not None and not clip > 0:
        raise ValueError(
            f"clip is {clip}; expected a positive bound such as 1.0, or None for no clipping."
        )
    settings = {"updates": updates, "clip": clip, "carry_state": carry_state}
    run = Run(model, optimizer, scheduler, checkpoint and Path(checkpoint), settings)
    run.restore()
    with (
        progress_bar(total=updates, initial=run.step, unit="update") as bar,
        _interruptible() as interrupted,
    ):
        for batch in _stream(batches, run):
            if run.step == updates:  # a finished run was resumed
                break
            model.train()
            value, state = loss(model, batch, run.state)
            if value.dim() != 0:
                raise ValueError(
                    f"loss returned a tensor of shape {tuple(value.shape)}; expected a scalar, such as its mean."
                )
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
                run.report()
                run.history.valid_steps.append(run.step)
                run.history.valid_scores.append(float(validate(model)))
                run.clock = time.perf_counter()  # validation is no training time
            if len(run.pending) == REPORT_EVERY:
                run.report()
            if run.step % checkpoint_every == 0 and run.step < updates:
                run.save()
            if run.step == updates or interrupted.is_set():
                run.report()
                saved = run.save()
                break
    if run.step < updates:
        run.history.interrupted = True
        kept = (
            f"{checkpoint} holds this state"
            if saved
            else "this state is in no checkpoint"
        )
        warnings.warn(
            f"training was interrupted after update {run.step} of {updates}; {kept}.",
            stacklevel=2,
        )
    return run.history


def _stream(batches: Callable[[int], Iterable[Any]], run: Run) -> Iterator[Any]:
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
