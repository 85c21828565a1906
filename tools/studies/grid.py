"""A grid of hyperparameters, and searches with its budget, for their assignment."""

import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tools.studies.common import (
    CHOSEN_ON,
    SEEDS,
    WORKERS,
    Results,
    Row,
    Scale,
    header,
    held_out,
    page,
    rows,
)
from utils.sweep import Study, grid

SAMPLE = 48  # settings that are run again to see what the workers gain
# Random search, and the tree-structured Parzen estimator with pruning.
SEARCHES = {"random": False, "tpe": True}
SPACE = {
    "num_steps": (8, 128, "log"),
    "num_hiddens": (8, 128, "log"),
    "lr": (0.01, 10.0, "log"),
}
TEXT = held_out(CHOSEN_ON)
RECIPE = "of 32 rows, nn.GRU, SGD at a constant rate, clipped at 1, seed 0"


def measure(scale: Scale) -> Results:
    """Yield the name of the study and all that its JSON file holds: every setting."""
    code, train, settings, epochs = assignment(scale)
    study = scale.study("hyperparameter_grid: grid", "perplexity", code)
    table = study.run(train, settings, workers=WORKERS)
    sample = random.Random(0).sample(settings, min(SAMPLE, len(settings)))
    gain = compare_workers(train, sample)
    table = table.drop(columns=["steps", "worker"])
    results = {"workers": gain, "settings": rows(table)}
    yield "grid", header(TEXT, f"{epochs} epochs {RECIPE}", "make grid") | results


def assignment(scale: Scale) -> tuple[str, Callable, list[Row], int]:
    """Return the page's code, its objective, the settings, and the epochs of each."""
    code, defined = page("hyperparameter_grid", "EPOCHS", scale)
    epochs = defined["EPOCHS"]
    train = partial(defined["train_setting"], epochs=epochs)
    return code, train, list(scale.some(defined["all_settings"]())), epochs


def compare_workers(train: Callable, sample: list[Row]) -> dict[str, Any]:
    """Return how long ``sample`` takes in one process, and with a worker a core."""
    took = {}
    for workers in (1, WORKERS):
        with tempfile.TemporaryDirectory() as folder:
            study, started = Study("sample", f"{folder}/s.db"), time.perf_counter()
            study.run(train, sample, workers=workers)
            took[workers] = round(time.perf_counter() - started, 1)
    return {
        "settings": len(sample),
        "seconds, 1 process": took[1],
        f"seconds, {WORKERS} workers": took[WORKERS],
        "ratio": round(took[1] / took[WORKERS], 2),
    }


def search(setting: Row, report: Callable, scale: Scale) -> Row:
    """Carry out one search with the budget of the grid: as many epochs in all."""
    code, train, settings, epochs = assignment(scale)
    budget = len(settings) * epochs
    sampler, seed = setting["sampler"], setting["seed"]
    study = study_of(setting, code, scale)
    table = study.search(
        train,
        SPACE,
        trials=budget,
        budget=budget,
        sampler=sampler,
        seed=seed,
        prune=SEARCHES[sampler],
    )
    return {"perplexity": float(table["perplexity"].min())}


def study_of(setting: Row, code: str, scale: Scale) -> Study:
    """Return the study of one search."""
    name = f"hyperparameter_grid: {setting['sampler']}, seed {setting['seed']}"
    return scale.study(name, "perplexity", code)


def measure_searches(scale: Scale) -> Results:
    """Yield the name of the study and all that its JSON file holds: all searches.

    Each search is one setting of a study of its own, so that workers share them.
    """
    code, _, _, epochs = assignment(scale)
    study = scale.study("hyperparameter_grid: searches", "perplexity", code)
    settings = grid(sampler=list(SEARCHES), seed=list(scale.some(SEEDS)))
    study.run(partial(search, scale=scale), settings, workers=WORKERS)
    runs: list[Row] = []
    for setting in settings:
        table = study_of(setting, code, scale).frame()
        table = table.assign(search=setting["sampler"], seed=setting["seed"])
        runs += rows(table.drop(columns=["worker", "text"]))
    yield "searches", header(TEXT, f"{epochs} epochs {RECIPE}") | {"runs": runs}
