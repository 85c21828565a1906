"""How many layers, and what helps many of them: the measurements of chapter 6."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import nn

from tools.results import CHOSEN_ON, SEEDS, UPDATES, Corpus, header, held_out, load
from utils.device import set_seed
from utils.models import DeepRNN, LanguageModel, Normalized, Residual, make_layers
from utils.recipes import train_on_text

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


def train_stack(stack: Stack, lr: float, corpus: Corpus, seed: int) -> dict[str, Any]:
    """Train one network; return a row of the results."""
    vocab, train_ids, valid_ids = corpus
    set_seed(seed)

    def layer(num_inputs: int, num_hiddens: int) -> nn.Module:
        lstm = nn.LSTM(num_inputs, num_hiddens)
        lstm = Residual(lstm) if stack.residual else lstm
        return Normalized(lstm) if stack.layer_norm else lstm

    sizes = len(vocab), stack.num_hiddens, stack.num_layers
    rnn = DeepRNN(make_layers(layer, *sizes))
    model = LanguageModel(rnn, len(vocab)).to(train_ids.device)
    history = train_on_text(
        model,
        train_ids,
        valid_ids,
        updates=UPDATES,
        lr=lr,
        warm_up=stack.warm_up,
        validate_every=UPDATES,
    )
    row = {
        **stack._asdict(),
        "lr": lr,
        "parameters": sum(p.numel() for p in model.parameters()),
        "seed": seed,
        "perplexity": round(history.valid_scores[-1], 3),
    }
    print(row, flush=True)
    return row


def measure() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of the study and all that its JSON file holds."""
    corpus = load(CHOSEN_ON)
    settings = itertools.product(
        EQUAL_WIDTH + EQUAL_PARAMETERS + REMEDIES, RATES, SEEDS
    )
    runs = [train_stack(stack, lr, corpus, seed) for stack, lr, seed in settings]
    recipe = (
        f"{UPDATES} updates of 32 x 64 characters, AdamW, one cycle, clipped at 1; layers of nn.LSTM "
        "as PyTorch starts them, in utils.models.DeepRNN"
    )
    yield (
        "depth",
        header(held_out(CHOSEN_ON), recipe) | {"runs": runs},
    )
