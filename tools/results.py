"""The reference results: networks trained on a whole text, written to book/results."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import platform
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import nn

from tools import assignments
from tools.notebook import ROOT, definitions, study_code
from utils.cells import set_forget_bias
from utils.device import get_device, set_seed
from utils.files import write_atomically
from utils.models import LanguageModel
from utils.ngrams import NGramModel, ngram_perplexity
from utils.recipes import train_on_text
from utils.sweep import Study
from utils.text import Vocab, load_text, normalize, split

UPDATES = 1200
WORKERS = os.cpu_count() or 1  # processes for studies of many small runs
SEEDS = (0, 1, 2)
LAYERS = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}
# What is tried for each network: the learning rates and the weight decays.
RATES, DECAYS = (8e-3, 1.6e-2), (0.01, 0.1)
STUDIES = ROOT / "_build" / "studies.db"  # what was interrupted goes on from here
# The texts: the first one decides between the rates and the decays.
CHOSEN_ON, OTHER_TEXT = "the_tide_clock", "time_machine"


class Network(NamedTuple):
    """A recurrent layer and its width."""

    network: str
    num_hiddens: int


EQUAL_WIDTH = (Network("RNN", 256), Network("GRU", 256), Network("LSTM", 256))
# Within 1% of the parameters of the RNN above.
EQUAL_PARAMETERS = (Network("GRU", 145), Network("LSTM", 124))


class Setting(NamedTuple):
    """A network and how it is trained."""

    network: str
    num_hiddens: int
    lr: float
    weight_decay: float


def target(name: str) -> Path:
    """Return the file that the results on the text ``name`` are written to."""
    return ROOT / "book" / "results" / f"{name}.json"


Corpus = tuple[Vocab, torch.Tensor, torch.Tensor]


def load(name: str) -> Corpus:
    """Return the vocabulary, the training ids and the held-out ids (the last 10%) of a corpus."""
    text = normalize(load_text(name))
    vocab = Vocab(split(text)[0])
    train_ids, valid_ids = split(vocab.encode(text))
    return vocab, train_ids.to(get_device()), valid_ids.to(get_device())


def train_reference(
    setting: Setting,
    vocab: Vocab,
    train_ids: torch.Tensor,
    valid_ids: torch.Tensor,
    seed: int,
) -> dict[str, Any]:
    """Train one network with the recipe of chapter 2; return a row of the results."""
    set_seed(seed)
    rnn = LAYERS[setting.network](len(vocab), setting.num_hiddens)
    if setting.network == "LSTM":
        set_forget_bias(rnn, 1.0)
    model = LanguageModel(rnn, len(vocab)).to(train_ids.device)
    history = train_on_text(
        model,
        train_ids,
        valid_ids,
        updates=UPDATES,
        lr=setting.lr,
        weight_decay=setting.weight_decay,
        validate_every=UPDATES,
    )
    row = {
        **setting._asdict(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "seed": seed,
        "perplexity": round(history.valid_scores[-1], 3),
    }
    print(row, flush=True)
    return row


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


def try_all(network: Network, corpus: Corpus) -> list[dict[str, Any]]:
    """Train a network at every rate and decay, with every seed; return a row for each."""
    return [
        train_reference(Setting(*network, lr, decay), *corpus, seed)
        for lr, decay, seed in itertools.product(RATES, DECAYS, SEEDS)
    ]


def best_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those of ``rows`` that have the setting with the lowest mean perplexity over the seeds."""
    by_setting: dict[Setting, list[dict[str, Any]]] = {}
    for row in rows:
        by_setting.setdefault(setting_of(row), []).append(row)
    return min(
        by_setting.values(), key=lambda group: sum(row["perplexity"] for row in group)
    )


def measure() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield, for each text, its name and all that its JSON file holds."""
    load(OTHER_TEXT)  # if it is missing, say so at once
    corpus = load(CHOSEN_ON)
    tried = [try_all(network, corpus) for network in EQUAL_WIDTH + EQUAL_PARAMETERS]
    chosen = [best_of(rows) for rows in tried]
    results = report(CHOSEN_ON, corpus, list(itertools.chain(*chosen)))
    yield CHOSEN_ON, results | {"tried": list(itertools.chain(*tried))}

    corpus = load(OTHER_TEXT)
    runs = [
        train_reference(setting_of(row), *corpus, row["seed"])
        for rows in chosen[: len(EQUAL_WIDTH)]
        for row in rows
    ]
    yield OTHER_TEXT, report(OTHER_TEXT, corpus, runs)


def setting_of(run: dict[str, Any]) -> Setting:
    """Return the setting of a row of the results."""
    return Setting(*(run[field] for field in Setting._fields))


def report(name: str, corpus: Corpus, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return ``runs`` on the text ``name`` with the n-grams on it, and how they were measured."""
    vocab, train_ids, valid_ids = corpus
    ngrams = {
        order: round(
            ngram_perplexity(NGramModel(order, len(vocab)).fit(train_ids), valid_ids), 3
        )
        for order in range(1, 8)
    }
    recipe = (
        f"{UPDATES} updates of 32 x 64 characters, AdamW, one cycle, clipped at 1; layers of "
        f"torch.nn, forget-gate bias 1; rate and decay chosen on {CHOSEN_ON} by the mean of {len(SEEDS)} seeds"
    )
    return header(held_out(name), recipe) | {"runs": runs, "ngrams": ngrams}


def held_out(name: str) -> str:
    """Return what :func:`load` makes of the text ``name``, in words."""
    return f"{name}, letters and spaces, last 10% held out"


def header(text: str, recipe: str, command: str = "make results") -> dict[str, str]:
    """Return what was measured on, how and where: the head of a file of results."""
    return {
        "text": text,
        "command": command,
        "machine": machine(),
        "torch": torch.__version__,
        "recipe": recipe,
    }


def open_study(assignment: str, part: str, metric: str) -> tuple[Study, dict[str, Any]]:
    """Return the study of a part of an assignment, and what its page defines for it.

    It goes on where it was stopped. Changed code begins a new one.
    """
    page = assignments.sources()[assignment]
    code = hashlib.sha256(study_code(page).encode()).hexdigest()[:8]
    STUDIES.parent.mkdir(exist_ok=True)
    study = Study(f"{assignment}: {part} ({code})", STUDIES, metric)
    return study, definitions(page)


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as JSON has them: what is not finite becomes null."""
    return json.loads(frame.to_json(orient="records", double_precision=6))


def write(study: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Write the results of a study, a file for each name that it yields."""
    for name, results in study:
        text = json.dumps(results, indent=2, ensure_ascii=False) + "\n"
        write_atomically(target(name), text.encode())
        print(f"written to {target(name).relative_to(ROOT)}")
