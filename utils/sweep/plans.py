"""What a study has to do, all settings of a grid or a search, and the checks of what it was asked for."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .database import load_optuna

Setting = dict[str, int | float | str | bool]
Space = dict[str, list | tuple]

# The columns of a table that are neither hyperparameters nor metrics.
COLUMNS = ("state", "steps", "seconds", "worker", "error")


@dataclass(frozen=True)
class Grid:
    """All of ``settings``, each under its key."""

    settings: dict[str, Setting]
    space: ClassVar[Space] = {}  # nothing is chosen
    budget: ClassVar[None] = None

    @property
    def total(self) -> int:
        """How many settings there are."""
        return len(self.settings)

    def keys(self, live: dict[str, Any]) -> list[str]:
        """Return the keys of all that is to be done; ``live`` are the trials that count so far."""
        return list(self.settings)

    def begin(self, study: Any, trial_id: int, key: str) -> tuple[Any, Setting]:
        """Return Optuna's trial, and the setting."""
        return load_optuna().trial.Trial(study, trial_id), dict(self.settings[key])


@dataclass(frozen=True)
class Search:
    """Settings chosen from ``space``, with the keys "0", "1" and so on."""

    space: Space
    trials: int
    budget: int | None
    sampler: str
    seed: int
    prune: bool

    @property
    def total(self) -> int | None:
        """How many settings there are, if that is known."""
        return None if self.budget else self.trials

    def keys(self, live: dict[str, Any]) -> list[str]:
        """Return the keys of all that is to be done; ``live`` are the trials that count so far."""
        keys = [str(number) for number in range(self.trials)]
        if self.budget is None:
            return keys
        begun = [key for key in keys if key in live]
        if sum(map(steps, live.values())) >= self.budget:
            return begun
        return begun + [key for key in keys if key not in live][:1]

    def begin(self, study: Any, trial_id: int, key: str) -> tuple[Any, Setting]:
        """Return Optuna's trial, and the setting that the sampler chooses.

        The seed depends on the key, so that workers choose differently, and a study that was stopped goes
        on as if it had not been.
        """
        optuna = load_optuna()
        seed = int(np.random.SeedSequence([self.seed, int(key)]).generate_state(1)[0])
        study = copy.copy(study)  # the original shows a sampler the trials of long ago
        if self.sampler == "random":
            study.sampler = optuna.samplers.RandomSampler(seed)
        else:
            study.sampler = optuna.samplers.TPESampler(seed=seed)
        if self.prune:
            study.pruner = optuna.pruners.MedianPruner(n_startup_trials=5)
        trial = optuna.trial.Trial(study, trial_id)
        return trial, {name: _choose(trial, name, c) for name, c in self.space.items()}


def _choose(trial: Any, name: str, choices: list | tuple) -> int | float | str | bool:
    if isinstance(choices, list):
        return trial.suggest_categorical(name, choices)
    low, high, *log = choices
    whole = isinstance(low, int) and isinstance(high, int)
    return (trial.suggest_int if whole else trial.suggest_float)(
        name, low, high, log=bool(log)
    )


def steps(trial: Any) -> int:
    """Return the last step that a trial has reported so far, 0 if there is none."""
    so_far = max(trial.intermediate_values, default=0)
    return trial.user_attrs.get("result", {}).get("steps", so_far)


def key_of(setting: Setting) -> str:
    """Return the text by which a setting of a grid is known: the same for the same values."""
    return json.dumps(setting, sort_keys=True)


def checked_values(name: str, values: Sequence) -> list:
    """Return the values of a hyperparameter as a list of plain numbers and texts.

    Raises:
        ValueError: they are no sequence, none, none of that kind, or two are equal.
    """
    listed = isinstance(values, (Sequence, np.ndarray)) and not isinstance(values, str)
    if not listed or len(values) == 0:
        raise ValueError(
            f"{name} is {values!r}; expected a list of values, such as [0.1, 0.01]."
        )
    plain = [checked_value(name, value) for value in values]
    if len(set(plain)) < len(plain):
        raise ValueError(f"{name} is {values!r}; expected different values.")
    return plain


def checked_value(name: str, value: Any) -> int | float | str | bool:
    """Return the value of a hyperparameter as a plain number or text.

    Raises:
        ValueError: it is neither, or not finite, or a column of the table has the name.
    """
    if not isinstance(name, str) or name in COLUMNS:
        raise ValueError(
            f"a hyperparameter is called {name!r}; expected a text other than {', '.join(COLUMNS)}."
        )
    value = value.item() if isinstance(value, np.generic) else value
    if (
        not isinstance(value, (int, float, str))
        or value in (math.inf, -math.inf)
        or value != value
    ):
        raise ValueError(
            f"{name} is {value!r}; expected a finite number, a text, True or False. "
            "Give anything else a name, and look it up in the objective."
        )
    return value


def checked_settings(settings: Sequence[Setting]) -> dict[str, Setting]:
    """Return the settings by their keys.

    Raises:
        ValueError: they are no list of different dictionaries with the same names and usual values.
    """
    listed = isinstance(settings, Sequence) and len(settings) > 0
    if not listed or not all(isinstance(s, dict) and s for s in settings):
        raise ValueError(
            f"settings is {settings!r}; expected a list of dictionaries, such as grid(lr=[0.1, 0.01])."
        )
    by_key: dict[str, Setting] = {}
    for setting in settings:
        if setting.keys() != settings[0].keys():
            raise ValueError(
                f"one setting has {', '.join(map(str, setting))}, the first one "
                f"{', '.join(map(str, settings[0]))}; expected the same names in all."
            )
        plain = {name: checked_value(name, setting[name]) for name in settings[0]}
        if key_of(plain) in by_key:
            raise ValueError(f"settings has {plain} twice; expected different ones.")
        by_key[key_of(plain)] = plain
    return by_key


def checked_space(space: Space) -> Space:
    """Return the space with plain numbers and texts.

    Raises:
        ValueError: it is no dictionary, it is empty, or an entry is neither a list of values nor a range.
    """
    if not isinstance(space, dict) or not space:
        raise ValueError(
            f"space is {space!r}; expected a dictionary such as {{'lr': (0.001, 0.1, 'log')}}."
        )
    return {
        name: (_checked_range if isinstance(choices, tuple) else checked_values)(
            name, choices
        )
        for name, choices in space.items()
    }


def _checked_range(name: str, limits: tuple) -> tuple:
    plain = tuple(checked_value(name, limit) for limit in limits)
    ends, scale = plain[:2], plain[2:]
    growing = [type(end) in (int, float) for end in ends] == [True, True] and ends[
        0
    ] < ends[1]
    if not growing or scale not in ((), ("log",)) or (scale and ends[0] <= 0):
        raise ValueError(
            f"{name} is {limits!r}; expected a list of values, or a range (low, high) or "
            "(low, high, 'log') with low below high, and above 0 for 'log'."
        )
    return plain


def checked_metrics(metrics: Any, metric: str, setting: Setting) -> dict[str, Any]:
    """Return what an objective returned for ``setting`` as plain numbers and texts.

    Raises:
        ValueError: it is no dictionary with a number called ``metric``, or it has something that cannot
            stand in the table.
    """
    if not isinstance(metrics, dict) or metric not in metrics:
        raise ValueError(
            f"it returned {metrics!r}; expected a dictionary with {metric!r}, the score of this study"
        )
    plain = {
        name: value.item() if hasattr(value, "item") else value
        for name, value in metrics.items()
    }
    for name, value in plain.items():
        kinds = (int, float) if name == metric else (int, float, str)
        taken = name in setting or name in COLUMNS
        if not isinstance(name, str) or taken or not isinstance(value, kinds):
            raise ValueError(
                f"it returned {name!r}: {value!r}; expected numbers and texts, {metric!r} a number, under "
                "names that are no hyperparameter and no column of the table"
            )
    return plain
