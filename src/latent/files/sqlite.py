"""What SQLite files that processes share have in common: who creates the tables, and what errors mean."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from latent.files.byte_locks import file_lock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

# https://www.sqlite.org/rescode.html
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
"""Codes of errors that say that a file is not a database."""
LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
"""Codes of errors that pass when another process is done."""

# A connection that came through a fork belongs to the parent: closing it here could end the parent's locks.
_abandoned: list[sqlite3.Connection] = []


class Schema(NamedTuple):
    """The tables of a file."""

    version: int
    """Stands in the file as `user_version`."""
    script: str
    """Creates the tables where they are missing."""
    pragmas: tuple[str, ...] = ()
    """What has to be set before the first table is created."""


def error_code(error: BaseException) -> int:
    """SQLite's primary code of an error; 0 for those of others."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def create_tables(connection: sqlite3.Connection, schema: Schema, lock: Path) -> None:
    """
    Create the tables where they are missing, in the write-ahead mode.

    Args:
        lock: A file that one process at a time locks: switching the mode does not wait for others.

    Raises:
        sqlite3.DatabaseError: The file has another version (SQLITE_NOTADB), or is damaged.
    """
    if _is_ready(connection, schema):
        return
    with file_lock(lock):
        if not _is_ready(connection, schema):
            for pragma in schema.pragmas:
                connection.execute(f"PRAGMA {pragma}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(schema.script)
            connection.execute(f"PRAGMA user_version = {schema.version}")


def _is_ready(connection: sqlite3.Connection, schema: Schema) -> bool:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in (0, schema.version):
        error = sqlite3.DatabaseError(f"it has version {version}, not {schema.version}")
        error.sqlite_errorcode = sqlite3.SQLITE_NOTADB
        raise error
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return bool(version == schema.version and mode == "wal")


def in_transaction(connection: sqlite3.Connection, action: Callable[[sqlite3.Connection], T]) -> T:
    """The result of `action`, committed; when it raises, nothing is."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = action(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def abandon(connection: sqlite3.Connection | None) -> None:
    """Leave a parent's connection alone in a forked child, without closing it."""
    if connection is not None:
        _abandoned.append(connection)


def inode(path: str) -> int | None:
    """Which file lies under a path now; None when there is none."""
    try:
        return os.stat(path).st_ino  # noqa: PTH116  # Path.stat takes longer, and this runs before each use
    except OSError:
        return None
