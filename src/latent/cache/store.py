"""What the memory asks of a store, so that a shared one can stand in for the local file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from latent.cache.entry import Entry

VARIANTS_PER_KEY = 8
"""Entries kept under one key: enough to go back and forth between prompts, few enough to stay small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStats:
    """What the store holds of one task."""

    task: str
    kind: str
    entries: int
    size_bytes: int
    expired: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStats:
    """What the store holds, by task."""

    place: str
    """Where the store lies, for people."""
    tasks: tuple[TaskStats, ...]
    disk_bytes: int
    """Space taken on disk, free pages and log included."""

    @property
    def entries(self) -> int:
        return sum(task.entries for task in self.tasks)

    @property
    def size_bytes(self) -> int:
        return sum(task.size_bytes for task in self.tasks)

    @property
    def expired(self) -> int:
        return sum(task.expired for task in self.tasks)


class Store(Protocol):
    """
    Keeps entries under keys; safe in threads and processes.

    A store that cannot be read or written says so once in the log and behaves as if it were empty: paid
    work goes on without its memory.
    """

    full: str | None
    """Why the last write was refused, when for want of room; None otherwise."""

    def get_many(self, keys: Iterable[str]) -> dict[str, list[Entry]]:
        """
        The entries under each key that has any, newest first; damaged ones are dropped.

        A store may leave out `key_parts`, which `describe_many` and `recent` give.
        """
        ...

    def describe_many(self, keys: Iterable[str]) -> dict[str, list[Entry]]:
        """As `get_many`, with what describes the entries and without their values."""
        ...

    def load(self, entry: Entry) -> bytes | None:
        """The encoded value of an entry; None when it is lost or damaged, and then the entry is dropped."""
        ...

    def set_many(self, entries: Sequence[Entry]) -> bool:
        """
        Keep the entries, in place of older ones of the same key and variant.

        Returns after they are committed; False when they could not be kept.
        """
        ...

    def set_outputs(self, entry: Entry, outputs: Mapping[str, str]) -> None:
        """Note the fingerprints of the datasets saved from the entry's value."""
        ...

    def discard(self, entries: Sequence[Entry]) -> None:
        """Drop these entries, and no other version under their keys."""
        ...

    def delete(
        self,
        *,
        keys: Iterable[str] | None = None,
        task: str | None = None,
        kind: str | None = None,
        expired_before: float | None = None,
    ) -> int:
        """Delete the entries that meet every condition given, all of them without one; how many they were."""
        ...

    def recent(self, task: str, limit: int) -> list[Entry]:
        """The newest entries of a task, without their values."""
        ...

    def stats(self, now: float) -> StoreStats:
        """What the store holds; what expired before `now` (Unix seconds) is counted as expired."""
        ...

    def close(self) -> None:
        """Let go of files and connections; the store opens them again when it is used again."""
        ...
