"""The reference results: models trained on The Time Machine, written to book/results."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

from tools.notebook import ROOT
from utils.cells import RNNScratch
from utils.device import get_device, set_seed
from utils.files import write_atomically
from utils.models import LanguageModel, NGramModel, ngram_perplexity
from utils.text import Vocab, consecutive_batches, load_text, normalize, split
from utils.training import History, adamw_one_cycle, evaluate, train

TARGET = ROOT / "book" / "results" / "time_machine.json"
NUM_HIDDENS, UPDATES, BATCH_SIZE, NUM_STEPS, LEARNING_RATE = 256, 1200, 32, 64, 8e-3
SEEDS = (0, 1, 2)


def load(name: str) -> tuple[Vocab, torch.Tensor, torch.Tensor]:
    """Return the vocabulary, the training ids and the held-out ids (the last 10%) of a corpus."""
    text = normalize(load_text(name))
    vocab = Vocab(split(text)[0])
    train_ids, valid_ids = split(vocab.encode(text))
    return vocab, train_ids.to(get_device()), valid_ids.to(get_device())


def train_reference(
    vocab: Vocab, train_ids: torch.Tensor, valid_ids: torch.Tensor, seed: int
) -> History:
    """Train the plain RNN of chapter 2 with the recipe of chapter 2; return its history."""
    set_seed(seed)
    model = LanguageModel(RNNScratch(len(vocab), NUM_HIDDENS), len(vocab))
    model.to(train_ids.device)
    optimizer, scheduler = adamw_one_cycle(model, LEARNING_RATE, UPDATES)
    return train(
        model,
        optimizer,
        lambda epoch: consecutive_batches(
            train_ids, BATCH_SIZE, NUM_STEPS, offset=7 * epoch % NUM_STEPS
        ),
        updates=UPDATES,
        scheduler=scheduler,
        carry_state=True,
        validate=lambda model: evaluate(model, valid_ids),
        validate_every=UPDATES,
    )


def machine() -> str:
    """Return what the figures were measured on."""
    if get_device().type == "cuda":
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [
        line.split(":")[1].strip() for line in lines if line.startswith("model name")
    ]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def measure() -> dict[str, Any]:
    """Train the reference models; return all that the JSON file holds."""
    vocab, train_ids, valid_ids = load("time_machine")
    runs = []
    for seed in SEEDS:
        history = train_reference(vocab, train_ids, valid_ids, seed)
        runs.append(
            {
                "seed": seed,
                "perplexity": round(history.valid_scores[-1], 3),
                "seconds": round(history.seconds, 1),
            }
        )
        print(f"seed {seed}: {runs[-1]}", flush=True)
    ngrams = {
        order: round(
            ngram_perplexity(NGramModel(order, len(vocab)).fit(train_ids), valid_ids), 3
        )
        for order in range(1, 8)
    }
    return {
        "text": "The Time Machine, letters and spaces, last 10% held out",
        "command": "make results",
        "machine": machine(),
        "torch": torch.__version__,
        "recipe": {
            "layer": "RNNScratch",
            "num_hiddens": NUM_HIDDENS,
            "updates": UPDATES,
            "batch_size": BATCH_SIZE,
            "num_steps": NUM_STEPS,
            "optimizer": f"AdamW, one cycle to {LEARNING_RATE}, clipped at 1",
        },
        "rnn": runs,
        "ngrams": ngrams,
    }


def write() -> int:
    """Measure and write the results; return the exit status."""
    text = json.dumps(measure(), indent=2, ensure_ascii=False) + "\n"
    write_atomically(TARGET, text.encode())
    print(f"written to {TARGET.relative_to(ROOT)}")
    return 0
