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

from latent.cache.schema import connect, connect_read_only, means_damage, shrink
from latent.config.workspace import ensure_private_dir
from latent.errors import CacheError, WorkspaceError
from latent.files.byte_locks import file_lock
from latent.files.sqlite import LOCKED, abandon, error_code, in_transaction, inode

T = TypeVar("T")

_log = logging.getLogger("latent.cache")

LOCKED_PATIENCE_SECONDS = 60.0
REOPEN_SECONDS = 1.0
"""What could not be opened is tried again after this time, not on every call."""

_PAUSES = (0.0, 0.01, 0.05, 0.2)

Identity = tuple[int, ...] | None
"""Which files lie where ours should; None when there are none."""


class StoreUnavailableError(CacheError):
    """The database cannot be used now: read-only, full, or out of reach."""


class Database:
    """
    One connection to the file, used by one thread at a time.

    Every use first checks that the files are still those that were opened: a process may have deleted the
    folder, another process may have moved a damaged file aside, or this process may be a fork. A second
    connection would read while another thread writes; but SQLite shares the index of its log among the
    connections of a process, so that after a deletion none could recover before all are closed.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock_file = file.with_suffix(".lock")
        # As strings: they are looked at before each use, and a Path would be turned into one each time.
        self._path, self._log_path = str(file), f"{file}-wal"
        self._begin_life()

    def _begin_life(self) -> None:
        self._pid = os.getpid()
        self._lock, self._commit_lock = threading.RLock(), threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._identity: Identity = None
        self._is_writable = False
        self._refused: dict[bool, tuple[float, str]] = {}

    @property
    def commit_lock(self) -> threading.RLock:
        """Held by the thread that commits for all that wait for it; reading goes on meanwhile."""
        self._after_fork()
        return self._commit_lock

    def read(self, action: Callable[[sqlite3.Connection], T], default: T) -> T:
        """
        The result of `action`; `default` while there is no file.

        Raises:
            StoreUnavailableError: The file cannot be read.
        """
        self._after_fork()
        if self._connection is None and inode(self._path) is None:
            return default
        try:
            return self._use(action, writing=False)
        except _AbsentError:
            return default

    def write(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """
        The result of `action` inside a transaction of its own, committed.

        Raises:
            StoreUnavailableError: The file cannot be written; nothing of the transaction was kept.
        """
        self._after_fork()
        return self._use(lambda connection: in_transaction(connection, action), writing=True)

    def shrink(self) -> None:
        """Give pages that deleted entries held back to the disk."""
        self._after_fork()
        self._use(shrink, writing=True)

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        self._after_fork()
        with self._lock:
            self._close()

    def _use(self, action: Callable[[sqlite3.Connection], T], *, writing: bool) -> T:
        """
        Run the action as soon as no other process holds the file.

        The waiting is not left to SQLite, which sleeps up to 100 ms at a time, long enough for a busy peer to
        win every race, and would keep other threads from reading meanwhile.
        """
        deadline = time.monotonic() + LOCKED_PATIENCE_SECONDS
        while True:
            try:
                with self._lock:
                    return self._attempt(action, writing=writing)
            except _LockedError as error:
                if time.monotonic() > deadline:
                    raise StoreUnavailableError(str(error)) from error
            time.sleep(random.uniform(0.0005, 0.004))  # noqa: S311  # jitter, not a secret

    def _attempt(self, action: Callable[[sqlite3.Connection], T], *, writing: bool) -> T:
        """Run the action; again, on a new connection, when files are damaged or vanish under it."""
        until, reason = self._refused.get(writing, (0.0, ""))
        if time.monotonic() < until:
            raise StoreUnavailableError(reason)
        for pause in (*_PAUSES, None):
            try:
                return action(self._opened(writing=writing))
            except (sqlite3.Error, OSError, WorkspaceError) as error:
                if error_code(error) in LOCKED:
                    raise _LockedError(str(error)) from error
                if not self._may_pass(error):
                    raise StoreUnavailableError(str(error)) from error
                self._close()
                if pause is None:
                    self._refused[writing] = (time.monotonic() + REOPEN_SECONDS, str(error))
                    raise StoreUnavailableError(str(error)) from error
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _may_pass(self, error: Exception) -> bool:
        """Whether a new connection may help; a damaged file is first moved out of the way."""
        if means_damage(error):
            self._set_aside(str(error))
            return True
        if self._connection is None or self._identify() != self._identity:
            return True
        # The log was deleted under a connection that had it open.
        return error_code(error) == sqlite3.SQLITE_IOERR

    def _opened(self, *, writing: bool) -> sqlite3.Connection:
        known = self._connection
        if known is not None and (self._is_writable or not writing) and self._identify() == self._identity:
            return known
        self._close()
        if writing:
            ensure_private_dir(self.file.parent)
            self.file.touch(0o600)
        # Before opening, so that a damaged file is known by its number even when another takes its place.
        self._identity = before = self._identify()
        if before is None and not writing:
            raise _AbsentError
        connection = self._open(writing=writing)
        self._identity = after = self._identify()
        if before is None or after is None or before[0] != after[0]:
            connection.close()
            raise FileNotFoundError(f"{self.file} was deleted while it was opened")
        self._connection = connection
        return connection

    def _open(self, *, writing: bool) -> sqlite3.Connection:
        self._is_writable = writing or os.access(self.file.parent, os.W_OK)
        if not self._is_writable:
            return connect_read_only(self.file)
        return connect(self.file, self._lock_file)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _identify(self) -> Identity:
        """
        The inodes of the database and its log.

        Deleting the folder while it is written to may take the log of a database that was created again.
        """
        file = inode(self._path)
        return None if file is None else (file, inode(self._log_path) or 0)

    def _set_aside(self, reason: str) -> None:
        """Move the damaged file that was opened out of the way, unless another process has done so."""
        damaged, self._identity = self._identity, None
        self._close()
        with file_lock(self._lock_file):
            if damaged is None or inode(self._path) != damaged[0]:
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
            abandon(self._connection)
            self._begin_life()


class _LockedError(CacheError):
    """Another process holds the file."""


class _AbsentError(CacheError):
    """There is no file to read."""
