"""The trials of a study in a database that many share, and what only that needs."""

import importlib
import importlib.util
import json
import random
import re
import sqlite3
import threading
import time
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

from utils.sweep.sqlite import SQLiteFile, StorageError


def load(name: str, user: str = "utils.sweep", package: str = "") -> ModuleType:
    """Return a module that only ``user`` needs, or raise a ModuleNotFoundError."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        what = f"{name}, which is not installed here: pip install {package or name}"
        raise ModuleNotFoundError(f"{user} needs {what}") from error


class Trials:
    """The trials of a study; arguments and errors are those of ``utils.sweep.Study``.

    Each start of a setting is a trial. A setting is known by its key, and any number of
    workers may add a trial for it at the same time. Only the oldest that has not failed
    is ever started. As a failed trial stays failed and a younger one always has a
    higher number, that is one trial; and as starting is atomic, it has one worker.
    """

    def __init__(self, name: str, storage: str, grace: int) -> None:
        self.optuna = load("optuna")
        self.optuna.logging.set_verbosity(self.optuna.logging.WARNING)
        self.name, self.file = name, None
        self._shown = re.sub(r":[^:/@]*@", ":***@", storage)  # without a password
        server = _server(storage) if "://" in storage else None
        try:
            if server:
                self.storage = _open(*server, grace)
            else:
                self.file = SQLiteFile(storage, name)
                options = {"creator": self.file.connect}
                self.storage = _open("sqlite:///file", options, grace)
            self.study = self.optuna.create_study(
                study_name=name,
                storage=self.storage,
                sampler=self.optuna.samplers.RandomSampler(),
                pruner=self.optuna.pruners.NopPruner(),
                load_if_exists=True,
            )
            self.all()  # what is damaged shows now
        except Exception as error:
            url = self._shown if server else f"sqlite:///{storage}"
            why = _refusal(error).replace("$STORAGE_URL", url)
            raise ValueError(f"the storage {self._shown} {why}") from error

    def require_file(self) -> None:
        """Raise a StorageError if an SQLite file is not the one that was opened."""
        if self.file:
            self.file.require_unchanged()

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Raise a StorageError if the database fails in what this surrounds."""
        self.require_file()
        try:
            yield
        except _errors() as error:
            raise StorageError(
                f"the database {self._shown} of study {self.name!r} failed: "
                f"{_reason(error)}. See that it can be reached and has space left; the "
                "same call goes on from what it holds."
            ) from None

    def agree(self, **facts: Any) -> None:
        """Note ``facts`` about a study; raise a ValueError if it has other ones."""
        for name, here in facts.items():
            if name not in self.study.user_attrs:
                self.study.set_user_attr(name, here)
            there = self.study.user_attrs[name]
            if there != here:
                raise ValueError(
                    f"study {self.name!r} was begun with {name} {there!r}; now {name} "
                    f"is {here!r}. Take what it was begun with, or begin another study."
                )

    def all(self) -> list:
        """Return Optuna's records of the trials, the oldest first."""
        trials = self.study.get_trials(deepcopy=False)
        return [trial for trial in trials if "key" in trial.user_attrs]

    def live(self) -> dict[str, Any]:
        """Return the trial that counts for each key: the oldest that has not failed."""
        trials = reversed(self.all())
        return {t.user_attrs["key"]: t for t in trials if t.state.name != "FAIL"}

    def add(self, key: str, names: Collection[str]) -> None:
        """Add a trial that waits, with the values of ``names`` of one that failed."""
        before = [t.params for t in self.all() if t.user_attrs["key"] == key]
        values = [params for params in before if params.keys() == set(names)]
        self.study.enqueue_trial(values[-1] if values else {}, user_attrs={"key": key})

    def claim(self, trial_id: int) -> bool:
        """Start a trial that waits; return False if another worker was faster."""
        # The sign of life comes first: without any, a trial would never be found dead.
        self.storage.record_heartbeat(trial_id)
        with suppress(self.optuna.exceptions.UpdateFinishedTrialError):
            running = self.optuna.trial.TrialState.RUNNING
            return self.storage.set_trial_state_values(trial_id, running)
        return False

    def end(self, trial_id: int, state: str, score: float | None, result: dict) -> None:
        """End a trial, unless it was declared failed: it may run elsewhere by now."""
        scores = None if score is None else [score]
        with suppress(self.optuna.exceptions.UpdateFinishedTrialError):
            self.storage.set_trial_user_attr(trial_id, "result", result)
            state = self.optuna.trial.TrialState[state]
            self.storage.set_trial_state_values(trial_id, state, scores)

    def fail_stale(self) -> None:
        """Declare those trials failed whose workers gave no sign of life for long."""
        experimental = self.optuna.exceptions.ExperimentalWarning
        with warnings.catch_warnings(action="ignore", category=experimental):
            self.optuna.storages.fail_stale_trials(self.study)

    @contextmanager
    def signs_of_life(self, trial_id: int) -> Iterator[None]:
        """Let a thread tell the other workers that this trial is being worked on."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(self.storage.grace_period / 6):
                with suppress(Exception):  # the database may be back for the next one
                    self.storage.record_heartbeat(trial_id)
            with suppress(Exception):
                self.storage.remove_session()

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _errors() -> tuple[type[Exception], ...]:
    """Return what is raised when a database fails."""
    internal = load("optuna").exceptions.StorageInternalError
    return load("sqlalchemy").exc.SQLAlchemyError, sqlite3.Error, internal


def _reason(error: Exception) -> str:
    """Return what the database itself said, on one line."""
    cause = error.__cause__ or error  # Optuna's own error says nothing
    return str(getattr(cause, "orig", cause)).strip().split("\n")[0]


def _refusal(error: Exception) -> str:
    """Return why a database is not taken, and what to do."""
    damage = (LookupError, UnicodeError, json.JSONDecodeError)
    if type(error) is sqlite3.DatabaseError or isinstance(error, damage):
        return (
            f"is damaged, or no file of studies: {error}. It was left as it is. Take "
            "another path, or move it away, with -wal and -shm, and put a copy in its "
            "place; results that were written to other files are not lost."
        )
    if type(error) is RuntimeError:  # Optuna says which versions, and what to do
        return f"is of another version. {error} Make a copy before, or take another."
    return (
        f"cannot be opened: {_reason(error)}. Expected the path of an SQLite file in a "
        "folder that exists, or the URL of a database, "
        "postgresql://user:password@host/name."
    )


def _server(url: str) -> tuple[str, dict[str, Any]]:
    """Return a URL with a driver that is installed, and options for SQLAlchemy."""
    scheme, _, rest = url.partition("://")
    if scheme not in ("postgres", "postgresql"):
        return url, {"pool_pre_ping": True}
    # SQLAlchemy takes one of them by default, which one depends on its version.
    found = [d for d in ("psycopg2", "psycopg") if importlib.util.find_spec(d)]
    driver = load([*found, "psycopg2"][0], "PostgreSQL", "psycopg2-binary")
    options = {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10}}
    return f"postgresql+{driver.__name__}://{rest}", options


def _open(url: str, options: dict[str, Any], grace: int) -> Any:
    """Return Optuna's storage; try again where several make the tables at once."""
    sqlalchemy, optuna = load("sqlalchemy"), load("optuna")
    experimental = optuna.exceptions.ExperimentalWarning
    heartbeats = {"heartbeat_interval": 1, "grace_period": grace}
    engine = sqlalchemy.create_engine(url, **options)
    if engine.name != "sqlite":
        engine.connect().close()  # a server that is not there is asked once
    url = url.replace("{", "{{").replace("}", "}}")  # Optuna formats it
    for attempt in range(10):
        try:
            tables = set(sqlalchemy.inspect(engine).get_table_names())
            engine.dispose()
            made = {"version_info", "alembic_version"} <= tables
            with warnings.catch_warnings(action="ignore", category=experimental):
                storage = optuna.storages.RDBStorage(
                    url, options, skip_table_creation=made, **heartbeats
                )
            break
        except _errors():
            if attempt == 9:
                raise
            time.sleep(random.uniform(0.1, 0.3))
    if engine.name == "sqlite":
        # Each transaction begins with the lock that stands in for those of rows: Optuna
        # reads that a trial waits and then writes that it runs.
        @sqlalchemy.event.listens_for(storage.engine, "begin")
        def begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return storage
