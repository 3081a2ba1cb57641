"""The local store: one SQLite file, safe in threads and processes, with large values as files beside it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson
import xxhash

from latent.cache.blobs import Blobs, disk_bytes
from latent.cache.database import Database, StoreUnavailableError
from latent.cache.entry import Entry
from latent.cache.store import VARIANTS_PER_KEY, StoreStats, TaskStats
from latent.config.workspace import ensure_private_dir
from latent.errors import WorkspaceError

T = TypeVar("T")
_log = logging.getLogger("latent.cache")

_COLUMNS = (
    "key, variant, task, kind, codec, value, blob, size_bytes, checksum, created_at, expires_at, code, "
    "parameters_read, key_parts, outputs"
)
_ONE = f"SELECT {_COLUMNS} FROM entries WHERE key = ? ORDER BY id DESC"
_MANY = f"SELECT {_COLUMNS} FROM entries WHERE key IN (SELECT value FROM json_each(?)) ORDER BY id DESC"
_INSERT = f"INSERT INTO entries ({_COLUMNS}) VALUES ({', '.join('?' * 15)})"
_PRESENT = "SELECT id, key, variant, blob FROM entries WHERE key IN (SELECT value FROM json_each(?)) ORDER BY id DESC"

_KEYS_PER_READ = 1_000

_WARNINGS = {
    "read": "Remembered results in %s cannot be read (%s): the work goes on and computes them again.",
    "write": "Results cannot be remembered in %s (%s): the work goes on, but what it computes now is lost when "
    "it ends. Free some space or make the folder writable.",
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
        self._waiting: list[_Batch] = []
        self._code_parts: dict[str, dict[str, str]] = {"": {}}
        self._told: set[str] = set()

    def get_many(self, keys: Iterable[str]) -> dict[str, list[Entry]]:
        """The entries under each key that has any, newest first; damaged ones are dropped."""
        wanted = list(keys)
        found: dict[str, list[Entry]] = {}
        for start in range(0, len(wanted), _KEYS_PER_READ):
            for row in self._rows(wanted[start : start + _KEYS_PER_READ]):
                if (entry := self._entry(row)) is not None:
                    found.setdefault(entry.key, []).append(entry)
        return found

    def load(self, entry: Entry) -> bytes | None:
        """The encoded value of an entry; None when it is lost or damaged, and then the entry is dropped."""
        if entry.value is not None:
            return entry.value
        query = "SELECT blob, checksum FROM entries WHERE key = ? AND variant = ?"
        which = (entry.key, entry.variant)
        blob, checksum = self._read(lambda db: db.execute(query, which).fetchone(), None) or (None, None)
        data = None if blob is None else self._blobs.read(blob)
        if data is None or xxhash.xxh3_64_digest(data) != checksum:
            self._drop(entry.key, entry.task, entry.variant, "its file is missing or damaged")
            return None
        return data

    def set_many(self, entries: Sequence[Entry]) -> bool:
        """Keep the entries; what several threads bring at once shares one transaction."""
        if not entries:
            return True
        try:
            batch = self._batch(entries)
        except (OSError, WorkspaceError) as error:
            self._tell("write", str(error))
            return False
        self._waiting.append(batch)
        with self._database.write_lock:
            if not batch.done:
                self._commit_waiting()
        return batch.kept

    def set_outputs(self, entry: Entry, outputs: Mapping[str, str]) -> None:
        """Note the fingerprints of the datasets saved from the entry's value."""
        query = "UPDATE entries SET outputs = ? WHERE key = ? AND variant = ?"
        values = (_dump(outputs), entry.key, entry.variant)
        self._write(lambda db: db.execute(query, values).rowcount, 0)

    def discard(self, entries: Sequence[Entry]) -> None:
        """Drop these entries, and no other version under their keys."""
        for entry in entries:
            self._delete("key = ? AND variant = ?", (entry.key, entry.variant))

    def delete(
        self,
        *,
        keys: Iterable[str] | None = None,
        task: str | None = None,
        kind: str | None = None,
        expired_before: float | None = None,
    ) -> int:
        """Delete the entries that meet every condition given (all of them when none is); how many they were."""
        conditions: dict[str, Any] = {
            "key IN (SELECT value FROM json_each(?))": None if keys is None else _dump(list(keys)),
            "task = ?": task,
            "kind = ?": kind,
            "expires_at <= ?": expired_before,
        }
        given = {condition: value for condition, value in conditions.items() if value is not None}
        count = self._delete(" AND ".join(given) or "1", tuple(given.values()))
        if count:
            self._sweep()
        return count

    def recent(self, task: str, limit: int) -> list[Entry]:
        """The newest entries of a task, without their values."""
        columns = _COLUMNS.replace(" value,", " NULL,")
        query = f"SELECT {columns} FROM entries WHERE task = ? ORDER BY id DESC LIMIT ?"  # noqa: S608  # ours
        rows = self._read(lambda db: db.execute(query, (task, limit)).fetchall(), [])
        return [
            entry for row in rows if (entry := self._entry((*row[:6], row[6] or "", *row[7:]))) is not None
        ]

    def stats(self, now: float) -> StoreStats:
        """What the store holds; what expired before `now` (Unix seconds) is counted as expired."""
        query = (
            "SELECT task, kind, COUNT(*), SUM(size_bytes), COUNT(CASE WHEN expires_at <= ? THEN 1 END) "
            "FROM entries GROUP BY task, kind ORDER BY task, kind"
        )
        rows = self._read(lambda db: db.execute(query, (now,)).fetchall(), [])
        tasks = (
            TaskStats(task=task, kind=kind, entries=entries, size_bytes=size, expired=expired)
            for task, kind, entries, size, expired in rows
        )
        return StoreStats(place=str(self.folder), tasks=tuple(tasks), disk_bytes=disk_bytes(self.folder))

    def close(self) -> None:
        """Let go of the file; the store opens it again when it is used again."""
        self._database.close()

    def _rows(self, keys: list[str]) -> list[tuple[Any, ...]]:
        if len(keys) == 1:
            return self._read(lambda db: db.execute(_ONE, keys).fetchall(), [])
        return self._read(lambda db: db.execute(_MANY, (_dump(keys),)).fetchall(), [])

    def _entry(self, row: tuple[Any, ...]) -> Entry | None:
        """The entry in a row; None, and the row is dropped, when it is damaged or was written by something else."""
        (key, variant, task, kind, codec, value, blob, size, checksum, created, expires, code, *texts) = row
        try:
            if blob is None and xxhash.xxh3_64_digest(value) != checksum:
                raise ValueError("its value is not what was written")
            parameters, parts, outputs = (orjson.loads(text) if text != "{}" else {} for text in texts)
            return Entry(
                key=key, variant=variant, task=task, kind=kind, codec=codec, value=value, size_bytes=size,
                created_at=created, expires_at=expires, code=code, parameters_read=parameters,
                key_parts=parts, code_parts=self._parts_of(code), outputs=outputs,
            )  # fmt: skip
        except (ValueError, TypeError) as error:
            self._drop(key, task, variant, str(error))
            return None

    def _parts_of(self, code: str) -> dict[str, str]:
        """Thousands of entries share one code, whose parts are read once."""
        if (parts := self._code_parts.get(code)) is None:
            query = "SELECT parts FROM codes WHERE digest = ?"
            row = self._read(lambda db: db.execute(query, (code,)).fetchone(), None)
            parts = self._code_parts[code] = orjson.loads(row[0]) if row else {}
        return parts

    def _batch(self, entries: Sequence[Entry]) -> _Batch:
        batch = _Batch()
        for entry in entries:
            value, blob = entry.value, None
            if value is None:
                raise ValueError(f"The entry {entry.key} of {entry.task!r} has no value to keep.")
            checksum = xxhash.xxh3_64_digest(value)
            if len(value) > self._large_value_bytes:
                ensure_private_dir(self.folder)
                value, blob = None, self._blobs.write(value)
            batch.codes[entry.code] = entry.code_parts
            batch.rows[entry.key, entry.variant] = (
                entry.key, entry.variant, entry.task, entry.kind, entry.codec, value, blob, entry.size_bytes,
                checksum, entry.created_at, entry.expires_at, entry.code, _dump(entry.parameters_read),
                _dump(entry.key_parts), _dump(entry.outputs),
            )  # fmt: skip
        return batch

    def _commit_waiting(self) -> None:
        """Commit what all threads brought that wait for the lock; called while holding it."""
        count = len(self._waiting)  # others may append behind this meanwhile
        together, self._waiting[:count] = self._waiting[:count], []
        merged = _Batch()
        for batch in together:
            merged.rows.update(batch.rows)
            merged.codes.update(batch.codes)
        kept = False
        try:
            replaced = self._write(lambda db: _insert(db, merged), None)
            kept = replaced is not None
            self._blobs.delete(replaced or ())
        finally:
            for batch in together:
                batch.done, batch.kept = True, kept

    def _delete(self, condition: str, values: tuple[Any, ...]) -> int:
        query = f"DELETE FROM entries WHERE {condition} RETURNING blob"  # noqa: S608  # conditions are ours
        rows = self._write(lambda db: db.execute(query, values).fetchall(), [])
        self._blobs.delete(blob for (blob,) in rows if blob is not None)
        return len(rows)

    def _sweep(self) -> None:
        """Hand space back: orphaned files, codes that no entry has, free pages."""
        query = "DELETE FROM codes WHERE digest NOT IN (SELECT code FROM entries)"
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

    def _drop(self, key: str, task: str, variant: str, reason: str) -> None:
        _log.warning("A remembered result of task %r is damaged (%s): it is computed again.", task, reason)
        self._delete("key = ? AND variant = ?", (key, variant))

    def _read(self, action: Callable[[sqlite3.Connection], T], default: T) -> T:
        try:
            return self._database.read(action, default)
        except StoreUnavailableError as error:
            self._tell("read", str(error))
            return default

    def _write(self, action: Callable[[sqlite3.Connection], T], default: T) -> T:
        try:
            return self._database.write(action)
        except StoreUnavailableError as error:
            self._tell("write", str(error))
            return default

    def _tell(self, purpose: str, reason: str) -> None:
        if purpose not in self._told:
            self._told.add(purpose)
            _log.warning(_WARNINGS[purpose], self.folder, reason)


class _Batch:
    """What one call wants kept, and whether it was."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], tuple[Any, ...]] = {}
        self.codes: dict[str, Mapping[str, str]] = {}
        self.done = False
        self.kept = False


def _insert(connection: sqlite3.Connection, batch: _Batch) -> list[str]:
    """Write the rows in place of those they replace; the names of files that nothing needs any more."""
    keys = _dump(list({key for key, _ in batch.rows}))
    stale: list[tuple[int]] = []
    blobs: list[str] = []
    others: dict[str, int] = {}
    for number, key, variant, blob in connection.execute(_PRESENT, (keys,)):
        replaced = (key, variant) in batch.rows
        others[key] = others.get(key, 0) + (not replaced)
        if replaced or others[key] >= VARIANTS_PER_KEY:
            stale.append((number,))
            blobs.extend([blob] if blob is not None else [])
    connection.executemany("DELETE FROM entries WHERE id = ?", stale)
    connection.executemany(_INSERT, batch.rows.values())
    codes = [(digest, _dump(parts)) for digest, parts in batch.codes.items() if parts]
    connection.executemany("INSERT OR IGNORE INTO codes VALUES (?, ?)", codes)
    return blobs


def _dump(value: object) -> str:
    return orjson.dumps(dict(value) if isinstance(value, Mapping) else value).decode()
