"""Where rows run, so many at once: on threads for plain functions, on one event loop for async ones."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from contextvars import copy_context
from heapq import heappop, heappush
from itertools import count
from threading import Condition, Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from latent.prefect.logs import harmless
from latent.prefect.rows.committer import committer
from latent.prefect.rows.ends import Totals
from latent.prefect.rows.life import Pause, Step, life

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from latent.prefect.rows.ends import RowEnd
    from latent.prefect.rows.job import Job
    from latent.prefect.rows.work import RowWork

IDLE_SECONDS = 2.0
"""A thread without rows ends after this long."""

QUICK_OPEN = 4
"""
How many times as many quick rows may be open, begun but not committed.

Otherwise a row keeps its place until it is safe: whatever ends the process then, no more rows than may run at
once are done again. Quick rows would wait for the disk instead of running.
"""


HIRE_SECONDS = 0.005
BUSY_SHARE = 0.5
"""Rows whose thread computes for less of their time gain by more threads."""

SLOW_SECONDS = 0.002
LOOK_AGAIN_SECONDS = 0.5
"""How often many threads on rows that are quicker than slow make room for one that looks how busy it is."""

QUICK_SECONDS = 0.001
"""Rows that together take less than this are taken by a thread at once."""


class Ticket:
    """
    Rows that were handed to a lane together, and how many of them are still on their way.

    Args:
        report: Told how rows ended, once they are committed.
    """

    def __init__(
        self,
        work: RowWork,
        jobs: Iterable[Job],
        report: Callable[[Sequence[RowEnd]], object],
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
        self.jobs = list(jobs)
        self.total = len(self.jobs)
        self.done = Event()
        for job in self.jobs:
            job.ticket = self
        if not self.jobs:
            self.done.set()

    def ended(self, ends: Sequence[RowEnd]) -> None:
        """Some of the rows have ended, and are committed."""
        with harmless("Recording how rows ended"):
            self._report(ends)
        if self.totals.with_rows(ends).counts.total() == self.total:
            self.jobs = []
            self.done.set()


class Lane(ABC):
    """
    Runs the rows of one map in this process.

    A row is open from its beginning to its commit; while it pauses before another attempt, it is not.
    """

    def __init__(self, work: RowWork, width: int) -> None:
        self.work, self.width = work, width
        self._row_seconds = SLOW_SECONDS
        """What a row takes, of late; slow until the first ones have ended."""

    @property
    def _open_at_most(self) -> int:
        return self.width if self._row_seconds > QUICK_SECONDS else self.width * QUICK_OPEN

    def _took(self, seconds: float) -> None:
        self._row_seconds += (seconds - self._row_seconds) / 8

    @abstractmethod
    def add(self, ticket: Ticket) -> None:
        """Run these rows, after those that came before."""

    @abstractmethod
    def committed(self, rows: int) -> None:
        """So many rows that had ended are safe; called on the committer's thread."""


class ThreadLane(Lane):
    """
    Rows of plain functions; a row that pauses gives its thread to another.

    Threads only help rows that wait for something. Those that compute get in each other's way, so there is
    one thread until it is seen to wait; quick rows are taken several at a time.
    """

    def __init__(self, work: RowWork, width: int) -> None:
        super().__init__(work, width)
        self._fresh: deque[Job] = deque()
        self._parked: list[tuple[float, int, Job]] = []
        self._order = count()
        self._wake = Condition(Lock())
        self._threads = self._idle = self._open = self._begun = 0
        self._threads_at_most = width
        self._busy_share = 1.0
        """How much of a row's time its thread computes, as seen while there is one thread only."""
        self._hirer: Thread | None = None

    def add(self, ticket: Ticket) -> None:
        with self._wake:
            self._fresh.extend(ticket.jobs)
            if not self._threads:
                self._hire()
            self._wake.notify(len(ticket.jobs))
            if self._hirer is None:
                self._hirer = Thread(target=self._hire_as_needed, name="latent-rows-hirer", daemon=True)
                self._hirer.start()

    def committed(self, rows: int) -> None:
        with self._wake:
            self._open -= rows
            if self._fresh and self._idle:
                self._wake.notify(rows)

    def _hire(self) -> None:
        self._threads += 1
        Thread(target=self._run, name=f"latent-rows-{self._threads}", daemon=True).start()

    def _hire_as_needed(self) -> None:
        """Twice the threads, again and again, while rows wait for something; one where they compute."""
        begun, look_again_at = -1, 0.0
        while True:
            time.sleep(HIRE_SECONDS)
            with self._wake:
                if not self._fresh:
                    self._hirer = None
                    return
                now, stands_still = time.monotonic(), self._begun == begun
                begun = self._begun
                if self._idle:
                    continue
                if stands_still or self._busy_share < BUSY_SHARE:
                    self._threads_at_most = self.width
                    for _ in range(min(max(self._threads, 1), self.width - self._threads)):
                        self._hire()
                elif self._threads > 1 and self._row_seconds < SLOW_SECONDS and now >= look_again_at:
                    # Many threads cannot tell rows that wait from rows that get in each other's way; one can.
                    look_again_at = now + LOOK_AGAIN_SECONDS
                    self._threads_at_most = 1

    def _run(self) -> None:
        while jobs := self._take():
            if not jobs[0].life:
                self.work.prepare(jobs)
            for job in jobs:
                self._advance(job)

    def _take(self) -> list[Job]:
        """The next rows that can go on; none when none came for a while, and then the thread ends."""
        with self._wake:
            while self._threads <= self._threads_at_most:
                now = time.monotonic()
                if self._parked and self._parked[0][0] <= now:
                    self._open += 1
                    return [heappop(self._parked)[2]]
                room = self._open_at_most - self._open
                if self._fresh and room > 0:
                    at_once = min(self._at_once(), room, len(self._fresh))
                    self._begun += at_once
                    self._open += at_once
                    return [self._fresh.popleft() for _ in range(at_once)]
                pause = self._parked[0][0] - now if self._parked else IDLE_SECONDS
                self._idle += 1
                woken = self._wake.wait(min(pause, IDLE_SECONDS))
                self._idle -= 1
                if not (woken or self._fresh or self._parked):
                    break
            self._threads -= 1
            return []

    def _at_once(self) -> int:
        """Rows that a thread takes together: so many as take no time worth mentioning."""
        return max(1, min(int(QUICK_SECONDS / self._row_seconds), self.width))

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
        committer.put(job)

    def _call(self, job: Job) -> BaseException | None:
        began, computed = time.perf_counter(), time.thread_time()
        error: BaseException | None = job.ticket.context.copy().run(self.work.call, job)
        seconds, computed = time.perf_counter() - began, time.thread_time() - computed
        self._took(seconds)
        if self._threads == 1:
            self._busy_share += (min(computed / max(seconds, 1e-9), 1.0) - self._busy_share) / 8
        return error

    def _park(self, job: Job, seconds: float) -> None:
        with self._wake:
            self._open -= 1
            heappush(self._parked, (time.monotonic() + seconds, next(self._order), job))
            self._wake.notify()


class LoopLane(Lane):
    """Rows of async functions, each an asyncio task; all lanes of the process share one event loop."""

    def __init__(self, work: RowWork, width: int) -> None:
        super().__init__(work, width)
        self._fresh: deque[Job] = deque()
        self._resumed: deque[asyncio.Future[None]] = deque()
        self._running = self._uncommitted = 0
        self._fills_soon = False
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
        self._fill_soon()

    def _fill_soon(self) -> None:
        """Once for all rows that end in the same round of the event loop."""
        if not self._fills_soon:
            self._fills_soon = True
            self._loop.call_soon(self._fill)

    def _fill(self) -> None:
        """Let as many rows run as may; those that paused come first."""
        self._fills_soon = False
        while self._resumed and self._running < self.width:
            self._running += 1
            self._resumed.popleft().set_result(None)
        free = min(self.width - self._running, self._open_at_most - self._running - self._uncommitted)
        room = min(free, len(self._fresh))
        if room <= 0:
            return
        jobs = [self._fresh.popleft() for _ in range(room)]
        self._running += room
        self.work.prepare(jobs)
        for job in jobs:
            task = self._loop.create_task(self._drive(job), context=job.ticket.context.copy())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

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
                    began = time.perf_counter()
                    answer = await self.work.call_async(job)
                    self._took(time.perf_counter() - began)
        except StopIteration:
            pass
        except (Exception, asyncio.CancelledError) as error:
            # Not the row's: its memory or limit, or a cancelled asyncio task. The row ends all the same.
            self.work.fail(job, error)
        self._uncommitted += 1
        self._running -= 1
        committer.put(job)
        self._fill_soon()

    async def _pause(self, seconds: float) -> None:
        """Give the place to another row meanwhile, and wait for one to be free afterwards."""
        self._running -= 1
        self._fill_soon()
        await asyncio.sleep(seconds)
        place: asyncio.Future[None] = self._loop.create_future()
        self._resumed.append(place)
        self._fill_soon()
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
