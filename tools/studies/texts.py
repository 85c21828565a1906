"""The reference results: networks of one layer, trained on two whole texts."""

import itertools
import math
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
    rows,
    score_on_text,
)
from utils.cells import set_forget_bias
from utils.device import set_seed
from utils.ngrams import NGramModel, ngram_perplexity

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
    vocab, *_ = corpus(setting["text"])
    rnn = LAYERS[setting["network"]](len(vocab), setting["num_hiddens"])
    if setting["network"] == "LSTM":
        set_forget_bias(rnn, 1.0)
    rates = {name: setting[name] for name in ("lr", "weight_decay")}
    return score_on_text(rnn, setting["text"], updates, **rates)


def best(tried: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each network's setting with the lowest mean over the seeds.

    A setting that diverged with any seed is the worst.
    """
    scores = tried.fillna({"perplexity": math.inf}).groupby(CHOICES, sort=False)
    means = scores["perplexity"].mean().reset_index()
    lowest = means.groupby(CHOICES[:2], sort=False)["perplexity"].idxmin()
    return means.loc[lowest, CHOICES].merge(tried, on=CHOICES, how="left")


def measure(scale: Scale) -> Results:
    """Yield, for each text, its name and all that its JSON file holds."""
    corpus(OTHER_TEXT)  # if it is missing, say so at once
    study = scale.study("texts", "perplexity")
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
