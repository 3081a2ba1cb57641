"""The account of a run's tasks: counts by outcome and a few sums per task, kept while lines pass by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from latent.tracking.records import SUCCESSFUL


@dataclass(slots=True)
class TaskSummary:
    """What is known of all calls of one task in one run."""

    name: str
    calls: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    """Rows by outcome; a call that was not mapped is one row."""
    attempts: int = 0
    hits: int = 0
    duration_seconds: float = 0.0
    """Sum over the calls: concurrent ones add up to more than the run took."""
    began_at: float = inf
    ended_at: float = 0.0
    min_seconds: float | None = None
    max_seconds: float | None = None
    rows_in: int | None = None
    """Sum over the calls that could tell; None when none could."""
    rows_out: int | None = None
    first_error: Mapping[str, Any] | None = None

    def add(self, line: Mapping[str, Any]) -> None:
        """Take in one line of the table of tasks."""
        self.calls += 1
        rows = line.get("row_outcomes") or {line["outcome"]: 1}
        self.outcomes.update(rows)
        self.attempts += line.get("attempts") or 0
        self.hits += rows.get("cached", 0)
        seconds = line.get("duration_seconds") or 0.0
        self.duration_seconds += seconds
        began_at = line.get("started_at") or 0.0
        self.began_at = min(self.began_at, began_at)
        self.ended_at = max(self.ended_at, began_at + seconds)
        self.min_seconds = seconds if self.min_seconds is None else min(self.min_seconds, seconds)
        self.max_seconds = seconds if self.max_seconds is None else max(self.max_seconds, seconds)
        self.rows_in = _add(self.rows_in, line.get("rows_in"))
        self.rows_out = _add(self.rows_out, line.get("rows_out"))
        if self.first_error is None and line.get("error"):
            self.first_error = {k: line["error"].get(k) for k in ("type", "message")}

    @property
    def succeeded(self) -> bool:
        return all(outcome in SUCCESSFUL for outcome, rows in self.outcomes.items() if rows)

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "calls": self.calls,
            "outcomes": dict(self.outcomes),
            "attempts": self.attempts,
            "hits": self.hits,
            "duration_seconds": self.duration_seconds,
            "elapsed_seconds": max(self.ended_at - self.began_at, 0.0),
            "min_seconds": self.min_seconds,
            "max_seconds": self.max_seconds,
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "status": int(self.succeeded),
            "first_error": self.first_error,
        }


@dataclass(slots=True)
class RunSummary:
    """What is known of all tasks of one run."""

    tasks: dict[str, TaskSummary] = field(default_factory=dict)
    lines: int = 0

    def add(self, line: Mapping[str, Any]) -> TaskSummary:
        self.lines += 1
        name = line["name"]
        task = self.tasks.get(name)
        if task is None:
            task = self.tasks[name] = TaskSummary(name)
        task.add(line)
        return task

    @property
    def outcomes(self) -> dict[str, int]:
        """Rows by outcome, over all tasks."""
        total: Counter[str] = Counter()
        for task in self.tasks.values():
            total.update(task.outcomes)
        return dict(total)

    def as_list(self) -> list[dict[str, Any]]:
        """The tasks in the order in which they first appeared."""
        return [task.as_dict() for task in self.tasks.values()]


def summarize(lines: Iterable[Mapping[str, Any]]) -> RunSummary:
    """The account of a table of tasks."""
    summary = RunSummary()
    for line in lines:
        summary.add(line)
    return summary


def _add(total: int | None, more: int | None) -> int | None:
    return total if more is None else (total or 0) + more
