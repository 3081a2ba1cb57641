"""Under which key each row of a map is remembered: of thousands of rows, all keys at once."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import xxhash

from latent.cache.code import code_identity
from latent.cache.hashing import stable_hash
from latent.cache.keys import RowKeys
from latent.errors import UnhashableError
from latent.prefect.key import CallKey, call_key, code_with

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from latent.cache.code import CodeFingerprint
    from latent.cache.keys import KeyTable
    from latent.prefect.rows.columns import Columns
    from latent.prefect.run import Run
    from latent.prefect.shared import Shared
    from latent.prefect.tasks import Task


class MapKeys:
    """The keys of one map's rows, where the task remembers at all."""

    def __init__(self, task: Task[..., Any], run: Run, columns: Columns, shared: Shared) -> None:
        self._task, self._run, self._columns, self._shared = task, run, columns, shared
        self._shared_classes: frozenset[type] = frozenset()
        self._by_classes: dict[frozenset[type], CodeFingerprint | None] = {}
        self._quick = self._quick_way()
        self._fallback = code_identity(run.workspace.root)
        self._own = tuple(columns.columns)
        self._table: KeyTable | None = None
        """Of all rows, when they could be made together."""
        self._made: dict[int, CallKey | None] = {}
        """By row, when they were made one by one."""
        self.codes: dict[str, CodeFingerprint] = {}
        """The code of rows with objects of the user's classes, by key: others depend on the task's alone."""

    def of(self, indices: Sequence[int]) -> Sequence[str | None]:
        """The key of each row; None where there is none."""
        if not self._task.remembers_in(self._run):
            return [None] * len(indices)
        if self._quick is not None and not self._made and len(indices) == len(self._columns.rows):
            with suppress(UnhashableError):  # told below, for the row that it is about
                self._table = self._quick.keys(self._columns.in_order, self._fallback)
                self.codes = self._codes_of(self._table.keys)
                return self._table.keys
        keys = {index: self._key(index) for index in indices}
        self._made |= keys
        self.codes |= {key.key: key.code for key in keys.values() if key is not None and key.code is not None}
        return [None if key is None else key.key for key in keys.values()]

    def known(self) -> list[str]:
        """The keys that were made so far."""
        made = [key.key for key in self._made.values() if key is not None]
        return made if self._table is None else self._table.keys

    def call_key(self, index: int) -> CallKey | None:
        """The key of a row with its parts, once `of` was asked for it."""
        if self._table is None:
            return self._made.get(index)
        place = index - self._columns.rows.start
        key = self._table.keys[place]
        return CallKey(key, self._table.parts(place), self.codes.get(key))

    def content_hash(self, index: int) -> str | None:
        """A hash of what the row alone was given; None when it has none: what all rows share names none."""
        key = self.call_key(index)
        if key is None:
            return None
        own = [key.parts[name] for name in self._own if name in key.parts]
        return own[0] if len(own) == 1 else xxhash.xxh3_128_hexdigest("".join(own or key.key).encode())

    def _quick_way(self) -> RowKeys | None:
        """For tasks whose arguments alone make their keys, and are known before the rows begin."""
        task, columns = self._task, self._columns
        if (
            not task.remembers_in(self._run)
            or task.users_key
            or task.inputs
            or columns.have_futures
            or not columns.are_flat
        ):
            return None
        try:
            observed = {name: self._shared.look_at(name, value) for name, value in columns.shared.items()}
        except UnhashableError:
            return None  # `call_key` explains it
        self._shared_classes = frozenset().union(*(classes for _, classes in observed.values()))
        hashes = {name: known for name, (known, _) in observed.items()}
        return RowKeys(task.name, list(columns.columns), hashes)

    def _codes_of(self, keys: Sequence[str]) -> dict[str, CodeFingerprint]:
        """The code of all rows, whose arguments were just looked at together."""
        found, columns = frozenset(self._fallback.classes), self._columns.in_order
        if not found and not self._shared_classes:
            return {}
        if len(found) < 2 and (not found or any(found.issuperset(map(type, column)) for column in columns)):
            code = self._code(found)  # the same for all rows
            return {} if code is None else dict.fromkeys(keys, code)
        codes = {}
        for key, *values in zip(keys, *columns, strict=True):
            if (code := self._code(self._classes_in(values))) is not None:
                codes[key] = code
        return codes

    def _classes_in(self, values: Iterable[Any]) -> frozenset[type]:
        self._fallback.classes.clear()
        for value in values:
            stable_hash(value, self._fallback)
        return frozenset(self._fallback.classes)

    def _code(self, classes: frozenset[type]) -> CodeFingerprint | None:
        if classes not in self._by_classes:
            self._by_classes[classes] = code_with(self._task, self._run, classes | self._shared_classes)
        return self._by_classes[classes]

    def _key(self, index: int) -> CallKey | None:
        if self._quick is not None:
            with suppress(UnhashableError):  # told below, with the argument's name
                self._fallback.classes.clear()
                key, parts = self._quick.key(self._columns.values(index), self._fallback)
                return CallKey(key, parts, self._code(frozenset(self._fallback.classes)))
        return call_key(self._task, self._run, self._columns.ready(index), self._shared)
