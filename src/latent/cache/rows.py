"""The rows of the SQLite store: its statements, and how a batch of entries is written."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson

from latent.cache.entry import Entry, Version
from latent.cache.store import VARIANTS_PER_KEY

_COLUMNS = (
    "key, variant, codec, value, size_bytes, created_at, expires_at, key_parts, outputs, blob, checksum"
)


def _select(*, without: str) -> str:
    """All columns and the row's number, with NULL for the column left out and for what is empty."""
    kept = (f"entries.{name}" if name != without else "NULL" for name in f"{_COLUMNS}, id".split(", "))
    return f"SELECT {', '.join(kept)}".replace("entries.outputs", "NULLIF(entries.outputs, '{}')")


# Only who describes an entry looks at the parts of its key: to decode them takes as long as a small value.
_READ = _select(without="key_parts")
ONE = f"{_READ} FROM entries WHERE key = ?"
# Joined in the order in which the keys stand: for IN, SQLite would put them into a table of its own first.
MANY = f"{_READ} FROM json_each(?) AS wanted CROSS JOIN entries ON entries.key = wanted.value"
_DESCRIBED = f"{_select(without='value')} FROM entries WHERE"
DESCRIBED = f"{_DESCRIBED} key IN (SELECT value FROM json_each(?))"  # noqa: S608  # nothing of it is foreign
RECENT = (
    f"{_DESCRIBED} variant IN (SELECT variant FROM variants WHERE task = ?) "  # noqa: S608  # as above
    "ORDER BY id DESC LIMIT ?"
)
_INSERT = f"INSERT INTO entries ({_COLUMNS}) VALUES ({', '.join('?' * 11)})"  # noqa: S608  # as above
_PRESENT = "SELECT id, key, variant, blob FROM entries WHERE key IN (SELECT value FROM json_each(?))"
STATS = """
SELECT task, kind, COUNT(*), SUM(size_bytes), COUNT(CASE WHEN expires_at <= ? THEN 1 END)
FROM entries JOIN variants USING (variant) GROUP BY task, kind ORDER BY task, kind
"""


class Batch:
    """What one call wants kept, and whether it was."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], tuple[Any, ...]] = {}
        self.versions: dict[str, Version] = {}
        self.done = False
        self.kept = False

    def add(self, entry: Entry, blob: str | None, checksum: bytes) -> None:
        """Want an entry kept; with the name of its `blob` when its value lies in a file."""
        variant = entry.version.variant
        self.versions[variant] = entry.version
        self.rows[entry.key, variant] = (
            entry.key, variant, entry.codec, None if blob else entry.value, entry.size_bytes,
            entry.created_at, entry.expires_at, dump(entry.key_parts), dump(entry.outputs), blob, checksum,
        )  # fmt: skip

    def merge(self, other: Batch) -> None:
        """Take over what another call wants kept."""
        self.rows.update(other.rows)
        self.versions.update(other.versions)


def insert(connection: sqlite3.Connection, batch: Batch) -> list[str]:
    """Write the rows in place of those they replace; the names of files that nothing needs any more."""
    present = connection.execute(_PRESENT, (dump_keys(list({key for key, _ in batch.rows})),)).fetchall()
    if present:
        stale = _stale(present, batch)
        connection.executemany("DELETE FROM entries WHERE id = ?", [(number,) for number, _ in stale])
    connection.executemany(_INSERT, batch.rows.values())
    versions = [
        (variant, of.task, of.kind, of.code, dump(of.parameters_read), dump(of.code_parts))
        for variant, of in batch.versions.items()
    ]
    connection.executemany("INSERT OR IGNORE INTO variants VALUES (?, ?, ?, ?, ?, ?)", versions)
    return [blob for _, blob in stale if blob is not None] if present else []


def _stale(present: list[tuple[int, str, str, str | None]], batch: Batch) -> list[tuple[int, str | None]]:
    """Of the rows that are there: those that new ones replace, and the oldest of more than are kept."""
    stale = []
    versions = Counter(key for key, _ in batch.rows)
    for number, key, variant, blob in sorted(present, reverse=True):
        if (key, variant) in batch.rows or versions[key] >= VARIANTS_PER_KEY:
            stale.append((number, blob))
        else:
            versions[key] += 1
    return stale


def dump(mapping: Mapping[str, str]) -> str:
    """A mapping as it stands in a row."""
    return orjson.dumps(dict(mapping)).decode() if mapping else "{}"


def dump_keys(keys: list[str]) -> str:
    """Keys as one value of a statement."""
    return orjson.dumps(keys).decode()
