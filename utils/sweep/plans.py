"""What a study has to do, a grid or a search, and its values in plain form."""

import copy
import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from utils.sweep.database import load

Setting = dict[str, int | float | str | bool]
Space = dict[str, list | tuple]

# The columns of a table that are neither hyperparameters nor metrics.
COLUMNS = ("state", "steps", "seconds", "worker", "error")


def grid(**choices: Sequence) -> list[Setting]:
    """Return all combinations of ``choices``, the last one varying fastest.

    Raises:
        ValueError: there are none, or one is no list of different numbers or texts.
    """
    if not choices:
        raise ValueError(
            "grid() got no choices; expected some, such as grid(lr=[0.1, 0.01])."
        )
    lists = [_plain_values(name, values) for name, values in choices.items()]
    combinations = itertools.product(*lists)
    return [dict(zip(choices, values, strict=True)) for values in combinations]


@dataclass(frozen=True)
class Grid:
    """All of ``settings``, each under its key."""

    settings: dict[str, Setting]
    space: ClassVar[Space] = {}  # nothing is chosen
    budget: ClassVar[None] = None

    def keys(self, live: dict[str, Any]) -> list[str]:
        """Return the keys of all that is to be done; ``live``: trials that count."""
        return list(self.settings)

    def begin(self, study: Any, trial_id: int, key: str) -> tuple[Any, Setting]:
        """Return Optuna's trial, and the setting."""
        return load("optuna").trial.Trial(study, trial_id), dict(self.settings[key])


@dataclass(frozen=True)
class Search:
    """Settings chosen from ``space``, with the keys "0", "1" and so on."""

    space: Space
    trials: int
    budget: int | None
    sampler: str
    seed: int
    prune: bool

    def keys(self, live: dict[str, Any]) -> list[str]:
        """Return the keys of all that is to be done; ``live``: trials that count."""
        keys = [str(number) for number in range(self.trials)]
        if self.budget is None:
            return keys
        begun = [key for key in keys if key in live]
        if sum(map(steps, live.values())) >= self.budget:
            return begun
        return begun + [key for key in keys if key not in live][:1]

    def begin(self, study: Any, trial_id: int, key: str) -> tuple[Any, Setting]:
        """Return Optuna's trial, and the setting that the sampler chooses.

        The seed depends on the key, so that workers choose differently, and a study
        that was stopped goes on as if it had not been.
        """
        optuna = load("optuna")
        seed = int(np.random.SeedSequence([self.seed, int(key)]).generate_state(1)[0])
        study = copy.copy(study)  # the original shows a sampler the trials of long ago
        names = {"random": "RandomSampler", "tpe": "TPESampler"}
        study.sampler = getattr(optuna.samplers, names[self.sampler])(seed=seed)
        if self.prune:
            study.pruner = optuna.pruners.MedianPruner(n_startup_trials=5)
        trial = optuna.trial.Trial(study, trial_id)
        return trial, {name: _choose(trial, name, c) for name, c in self.space.items()}


def _choose(trial: Any, name: str, choices: list | tuple) -> int | float | str | bool:
    if isinstance(choices, list):
        return trial.suggest_categorical(name, choices)
    low, high, *log = choices
    whole = isinstance(low, int) and isinstance(high, int)
    suggest = trial.suggest_int if whole else trial.suggest_float
    return suggest(name, low, high, log=bool(log))


def steps(trial: Any) -> int:
    """Return the last step that a trial has reported so far, 0 if there is none."""
    so_far = max(trial.intermediate_values, default=0)
    return trial.user_attrs.get("result", {}).get("steps", so_far)


def key_of(setting: Setting) -> str:
    """Return the text by which a setting of a grid is known: one for equal settings."""
    return json.dumps(setting, sort_keys=True)


def plain_settings(settings: Sequence[Setting]) -> dict[str, Setting]:
    """Return settings by their keys, or raise a ValueError that says what is wrong."""
    listed = isinstance(settings, Sequence) and len(settings) > 0
    if not listed or not all(isinstance(s, dict) and s for s in settings):
        expected = "a list of dictionaries, such as grid(lr=[0.1, 0.01])"
        raise _refused("settings", settings, expected)
    by_key: dict[str, Setting] = {}
    for setting in settings:
        if setting.keys() != settings[0].keys():
            raise _refused("a setting", setting, f"the names of {settings[0]}")
        plain = {name: _plain_value(name, setting[name]) for name in settings[0]}
        if key_of(plain) in by_key:
            raise ValueError(f"settings has {plain} twice; expected different ones.")
        by_key[key_of(plain)] = plain
    return by_key


def plain_space(space: Space) -> Space:
    """Return a space as plain values, or raise a ValueError that says what is wrong."""
    if not isinstance(space, dict) or not space:
        example = "{'lr': (0.001, 0.1, 'log')}"
        raise _refused("space", space, f"a dictionary such as {example}")
    return {
        name: (_plain_range if isinstance(entry, tuple) else _plain_values)(name, entry)
        for name, entry in space.items()
    }


def plain_metrics(metrics: Any, metric: str, setting: Setting) -> dict[str, Any]:
    """Return what an objective returned as a part of a row, or raise a ValueError."""
    if not isinstance(metrics, dict) or metric not in metrics:
        raise ValueError(
            f"it returned {metrics!r}; expected a dictionary with the score {metric!r}"
        )
    plain = {name: _plain(value) for name, value in metrics.items()}
    for name, value in plain.items():
        kinds = (int, float) if name == metric else (int, float, str)
        taken = name in setting or name in COLUMNS
        if not isinstance(name, str) or taken or not isinstance(value, kinds):
            raise ValueError(
                f"it returned {name!r}: {value!r}; expected numbers and texts, "
                f"{metric!r} a number, under names that are no hyperparameter and no "
                "column of the table"
            )
    return plain


def _refused(name: str, value: Any, expected: str) -> ValueError:
    return ValueError(f"{name} is {value!r}; expected {expected}.")


def _plain(value: Any) -> Any:
    """Return a single number of NumPy or PyTorch as one of Python."""
    return value.item() if math.prod(getattr(value, "shape", [0])) == 1 else value


def _plain_value(name: str, value: Any) -> int | float | str | bool:
    if not isinstance(name, str) or name in COLUMNS:
        others = ", ".join(COLUMNS)
        raise _refused("a hyperparameter's name", name, f"a text other than {others}")
    value = _plain(value)
    finite = not isinstance(value, float) or math.isfinite(value)
    if isinstance(value, (int, float, str)) and finite:
        return value
    ways = "a finite number, a text, True or False. Give anything else a name"
    raise _refused(name, value, f"{ways}, and look it up in the objective")


def _plain_values(name: str, values: Sequence) -> list:
    listed = isinstance(values, (Sequence, np.ndarray)) and not isinstance(values, str)
    if not listed or len(values) == 0:
        raise _refused(name, values, "a list of values, such as [0.1, 0.01]")
    plain = [_plain_value(name, value) for value in values]
    if len(set(plain)) < len(plain):
        raise _refused(name, values, "different values")
    return plain


def _plain_range(name: str, limits: tuple) -> tuple:
    plain = tuple(_plain_value(name, limit) for limit in limits)
    *ends, scale = plain if len(plain) == 3 else (*plain, None)
    numbers = len(ends) == 2 and {type(end) for end in ends} <= {int, float}
    bound = 0 if scale == "log" else -math.inf
    if scale in (None, "log") and numbers and bound < ends[0] < ends[1]:
        return plain
    ranges = "(low, high) or (low, high, 'log') with low below high, above 0 for 'log'"
    raise _refused(name, limits, f"a list of values, or a range {ranges}")
