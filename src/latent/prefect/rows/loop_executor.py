"""Rows of async functions, on one event loop for all maps of the process."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from latent.files.forks import after_fork
from latent.prefect.rows.committer import committer
from latent.prefect.rows.executors import Executor
from latent.prefect.rows.life import Sleep, Step, life

if TYPE_CHECKING:
    from latent.prefect.rows.executors import BatchHandle
    from latent.prefect.rows.job import Job
    from latent.prefect.rows.work import RowWork


class LoopExecutor(Executor):
    """Rows of async functions, each an asyncio task; all executors of the process share one event loop."""

    def __init__(self, work: RowWork, concurrency: int) -> None:
        super().__init__(work, concurrency)
        self._resumed: deque[asyncio.Future[None]] = deque()
        self._running = self._uncommitted = 0
        self._fills_soon = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = row_loop()

    def add(self, handle: BatchHandle) -> None:
        self._loop.call_soon_threadsafe(self._add, handle)

    def committed(self, rows: int) -> None:
        self._loop.call_soon_threadsafe(self._committed, rows)

    def _add(self, handle: BatchHandle) -> None:
        self._enqueue(handle)
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
        while self._resumed and self._free() > 0:
            self._running += 1
            self._resumed.popleft().set_result(None)
        room = min(self._free(), len(self._fresh))
        if room <= 0:
            return
        jobs = [self._fresh.popleft() for _ in range(room)]
        self._running += room
        self.work.prepare(jobs)
        for job in jobs:
            task = self._loop.create_task(self._drive(job), context=job.handle.context.copy())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _free(self) -> int:
        return min(self.concurrency - self._running, self._open_at_most - self._running - self._uncommitted)

    async def _drive(self, job: Job) -> None:
        steps = life(self.work, job)
        answer: Any = None
        try:
            while True:
                step = steps.send(answer)
                if isinstance(step, Sleep):
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
        place: asyncio.Future[None] = self._loop.create_future()
        try:
            await asyncio.sleep(seconds)
            self._resumed.append(place)
            self._fill_soon()
            await place
        except BaseException:  # cancelled: the row goes to its end as if it had a place
            if place in self._resumed:
                self._resumed.remove(place)
            if place.cancelled() or not place.done():
                self._running += 1
            raise


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


def _reset_after_fork() -> None:
    """In a forked child: the loop says that it runs, but its thread is the parent's."""
    global _loop, _loop_lock
    _loop, _loop_lock = None, Lock()


after_fork(_reset_after_fork)
