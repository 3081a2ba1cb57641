"""Where rows run, so many at once: on threads for plain functions, on one event loop for async ones."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from contextvars import copy_context
from heapq import heappop, heappush
from itertools import count
from threading import Condition, Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from latent.prefect.rows.committer import committer
from latent.prefect.rows.life import Pause, Step, life

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from latent.prefect.rows.ends import RowEnd
    from latent.prefect.rows.job import Job
    from latent.prefect.rows.work import RowWork

IDLE_SECONDS = 2.0
"""A thread without rows ends after this long."""

UNCOMMITTED_PER_WORKER = 4
"""Rows that have ended and are not committed yet, for each row that may run: quick rows wait for the disk."""


class Ticket:
    """
    Rows that were handed to a lane together, and how many of them are still on their way.

    Args:
        report: Told how rows ended, once they are committed.
    """

    def __init__(
        self, work: RowWork, jobs: Iterable[Job], report: Callable[[Sequence[RowEnd]], object]
    ) -> None:
        self.work = work
        self._report = report
        self.context = copy_context()
        """What the rows see of the task run that they belong to."""
        self.counts: Counter[str] = Counter()
        """Rows by outcome, so far."""
        self.jobs = list(jobs)
        self.total = len(self.jobs)
        self.done = Event()
        for job in self.jobs:
            job.ticket = self
        if not self.jobs:
            self.done.set()

    def ended(self, ends: Sequence[RowEnd]) -> None:
        """Some of the rows have ended, and are committed."""
        self._report(ends)
        self.counts.update(end.outcome for end in ends)
        if self.counts.total() == self.total:
            self.jobs = []
            self.done.set()


class Lane(ABC):
    """Runs the rows of one map in this process."""

    def __init__(self, work: RowWork, width: int) -> None:
        self.work, self.width = work, width
        self._uncommitted_at_most = width * UNCOMMITTED_PER_WORKER

    @abstractmethod
    def add(self, ticket: Ticket) -> None:
        """Run these rows, after those that came before."""

    @abstractmethod
    def committed(self, rows: int) -> None:
        """So many rows that had ended are safe; called on the committer's thread."""


class ThreadLane(Lane):
    """Rows of plain functions; a row that pauses gives its thread to another."""

    def __init__(self, work: RowWork, width: int) -> None:
        super().__init__(work, width)
        self._fresh: deque[Job] = deque()
        self._parked: list[tuple[float, int, Job]] = []
        self._order = count()
        self._wake = Condition(Lock())
        self._threads = self._idle = self._uncommitted = 0

    def add(self, ticket: Ticket) -> None:
        with self._wake:
            self._fresh.extend(ticket.jobs)
            self._wake.notify(len(ticket.jobs))
            self._hire()

    def committed(self, rows: int) -> None:
        with self._wake:
            was_full = self._uncommitted >= self._uncommitted_at_most
            self._uncommitted -= rows
            if was_full:
                self._wake.notify(self.width)

    def _hire(self) -> None:
        """One thread more when rows wait and none is free; each that gets a row looks for the next."""
        if self._fresh and not self._idle and self._threads < self.width:
            self._threads += 1
            Thread(target=self._run, name=f"latent-rows-{self._threads}", daemon=True).start()

    def _run(self) -> None:
        while (job := self._take()) is not None:
            self._advance(job)

    def _take(self) -> Job | None:
        """The next row that can go on; None when none came for a while, and then the thread ends."""
        with self._wake:
            while True:
                now = time.monotonic()
                if self._parked and self._parked[0][0] <= now:
                    return heappop(self._parked)[2]
                if self._fresh and self._uncommitted < self._uncommitted_at_most:
                    job = self._fresh.popleft()
                    self._hire()
                    return job
                pause = self._parked[0][0] - now if self._parked else IDLE_SECONDS
                self._idle += 1
                woken = self._wake.wait(min(pause, IDLE_SECONDS))
                self._idle -= 1
                if not (woken or self._fresh or self._parked):
                    self._threads -= 1
                    return None

    def _advance(self, job: Job) -> None:
        """Bring a row as far as it gets without pausing."""
        steps = job.life = job.life or life(self.work, job)
        answer: Any = None
        try:
            while True:
                step = steps.send(answer)
                if isinstance(step, Pause):
                    self._park(job, step.seconds)
                    return
                answer = self.work.admit() if step is Step.ADMIT else self._call(job)
        except StopIteration:
            pass
        except Exception as error:  # not the row's: its memory or limit; the row must end all the same
            self.work.fail(job, error)
        with self._wake:
            self._uncommitted += 1
        committer.put([job])

    def _call(self, job: Job) -> BaseException | None:
        return job.ticket.context.copy().run(self.work.call, job)  # type: ignore[no-any-return]  # a ticket's context

    def _park(self, job: Job, seconds: float) -> None:
        with self._wake:
            heappush(self._parked, (time.monotonic() + seconds, next(self._order), job))
            self._wake.notify()


class LoopLane(Lane):
    """Rows of async functions, each an asyncio task; all lanes of the process share one event loop."""

    def __init__(self, work: RowWork, width: int) -> None:
        super().__init__(work, width)
        self._fresh: deque[Job] = deque()
        self._resumed: deque[asyncio.Future[None]] = deque()
        self._running = self._uncommitted = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = row_loop()

    def add(self, ticket: Ticket) -> None:
        self._loop.call_soon_threadsafe(self._add, ticket)

    def committed(self, rows: int) -> None:
        self._loop.call_soon_threadsafe(self._committed, rows)

    def _add(self, ticket: Ticket) -> None:
        self._fresh.extend(ticket.jobs)
        self._fill()

    def _committed(self, rows: int) -> None:
        self._uncommitted -= rows
        self._fill()

    def _fill(self) -> None:
        """Let as many rows run as may; those that paused come first."""
        while self._running < self.width:
            if self._resumed:
                self._running += 1
                self._resumed.popleft().set_result(None)
            elif self._fresh and self._uncommitted < self._uncommitted_at_most:
                job = self._fresh.popleft()
                self._running += 1
                task = self._loop.create_task(self._drive(job), context=job.ticket.context.copy())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                return

    async def _drive(self, job: Job) -> None:
        steps = life(self.work, job)
        answer: Any = None
        try:
            while True:
                step = steps.send(answer)
                if isinstance(step, Pause):
                    await self._pause(step.seconds)
                    answer = None
                elif step is Step.ADMIT:
                    answer = await self.work.admit_async()
                else:
                    answer = await self.work.call_async(job)
        except StopIteration:
            pass
        except Exception as error:  # not the row's: its memory or limit; the row must end all the same
            self.work.fail(job, error)
        self._uncommitted += 1
        self._running -= 1
        committer.put([job])
        self._fill()

    async def _pause(self, seconds: float) -> None:
        """Give the place to another row meanwhile, and wait for one to be free afterwards."""
        self._running -= 1
        self._fill()
        await asyncio.sleep(seconds)
        place: asyncio.Future[None] = self._loop.create_future()
        self._resumed.append(place)
        self._fill()
        await place


_loop: asyncio.AbstractEventLoop | None = None
_loop_lock = Lock()


def row_loop() -> asyncio.AbstractEventLoop:
    """
    The event loop on which rows of async functions run, started once per process.

    It is the same one for all maps, so that a client that rows share (an HTTP session, say) stays usable:
    such clients belong to the loop that they were first used on.
    """
    global _loop
    with _loop_lock:
        if _loop is None or not _loop.is_running():
            _loop = asyncio.new_event_loop()
            started = Event()
            _loop.call_soon(started.set)
            Thread(target=_loop.run_forever, name="latent-row-loop", daemon=True).start()
            started.wait()
        return _loop


def lane_for(work: RowWork, width: int) -> Lane:
    """The lane that fits the task's function."""
    return LoopLane(work, width) if work.task.isasync else ThreadLane(work, width)
