"""The training runs that several chapters share, so that their results compare."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from utils.cells import State
from utils.errors import check_counts
from utils.models import LastStep, check_layer
from utils.tasks import adding_problem, fresh_batches
from utils.text import consecutive_batches
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
    validate_every: int = 200,
) -> History:
    """Train a language model on 32 windows an update, the state carried from one to the next.

    ``train_ids`` and ``valid_ids`` are ``(n,)``, on the model's device; the scores are held-out
    perplexities. ``train`` and ``consecutive_batches`` say what they raise.
    """
    check_counts(num_steps=num_steps)
    optimizer, scheduler = adamw_one_cycle(model, lr, updates, weight_decay)
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
