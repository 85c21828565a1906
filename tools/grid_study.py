"""The grid of hyperparameters, and searches with the same budget, for the assignment on them."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch

from tools.results import CHOSEN_ON, WORKERS, header, held_out, open_study, rows
from utils.sweep import Study

ASSIGNMENT = "hyperparameter_grid"
SAMPLE = 48  # settings that are run again to see what the workers gain
SEEDS = (0, 1, 2)
# Random search, and the tree-structured Parzen estimator with pruning.
SEARCHES = {"random": False, "tpe": True}
SPACE = {
    "num_steps": (8, 128, "log"),
    "num_hiddens": (8, 128, "log"),
    "lr": (0.01, 10.0, "log"),
}
TEXT = held_out(CHOSEN_ON)
RECIPE = "4 epochs of 32 rows, nn.GRU, SGD at a constant rate, clipped at 1, seed 0"


def measure() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of the study and all that its JSON file holds: every setting of the grid."""
    study, page = open_study(ASSIGNMENT, "grid", "perplexity")
    settings = page["all_settings"]()
    table = study.run(page["train_setting"], settings, workers=WORKERS)
    sample = random.Random(0).sample(settings, SAMPLE)
    gain = compare_workers(page["train_setting"], sample)
    table = table.drop(columns=["steps", "worker"])
    yield (
        "grid",
        header(TEXT, RECIPE, "make grid") | {"workers": gain, "settings": rows(table)},
    )


def compare_workers(train_setting: Any, sample: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how long ``sample`` takes in one process, with all its threads, and with a worker a core."""
    took = {}
    for workers in (1, WORKERS):
        with tempfile.TemporaryDirectory() as folder:
            study, started = Study("sample", f"{folder}/s.db"), time.perf_counter()
            study.run(train_setting, sample, workers=workers)
            took[workers] = round(time.perf_counter() - started, 1)
    return {
        "settings": len(sample),
        "seconds, 1 process": took[1],
        f"seconds, {WORKERS} workers": took[WORKERS],
        "ratio": round(took[1] / took[WORKERS], 2),
    }


def search(sampler: str, seed: int) -> list[dict[str, Any]]:
    """Return the rows of one search with the budget of the grid: as many epochs in all."""
    torch.set_num_threads(1)  # as many searches as cores run at the same time
    study, page = open_study(ASSIGNMENT, f"{sampler}, seed {seed}", "perplexity")
    budget = len(page["all_settings"]()) * page["EPOCHS"]
    table = study.search(
        page["train_setting"],
        SPACE,
        trials=budget,
        budget=budget,
        sampler=sampler,
        seed=seed,
        prune=SEARCHES[sampler],
    )
    table = table.assign(search=sampler, seed=seed).drop(columns=["worker", "text"])
    return rows(table)


def measure_searches() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of the study and all that its JSON file holds: every setting that was searched."""
    searches = [(sampler, seed) for sampler in SEARCHES for seed in SEEDS]
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        found = pool.map(search, *zip(*searches, strict=True))
        runs = [row for table in found for row in table]
    yield "searches", header(TEXT, RECIPE) | {"runs": runs}
