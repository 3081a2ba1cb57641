"""The local store: one SQLite file, safe in threads and processes, with large values as files beside it."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import orjson
import xxhash

from latent.cache.database import Database, StoreUnavailableError
from latent.cache.entry import NOTHING, Entry, Version
from latent.cache.schema import means_no_room
from latent.cache.store import VARIANTS_PER_KEY, StoreStats, TaskStats
from latent.config.workspace import ensure_private_dir
from latent.errors import WorkspaceError

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


ORPHAN_SECONDS = 3600.0
"""A file without an entry may belong to one that is just being written; after an hour it does not."""


class Blobs:
    """A folder of values that are too large for the database; a name is never used twice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, data: bytes) -> str:
        """Keep `data`; the name to read it by."""
        token = uuid4().hex
        name = f"{token[:2]}/{token}"
        path = self.folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        try:
            part.write_bytes(data)
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        return name

    def read(self, name: str) -> bytes | None:
        """What was kept under `name`; None when it is gone."""
        try:
            return (self.folder / name).read_bytes()
        except OSError:
            return None

    def delete(self, names: Iterable[str]) -> None:
        """Remove files; one that is gone or in use elsewhere is left to the next sweep."""
        for name in names:
            with suppress(OSError):
                (self.folder / name).unlink(missing_ok=True)

    def sweep(self, used: set[str]) -> None:
        """Remove old files that no entry names: what a killed process left behind."""
        deadline = time.time() - ORPHAN_SECONDS
        for path in self.folder.glob("??/*"):
            if path.relative_to(self.folder).as_posix() not in used:
                with suppress(OSError):
                    if path.stat().st_mtime < deadline:
                        path.unlink()


def disk_bytes(folder: Path) -> int:
    """Space that all files of a folder take."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(path) / name).stat().st_size
    return total


T = TypeVar("T")
_log = logging.getLogger("latent.cache")

_KEYS_PER_READ = 1_000
_VERSIONS_KEPT = 4_096
_NO_ROWS: list[tuple[Any, ...]] = []
_row_number = itemgetter(11)

_WARNINGS = {
    "read": "Remembered results in %s cannot be read (%s): the work goes on and computes them again.",
    "write": "Results cannot be remembered in %s (%s): the work goes on, but what it computes now is lost "
    "when it ends. Make the folder writable.",
    "full": "Results cannot be remembered in %s (%s): a map stops, since its rows would be paid for twice; "
    "other calls go on, but what they compute now is lost when the run ends. Free some space.",
}


class SQLiteStore:
    """
    Entries in `cache.db` inside a folder that is private to the user.

    The folder may be deleted by hand at any time: what it held is computed again.

    Args:
        folder: Created when first written to.
        large_value_bytes: Larger values become files of their own.
    """

    def __init__(self, folder: Path, *, large_value_bytes: int = 262_144) -> None:
        self.folder = folder
        self._database = Database(folder / "cache.db")
        self._blobs = Blobs(folder / "blobs")
        self._large_value_bytes = large_value_bytes
        self._waiting: list[Batch] = []
        self._versions: dict[str, Version] = {}
        self._told: set[str] = set()
        self.full: str | None = None
        """Why the last write was refused, when for want of room; a read-only store is not full."""

    def get_many(self, keys: Iterable[str]) -> dict[str, list[Entry]]:
        """The entries under each key that has any, newest first; damaged ones are dropped."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, list[Entry]] = {}
        for start in range(0, len(wanted), _KEYS_PER_READ):
            for row in self._rows(wanted[start : start + _KEYS_PER_READ]):
                if (entry := self._entry(row)) is not None:
                    found.setdefault(entry.key, []).append(entry)
        return found

    def describe_many(self, keys: Iterable[str]) -> dict[str, list[Entry]]:
        """As `get_many`, without reading values."""
        wanted = dump_keys(list(keys))
        rows = self._read(lambda db: db.execute(DESCRIBED, (wanted,)).fetchall(), _NO_ROWS)
        found: dict[str, list[Entry]] = {}
        for row in sorted(rows, key=_row_number, reverse=True):
            if (entry := self._entry(row, with_value=False)) is not None:
                found.setdefault(entry.key, []).append(entry)
        return found

    def load(self, entry: Entry) -> bytes | None:
        """The encoded value of an entry; None when it is lost or damaged, and then the entry is dropped."""
        if entry.value is not None:
            return entry.value
        query = "SELECT blob, checksum FROM entries WHERE key = ? AND variant = ?"
        which = (entry.key, entry.version.variant)
        blob, checksum = self._read(lambda db: db.execute(query, which).fetchone(), None) or (None, None)
        data = None if blob is None else self._blobs.read(blob)
        if data is None or xxhash.xxh3_64_digest(data) != checksum:
            self._drop(entry.key, entry.version.variant, "its file is missing or damaged")
            return None
        return data

    def set_many(self, entries: Sequence[Entry]) -> bool:
        """Keep the entries; what several threads bring at once shares one transaction."""
        if not entries:
            return True
        try:
            batch = self._batch(entries)
        except (OSError, WorkspaceError) as error:
            self._refused(error)
            return False
        self._waiting.append(batch)
        with self._database.commit_lock:
            if not batch.done:
                self._commit_waiting()
        return batch.kept

    def set_outputs(self, entry: Entry, outputs: Mapping[str, str]) -> None:
        """Note the fingerprints of the datasets saved from the entry's value."""
        query = "UPDATE entries SET outputs = ? WHERE key = ? AND variant = ?"
        values = (dump(outputs), entry.key, entry.version.variant)
        self._write(lambda db: db.execute(query, values).rowcount, 0)

    def discard(self, entries: Sequence[Entry]) -> None:
        """Drop these entries, and no other version under their keys."""
        for entry in entries:
            self._delete("key = ? AND variant = ?", (entry.key, entry.version.variant))

    def delete(
        self,
        *,
        keys: Iterable[str] | None = None,
        task: str | None = None,
        kind: str | None = None,
        expired_before: float | None = None,
    ) -> int:
        """Delete the entries that meet every condition given, all of them without one; how many they were."""
        conditions: dict[str, Any] = {
            "key IN (SELECT value FROM json_each(?))": None if keys is None else dump_keys(list(keys)),
            "variant IN (SELECT variant FROM variants WHERE task = ?)": task,
            "variant IN (SELECT variant FROM variants WHERE kind = ?)": kind,
            "expires_at <= ?": expired_before,
        }
        given = {condition: value for condition, value in conditions.items() if value is not None}
        count = self._delete(" AND ".join(given) or "1", tuple(given.values()))
        if count:
            self._sweep()
        return count

    def recent(self, task: str, limit: int) -> list[Entry]:
        """The newest entries of a task, without their values."""
        rows = self._read(lambda db: db.execute(RECENT, (task, limit)).fetchall(), _NO_ROWS)
        return [entry for row in rows if (entry := self._entry(row, with_value=False)) is not None]

    def stats(self, now: float) -> StoreStats:
        """What the store holds; what expired before `now` (Unix seconds) is counted as expired."""
        rows = self._read(lambda db: db.execute(STATS, (now,)).fetchall(), _NO_ROWS)
        tasks = (
            TaskStats(task=task, kind=kind, entries=entries, size_bytes=size, expired=expired)
            for task, kind, entries, size, expired in rows
        )
        return StoreStats(place=str(self.folder), tasks=tuple(tasks), disk_bytes=disk_bytes(self.folder))

    def close(self) -> None:
        """Let go of the file; the store opens it again when it is used again."""
        self._database.close()

    def _rows(self, keys: list[str]) -> list[tuple[Any, ...]]:
        """The rows under the keys, newest first."""
        query, values = (ONE, keys) if len(keys) == 1 else (MANY, [dump_keys(keys)])
        rows = self._read(lambda db: db.execute(query, values).fetchall(), _NO_ROWS)
        if len(rows) > 1:
            # Not in SQL: its sorter would copy the values.
            rows.sort(key=_row_number, reverse=True)
        return rows

    def _entry(self, row: tuple[Any, ...], *, with_value: bool = True) -> Entry | None:
        """The entry in a row; None, and the row is dropped, when it is damaged or of another make."""
        key, variant, codec, value, size, created, expires, parts, outputs, blob, checksum, _ = row
        try:
            if with_value and blob is None and xxhash.xxh3_64_digest(value) != checksum:
                raise ValueError("its value is not what was written")
            version = self._versions.get(variant) or self._read_version(variant)
            return Entry(
                key, version, codec, value, size, created, expires,
                NOTHING if parts is None else orjson.loads(parts),
                NOTHING if outputs is None else orjson.loads(outputs),
            )  # fmt: skip
        except (ValueError, TypeError) as error:
            self._drop(key, variant, str(error))
            return None

    def _read_version(self, variant: str) -> Version:
        """Thousands of entries share a version, which is read once; its hash names it, so it stays true."""
        query = "SELECT task, kind, code, parameters_read, code_parts FROM variants WHERE variant = ?"
        row = self._read(lambda db: db.execute(query, (variant,)).fetchone(), None)
        if row is None:
            raise ValueError("what computed it is not known")
        task, kind, code, parameters, parts = row
        version = Version(task, kind, code, orjson.loads(parameters), orjson.loads(parts))
        if version.variant != variant:
            self._write(
                lambda db: db.execute("DELETE FROM variants WHERE variant = ?", (variant,)).rowcount, 0
            )
            raise ValueError("what computed it is not what was written")
        if len(self._versions) >= _VERSIONS_KEPT:
            self._versions.clear()
        self._versions[variant] = version
        return version

    def _batch(self, entries: Sequence[Entry]) -> Batch:
        batch = Batch()
        for entry in entries:
            value = entry.value
            if value is None:
                raise ValueError(f"The entry {entry.key} of {entry.task!r} has no value to keep.")
            checksum, blob = xxhash.xxh3_64_digest(value), None
            if len(value) > self._large_value_bytes:
                ensure_private_dir(self.folder)
                blob = self._blobs.write(value)
            batch.add(entry, blob, checksum)
        return batch

    def _commit_waiting(self) -> None:
        """Commit what all threads brought that wait for the lock; called while holding it."""
        count = len(self._waiting)  # others may append behind this meanwhile
        together, self._waiting[:count] = self._waiting[:count], []
        merged = Batch()
        for batch in together:
            merged.merge(batch)
        kept = False
        try:
            replaced = self._write(lambda db: insert(db, merged), None)
            kept = replaced is not None
            self._blobs.delete(replaced or ())
        finally:
            for batch in together:
                batch.done, batch.kept = True, kept

    def _delete(self, condition: str, values: tuple[Any, ...]) -> int:
        query = f"DELETE FROM entries WHERE {condition} RETURNING blob"  # noqa: S608  # conditions are ours
        rows = self._write(lambda db: db.execute(query, values).fetchall(), _NO_ROWS)
        self._blobs.delete(blob for (blob,) in rows if blob is not None)
        return len(rows)

    def _sweep(self) -> None:
        """Hand space back: orphaned files, versions that no entry has, free pages."""
        query = "DELETE FROM variants WHERE variant NOT IN (SELECT variant FROM entries)"
        self._write(lambda db: db.execute(query).rowcount, 0)
        used = self._read(
            lambda db: db.execute("SELECT blob FROM entries WHERE blob NOTNULL").fetchall(), None
        )
        if used is not None:
            self._blobs.sweep({blob for (blob,) in used})
        try:
            self._database.shrink()
        except StoreUnavailableError as error:
            _log.debug("The store keeps its free pages for now: %s", error)

    def _drop(self, key: str, variant: str, reason: str) -> None:
        known = self._versions.get(variant)
        owner = f"task {known.task!r}" if known is not None else "an unknown task"
        _log.warning("A remembered result of %s is damaged (%s): it is computed again.", owner, reason)
        self._delete("key = ? AND variant = ?", (key, variant))

    def _read(self, action: Callable[[sqlite3.Connection], T], default: T) -> T:
        try:
            return self._database.read(action, default)
        except StoreUnavailableError as error:
            self._tell("read", str(error))
            return default

    def _write(self, action: Callable[[sqlite3.Connection], T], default: T) -> T:
        try:
            written = self._database.write(action)
        except StoreUnavailableError as error:
            self._refused(error)
            return default
        self.full = None
        return written

    def _refused(self, error: Exception) -> None:
        if means_no_room(error.__cause__ or error):
            self.full = str(error)
        self._tell("write" if self.full is None else "full", str(error))

    def _tell(self, purpose: str, reason: str) -> None:
        if purpose not in self._told:
            self._told.add(purpose)
            _log.warning(_WARNINGS[purpose], self.folder, reason)
