"""The account of a run's tasks: counts by outcome and a few sums per task, kept while lines pass by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, TypeVar

from latent.tracking.records import SUCCESSFUL

Number = TypeVar("Number", int, float)


@dataclass(slots=True)
class TaskSummary:
    """What is known of all calls of one task in one run."""

    name: str
    calls: int = 0
    """Each row of a map is one, whether or not it shared a task run with others."""
    lines: int = 0
    """Lines of the table of tasks that tell of them."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """Calls by outcome."""
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
    cost_usd: float | None = None
    """Sum over the calls that told it; None when none did."""
    first_error: Mapping[str, Any] | None = None

    def add(self, line: Mapping[str, Any]) -> None:
        """Take in one line of the table of tasks."""
        rows = rows_of(line)
        self.calls += sum(rows.values())
        self.lines += 1
        self.outcomes.update(rows)
        self.attempts += line.get("attempts") or 0
        self.hits += rows.get("cached", 0)
        seconds = line.get("duration_seconds") or 0.0
        began_at = line.get("started_at") or 0.0
        self.began_at = min(self.began_at, began_at)
        self.ended_at = max(self.ended_at, began_at + seconds)
        quickest, slowest, total = line.get("row_seconds") or (seconds, seconds, seconds)
        self.duration_seconds += total
        self.min_seconds = quickest if self.min_seconds is None else min(self.min_seconds, quickest)
        self.max_seconds = slowest if self.max_seconds is None else max(self.max_seconds, slowest)
        self.rows_in = _add(self.rows_in, line.get("rows_in"))
        self.rows_out = _add(self.rows_out, line.get("rows_out"))
        self.cost_usd = _add(self.cost_usd, line.get("cost_usd"))
        if self.first_error is None and line.get("error"):
            self.first_error = {k: line["error"].get(k) for k in ("type", "message")}

    @property
    def succeeded(self) -> bool:
        return all(outcome in SUCCESSFUL for outcome, rows in self.outcomes.items() if rows)

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "calls": self.calls,
            "lines": self.lines,
            "outcomes": dict(self.outcomes),
            "attempts": self.attempts,
            "hits": self.hits,
            "duration_seconds": self.duration_seconds,
            "elapsed_seconds": max(self.ended_at - self.began_at, 0.0),
            "min_seconds": self.min_seconds,
            "max_seconds": self.max_seconds,
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "cost_usd": self.cost_usd,
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


def rows_of(line: Mapping[str, Any]) -> Mapping[str, int]:
    """How many calls a line of the table of tasks stands for, by outcome: one, or a bulk of rows."""
    return line.get("row_outcomes") or {line["outcome"]: 1}


def _add(total: Number | None, more: Number | None) -> Number | None:
    return total if more is None else more if total is None else total + more
