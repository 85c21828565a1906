"""The GRU without parts of its gates: the measurements of the assignment on it."""

import itertools
from typing import Any

import pandas as pd

from tools.studies.common import (
    CHOSEN_ON,
    WORKERS,
    Results,
    Scale,
    header,
    held_out,
    page,
    rows,
)

SEEDS = (0, 1, 2, 3, 4)
SEED_FOR_RATES = 100  # the rates are chosen by a run that is not reported


def measure(scale: Scale) -> Results:
    """Yield the name of the study and all that its JSON file holds."""
    code, defined = page("gate_ablation", "UPDATES", scale)
    rates = scale.study("gate_ablation: rates", "score", code)
    study = scale.study("gate_ablation: runs", "score", code)

    def train_cell(setting: dict[str, Any], report: Any) -> dict[str, Any]:
        return defined["measure"](**setting)

    settings = [
        {"cell": cell, "task": task, "lr": lr, "seed": SEED_FOR_RATES}
        for task, cell in itertools.product(
            defined["RATES"], scale.some(list(defined["CELLS"]))
        )
        for lr in scale.some(defined["RATES"][task])
    ]
    tried = rates.run(train_cell, settings, workers=WORKERS)
    best = best_rates(tried)
    chosen = [s | {"seed": seed} for s in best for seed in scale.some(SEEDS)]
    table = study.run(train_cell, chosen, workers=WORKERS)
    sizes = defined["SIZES"]
    recipe = (
        f"{defined['UPDATES']} updates, {sizes['text']} units on the text (AdamW, one "
        f"cycle, 32 x 64 characters) and {sizes['adding']} on the adding problem over "
        f"100 steps (Adam); each learning rate the best of {tried['lr'].nunique()} "
        f"with seed {SEED_FOR_RATES}"
    )
    columns = ["cell", "task", "lr", "seed", "state", "score", "parameters", "seconds"]
    results = {"runs": rows(table[columns]), "tried": rows(tried[columns])}
    yield "ablation", header(held_out(CHOSEN_ON), recipe) | results


def best_rates(tried: pd.DataFrame) -> list[dict[str, Any]]:
    """Return, for each cell and task, the setting with the lowest score."""
    best = tried.loc[tried.groupby(["task", "cell"], sort=False)["score"].idxmin()]
    return best[["cell", "task", "lr"]].to_dict(orient="records")
