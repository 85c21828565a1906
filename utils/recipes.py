"""The training runs that several chapters share, so that their results compare."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from utils.cells import State
from utils.dates import END, START, check_pairs, date_pairs
from utils.decoding import translate
from utils.errors import check_counts
from utils.layers import check_layer
from utils.models import LastStep
from utils.padding import masked_mean, pad
from utils.tasks import adding_problem, fresh_batches
from utils.text import Vocab, consecutive_batches
from utils.training import History, adamw_one_cycle, evaluate, train

# ---- Below: exported from the chapters by `make notebooks`. Edit there, not here. ----


def train_on_text(
    model: nn.Module,
    train_ids: Tensor,
    valid_ids: Tensor,
    *,
    updates: int = 1200,
    lr: float = 8e-3,
    weight_decay: float = 0.01,
    num_steps: int = 64,
    warm_up: float = 0.3,
    validate_every: int = 200,
) -> History:
    """Train a language model on 32 windows an update, the state carried from one to the next.

    ``train_ids`` and ``valid_ids`` are ``(n,)``, on the model's device; the scores are held-out
    perplexities. ``train`` and ``consecutive_batches`` say what they raise.
    """
    check_counts(num_steps=num_steps)
    optimizer, scheduler = adamw_one_cycle(model, lr, updates, weight_decay, warm_up)
    return train(
        model,
        optimizer,
        lambda epoch: consecutive_batches(
            train_ids, 32, num_steps, offset=(7 * epoch) % num_steps
        ),
        updates=updates,
        scheduler=scheduler,
        carry_state=True,
        validate=lambda model: evaluate(model, valid_ids),
        validate_every=validate_every,
    )


def squared_error(model: nn.Module, batch: Any, state: State) -> tuple[Tensor, State]:
    """Return the mean squared error of ``model(inputs)``; no state goes on to the next batch."""
    inputs, targets = batch
    return F.mse_loss(model(inputs), targets), None


def train_to_add(
    rnn: nn.Module,
    updates: int,
    *,
    num_steps: int = 100,
    lr: float = 0.01,
    seed: int = 0,
) -> History:
    """Train a layer with 2 inputs on the adding problem, 64 new sequences an update.

    The scores are mean squared errors on 1,000 sequences kept aside, every 50 updates.
    ``train`` and ``adding_problem`` say what they raise.
    """
    check_layer(rnn, num_inputs=2)
    device = next(rnn.parameters()).device
    model = LastStep(rnn).to(device)
    held_out = next(
        fresh_batches(adding_problem, 1000, num_steps, seed=999, device=device)(0)
    )

    @torch.no_grad()
    def validate(model: nn.Module) -> float:
        return squared_error(model, held_out, None)[0].item()

    return train(
        model,
        torch.optim.Adam(model.parameters(), lr=lr),
        fresh_batches(adding_problem, 64, num_steps, seed=seed, device=device),
        updates=updates,
        loss=squared_error,
        validate=validate,
        validate_every=50,
    )


def labeling_loss(model: nn.Module, batch: Any, state: State) -> tuple[Tensor, State]:
    """Return the mean cross-entropy of the labels where the mask is True, in nats; no state goes on.

    ``batch`` is ids, labels and mask, all ``(num_steps, batch)``, and lengths ``(batch,)`` or None.
    """
    ids, labels, mask, lengths = batch
    logits = model(ids, lengths).transpose(1, 2)  # (num_steps, num_labels, batch)
    losses = F.cross_entropy(logits, labels, reduction="none")
    return masked_mean(losses, mask), None


def encode_pairs(
    pairs: list[tuple[str, str]],
    source_vocab: Vocab,
    target_vocab: Vocab,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, Tensor, Tensor]:
    """Return sources ``(num_steps, batch)``, their lengths ``(batch,)`` and targets with ``^`` and ``$``.

    Both are padded with id 0; the lengths stay on the CPU. ``check_pairs`` says what it raises.
    """
    check_pairs(pairs, target_vocab)
    sources, lengths = pad([source_vocab.encode(source) for source, _ in pairs])
    targets, _ = pad([target_vocab.encode(START + t + END) for _, t in pairs])
    return sources.to(device), lengths, targets.to(device)


def translation_loss(
    model: nn.Module, batch: Any, state: State
) -> tuple[Tensor, State]:
    """Return the mean cross-entropy of each target's id after the ids before it, in nats; no state goes on."""
    sources, lengths, targets = batch
    logits = model(sources, lengths, targets[:-1])  # given everything but the end
    following = targets[1:]  # asked for everything but the start
    losses = F.cross_entropy(logits.transpose(1, 2), following, reduction="none")
    return masked_mean(losses, following != 0), None


def exact_match(
    model: nn.Module,
    pairs: list[tuple[str, str]],
    source_vocab: Vocab,
    target_vocab: Vocab,
) -> Tensor:
    """Return whether greedy decoding writes each target without any mistake, bool ``(len(pairs),)``."""
    device = next(model.parameters()).device
    sources, lengths, targets = encode_pairs(pairs, source_vocab, target_vocab, device)
    start, end = target_vocab.encode(START + END).tolist()
    expected = targets[1:].masked_fill(targets[1:] == 0, end)
    written, finished = translate(
        model, sources, lengths, start=start, end=end, max_steps=len(expected)
    )
    return ((written == expected).all(0) & finished).cpu()


def train_on_dates(
    model: nn.Module,
    days: Sequence[datetime.date],
    held_out: list[tuple[str, str]],
    *vocabs: Vocab,
    updates: int = 1200,
    lr: float = 8e-3,
    seed: int = 0,
    validate_every: int = 200,
) -> History:
    """Train a sequence-to-sequence model on dates, 64 new lines of like length an update.

    The scores are the share of the ``held_out`` pairs that are written without any mistake;
    ``vocabs`` are the source's and the target's. ``date_pairs`` and ``train`` say what they raise.
    """
    device = next(model.parameters()).device
    optimizer, scheduler = adamw_one_cycle(model, lr, updates)

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(100_000 * seed + epoch)
        pairs = date_pairs(6400, days, generator=generator)
        pairs.sort(key=lambda pair: len(pair[0]))  # like lengths need little padding
        for batch in torch.randperm(100, generator=generator).tolist():
            yield encode_pairs(pairs[64 * batch : 64 * batch + 64], *vocabs, device)

    def validate(model: nn.Module) -> float:
        return exact_match(model, held_out, *vocabs).float().mean().item()

    return train(
        model,
        optimizer,
        batches,
        updates=updates,
        scheduler=scheduler,
        loss=translation_loss,
        validate=validate,
        validate_every=validate_every,
    )
