"""The account of a run: how many calls of each task ended how, and what they took."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from threading import Lock
from typing import TYPE_CHECKING

from latent.prefect.usage import ServiceAccount, merged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from latent.tracking import TaskRecord


@dataclass(slots=True)
class TaskAccount:
    """All calls of one task in one run; a row is a call."""

    counts: Counter[str] = field(default_factory=Counter)
    """Finished calls by outcome."""
    planned: int = 0
    """Rows that were mapped so far, finished or not; 0 for a task that was never mapped."""
    running: int = 0
    """Calls that have begun and not ended."""
    retried: int = 0
    """Further attempts after a failed one."""
    left_out: int = 0
    """Skipped rows that `--only-failed` left out: they were not asked for, so the map did not stop."""
    cost_usd: float | None = None
    """None while no call has told what it cost: unknown is not free."""
    stopped_by: str | None = None
    """Why a map of the task ended before all of its rows had begun."""
    began_at: float = inf
    """Unix seconds."""
    ended_at: float = 0.0
    """Unix seconds."""

    @property
    def seconds(self) -> float:
        """From the first call's beginning to the last one's end: what the user waited for the task."""
        return max(self.ended_at - self.began_at, 0.0)


class Outcomes:
    """Counts what becomes of every call, from any thread; a subflow counts for itself and for its parents."""

    def __init__(self, parent: Outcomes | None = None) -> None:
        self.parent = parent
        self.tasks: dict[str, TaskAccount] = {}
        self.services: dict[str, ServiceAccount] = {}
        """What was used of paid services, by name: models above all."""
        self.unkept = 0
        """Results that the memory could not take any more: a full disk, say."""
        self._lock = Lock()

    def note(self, record: TaskRecord) -> bool:
        """Take one record into the account; whether it is the first of its task."""
        counts = record.row_outcomes or {record.outcome: 1}
        return self.finished(
            record.name, counts, record.started_at, record.started_at + record.duration_seconds
        )

    def finished(self, task: str, counts: Mapping[str, int], began_at: float, ended_at: float) -> bool:
        """Calls of a task have ended, in Unix seconds; whether they are the first of it to end."""
        with self._lock:
            account = self.tasks.setdefault(task, TaskAccount())
            is_first = not account.counts
            account.counts.update(counts)
            account.began_at = min(account.began_at, began_at)
            account.ended_at = max(account.ended_at, ended_at)
        if self.parent is not None:
            self.parent.finished(task, counts, began_at, ended_at)
        return is_first

    def progressed(
        self, task: str, *, planned: int = 0, running: int = 0, retried: int = 0, left_out: int = 0
    ) -> None:
        """Add to what is known of a task's calls; `running` may be negative."""
        with self._lock:
            account = self.tasks.setdefault(task, TaskAccount())
            account.planned += planned
            account.running += running
            account.retried += retried
            account.left_out += left_out
        if self.parent is not None:
            self.parent.progressed(task, planned=planned, running=running, retried=retried, left_out=left_out)

    def stopped(self, task: str, reason: str) -> None:
        """Note why rows of a task were not begun; the first reason counts."""
        with self._lock:
            account = self.tasks.setdefault(task, TaskAccount())
            account.stopped_by = account.stopped_by or reason
        if self.parent is not None:
            self.parent.stopped(task, reason)

    def spent(self, task: str, cost_usd: float) -> None:
        """Add to what a task's calls cost."""
        with self._lock:
            account = self.tasks.setdefault(task, TaskAccount())
            account.cost_usd = (account.cost_usd or 0.0) + cost_usd
        if self.parent is not None:
            self.parent.spent(task, cost_usd)

    def lost(self, results: int) -> None:
        """Count results that were not remembered though they should have been."""
        with self._lock:
            self.unkept += results
        if self.parent is not None:
            self.parent.lost(results)

    def used(self, services: Mapping[str, ServiceAccount]) -> None:
        """Add to what was used of paid services."""
        with self._lock:
            merged(self.services, services)
        if self.parent is not None:
            self.parent.used(services)

    @property
    def counts(self) -> Counter[str]:
        """Calls of all tasks by outcome."""
        with self._lock:
            return sum((account.counts for account in self.tasks.values()), Counter())
