"""The trials of a study in a database that many workers share: what is started, by whom, and who is alive."""

from __future__ import annotations

import importlib.util
import random
import re
import sqlite3
import threading
import time
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import ModuleType
from typing import Any

MISSING = "{} needs {}, which is not installed here: pip install {}"


def load_optuna() -> ModuleType:
    """Return the module ``optuna``, with its messages below a warning silenced.

    Raises:
        ModuleNotFoundError: Optuna is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            MISSING.format("utils.sweep", "Optuna", "optuna")
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


class Trials:
    """The trials of the study ``name`` in the database ``storage``, as :class:`utils.sweep.Study` has them.

    Each start of a setting is a trial. A setting is known by its key, and any number of workers may add a
    trial for it at the same time. Only the oldest that has not failed is ever started. As a failed trial
    stays failed and a younger one always has a higher number, that is one trial; and as starting is atomic,
    it has one worker.
    """

    def __init__(self, name: str, storage: str, grace: int) -> None:
        self.optuna = load_optuna()
        self.name = name
        self.grace = grace
        self.storage = _open(storage, grace)
        self.study = self.optuna.create_study(
            study_name=name,
            storage=self.storage,
            sampler=self.optuna.samplers.RandomSampler(),
            pruner=self.optuna.pruners.NopPruner(),
            load_if_exists=True,
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What was noted about the study, by name."""
        return self.study.user_attrs

    def agree(self, **facts: Any) -> None:
        """Note ``facts`` about a new study.

        Raises:
            ValueError: the study was begun with others.
        """
        for name, here in facts.items():
            if name not in self.facts:
                self.study.set_user_attr(name, here)
            there = self.facts[name]
            if there != here:
                raise ValueError(
                    f"study {self.name!r} was begun with {name} {there!r}; now {name} is {here!r}. "
                    "Take what it was begun with, or another name for the study."
                )

    def all(self) -> list:
        """Return Optuna's records of the trials, the oldest first."""
        return [
            t for t in self.study.get_trials(deepcopy=False) if "key" in t.user_attrs
        ]

    def live(self) -> dict[str, Any]:
        """Return the trial that counts, for each key that has one: the oldest that has not failed."""
        live: dict[str, Any] = {}
        for trial in self.all():
            if trial.state.name != "FAIL":
                live.setdefault(trial.user_attrs["key"], trial)
        return live

    def add(self, key: str, names: Collection[str]) -> None:
        """Add a trial that waits. One that replaces a failed trial gets its values of ``names``."""
        before = [t.params for t in self.all() if t.user_attrs["key"] == key]
        values = [params for params in before if params.keys() == set(names)]
        self.study.enqueue_trial(values[-1] if values else {}, user_attrs={"key": key})

    def claim(self, trial_id: int) -> bool:
        """Start a trial that waits; return False if another worker was faster."""
        # The sign of life comes first: a trial that runs without any would never be found dead.
        self.storage.record_heartbeat(trial_id)
        with suppress(self.optuna.exceptions.UpdateFinishedTrialError):
            running = self.optuna.trial.TrialState.RUNNING
            return self.storage.set_trial_state_values(trial_id, running)
        return False

    def record(
        self, trial_id: int, state: str, score: float | None, result: dict[str, Any]
    ) -> None:
        """End a trial; do nothing if it was declared failed, as it may run elsewhere by now."""
        with suppress(self.optuna.exceptions.UpdateFinishedTrialError):
            self.storage.set_trial_user_attr(trial_id, "result", result)
            self.storage.set_trial_state_values(
                trial_id,
                self.optuna.trial.TrialState[state],
                None if score is None else [score],
            )

    def fail_stale(self) -> None:
        """Declare the trials failed whose workers have given no sign of life for ``grace`` seconds."""
        with no_experimental_warnings():
            self.optuna.storages.fail_stale_trials(self.study)

    @contextmanager
    def signs_of_life(self, trial_id: int) -> Iterator[None]:
        """Let a thread tell the other workers that this trial is being worked on."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(self.grace / 6):
                with suppress(Exception):  # the database may be back for the next one
                    self.storage.record_heartbeat(trial_id)
            self.storage.remove_session()

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _open(storage: str, grace: int) -> Any:
    """Return Optuna's storage in the database at a path or URL; make the tables if there are none."""
    import sqlalchemy

    url, options = _url(storage)
    try:
        engine = sqlalchemy.create_engine(url, **options)
        sqlalchemy.inspect(engine).get_table_names()  # whether it is a database at all
        return _with_tables(engine, url, options, grace)
    except (sqlalchemy.exc.SQLAlchemyError, ValueError, ImportError) as error:
        shown = re.sub(r":[^:/@]*@", ":***@", storage)
        reason = str(getattr(error, "orig", error)).strip().split("\n")[0]
        raise ValueError(
            f"the storage {shown} cannot be opened: {reason}. Expected the path of an SQLite file in a "
            "folder that exists, or the URL of a database, postgresql://user:password@host/name."
        ) from error


def _url(storage: str) -> tuple[str, dict[str, Any]]:
    """Return the URL of a database, with a driver that is installed, and the options of its connections."""
    scheme, is_url, rest = storage.partition("://")
    if not is_url:
        return "sqlite:///file", {"creator": partial(_connect_sqlite, storage)}
    if scheme not in ("postgres", "postgresql"):
        return storage, {"pool_pre_ping": True}
    # SQLAlchemy takes one of them by default, which one depends on its version.
    drivers = [d for d in ("psycopg2", "psycopg") if importlib.util.find_spec(d)]
    if not drivers:
        raise ModuleNotFoundError(
            MISSING.format("PostgreSQL", "a driver", "psycopg2-binary")
        )
    options = {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10}}
    return f"postgresql+{drivers[0]}://{rest}", options


def _with_tables(engine: Any, url: str, options: dict[str, Any], grace: int) -> Any:
    """Return the storage; try again where several workers make the tables at the same time."""
    import sqlalchemy

    url = url.replace("{", "{{").replace("}", "}}")  # Optuna formats it
    for attempt in range(10):
        try:
            if engine.name == "sqlite":
                # Commits become quick: they survive a kill, though perhaps not a power cut.
                with engine.connect() as connection:
                    connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            engine.dispose()
            with no_experimental_warnings():
                storage = load_optuna().storages.RDBStorage(
                    url, options, heartbeat_interval=1, grace_period=grace
                )
        except sqlalchemy.exc.SQLAlchemyError:
            if attempt == 9:
                raise
            time.sleep(random.uniform(0.1, 0.3))
        else:
            if engine.name == "sqlite":
                _lock_at_begin(storage.engine)
            return storage


def _connect_sqlite(path: str) -> sqlite3.Connection:
    """Return a connection that waits for others, and leaves it to SQLAlchemy to begin transactions."""
    connection = sqlite3.connect(
        path, timeout=60, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _lock_at_begin(engine: Any) -> None:
    """Let each transaction of SQLite begin with the lock that stands in for row locks elsewhere.

    Optuna reads that a trial waits and then writes that it runs; without the lock two workers may do so.
    """
    import sqlalchemy

    @sqlalchemy.event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def no_experimental_warnings() -> Iterator[None]:
    """Silence Optuna's warning that heartbeats may change in a later version."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", load_optuna().exceptions.ExperimentalWarning)
        yield
