"""The SQLite file of a study, watched while it is used, and how a database fails."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path


class StorageError(RuntimeError):
    """The database of a study failed, or went away, while the study was used."""


class SQLiteFile:
    """The file at the absolute ``path`` that holds ``study``; made if need be.

    Raises:
        sqlite3.OperationalError: it can be neither opened nor made.
        sqlite3.DatabaseError: it is damaged, or something else.
    """

    def __init__(self, path: str, study: str) -> None:
        self.path, self.study = path, study
        with closing(sqlite3.connect(path, timeout=60)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            tables = connection.execute("SELECT tbl_name FROM sqlite_master").fetchall()
            # Optuna makes this one first.
            columns = connection.execute("PRAGMA table_info(studies)").fetchall()
        if found != "ok":
            raise sqlite3.DatabaseError(" ".join(found.split()))
        if tables and "study_name" not in {name for _, name, *_ in columns}:
            raise sqlite3.DatabaseError(f"it holds a table {tables[0][0]!r}")
        self._opened = os.stat(path)

    def require_unchanged(self) -> None:
        """Raise a StorageError if the file is not the one that was opened.

        SQLite itself would go on writing to a file that has no name any more.
        """
        with suppress(OSError):
            if os.path.samestat(os.stat(self.path), self._opened):
                return
        raise StorageError(
            f"the file {self.path} of study {self.study!r} is gone: it was deleted, "
            "moved or replaced while the study was open. Put it back; or remove what "
            "is left of it, -wal and -shm, and put a copy there. Then open the study "
            "again and make the same call. Without it, all settings are run anew."
        )

    def connect(self) -> sqlite3.Connection:
        """Return a connection that waits for others; it begins no transactions."""
        self.require_unchanged()
        uri = f"{Path(self.path).as_uri()}?mode=rw"  # which makes no file
        connection = sqlite3.connect(
            uri, uri=True, timeout=60, isolation_level=None, check_same_thread=False
        )
        # Commits become quick: they survive a kill, though perhaps not a power cut.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection
