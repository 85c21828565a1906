"""A study: settings are trained by all who take part, and their results are a table."""

import itertools
import math
import os
import secrets
import socket
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
from tqdm.auto import tqdm

from utils.arguments import require_counts
from utils.history import DivergenceError, History, TrainingInterrupted
from utils.progress import progress_bar
from utils.sweep import plans
from utils.sweep.database import Trials, load
from utils.sweep.interrupts import Interrupts
from utils.sweep.plans import Setting
from utils.sweep.processes import Crew
from utils.sweep.sqlite import StorageError

Report = Callable[[int, float], None]
Objective = Callable[[Setting, Report], dict[str, int | float | str]]
Plan = plans.Grid | plans.Search

# Seconds between two looks at what the others are doing.
POLL = 0.5


class Study:
    """A study in a database. Whoever opens it by its name works on the same one.

    It may be stopped, killed and joined at any moment: no setting is lost, and none
    gets two results.

    Args:
        name: one database may hold many studies.
        storage: the path of an SQLite file on a disk of this machine (on a network
            drive, such as a mounted Google Drive, it takes damage); or, for several
            machines, the URL of a server, ``postgresql://user:password@host/name``.
        metric: the score to be minimized, one of those that the objective returns.
        grace: seconds without a sign of life after which a worker counts as dead.

    Raises:
        ModuleNotFoundError: Optuna or the driver of the database is not installed.
        ValueError: the database cannot be opened, is damaged, of another version or
            something else; or the study was begun with another metric or grace.
        RuntimeError: later on, from any method: the database failed, or it is gone.
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
        with self._trials.guarded():
            self._trials.agree(metric=metric, grace=grace)

    def __getstate__(self) -> dict[str, Any]:
        names = ("name", "storage", "metric", "grace")
        arguments = {name: getattr(self, name) for name in names}
        return {"file": self._trials.file, "arguments": arguments}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state["file"]:
            state["file"].require_unchanged()  # or a new one would be made
        self.__init__(**state["arguments"])  # another process has its own connections

    def run(
        self, objective: Objective, settings: Sequence[Setting], *, workers: int = 1
    ) -> pd.DataFrame:
        """Train each of ``settings`` without a result; return their rows of the table.

        Args:
            objective: ``objective(setting, report)`` seeds and trains one setting and
                returns its metrics. ``report(step, value)`` notes the score so far. If
                a score is NaN or infinite, or the objective raises
                :class:`~utils.history.DivergenceError`, the setting has *diverged*:
                that is a result too.
            settings: from :func:`grid`, or any dictionaries with the same names.
            workers: processes on this machine. What the objective prints in several is
                not shown. Other machines take part by the same call.

        Ctrl-C stops, and so does any other exception of the objective. All results are
        kept, and the same call goes on with the rest.

        Raises:
            ValueError: an argument is no such thing, or the study has other names.
            RuntimeError: the objective failed, or all workers died.
        """
        require_counts(workers=workers)
        plan = plans.Grid(plans.plain_settings(settings))
        with self._trials.guarded():
            self._trials.agree(kind="grid", names=sorted(settings[0]))
            known = self._trials.study.user_attrs.get("settings", {})
            if not plan.settings.keys() <= known.keys():
                self._trials.study.set_user_attr("settings", known | plan.settings)
            self._carry_out(objective, plan, workers)
            return self._table(plan.settings)

    def search(
        self,
        objective: Objective,
        space: plans.Space,
        *,
        trials: int,
        budget: int | None = None,
        sampler: str = "tpe",
        seed: int = 0,
        prune: bool = False,
        workers: int = 1,
    ) -> pd.DataFrame:
        """Train ``trials`` settings chosen from ``space``; return :meth:`frame`.

        Args:
            objective: as in :meth:`run`; so are ``workers``, and Ctrl-C.
            space: for each name a list of values or a range, ``(low, high)`` or
                ``(low, high, "log")``; of whole numbers if both ends are.
            budget: a bound on the steps of all settings, each counted up to its last
                report; when it is reached no other is begun. So searches compare at
                equal work.
            sampler: "tpe" (Bergstra et al., 2011) learns, "random" does not.
            seed: of the choices.
            prune: from the sixth setting on, stop one whose reported score is worse
                than the median of the finished ones at the same step.

        Raises:
            ValueError: an argument is no such thing, or the study was begun with
                another space, sampler, seed or ``prune``.
            RuntimeError: as in :meth:`run`, or no step was reported for the budget.
        """
        require_counts(trials=trials, workers=workers)
        require_counts(minimum=0, seed=seed)
        if budget is not None:
            require_counts(budget=budget)
        if sampler not in ("tpe", "random"):
            raise ValueError(f"sampler is {sampler!r}; expected 'tpe' or 'random'.")
        space = plans.plain_space(space)
        written = {name: repr(choices) for name, choices in space.items()}
        plan = plans.Search(space, trials, budget, sampler, seed, prune)
        with self._trials.guarded():
            self._trials.agree(
                kind="search", space=written, sampler=sampler, seed=seed, prune=prune
            )
            self._carry_out(objective, plan, workers)
        return self.frame()

    def frame(self) -> pd.DataFrame:
        """Return a row for each setting, in the order in which they came.

        Columns: the hyperparameters; ``state``: finished, diverged, pruned, failed,
        running or waiting; the metrics; ``steps``: the last one reported; ``seconds``
        in the objective; ``worker``: machine and process; ``error``: what went wrong.
        """
        with self._trials.guarded():
            facts = self._trials.study.user_attrs
            if facts.get("kind") != "search":
                return self._table(facts.get("settings", {}))
            begun = [trial for trial in self._trials.all() if trial.params]
            begun.sort(key=lambda trial: int(trial.user_attrs["key"]))
            return self._table({t.user_attrs["key"]: t.params for t in begun})

    def _table(self, settings: dict[str, Setting]) -> pd.DataFrame:
        trials = self._trials.all()
        last = {t.user_attrs["key"]: t for t in trials if t.user_attrs.get("result")}
        rows_of = {**last, **self._trials.live()}
        rows = [s | _outcome(rows_of.get(key)) for key, s in settings.items()]
        names = dict.fromkeys(itertools.chain(*settings.values()))
        others = dict.fromkeys(itertools.chain(*rows))
        metrics = [n for n in others if n not in names and n not in plans.COLUMNS]
        columns = [*names, "state", *metrics, *plans.COLUMNS[1:]]
        return pd.DataFrame(rows, columns=columns)

    def _carry_out(self, objective: Objective, plan: Plan, workers: int) -> None:
        total = None if plan.budget else len(plan.keys({}))
        bar = progress_bar(desc=self.name, total=total, unit="setting")
        # The bars of the trainings are hidden, in new processes too: one is enough.
        others_hidden = patch.dict(os.environ, TQDM_DISABLE="1")
        try:
            with bar, others_hidden, self._ctrl_c:
                if workers == 1:
                    self._work(objective, plan, bar)
                else:
                    self._hire(objective, plan, bar, workers)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"study {self.name!r} was stopped; its results are kept, and the same "
                "call goes on."
            ) from None
        finally:
            self._trials.storage.engine.dispose()  # an SQLite file is one file again

    def _look(self, plan: Plan, bar: tqdm) -> tuple[list[str], int, dict[str, Any]]:
        """Return what is free, how many are being worked on, and the live trials."""
        self._trials.require_file()
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
                    self._attempt(objective, plan, live[key])
            elif running:
                with self._ctrl_c.let_through():
                    time.sleep(POLL)  # a worker may die
            else:
                return

    def _attempt(self, objective: Objective, plan: Plan, claimed: Any) -> None:
        """Train one setting and record what came of it."""
        state, result, failure = "FAIL", {}, None  # what is left of one broken off
        # Who is taken for dead finds out when it reports.
        taken = suppress(load("optuna").exceptions.UpdateFinishedTrialError)
        trial_id, key = claimed._trial_id, claimed.user_attrs["key"]
        with self._trials.signs_of_life(trial_id), taken:
            trial, setting = plan.begin(self._trials.study, trial_id, key)
            try:
                state, result, failure = self._train(objective, plan, trial, setting)
            finally:
                score = result.get("metrics", {}).get(self.metric)
                if state == "COMPLETE" and "error" in result:
                    score = math.inf
                self._trials.end(trial_id, state, score, result)
        if failure:
            raise RuntimeError(
                f"the objective failed at {setting}: {result['error']}. All results "
                "are kept; mend it and make the same call again."
            ) from failure

    def _train(
        self, objective: Objective, plan: Plan, trial: Any, setting: Setting
    ) -> tuple[str, dict[str, Any], Exception | None]:
        """Return how a setting ended, its result, and the mistake of the objective."""
        optuna, start, steps = load("optuna"), time.perf_counter(), []
        state, failure = "COMPLETE", None
        result: dict[str, Any] = {"worker": f"{socket.gethostname()}:{os.getpid()}"}
        report = partial(self._report, trial, steps)
        broken_off = {"action": "error", "category": TrainingInterrupted}
        try:
            with self._ctrl_c.let_through(), warnings.catch_warnings(**broken_off):
                metrics = objective(dict(setting), report)
            metrics = plans.plain_metrics(metrics, self.metric, setting)
            if plan.budget and not steps:
                raise ValueError("it reported no step to count for the budget")
            if not math.isfinite(metrics[self.metric]):
                result["error"] = f"{self.metric} is {metrics[self.metric]}"
            result["metrics"] = metrics
        except TrainingInterrupted:
            raise KeyboardInterrupt from None  # half a training is no result
        except DivergenceError as error:
            result["error"] = str(error)
        except optuna.TrialPruned:
            state = "PRUNED"
        except (optuna.exceptions.UpdateFinishedTrialError, StorageError):
            raise
        except Exception as error:
            state, failure = "FAIL", error
            result["error"] = f"{type(error).__name__}: {error}"
        result["steps"] = max(steps, default=0)
        result["seconds"] = time.perf_counter() - start
        return state, result, failure

    def _report(self, trial: Any, steps: list[int], step: int, value: float) -> None:
        steps.append(int(step))
        if not math.isfinite(value):
            raise DivergenceError(f"the score at step {step} is {value}", History())
        with self._ctrl_c.hold_back(), self._trials.guarded():
            trial.report(value, step)
            stop = trial.should_prune()
        if stop:
            raise load("optuna").TrialPruned

    def _hire(self, objective: Objective, plan: Plan, bar: tqdm, workers: int) -> None:
        """Let worker processes do the work, and watch."""
        with Crew(partial(self._join, objective, plan), workers) as crew:
            while True:
                self._trials.require_file()  # this says it better than a worker's end
                # Asked before the look: who has ended by then has left nothing to do.
                alive = crew.alive()
                bar.set_postfix_str(f"{alive} of {workers} workers", refresh=False)
                free, running, _ = self._look(plan, bar)
                if not free and not running:
                    break
                if not alive:
                    raise RuntimeError(
                        f"all {workers} workers were killed, perhaps for lack of "
                        "memory. All results are kept; make the same call again, "
                        "perhaps with fewer workers."
                    )
                with self._ctrl_c.let_through():
                    time.sleep(POLL)

    def _join(self, objective: Objective, plan: Plan) -> None:
        """Work in a process of its own, where the bar is hidden."""
        with progress_bar() as bar, self._trials.guarded(), self._ctrl_c:
            self._work(objective, plan, bar)


def _outcome(trial: Any) -> dict[str, Any]:
    """Return a row of the table without its hyperparameters."""
    if trial is None:
        return {"state": "waiting", "steps": 0}
    result = trial.user_attrs.get("result", {})
    state = trial.state.name.lower()
    state = {"complete": "finished", "fail": "failed"}.get(state, state)
    if state == "finished" and "error" in result:
        state = "diverged"
    kept = {name: result[name] for name in plans.COLUMNS if name in result}
    metrics = result.get("metrics", {})
    return {"steps": plans.steps(trial), **metrics, **kept, "state": state}
