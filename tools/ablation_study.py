"""The GRU without parts of its gates: the measurements of the assignment on gate ablation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pandas as pd

from tools.results import CHOSEN_ON, WORKERS, header, held_out, open_study, rows

ASSIGNMENT = "gate_ablation"
SEEDS = (0, 1, 2, 3, 4)
SEED_FOR_RATES = 100  # the rates are chosen by a run that is not reported


def measure() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of the study and all that its JSON file holds."""
    rates, page = open_study(ASSIGNMENT, "rates", "score")
    runs, _ = open_study(ASSIGNMENT, "runs", "score")

    def train_cell(setting: dict[str, Any], report: Any) -> dict[str, Any]:
        return page["measure"](**setting)

    settings = [
        {"cell": cell, "task": task, "lr": lr, "seed": SEED_FOR_RATES}
        for task, cell in itertools.product(page["RATES"], page["CELLS"])
        for lr in page["RATES"][task]
    ]
    tried = rates.run(train_cell, settings, workers=WORKERS)
    chosen = [
        setting | {"seed": seed} for setting in best_rates(tried) for seed in SEEDS
    ]
    table = runs.run(train_cell, chosen, workers=WORKERS)
    recipe = (
        f"{page['UPDATES']} updates, {page['SIZES']['text']} units on the text (AdamW, one cycle, 32 x 64 "
        f"characters) and {page['SIZES']['adding']} on the adding problem over 100 steps (Adam); each "
        f"learning rate the best of four with seed {SEED_FOR_RATES}"
    )
    columns = ["cell", "task", "lr", "seed", "state", "score", "parameters", "seconds"]
    yield (
        "ablation",
        header(held_out(CHOSEN_ON), recipe)
        | {"runs": rows(table[columns]), "tried": rows(tried[columns])},
    )


def best_rates(tried: pd.DataFrame) -> list[dict[str, Any]]:
    """Return, for each cell and task, the setting with the lowest score."""
    best = tried.loc[tried.groupby(["task", "cell"], sort=False)["score"].idxmin()]
    return best[["cell", "task", "lr"]].to_dict(orient="records")
