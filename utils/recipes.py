"""Training runs by a fixed recipe, so that the results of chapters compare."""

import datetime
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from utils.arguments import require_counts
from utils.contract import require_causal
from utils.dates import date_pairs, encode_pairs
from utils.decoding import exact_match
from utils.history import History
from utils.models import LastStep
from utils.tasks import adding_problem, fresh_batches
from utils.text import Vocab, consecutive_batches
from utils.training import (
    adamw_one_cycle,
    evaluate,
    squared_error,
    train,
    translation_loss,
)

# ---- Below: exported from the chapters by `make notebooks`. Edit there, not here. ----


# From chapters/02_rnn.ipynb
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
    checkpoint: str | Path | None = None,
) -> History:
    """Train a language model on 32 windows an update, and hand the state on.

    ``train_ids`` and ``valid_ids`` are ``(n,)``, on the model's device; the scores are
    held-out perplexities. ``train`` says what a ``checkpoint`` is; it and
    ``consecutive_batches`` say what they raise.
    """
    require_counts(num_steps=num_steps)
    optimizer, scheduler = adamw_one_cycle(model, lr, updates, weight_decay, warm_up)

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        offset = (7 * epoch) % num_steps  # each epoch cuts at other places
        return consecutive_batches(train_ids, 32, num_steps, offset)

    def validate(model: nn.Module) -> float:
        return evaluate(model, valid_ids)

    options = {"scheduler": scheduler, "carry_state": True, "validate": validate}
    options |= {"validate_every": validate_every, "checkpoint": checkpoint}
    return train(model, optimizer, batches, updates=updates, **options)


# From chapters/03_bptt.ipynb
def train_to_add(
    rnn: nn.Module,
    updates: int,
    *,
    num_steps: int = 100,
    lr: float = 0.01,
    seed: int = 0,
    checkpoint: str | Path | None = None,
) -> History:
    """Train a layer with 2 inputs on the adding problem, 64 new sequences an update.

    The scores are mean squared errors on 1,000 sequences kept aside, every 50 updates.
    ``train`` says what a ``checkpoint`` is; it and ``adding_problem`` say what they
    raise.
    """
    require_causal(rnn, num_inputs=2)
    device = next(rnn.parameters()).device
    model = LastStep(rnn).to(device)

    def new_sequences(count: int, seed: int) -> Callable[[int], Iterator]:
        return fresh_batches(adding_problem, count, num_steps, seed=seed, device=device)

    held_out = next(new_sequences(1000, seed=999)(0))

    @torch.no_grad()
    def validate(model: nn.Module) -> float:
        return squared_error(model, held_out, None)[0].item()

    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    batches = new_sequences(64, seed)
    options = {"loss": squared_error, "validate": validate, "validate_every": 50}
    options |= {"checkpoint": checkpoint}
    return train(model, optimizer, batches, updates=updates, **options)


# From chapters/08_encoder_decoder.ipynb
def train_on_dates(
    model: nn.Module,
    days: Sequence[datetime.date],
    held_out: list[tuple[str, str]],
    *vocabs: Vocab,
    updates: int = 1200,
    lr: float = 8e-3,
    seed: int = 0,
    validate_every: int = 200,
    checkpoint: str | Path | None = None,
) -> History:
    """Train a sequence-to-sequence model on dates, 64 new lines an update.

    The scores are the share of the ``held_out`` pairs that are written without any
    mistake; ``vocabs`` are the source's and the target's. ``train`` says what a
    ``checkpoint`` is; it and ``date_pairs`` say what they raise.
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

    options = {"scheduler": scheduler, "loss": translation_loss, "validate": validate}
    options |= {"validate_every": validate_every, "checkpoint": checkpoint}
    return train(model, optimizer, batches, updates=updates, **options)
