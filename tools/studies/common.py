"""What the studies share: their scale, their texts, and how results are written."""

import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from tools import assignments
from tools.notebook import ROOT, load
from utils.device import get_device
from utils.files import write_atomically
from utils.models import LanguageModel
from utils.recipes import train_on_text
from utils.sweep import Study
from utils.text import Vocab, prepare

# Each worker on a GPU holds a part of its memory for itself.
WORKERS = 2 if get_device().type == "cuda" else os.cpu_count() or 1
SEEDS = (0, 1, 2)
# The texts: the first one decides between settings.
CHOSEN_ON, OTHER_TEXT = "the_tide_clock", "time_machine"

Row = dict[str, Any]
Results = Iterator[tuple[str, dict[str, Any]]]  # the name of a file, and what it holds


@dataclass(frozen=True)
class Scale:
    """How much of a study is carried out, and where its results and database are.

    Attributes:
        share: of the updates of each training; below 1, only the first two of each list
            of choices are tried.
        grace: seconds after which a killed worker counts as dead.
    """

    results: Path
    database: Path
    share: float = 1.0
    grace: int = 60

    def updates(self, number: int, least: int = 2) -> int:
        """Return how many updates to train instead of ``number``."""
        return max(least, round(self.share * number))

    def some(self, choices: Sequence) -> Sequence:
        """Return the choices to try."""
        return choices if self.share == 1 else choices[:2]

    def study(self, name: str, metric: str, page: str = "") -> Study:
        """Return a study that goes on where it was; with other code it is new.

        That is the code of the studies, of ``utils`` and of the ``page`` of an
        assignment, and the version of PyTorch: all that the results depend on.
        """
        parts = [page, torch.__version__, str(self.share)]
        for folder in ("tools/studies", "utils"):
            parts += [
                p.read_text("utf-8") for p in sorted((ROOT / folder).rglob("*.py"))
            ]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
        self.database.parent.mkdir(parents=True, exist_ok=True)
        database = str(self.database)
        return Study(f"{name} ({digest})", database, metric, grace=self.grace)


FULL = Scale(ROOT / "book" / "results", ROOT / "_build" / "studies.db")


def reduced(folder: Path) -> Scale:
    """Return a scale at which every study takes a minute or two, all in ``folder``."""
    return Scale(folder, folder / "studies.db", share=0.01, grace=5)


def study_code(path: Path) -> str:
    """Return the cells of a notebook tagged ``study``, which its study runs too."""
    cells = [c for c in load(path).cells if "study" in c.metadata.get("tags", [])]
    return "\n\n".join(cell.source for cell in cells)


def page(assignment: str, updates: str, scale: Scale) -> tuple[str, dict[str, Any]]:
    """Return the code that an assignment shares with its study, and what it defines.

    ``updates`` is the name of its number of updates or epochs, which is scaled.
    """
    path = assignments.sources()[assignment]
    code, defined = study_code(path), {"__name__": path.stem}
    exec(compile(code, str(path), "exec"), defined)
    defined[updates] = scale.updates(defined[updates], least=1)
    return code, defined


@cache
def corpus(name: str) -> tuple[Vocab, torch.Tensor, torch.Tensor]:
    """Return what :func:`utils.text.prepare` makes of a text, on the device."""
    return prepare(name, get_device())


def held_out(name: str) -> str:
    """Return what :func:`corpus` makes of the text ``name``, in words."""
    return f"{name}, letters and spaces, last 10% held out"


def machine() -> str:
    """Return what the figures were measured on."""
    if get_device().type == "cuda":
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model n")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def header(text: str, recipe: str, command: str = "make results") -> dict[str, str]:
    """Return what was measured on, how and where: the head of a file of results."""
    return {
        "text": text,
        "command": command,
        "machine": machine(),
        "torch": torch.__version__,
        "recipe": recipe,
    }


def parameter_count(model: nn.Module) -> int:
    """Return how many parameters a model has."""
    return sum(parameter.numel() for parameter in model.parameters())


def score_on_text(rnn: nn.Module, text: str, updates: int, **settings: Any) -> Row:
    """Train a language model on a text with the recipe of chapter 2; return its row."""
    vocab, *ids = corpus(text)
    model = LanguageModel(rnn, len(vocab)).to(ids[0].device)
    settings |= {"updates": updates, "validate_every": updates}
    history = train_on_text(model, *ids, **settings)
    perplexity = round(history.valid_scores[-1], 3)
    return {"parameters": parameter_count(model), "perplexity": perplexity}


def rows(frame: pd.DataFrame) -> list[Row]:
    """Return the rows of a table as JSON has them: what is not finite becomes null."""
    return json.loads(frame.to_json(orient="records", double_precision=6))


def write(measure: Callable[[Scale], Results], scale: Scale) -> Iterable[Path]:
    """Carry out a study; write a file for each name that it yields, and yield paths."""
    for name, results in measure(scale):
        text = json.dumps(results, indent=2, ensure_ascii=False) + "\n"
        write_atomically(scale.results / f"{name}.json", text.encode())
        yield scale.results / f"{name}.json"
