"""With and without attention, and with more patience: the measurements of chapter 8."""

import bisect
import itertools
import json
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import torch

from tools.studies.common import (
    FULL,
    SEEDS,
    WORKERS,
    Results,
    Row,
    Scale,
    header,
    parameter_count,
    rows,
)
from utils.dates import HELD_OUT_FORMATS, TARGET_ALPHABET, date_pairs, split_days
from utils.decoding import exact_match
from utils.device import get_device, set_seed
from utils.models import AttentionDecoder, Decoder, Encoder, Seq2Seq
from utils.recipes import train_on_dates
from utils.text import Vocab


class Setting(NamedTuple):
    """A decoder, the width of both networks, and for how many updates they train."""

    decoder: str
    num_hiddens: int
    updates: int


DECODERS = {"context only": Decoder, "attention": AttentionDecoder}
# The second has as many parameters as the last, within 1%, the third more patience.
SETTINGS = (
    Setting("context only", 64, 1500),
    Setting("context only", 83, 1500),
    Setting("context only", 64, 6000),
    Setting("attention", 64, 1500),
)
# Lines are grouped by their number of characters: from one of these to below the next.
LENGTHS = (0, 12, 20, 30, 45, 110)

Pairs = list[tuple[str, str]]


def drawn(seed: int) -> torch.Generator:
    """Return a generator that draws the same lines in the chapter and here."""
    return torch.Generator().manual_seed(seed)


@cache
def data() -> tuple[list, Pairs, dict[str, Pairs], tuple[Vocab, Vocab]]:
    """Return the days to train on, held-out lines, and lines in held-out formats.

    The last are by format; the vocabularies of sources and targets come after them.
    """
    train_days, held_out_days = split_days()
    lines = date_pairs(20_000, train_days, generator=drawn(1))
    vocabs = Vocab("".join(line for line, _ in lines)), Vocab(TARGET_ALPHABET)
    held_out = date_pairs(1000, held_out_days, generator=drawn(2))
    new_formats = {
        format: date_pairs(250, held_out_days, [format], drawn(3), intervals=0)
        for format in HELD_OUT_FORMATS
    }
    return train_days, held_out, new_formats, vocabs


def train_translator(setting: Row, report: Callable, scale: Scale = FULL) -> Row:
    """Train one model; return its size and its scores.

    A study keeps numbers and texts only: what is neither is JSON.
    """
    train_days, held_out, new_formats, vocabs = data()
    set_seed(setting["seed"])
    sizes = 32, setting["num_hiddens"]
    decoder = DECODERS[setting["decoder"]](len(vocabs[1]), *sizes)
    model = Seq2Seq(Encoder(len(vocabs[0]), *sizes), decoder).to(get_device())
    updates = scale.updates(setting["updates"])
    train_on_dates(
        model,
        train_days,
        held_out,
        *vocabs,
        updates=updates,
        seed=setting["seed"],
        validate_every=updates,
    )
    right = exact_match(model, held_out, *vocabs).tolist()
    formats = {
        name: round(exact_match(model, pairs, *vocabs).float().mean().item(), 3)
        for name, pairs in new_formats.items()
    }
    return {
        "parameters": parameter_count(model),
        "exact_match": sum(right) / len(right),
        "groups": json.dumps(groups(held_out, right)),
        "held_out_formats": json.dumps(formats, ensure_ascii=False),
    }


def measure(scale: Scale) -> Results:
    """Yield the name of the study and all that its JSON file holds."""
    study = scale.study("dates", "exact_match")
    settings = [
        setting._asdict() | {"seed": seed}
        for setting, seed in itertools.product(scale.some(SETTINGS), scale.some(SEEDS))
    ]
    train = partial(train_translator, scale=scale)
    table = study.run(train, settings, workers=WORKERS)
    scores = ["parameters", "exact_match", "groups", "held_out_formats"]
    runs = rows(table[[*Setting._fields, "seed", *scores]])
    for run in runs:
        run |= {name: json.loads(run[name] or "null") for name in scores[2:]}
    recipe = (
        "64 lines an update, AdamW, one cycle to 0.008, clipped at 1; embeddings of "
        "32, one GRU layer each; exact match of greedy decoding"
    )
    text = "dates of 1900-2099, a tenth of the days held out"
    yield "dates", header(text, recipe) | {"runs": runs}


def groups(pairs: Pairs, right: list[bool]) -> list[dict[str, Any]]:
    """Return how many lines are right, by their number of dates and their length."""
    counts: dict[tuple[int, str], list[bool]] = {}
    for (line, target), ok in zip(pairs, right, strict=True):
        place = bisect.bisect(LENGTHS, len(line))
        length = f"{LENGTHS[place - 1]}-{LENGTHS[place] - 1}"
        counts.setdefault((1 + target.count("/"), length), []).append(ok)
    return [
        {"dates": dates, "length": length, "lines": len(found), "right": sum(found)}
        for (dates, length), found in sorted(counts.items())
    ]
