"""The SQLite file under the store: opened when needed, again after deletion, moved aside when damaged."""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from latent.cache.file_locks import file_lock
from latent.config.workspace import ensure_private_dir
from latent.errors import CacheError, WorkspaceError

T = TypeVar("T")

_log = logging.getLogger("latent.cache")

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    variant TEXT NOT NULL,
    codec TEXT NOT NULL,
    value BLOB,
    size_bytes INTEGER NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL,
    key_parts TEXT NOT NULL,
    outputs TEXT NOT NULL,
    blob TEXT,
    checksum BLOB NOT NULL,
    UNIQUE (key, variant)
);
CREATE INDEX IF NOT EXISTS entries_by_variant ON entries (variant, expires_at, size_bytes);
CREATE TABLE IF NOT EXISTS variants (
    variant TEXT PRIMARY KEY,
    task TEXT NOT NULL,
    kind TEXT NOT NULL,
    code TEXT NOT NULL,
    parameters_read TEXT NOT NULL,
    code_parts TEXT NOT NULL
) WITHOUT ROWID;
"""

LOCKED_PATIENCE_SECONDS = 60.0
REOPEN_SECONDS = 5.0
"""What could not be opened is tried again after this time, not on every call."""

# https://www.sqlite.org/rescode.html
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_FOREIGN_TABLES = ("no such table", "no such column", "has no column")

# A connection that came through a fork belongs to the parent: closing it here could end the parent's locks.
_abandoned: list[sqlite3.Connection] = []

Identity = tuple[int, int] | None
"""Device and inode of a file; None when there is none."""


class StoreUnavailableError(CacheError):
    """The database cannot be used now: read-only, full, or out of reach."""


class Database:
    """
    Two connections to one file: one for reading, one for writing, each used by one thread at a time.

    Every use first makes sure that the file is still the one that was opened: somebody may have deleted the
    folder, another process may have moved a damaged file aside, or this process may be a fork.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock_file = file.with_suffix(".lock")
        self._begin_life()

    def _begin_life(self) -> None:
        self._pid = os.getpid()
        self._opening = threading.RLock()
        self._reader, self._writer = _Channel(writing=False), _Channel(writing=True)

    @property
    def write_lock(self) -> threading.RLock:
        """Held while a transaction is written; whoever waits for it may find its work done by the holder."""
        self._after_fork()
        return self._writer.lock

    def read(self, action: Callable[[sqlite3.Connection], T], default: T) -> T:
        """
        The result of `action` on the reading connection; `default` while there is no file.

        Raises:
            StoreUnavailableError: The file cannot be read.
        """
        self._after_fork()
        with self._reader.lock:
            return default if identify(self.file) is None else self._attempt(self._reader, action)

    def write(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """
        The result of `action` inside a transaction of its own, committed.

        Raises:
            StoreUnavailableError: The file cannot be written; nothing of the transaction was kept.
        """
        with self.write_lock:
            return self._attempt(self._writer, lambda connection: _in_transaction(connection, action))

    def shrink(self) -> None:
        """Give pages that deleted entries held back to the disk."""
        with self.write_lock:
            self._attempt(self._writer, _shrink)

    def close(self) -> None:
        """Close both connections; the next use opens them again."""
        self._after_fork()
        with self._reader.lock, self._writer.lock:
            self._reader.close()
            self._writer.close()

    def _attempt(self, channel: _Channel, action: Callable[[sqlite3.Connection], T]) -> T:
        """Run the action, and once more on a fresh file when the present one is damaged or gone."""
        for last in (False, True):
            connection = self._connection(channel)
            try:
                return action(connection)
            except (sqlite3.Error, OSError) as error:
                if last:
                    raise StoreUnavailableError(str(error)) from error
                if _means_damage(error):
                    self._set_aside(channel.identity, str(error))
                elif identify(self.file) == channel.identity:
                    raise StoreUnavailableError(str(error)) from error
        raise AssertionError("the second attempt returns or raises")

    def _connection(self, channel: _Channel) -> sqlite3.Connection:
        if channel.connection is not None and identify(self.file) == channel.identity:
            return channel.connection
        channel.close()
        if time.monotonic() < channel.closed_until:
            raise StoreUnavailableError(channel.closed_because)
        try:
            with self._opening:
                channel.connection = self._open(channel.writing)
        except (sqlite3.Error, OSError, WorkspaceError) as error:
            channel.closed_because, channel.closed_until = str(error), time.monotonic() + REOPEN_SECONDS
            raise StoreUnavailableError(str(error)) from error
        channel.identity = identify(self.file)
        return channel.connection

    def _open(self, writing: bool) -> sqlite3.Connection:
        try:
            return self._connect(writing)
        except sqlite3.DatabaseError as error:
            if not _means_damage(error):
                raise
            self._set_aside(identify(self.file), str(error))
            return self._connect(writing)

    def _connect(self, writing: bool) -> sqlite3.Connection:
        if writing:
            ensure_private_dir(self.file.parent)
        connection = _connect(str(self.file))
        try:
            _prepare(connection, self._lock_file)
            # Waiting for the one writing transaction is done in `_begin`, in shorter steps than SQLite's.
            connection.execute(f"PRAGMA busy_timeout = {0 if writing else 10_000}")
        except BaseException as error:
            connection.close()
            if writing or not isinstance(error, sqlite3.OperationalError | OSError) or _means_damage(error):
                raise
            return _connect_read_only(self.file)
        return connection

    def _set_aside(self, identity: Identity, reason: str) -> None:
        """Move a damaged file out of the way, unless another process has done so."""
        with self._opening, file_lock(self._lock_file):
            if identity is None or identify(self.file) != identity:
                return
            number = 1
            while (aside := self.file.with_name(f"{self.file.name}.damaged-{number}")).exists():
                number += 1
            for suffix in ("-wal", "-shm", ""):
                with suppress(FileNotFoundError):
                    self.file.with_name(self.file.name + suffix).replace(aside.with_name(aside.name + suffix))
        _log.warning(
            "The store of remembered results %s is damaged (%s). It was moved to %s and a new one was begun: "
            "what it remembered is computed again. The old file may be deleted.",
            self.file, reason, aside.name,
        )  # fmt: skip

    def _after_fork(self) -> None:
        if self._pid != os.getpid():
            held = (self._reader.connection, self._writer.connection)
            _abandoned.extend(connection for connection in held if connection is not None)
            self._begin_life()


class _Channel:
    """A connection with the file it was opened on, and the lock of the thread that uses it."""

    def __init__(self, *, writing: bool) -> None:
        self.writing = writing
        self.lock = threading.RLock()
        self.connection: sqlite3.Connection | None = None
        self.identity: Identity = None
        self.closed_until = 0.0
        self.closed_because = ""

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def identify(file: Path) -> Identity:
    """Which file lies under a path now."""
    try:
        status = os.stat(file)  # noqa: PTH116  # Path.stat costs half as much as the lookup that this guards
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _means_damage(error: BaseException) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    # Tables of another make under our name are as useless as torn pages.
    return code in _DAMAGED or (code == sqlite3.SQLITE_ERROR and str(error).startswith(_FOREIGN_TABLES))


def _connect(address: str, *, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(address, timeout=10, isolation_level=None, check_same_thread=False, uri=uri)


def _connect_read_only(file: Path) -> sqlite3.Connection:
    """What a read-only disk remembers is still worth having; `immutable` asks for no lock and no log."""
    connection = _connect(f"{file.absolute().as_uri()}?immutable=1", uri=True)
    try:
        connection.execute("SELECT id FROM entries LIMIT 0")
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, lock: Path) -> None:
    """Set the connection up; create the tables where they are missing."""
    connection.execute("PRAGMA synchronous = NORMAL")  # kill -9 loses nothing; a power cut the last moments
    connection.execute("PRAGMA cache_size = -16000")
    if _is_ready(connection):
        return
    # Only one process at a time: switching the journal mode does not wait for others.
    with file_lock(lock):
        if _is_ready(connection):
            return
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(SCHEMA)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _is_ready(connection: sqlite3.Connection) -> bool:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in (0, SCHEMA_VERSION):
        raise _foreign(f"it has version {version}, not {SCHEMA_VERSION}")
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return bool(version == SCHEMA_VERSION and mode == "wal")


def _foreign(reason: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(reason)
    error.sqlite_errorcode = sqlite3.SQLITE_NOTADB
    return error


def _in_transaction(connection: sqlite3.Connection, action: Callable[[sqlite3.Connection], T]) -> T:
    _begin(connection)
    try:
        result = action(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def _begin(connection: sqlite3.Connection) -> None:
    """
    Start a writing transaction; other processes may hold the only one for a moment.

    SQLite's own waiting sleeps up to 100 ms at a time, long enough for a busy peer to win every race.
    """
    deadline = time.monotonic() + LOCKED_PATIENCE_SECONDS
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _LOCKED or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.0005, 0.004))  # noqa: S311  # jitter, not a secret


def _shrink(connection: sqlite3.Connection) -> None:
    # The pages are handed back one per step of the statement.
    for _ in connection.execute("PRAGMA incremental_vacuum"):
        pass
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
