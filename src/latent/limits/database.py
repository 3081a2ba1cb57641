"""
the SQLite file of limits: one per user and machine, used by one thread of each process.

Nothing in it outlives its use but what was learned, so it is never repaired: a damaged file is deleted. While
it cannot be used at all, a database in memory takes its place, and limits hold for this process alone.
"""

from __future__ import annotations

import logging
import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from latent.config.workspace import ensure_private_dir
from latent.errors import LatentError
from latent.files.byte_locks import file_lock
from latent.files.sqlite import (
    DAMAGED,
    LOCKED,
    Schema,
    abandon,
    create_tables,
    error_code,
    in_transaction,
    inode,
)

T = TypeVar("T")

_log = logging.getLogger("latent.limits")

_SCHEMA = Schema(
    version=2,  # a file of another version is created again
    script="""
CREATE TABLE IF NOT EXISTS limits (
    name TEXT PRIMARY KEY,
    requests_full_at REAL NOT NULL,
    tokens_full_at REAL NOT NULL,
    learned TEXT NOT NULL,
    touched_at REAL NOT NULL,
    touched_wall REAL NOT NULL,
    requests_rate REAL,
    tokens_rate REAL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shares (
    name TEXT NOT NULL,
    member INTEGER NOT NULL,
    pid INTEGER NOT NULL,
    owned INTEGER NOT NULL,
    in_use INTEGER NOT NULL,
    waiting INTEGER NOT NULL,
    since REAL NOT NULL,
    beat INTEGER NOT NULL,
    runs TEXT NOT NULL,
    PRIMARY KEY (name, member)
) WITHOUT ROWID;
""",
)

PATIENCE_SECONDS = 2.0
"""A lock on the file that is held longer than this belongs to a process that was stopped."""
RETRY_SECONDS = 1.0
"""How often a file that cannot be used is tried again."""

_UNUSABLE = DAMAGED | {sqlite3.SQLITE_ERROR}


class LimitDatabase:
    """One connection to the file, or to its substitute in memory."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._path = str(file)  # looked at before each use, and a Path would be turned into one each time
        self._begin_life()

    def _begin_life(self) -> None:
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = None
        self._retry_at = 0.0
        self._has_complained = False

    @property
    def is_shared(self) -> bool:
        """Whether the last use reached the file, so that other processes see it."""
        return self._inode is not None

    def write(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """The result of `action` in a transaction of its own, in the file or, failing that, in memory."""
        if self._connection is not None and not self.is_shared and time.monotonic() < self._retry_at:
            return in_transaction(self._connection, action)
        for _ in range(3):
            try:
                result = self._patiently(action)
            except (sqlite3.Error, OSError, LatentError) as error:
                if not self._may_pass(error):
                    return in_transaction(self._substitute(error), action)
            else:
                self._has_complained = False
                return result
        return in_transaction(self._substitute(OSError("it keeps changing under us")), action)

    def version(self) -> int | None:
        """A number that changes when another process writes; None while the file is not in use."""
        if self._connection is None or not self.is_shared or inode(self._path) != self._inode:
            return None
        try:
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error:
            return None

    def read(self, action: Callable[[sqlite3.Connection], T]) -> T | None:
        """The result of `action`, which only reads; None when it cannot be had at once."""
        if self._connection is None:
            return None
        try:
            return action(self._connection)
        except sqlite3.Error:
            return None

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._inode = None

    def forget(self) -> None:
        """Start over in a forked child."""
        abandon(self._connection)
        self._begin_life()

    def _patiently(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """
        Act as soon as no other process writes.

        SQLite's own waiting sleeps up to 100 ms at a time; what others do here takes a tenth of one.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return in_transaction(self._opened(), action)
            except sqlite3.Error as error:
                if error_code(error) not in LOCKED or time.monotonic() > deadline:
                    raise
            time.sleep(random.uniform(0.0002, 0.002))  # noqa: S311  # jitter, not a secret

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and self.is_shared and inode(self._path) == self._inode:
            return self._connection
        self.close()
        ensure_private_dir(self.file.parent)
        self.file.touch(0o600)
        opened, connection = inode(self._path), _connect(self._path)
        try:
            connection.execute("PRAGMA synchronous = OFF")  # after a power cut nothing in it is of value
            create_tables(connection, _SCHEMA, self.file.with_suffix(".new"))
        except BaseException as error:
            if error_code(error) in _UNUSABLE:
                # Open until it is known whether to delete it.
                self._connection, self._inode = connection, opened
            else:
                connection.close()
            raise
        self._connection, self._inode = connection, opened
        return connection

    def _may_pass(self, error: Exception) -> bool:
        """Whether another try may help; a damaged file, which holds nothing of value, is deleted first."""
        damaged, vanished = error_code(error) in _UNUSABLE, self._has_vanished()
        if damaged and not vanished:
            with suppress(OSError), file_lock(self.file.with_suffix(".new")):
                # Looked at again: another process may have made a new one while this one came for the lock.
                # The damaged one is open until then, so that no new file has its inode.
                if not self._has_vanished():
                    _log.debug(
                        "The file of limits %s is damaged (%s); it is created again.", self.file, error
                    )
                    self.close()
                    for suffix in ("-wal", "-shm", ""):
                        Path(f"{self.file}{suffix}").unlink(missing_ok=True)
        self.close()
        return damaged or vanished

    def _has_vanished(self) -> bool:
        return self._connection is not None and inode(self._path) != self._inode

    def _substitute(self, error: Exception) -> sqlite3.Connection:
        self.close()
        self._retry_at = time.monotonic() + RETRY_SECONDS
        if not self._has_complained:
            self._has_complained = True
            _log.warning(
                "Limits cannot be shared with other processes for now: %s cannot be used (%s). They hold "
                "within this process until it can; LATENT_LIMITS_DIR names another folder for it.",
                self.file, error,
            )  # fmt: skip
        self._connection = _connect(":memory:")
        self._connection.executescript(_SCHEMA.script)
        return self._connection


def _connect(file: str) -> sqlite3.Connection:
    return sqlite3.connect(file, timeout=0, isolation_level=None, check_same_thread=False)
