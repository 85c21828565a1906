"""A training run that kills itself: ``python -m tests.killed CHECKPOINT UPDATE``."""

import os
import signal
import sys

import torch
from torch import nn

from utils.models import LanguageModel
from utils.text import consecutive_batches
from utils.training import adamw_one_cycle, evaluate, language_model_loss, train


def run(checkpoint=None, kill_at=None):
    """Train two layers with dropout and a carried state, 7 batches an epoch.

    Return the history, the model, and how many updates were begun here.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    ids = torch.randint(10, (230,))
    model = LanguageModel(nn.LSTM(10, 8, num_layers=2, dropout=0.5), 10)
    optimizer, scheduler = adamw_one_cycle(model, 0.01, 30)
    calls = 0

    def loss(model, batch, state):
        nonlocal calls
        calls += 1
        if calls == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return language_model_loss(model, batch, state)

    def batches(epoch):
        return consecutive_batches(ids, 4, 8, offset=epoch % 3)

    settings = {"updates": 30, "scheduler": scheduler, "carry_state": True}
    settings |= {"validate": lambda model: evaluate(model, ids), "validate_every": 7}
    settings |= {"checkpoint": checkpoint, "checkpoint_every": 4}
    history = train(model, optimizer, batches, loss=loss, **settings)
    return history, model, calls


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]))
