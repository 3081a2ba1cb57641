"""What became of rows: how each ended, and the table that futures wait on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import inf
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from latent.prefect.logs import log_errors

if TYPE_CHECKING:
    from latent.prefect.futures import TaskFuture
    from latent.prefect.usage import ServiceAccount
    from latent.tracking.records import Outcome


class RowEnd(NamedTuple):
    """How one row ended; made by the hundred thousand, and sent back from worker processes."""

    index: int  # type: ignore[assignment]  # the row's, in the place of a tuple's method that nobody needs
    """Position among the mapped rows, from 0."""
    outcome: Outcome
    value: Any = None
    error: Exception | None = None
    """The error that a caller sees, for rows that failed or were skipped."""
    attempts: int = 0
    """0 for a row whose function was never called."""
    started_at: float | None = None
    """Unix seconds of the first attempt; None when there was none."""
    duration_seconds: float = 0.0
    """From the first attempt's start to the last one's end, pauses included."""
    queue_seconds: float = 0.0
    """Time spent waiting for a limit."""
    key: str | None = None
    cost_usd: float | None = None
    """None: not known, which is not free."""
    used: dict[str, ServiceAccount] | None = None
    """What it used of paid services, by name; None: nothing."""


class Totals:
    """What many rows come to together."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """Rows by outcome."""
        self.attempts = 0
        self.cost_usd: float | None = None
        """None: of none of them known."""
        self._ran = 0
        self._least, self._most, self._sum = inf, 0.0, 0.0

    def with_rows(self, ends: Iterable[RowEnd]) -> Totals:
        """These totals with more rows in them."""
        for end in ends:
            self.counts[end.outcome] += 1
            self.attempts += end.attempts
            if end.cost_usd is not None:
                self.cost_usd = (self.cost_usd or 0.0) + end.cost_usd
            if end.attempts:
                self._ran += 1
                self._sum += end.duration_seconds
                self._least = min(self._least, end.duration_seconds)
                self._most = max(self._most, end.duration_seconds)
        return self

    @property
    def row_seconds(self) -> tuple[float, float, float] | None:
        """The shortest, the longest and all rows that ran together, in seconds; None when none ran."""
        return (self._least, self._most, self._sum) if self._ran else None


class RowTable:
    """
    What became of each row of one map; safe in threads.

    Args:
        rows: The rows' indices; in a part of a stream, not from 0.
    """

    def __init__(self, rows: range) -> None:
        self._first = rows.start
        self._ends: list[RowEnd | TaskFuture[Any] | None] = [None] * len(rows)
        self._left = len(rows)
        self._callbacks: dict[int, list[Callable[[], None]]] = {}
        self._lock = Lock()
        self._all_done = Event()
        if not rows:
            self._all_done.set()

    @property
    def left(self) -> int:
        """How many rows have not ended."""
        return self._left

    def end(self, index: int) -> RowEnd | TaskFuture[Any] | None:
        """How a row ended: the future of its own task run where it had one; None while it has not."""
        return self._ends[index - self._first]

    def finish(self, ends: Sequence[RowEnd]) -> None:
        """Enter how rows ended, and tell those who wait for them; the first word on a row counts."""
        with self._lock:
            for end in ends:
                self._enter(end.index, end)
            callbacks = self._due([end.index for end in ends]) if self._callbacks else []
        self._tell(callbacks)

    def finish_run(self, index: int, future: TaskFuture[Any]) -> None:
        """Enter the finished future of a row's own task run."""
        with self._lock:
            self._enter(index, future)
            callbacks = self._due([index])
        self._tell(callbacks)

    def when_done(self, index: int, callback: Callable[[], None]) -> None:
        """Call back once a row has ended; at once when it has."""
        with self._lock:
            if self.end(index) is None:
                self._callbacks.setdefault(index, []).append(callback)
                return
        self._tell([callback])

    def forget(self, index: int, callback: Callable[[], None]) -> None:
        """Do not call back after all."""
        with self._lock:
            waiting = self._callbacks.get(index, [])
            if callback in waiting:
                waiting.remove(callback)

    def wait(self, index: int, timeout_seconds: float | None = None) -> bool:
        """Block until a row has ended; False when the time is over first."""
        if self.end(index) is not None:
            return True
        done = Event()
        self.when_done(index, done.set)
        if not done.wait(timeout_seconds):
            self.forget(index, done.set)
            return False
        return True

    def wait_all(self, timeout_seconds: float | None = None) -> bool:
        """Block until all rows have ended; False when the time is over first."""
        return self._all_done.wait(timeout_seconds)

    @property
    def unfinished(self) -> list[int]:
        """The rows that have not ended."""
        return [index for index, end in enumerate(self._ends, self._first) if end is None]

    def _enter(self, index: int, end: RowEnd | TaskFuture[Any]) -> bool:
        """Whether that is the first word on the row."""
        if self._ends[index - self._first] is not None:
            return False
        self._ends[index - self._first] = end
        self._left -= 1
        return True

    def _due(self, indices: Iterable[int]) -> list[Callable[[], None]]:
        return [callback for index in indices for callback in self._callbacks.pop(index, ())]

    def _tell(self, callbacks: Iterable[Callable[[], None]]) -> None:
        for callback in callbacks:
            with log_errors("A callback of a row's future"):
                callback()
        if not self._left:
            self._all_done.set()
