"""Hyperparameter studies on Optuna: every setting of a grid, or a search (Akiba et al., 2019).

A study lives in a database: an SQLite file, or a server that any number of machines can reach. It may
be stopped, killed and joined at any moment: no setting is lost, and none gets two results. Only this
module needs Optuna; no chapter does.
"""

from __future__ import annotations

import itertools
import math
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from utils.arguments import require_counts
from utils.history import DivergenceError, History
from utils.progress import progress_bar

from . import plans
from .database import Trials, load_optuna
from .interrupts import Interrupts, broken_off_training_raises
from .plans import Setting, Space
from .processes import Crew

__all__ = ["Study", "grid"]

Report = Callable[[int, float], None]
Objective = Callable[[Setting, Report], dict[str, int | float | str]]
Plan = plans.Grid | plans.Search

# Seconds between two looks at what the others are doing.
POLL = 0.5


def grid(**choices: Sequence) -> list[Setting]:
    """Return all combinations of ``choices``, the last one varying fastest.

    Raises:
        ValueError: there are no choices, or one is no list of different numbers or texts.
    """
    if not choices:
        raise ValueError(
            "grid() got no choices; expected some, such as grid(lr=[0.1, 0.01])."
        )
    lists = [plans.checked_values(name, values) for name, values in choices.items()]
    combinations = itertools.product(*lists)
    return [dict(zip(choices, values, strict=True)) for values in combinations]


class Study:
    """A study in a database. Whoever opens it by its name, now or later, works on the same one.

    Args:
        name: one database may hold many studies.
        storage: the path of an SQLite file on a disk of this machine (on a network drive, such as a
            mounted Google Drive, it takes damage); or, for several machines, the URL of a server,
            ``postgresql://user:password@host/name``.
        metric: the score to be minimized, one of those that the objective returns.
        grace: seconds without a sign of life after which a worker counts as dead.

    Raises:
        ModuleNotFoundError: Optuna or the driver of the database is not installed.
        ValueError: the database cannot be opened, or the study was begun with another metric or grace.
    """

    def __init__(
        self,
        name: str,
        storage: str | Path = "studies.db",
        metric: str = "perplexity",
        *,
        grace: int = 60,
    ) -> None:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"name is {name!r}; expected a text such as 'gru'.")
        require_counts(minimum=2, grace=grace)
        storage = str(storage).removeprefix("sqlite:///")
        if "://" not in storage:
            storage = str(Path(storage).expanduser().absolute())
        self.name, self.storage, self.metric, self.grace = name, storage, metric, grace
        self._ctrl_c = Interrupts()
        self._trials = Trials(name, storage, grace)
        self._trials.agree(metric=metric, grace=grace)

    def __getstate__(self) -> dict[str, Any]:
        names = ("name", "storage", "metric", "grace")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # another process has its own connections

    def run(
        self, objective: Objective, settings: Sequence[Setting], *, workers: int = 1
    ) -> pd.DataFrame:
        """Train each of ``settings`` that has no result yet; return their rows of :meth:`frame`.

        Args:
            objective: ``objective(setting, report)`` seeds and trains one setting and returns its metrics.
                ``report(step, value)`` notes the score so far. If a score is NaN or infinite, or the
                objective raises :class:`~utils.training.DivergenceError`, the setting has *diverged*: that
                is a result too.
            settings: from :func:`grid`, or any list of dictionaries with the same names.
            workers: processes on this machine. What the objective prints in several is not shown. Other
                machines take part by the same call.

        Ctrl-C stops, and so does any other exception of the objective. All results are kept, and the same
        call goes on with the rest.

        Raises:
            ValueError: an argument is no such thing, or the study was begun with other names.
            RuntimeError: the objective failed, or all workers died.
        """
        require_counts(workers=workers)
        plan = plans.Grid(plans.checked_settings(settings))
        self._trials.agree(kind="grid", names=sorted(settings[0]))
        known = self._trials.facts.get("settings", {})
        if not plan.settings.keys() <= known.keys():
            self._trials.study.set_user_attr("settings", known | plan.settings)
        self._carry_out(objective, plan, workers)
        return self._table(plan.settings)

    def search(
        self,
        objective: Objective,
        space: Space,
        *,
        trials: int,
        budget: int | None = None,
        sampler: str = "tpe",
        seed: int = 0,
        prune: bool = False,
        workers: int = 1,
    ) -> pd.DataFrame:
        """Train ``trials`` settings chosen from ``space``; return :meth:`frame`. The rest as in :meth:`run`.

        Args:
            space: for each name a list of values or a range, ``(low, high)`` or ``(low, high, "log")``; of
                whole numbers if both ends are.
            budget: a bound on the steps of all settings together, each counted up to its last report. When
                it is reached no other setting is begun. So searches compare at equal work.
            sampler: "tpe" learns from the results (Bergstra et al., 2011), "random" does not.
            seed: of the choices.
            prune: stop a setting whose reported score is worse than the median of the finished ones at the
                same step, from the sixth setting on. (Hyperband, the other usual way, needs many more.)

        Raises:
            ValueError: an argument is no such thing, or the study was begun with another space, sampler,
                seed or ``prune``.
            RuntimeError: the objective failed, or reported no step to count; or all workers died.
        """
        require_counts(trials=trials, workers=workers)
        require_counts(minimum=0, seed=seed)
        if budget is not None:
            require_counts(budget=budget)
        if sampler not in ("tpe", "random"):
            raise ValueError(f"sampler is {sampler!r}; expected 'tpe' or 'random'.")
        space = plans.checked_space(space)
        self._trials.agree(
            kind="search",
            space={name: repr(choices) for name, choices in space.items()},
            sampler=sampler,
            seed=seed,
            prune=prune,
        )
        plan = plans.Search(space, trials, budget, sampler, seed, prune)
        self._carry_out(objective, plan, workers)
        return self.frame()

    def frame(self) -> pd.DataFrame:
        """Return a row for each setting, in the order in which they were given or chosen.

        Columns: the hyperparameters; ``state``: finished, diverged, pruned, failed, running or waiting;
        the metrics; ``steps``: the last one reported; ``seconds`` in the objective; ``worker``: machine and
        process; ``error``: what went wrong.
        """
        if self._trials.facts.get("kind") == "search":
            chosen = {
                t.user_attrs["key"]: t.params for t in self._trials.all() if t.params
            }
            return self._table(dict(sorted(chosen.items(), key=lambda c: int(c[0]))))
        return self._table(self._trials.facts.get("settings", {}))

    def _table(self, settings: dict[str, Setting]) -> pd.DataFrame:
        trials = self._trials.all()
        last = {t.user_attrs["key"]: t for t in trials if t.user_attrs.get("result")}
        rows_of = {**last, **self._trials.live()}
        rows = [s | _outcome(rows_of.get(key)) for key, s in settings.items()]
        names = dict.fromkeys(itertools.chain(*settings.values()))
        others = dict.fromkeys(itertools.chain(*rows))
        metrics = [n for n in others if n not in names and n not in plans.COLUMNS]
        state, *rest = plans.COLUMNS
        return pd.DataFrame(rows, columns=[*names, state, *metrics, *rest])

    def _carry_out(self, objective: Objective, plan: Plan, workers: int) -> None:
        bar = progress_bar(desc=self.name, total=plan.total, unit="setting")
        try:
            with bar, _other_bars_hidden(), self._ctrl_c:
                if workers == 1:
                    self._work(objective, plan, bar)
                else:
                    self._employ(objective, plan, bar, workers)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"study {self.name!r} was stopped; its results are kept, and the same call goes on."
            ) from None
        finally:
            self._trials.storage.engine.dispose()  # an SQLite file is one file again

    def _look(self, plan: Plan, bar: tqdm) -> tuple[list[str], int, dict[str, Any]]:
        """Return which settings are free, how many are being worked on, and the trials that count."""
        self._trials.fail_stale()
        live = self._trials.live()
        keys = plan.keys(live)
        states = [live[key].state.name if key in live else "WAITING" for key in keys]
        free = [k for k, s in zip(keys, states, strict=True) if s == "WAITING"]
        running = states.count("RUNNING")
        bar.update(len(keys) - len(free) - running - bar.n)
        return free, running, live

    def _work(self, objective: Objective, plan: Plan, bar: tqdm) -> None:
        """Train what is free until all have results."""
        while True:
            free, running, live = self._look(plan, bar)
            bar.set_postfix_str("" if free else "waiting for others", refresh=False)
            if free:
                # Those who look at the same time should not all reach for the first.
                key = free[secrets.randbelow(min(len(free), running + 1))]
                if key not in live:
                    self._trials.add(key, plan.space)  # as others may: look again
                elif self._trials.claim(live[key]._trial_id):
                    self._attempt(objective, plan, key, live[key]._trial_id)
            elif running:
                self._wait()  # a worker may die
            else:
                return

    def _attempt(
        self, objective: Objective, plan: Plan, key: str, trial_id: int
    ) -> None:
        """Train one setting and record what came of it."""
        optuna, start, steps = load_optuna(), time.perf_counter(), []
        state, score, failure = "COMPLETE", math.inf, None
        result: dict[str, Any] = {"worker": f"{socket.gethostname()}:{os.getpid()}"}

        def report(step: int, value: float) -> None:
            steps.append(int(step))
            if not math.isfinite(value):
                raise DivergenceError(f"the score at step {step} is {value}", History())
            with self._ctrl_c.hold_back():
                trial.report(value, step)
                stop = trial.should_prune()
            if stop:
                raise optuna.TrialPruned

        with self._trials.signs_of_life(trial_id):
            trial, setting = plan.begin(self._trials.study, trial_id, key)
            try:
                with self._ctrl_c.let_through(), broken_off_training_raises():
                    metrics = objective(dict(setting), report)
                metrics = plans.checked_metrics(metrics, self.metric, setting)
                if plan.budget and not steps:
                    raise ValueError("it reported no step to count for the budget")
                result["metrics"] = metrics
                if math.isfinite(metrics[self.metric]):
                    score = metrics[self.metric]
                else:
                    result["error"] = f"{self.metric} is {metrics[self.metric]}"
            except DivergenceError as error:
                result["error"] = str(error)
            except optuna.TrialPruned:
                state, score = "PRUNED", None
            except optuna.exceptions.UpdateFinishedTrialError:
                return  # report() found out that this worker was taken for dead
            except Exception as error:
                state, score, failure = "FAIL", None, error
                result["error"] = f"{type(error).__name__}: {error}"
            except BaseException:
                self._trials.record(trial_id, "FAIL", None, {})
                raise
            result["steps"] = max(steps, default=0)
            result["seconds"] = time.perf_counter() - start
            self._trials.record(trial_id, state, score, result)
        if failure:
            raise RuntimeError(
                f"the objective failed at {setting}: {result['error']}. All results are kept; mend it "
                "and make the same call again."
            ) from failure

    def _employ(
        self, objective: Objective, plan: Plan, bar: tqdm, workers: int
    ) -> None:
        """Let worker processes do the work, and watch."""
        with Crew(partial(self._join, objective, plan), workers) as crew:
            while True:
                # Asked before the look: who has ended by then has left nothing to do.
                alive = crew.alive()
                bar.set_postfix_str(f"{alive} of {workers} workers", refresh=False)
                free, running, _ = self._look(plan, bar)
                if not free and not running:
                    break
                if not alive:
                    raise RuntimeError(
                        f"all {workers} workers were killed, perhaps for lack of memory. All results are "
                        "kept; make the same call again, perhaps with fewer workers."
                    )
                self._wait()

    def _join(self, objective: Objective, plan: Plan) -> None:
        """Work in a process of its own, where the bar is hidden."""
        with progress_bar() as bar, self._ctrl_c:
            self._work(objective, plan, bar)

    def _wait(self) -> None:
        with self._ctrl_c.let_through():
            time.sleep(POLL)


def _outcome(trial: Any) -> dict[str, Any]:
    """Return a row of the table without its hyperparameters."""
    if trial is None:
        return {"state": "waiting", "steps": 0}
    result = trial.user_attrs.get("result", {})
    state = {"COMPLETE": "finished", "FAIL": "failed"}.get(
        trial.state.name, trial.state.name.lower()
    )
    if state == "finished" and "error" in result:
        state = "diverged"
    kept = {name: result[name] for name in plans.COLUMNS if name in result}
    return {
        "steps": plans.steps(trial),
        **result.get("metrics", {}),
        **kept,
        "state": state,
    }


@contextmanager
def _other_bars_hidden() -> Iterator[None]:
    """Hide the bars of the trainings, here and in new processes: one bar is enough."""
    before = os.environ.get("TQDM_DISABLE")
    os.environ["TQDM_DISABLE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TQDM_DISABLE"]
        else:
            os.environ["TQDM_DISABLE"] = before
