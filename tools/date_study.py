"""With and without attention, and with more patience: the measurements of chapter 8."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch

from tools.results import SEEDS, header
from utils.dates import HELD_OUT_FORMATS, TARGET_ALPHABET, date_pairs, split_days
from utils.device import get_device, set_seed
from utils.models import AttentionDecoder, Decoder, Encoder, Seq2Seq
from utils.recipes import exact_match, train_on_dates
from utils.text import Vocab

# The decoders, and for how many updates each is trained.
SETTINGS = (
    ("context only", Decoder, 1500),
    ("context only", Decoder, 6000),
    ("attention", AttentionDecoder, 1500),
)
# Lines are grouped by their number of characters: from one of these to below the next.
LENGTHS = (0, 12, 20, 30, 45, 100)

Pairs = list[tuple[str, str]]


def drawn(seed: int) -> torch.Generator:
    """Return a generator that draws the same lines in the chapter and here."""
    return torch.Generator().manual_seed(seed)


def data() -> tuple[list, Pairs, dict[str, Pairs], tuple[Vocab, Vocab]]:
    """Return the days to train on, held-out lines, lines in each held-out format, and the vocabularies."""
    train_days, held_out_days = split_days()
    lines = date_pairs(20_000, train_days, generator=drawn(1))
    vocabs = Vocab("".join(line for line, _ in lines)), Vocab(TARGET_ALPHABET)
    held_out = date_pairs(1000, held_out_days, generator=drawn(2))
    new_formats = {
        format: date_pairs(250, held_out_days, [format], drawn(3), intervals=0)
        for format in HELD_OUT_FORMATS
    }
    return train_days, held_out, new_formats, vocabs


def measure() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of the study and all that its JSON file holds."""
    train_days, held_out, new_formats, vocabs = data()
    runs = []
    for (name, decoder, updates), seed in itertools.product(SETTINGS, SEEDS):
        set_seed(seed)
        sizes = 32, 64
        model = Seq2Seq(
            Encoder(len(vocabs[0]), *sizes), decoder(len(vocabs[1]), *sizes)
        ).to(get_device())
        train_on_dates(
            model,
            train_days,
            held_out,
            *vocabs,
            updates=updates,
            seed=seed,
            validate_every=updates,
        )
        right = exact_match(model, held_out, *vocabs)
        runs.append(
            {
                "decoder": name,
                "updates": updates,
                "seed": seed,
                "parameters": sum(p.numel() for p in model.parameters()),
                "exact_match": round(right.float().mean().item(), 4),
                "by_length": by_length(held_out, right),
                "held_out_formats": {
                    format: round(
                        exact_match(model, pairs, *vocabs).float().mean().item(), 3
                    )
                    for format, pairs in new_formats.items()
                },
            }
        )
        print(runs[-1], flush=True)
    recipe = (
        "64 lines an update, AdamW, one cycle to 0.008, clipped at 1; embeddings of 32, one GRU layer of 64; "
        "exact match of greedy decoding"
    )
    yield (
        "dates",
        header("dates of 1900-2099, a tenth of the days held out", recipe)
        | {"runs": runs},
    )


def by_length(pairs: Pairs, right: torch.Tensor) -> dict[str, float]:
    """Return the share of right lines for each group of lengths."""
    lengths = torch.tensor([len(line) for line, _ in pairs])
    shares = {}
    for low, high in itertools.pairwise(LENGTHS):
        group = right[(lengths >= low) & (lengths < high)]
        shares[f"{low}-{high - 1}"] = round(group.float().mean().item(), 4)
    return shares
