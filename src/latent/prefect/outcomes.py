"""The account of a run: how many calls of each task ended how, and what they took."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.tracking import TaskRecord


@dataclass(slots=True)
class TaskAccount:
    """All calls of one task in one run."""

    counts: Counter[str] = field(default_factory=Counter)
    """Calls by outcome."""
    began_at: float = inf
    """Unix seconds."""
    ended_at: float = 0.0
    """Unix seconds."""

    @property
    def seconds(self) -> float:
        """From the first call's beginning to the last one's end: what the user waited for the task."""
        return max(self.ended_at - self.began_at, 0.0)


class Outcomes:
    """Counts what became of every call, from any thread; a subflow counts for itself and for its parents."""

    def __init__(self, parent: Outcomes | None = None) -> None:
        self.parent = parent
        self.tasks: dict[str, TaskAccount] = {}
        self._lock = Lock()

    def note(self, record: TaskRecord) -> bool:
        """Take one record into the account; whether it is the first of its task."""
        with self._lock:
            is_first = record.name not in self.tasks
            summary = self.tasks.setdefault(record.name, TaskAccount())
            summary.counts[record.outcome] += 1
            summary.began_at = min(summary.began_at, record.started_at)
            summary.ended_at = max(summary.ended_at, record.started_at + record.duration_seconds)
        if self.parent is not None:
            self.parent.note(record)
        return is_first

    @property
    def counts(self) -> Counter[str]:
        """Calls of all tasks by outcome."""
        with self._lock:
            return sum((summary.counts for summary in self.tasks.values()), Counter())
