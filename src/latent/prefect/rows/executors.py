"""Where rows run, so many at once: on threads for plain functions, on one event loop for async ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from contextvars import copy_context
from heapq import merge
from operator import attrgetter
from threading import Event
from typing import TYPE_CHECKING

from latent.prefect.logs import log_errors
from latent.prefect.rows.ends import Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from latent.prefect.rows.ends import RowEnd
    from latent.prefect.rows.job import Job
    from latent.prefect.rows.work import RowWork

QUICK_OPEN = 4
"""
How many times as many quick rows may be open, begun but not committed.

Otherwise a row keeps its place until it is safe: whatever ends the process then, no more rows than may run at
once are done again. Quick rows would wait for the disk instead of running.
"""

SLOW_SECONDS = 0.002

QUICK_SECONDS = 0.001
"""Rows that together take less than this are taken by a thread at once."""


class BatchHandle:
    """
    Rows that were handed to an executor together, and how many of them are still on their way.

    Args:
        report: Told how rows ended, once they are committed; tells which others ended with them.
    """

    def __init__(
        self,
        work: RowWork,
        jobs: Iterable[Job],
        report: Callable[[Sequence[RowEnd]], Sequence[RowEnd]],
        *,
        span_id: str,
    ) -> None:
        self.work = work
        self.span_id = span_id
        """The span under which calls inside of the rows are traced."""
        self._report = report
        self.context = copy_context()
        """What the rows see of the task run that they belong to."""
        self.totals = Totals()
        """What has become of the rows so far."""
        self.duplicates = Totals()
        """What has become of rows elsewhere that asked for the same."""
        self.jobs = list(jobs)
        self.total = len(self.jobs)
        self.done = Event()
        for job in self.jobs:
            job.handle = self
        if not self.jobs:
            self.done.set()

    def ended(self, ends: Sequence[RowEnd]) -> None:
        """Some of the rows have ended, and are committed."""
        with log_errors("Recording how rows ended"):
            self.duplicates.with_rows(self._report(ends))
        if self.totals.with_rows(ends).counts.total() == self.total:
            self.jobs = []
            self.done.set()


class Executor(ABC):
    """
    Runs the rows of one map in this process.

    A row is open from its beginning to its commit; while it pauses before another attempt, it is not.
    """

    def __init__(self, work: RowWork, concurrency: int) -> None:
        self.work, self.concurrency = work, concurrency
        self._fresh: deque[Job] = deque()
        """Rows that have not begun, in the order of their indices."""
        self._row_seconds = SLOW_SECONDS
        """What a row takes, of late; slow until the first ones have ended."""

    def _enqueue(self, handle: BatchHandle) -> None:
        """Put a batch's rows in line: in the order in which they were mapped, whichever batch comes first."""
        jobs = handle.jobs
        if self._fresh and jobs and jobs[0].index < self._fresh[-1].index:
            self._fresh = deque(merge(self._fresh, jobs, key=attrgetter("index")))
        else:
            self._fresh.extend(jobs)

    @property
    def _open_at_most(self) -> int:
        return self.concurrency if self._row_seconds > QUICK_SECONDS else self.concurrency * QUICK_OPEN

    def _took(self, seconds: float) -> None:
        self._row_seconds += (seconds - self._row_seconds) / 8

    @abstractmethod
    def add(self, handle: BatchHandle) -> None:
        """Run these rows, after those that came before."""

    @abstractmethod
    def committed(self, rows: int) -> None:
        """So many rows that had ended are safe; called on the committer's thread."""


def executor_for(work: RowWork, concurrency: int) -> Executor:
    """The executor that fits the task's function."""
    from latent.prefect.rows.loop_executor import LoopExecutor
    from latent.prefect.rows.thread_executor import ThreadExecutor

    return LoopExecutor(work, concurrency) if work.task.isasync else ThreadExecutor(work, concurrency)
