"""The tables of the SQLite store: connections to them, and which errors mean that they are ruined."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from latent.files.sqlite import DAMAGED, Schema, create_tables, error_code

SCHEMA = Schema(
    version=1,
    pragmas=("auto_vacuum = INCREMENTAL",),
    script="""
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
""",
)

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_FOREIGN_TABLES = ("no such table", "no such column", "has no column")


def means_damage(error: BaseException) -> bool:
    """Whether an error says that the file is not a database of ours any more."""
    code = error_code(error)
    # Tables of another make under our name are as useless as torn pages.
    return code in DAMAGED or (code == sqlite3.SQLITE_ERROR and str(error).startswith(_FOREIGN_TABLES))


def means_no_room(error: BaseException) -> bool:
    """Whether an error says that nothing more can be written: a full disk, a quota, a failing device."""
    if isinstance(error, OSError):
        return error.errno in _NO_ROOM
    return error_code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def connect(file: Path, lock: Path) -> sqlite3.Connection:
    """A connection to a file that exists, with the tables in it; it does not wait for other processes."""
    connection = _connect(f"{file.absolute().as_uri()}?mode=rw")
    try:
        _prepare(connection, lock)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, timeout=10, isolation_level=None, check_same_thread=False, uri=True)


def connect_read_only(file: Path) -> sqlite3.Connection:
    """What a read-only disk remembers is still worth having; `immutable` asks for no lock and no log."""
    connection = _connect(f"{file.absolute().as_uri()}?immutable=1")
    try:
        connection.execute("SELECT id FROM entries LIMIT 0")
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, lock: Path) -> None:
    """Set the connection up; create the tables where they are missing."""
    connection.execute("PRAGMA synchronous = NORMAL")  # kill -9 loses nothing; a power cut the last moments
    # 16 MB of log before it is worked into the file: that waits for the disk, each time.
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    create_tables(connection, SCHEMA, lock)
    connection.execute("PRAGMA busy_timeout = 0")


def shrink(connection: sqlite3.Connection) -> None:
    """Give free pages back to the disk."""
    # A script, since `execute` takes one step of a statement without columns, and each step frees one page.
    connection.executescript("PRAGMA incremental_vacuum")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
