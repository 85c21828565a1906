"""How many layers, and what helps many of them: the measurements of chapter 6."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import nn

from tools.studies.common import (
    CHOSEN_ON,
    SEEDS,
    WORKERS,
    Results,
    Row,
    Scale,
    corpus,
    header,
    held_out,
    rows,
    score_on_text,
)
from utils.device import set_seed
from utils.layers import DeepRNN, Normalized, Residual, make_layers

UPDATES = 1200
RATES = (2e-3, 4e-3, 8e-3, 1.6e-2)


class Stack(NamedTuple):
    """Layers of an LSTM on top of each other, and how they are trained."""

    num_layers: int
    num_hiddens: int
    residual: bool = False
    layer_norm: bool = False
    warm_up: float = 0.3


EQUAL_WIDTH = (Stack(1, 64), Stack(2, 64), Stack(6, 64))
# Within 1% of the parameters of six layers of 64.
EQUAL_PARAMETERS = (Stack(1, 202), Stack(2, 120))
REMEDIES = (
    Stack(6, 64, warm_up=0.8),
    Stack(6, 64, residual=True),
    Stack(6, 64, layer_norm=True),
    Stack(6, 64, residual=True, layer_norm=True),
    # What normalization does without depth.
    Stack(1, 202, layer_norm=True),
    Stack(2, 120, layer_norm=True),
)
STACKS = EQUAL_WIDTH + EQUAL_PARAMETERS + REMEDIES


def train_stack(setting: Row, report: Callable, updates: int = UPDATES) -> Row:
    """Train one stack; return its size and its score."""
    set_seed(setting["seed"])
    vocab, *_ = corpus(CHOSEN_ON)

    def layer(num_inputs: int, num_hiddens: int) -> nn.Module:
        lstm = nn.LSTM(num_inputs, num_hiddens)
        lstm = Residual(lstm) if setting["residual"] else lstm
        return Normalized(lstm) if setting["layer_norm"] else lstm

    sizes = len(vocab), setting["num_hiddens"], setting["num_layers"]
    rnn = DeepRNN(make_layers(layer, *sizes))
    rates = {name: setting[name] for name in ("lr", "warm_up")}
    return score_on_text(rnn, CHOSEN_ON, updates, **rates)


def measure(scale: Scale) -> Results:
    """Yield the name of the study and all that its JSON file holds."""
    study = scale.study("depth", "perplexity")
    choices = (scale.some(STACKS), scale.some(RATES), scale.some(SEEDS))
    settings = [
        stack._asdict() | {"lr": lr, "seed": seed}
        for stack, lr, seed in itertools.product(*choices)
    ]
    train = partial(train_stack, updates=scale.updates(UPDATES))
    table = study.run(train, settings, workers=WORKERS)
    recipe = (
        f"{scale.updates(UPDATES)} updates of 32 x 64 characters, AdamW, one cycle, "
        "clipped at 1; layers of nn.LSTM as PyTorch starts them, in DeepRNN"
    )
    columns = [*Stack._fields, "lr", "parameters", "seed", "perplexity"]
    runs = {"runs": rows(table[columns])}
    yield "depth", header(held_out(CHOSEN_ON), recipe) | runs
