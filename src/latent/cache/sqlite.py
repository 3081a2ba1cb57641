"""The local store: one SQLite file, safe in threads and processes, with large values as files beside it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import orjson
import xxhash

from latent.cache.blobs import Blobs, disk_bytes
from latent.cache.database import Database, StoreUnavailableError
from latent.cache.entry import NOTHING, Entry, Version
from latent.cache.rows import DESCRIBED, MANY, ONE, RECENT, STATS, Batch, dump, dump_keys, insert
from latent.cache.schema import means_no_room
from latent.cache.store import StoreStats, TaskStats
from latent.config.workspace import ensure_private_dir
from latent.errors import WorkspaceError

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
