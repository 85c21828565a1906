"""The reference results: networks of one layer, trained on two whole texts."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pandas as pd
from torch import nn

from tools.studies.common import (
    CHOSEN_ON,
    OTHER_TEXT,
    SEEDS,
    WORKERS,
    Results,
    Row,
    Scale,
    corpus,
    header,
    held_out,
    parameter_count,
    rows,
)
from utils.cells import set_forget_bias
from utils.device import set_seed
from utils.models import LanguageModel
from utils.ngrams import NGramModel, ngram_perplexity
from utils.recipes import train_on_text

UPDATES = 1200
LAYERS = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}
# What is tried for each network: the learning rates and the weight decays.
RATES, DECAYS = (8e-3, 1.6e-2), (0.01, 0.1)
CHOICES = ["network", "num_hiddens", "lr", "weight_decay"]
COLUMNS = [*CHOICES, "parameters", "seed", "perplexity"]


class Network(NamedTuple):
    """A recurrent layer and its width."""

    network: str
    num_hiddens: int


EQUAL_WIDTH = (Network("RNN", 256), Network("GRU", 256), Network("LSTM", 256))
# Within 1% of the parameters of the RNN above.
EQUAL_PARAMETERS = (Network("GRU", 145), Network("LSTM", 124))


def train_network(setting: Row, report: Callable, updates: int = UPDATES) -> Row:
    """Train one network with the recipe of chapter 2; return its size and its score."""
    set_seed(setting["seed"])
    vocab, train_ids, valid_ids = corpus(setting["text"])
    rnn = LAYERS[setting["network"]](len(vocab), setting["num_hiddens"])
    if setting["network"] == "LSTM":
        set_forget_bias(rnn, 1.0)
    model = LanguageModel(rnn, len(vocab)).to(train_ids.device)
    history = train_on_text(
        model,
        train_ids,
        valid_ids,
        updates=updates,
        lr=setting["lr"],
        weight_decay=setting["weight_decay"],
        validate_every=updates,
    )
    perplexity = round(history.valid_scores[-1], 3)
    return {"parameters": parameter_count(model), "perplexity": perplexity}


def best(tried: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each network's setting with the lowest mean over the seeds."""
    means = tried.groupby(CHOICES, sort=False)["perplexity"].mean().reset_index()
    lowest = means.groupby(CHOICES[:2], sort=False)["perplexity"].idxmin()
    return means.loc[lowest, CHOICES].merge(tried, on=CHOICES, how="left")


def measure(scale: Scale) -> Results:
    """Yield, for each text, its name and all that its JSON file holds."""
    corpus(OTHER_TEXT)  # if it is missing, say so at once
    study = scale.study("texts", "perplexity", train_network, UPDATES)
    train = partial(train_network, updates=scale.updates(UPDATES))
    settings = [
        network._asdict()
        | {"lr": lr, "weight_decay": decay, "seed": seed, "text": CHOSEN_ON}
        for network, lr, decay, seed in itertools.product(
            EQUAL_WIDTH + EQUAL_PARAMETERS, RATES, DECAYS, scale.some(SEEDS)
        )
    ]
    tried = study.run(train, settings, workers=WORKERS)
    chosen = best(tried)
    recipe = (
        f"{scale.updates(UPDATES)} updates of 32 x 64 characters, AdamW, one cycle, "
        "clipped at 1; layers of torch.nn, forget-gate bias 1; rate and decay chosen "
        f"on {CHOSEN_ON} by the mean of {len(scale.some(SEEDS))} seeds"
    )
    results = with_ngrams(CHOSEN_ON, chosen, recipe)
    yield CHOSEN_ON, results | {"tried": rows(tried[COLUMNS])}

    wide = chosen[chosen["num_hiddens"] == EQUAL_WIDTH[0].num_hiddens]
    settings = wide[[*CHOICES, "seed"]].assign(text=OTHER_TEXT).to_dict("records")
    runs = study.run(train, settings, workers=WORKERS)
    yield OTHER_TEXT, with_ngrams(OTHER_TEXT, runs, recipe)


def with_ngrams(name: str, runs: pd.DataFrame, recipe: str) -> dict[str, Any]:
    """Return ``runs`` on a text and the n-grams on it, below how they were made."""
    vocab, train_ids, valid_ids = corpus(name)
    ngrams = {}
    for order in range(1, 8):
        model = NGramModel(order, len(vocab)).fit(train_ids)
        ngrams[order] = round(ngram_perplexity(model, valid_ids), 3)
    results = {"runs": rows(runs[COLUMNS]), "ngrams": ngrams}
    return header(held_out(name), recipe) | results
