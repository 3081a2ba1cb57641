"""Rows of plain functions, on as many threads as gain by it."""

from __future__ import annotations

import time
from heapq import heappop, heappush
from itertools import count
from threading import Condition, Lock, Thread
from typing import TYPE_CHECKING, Any

from latent.prefect.rows.committer import committer
from latent.prefect.rows.executors import QUICK_SECONDS, SLOW_SECONDS, Executor
from latent.prefect.rows.life import Sleep, Step, life

if TYPE_CHECKING:
    from latent.prefect.rows.executors import BatchHandle
    from latent.prefect.rows.job import Job
    from latent.prefect.rows.work import RowWork

IDLE_SECONDS = 2.0
"""A thread without rows ends after this long."""

HIRE_SECONDS = 0.005
"""How often is looked whether more threads would gain anything."""
ALL_HIRED_SECONDS = 0.1
"""The same once there are as many as there may be: only fewer could gain anything then."""

BUSY_SHARE = 0.5
"""Rows whose thread computes for less of their time gain by more threads."""

LOOK_AGAIN_SECONDS = 0.5
"""How often many threads on rows that are quicker than slow make room for one that looks how busy it is."""


class ThreadExecutor(Executor):
    """
    Rows of plain functions; a row that pauses gives its thread to another.

    Threads only help rows that wait for something. Those that compute get in each other's way, so there is
    one thread until it is seen to wait; quick rows are taken several at a time.
    """

    def __init__(self, work: RowWork, concurrency: int) -> None:
        super().__init__(work, concurrency)
        self._parked: list[tuple[float, int, Job]] = []
        self._order = count()
        self._wake = Condition(Lock())
        self._threads = self._idle = self._open = self._begun = 0
        self._threads_at_most = concurrency
        self._busy_share = 1.0
        """How much of a row's time its thread computes, as seen while there is one thread only."""
        self._starter: Thread | None = None

    def add(self, handle: BatchHandle) -> None:
        with self._wake:
            self._enqueue(handle)
            if not self._threads:
                self._start_worker()
            self._wake.notify(len(handle.jobs))
            self._see_to_hiring()

    def committed(self, rows: int) -> None:
        with self._wake:
            self._open -= rows
            if self._idle and (self._fresh or self._parked):
                self._wake.notify(rows)

    def _start_worker(self) -> None:
        self._threads += 1
        Thread(target=self._run, name=f"latent-rows-{self._threads}", daemon=True).start()

    def _see_to_hiring(self) -> None:
        if self._starter is None:
            self._starter = Thread(target=self._start_as_needed, name="latent-rows-starter", daemon=True)
            self._starter.start()

    def _start_as_needed(self) -> None:
        """Twice the threads, again and again, while rows wait for something; one where they compute."""
        begun, look_again_at = -1, 0.0
        while True:
            time.sleep(self._seconds_to_next_look())
            with self._wake:
                if not (self._fresh or self._parked):
                    self._starter = None
                    return
                now, stands_still = time.monotonic(), self._begun == begun
                begun = self._begun
                if self._idle or not (self._fresh or self._parked[0][0] <= now):
                    continue
                if stands_still or self._busy_share < BUSY_SHARE:
                    self._threads_at_most = self.concurrency
                    for _ in range(min(max(self._threads, 1), self.concurrency - self._threads)):
                        self._start_worker()
                elif self._threads > 1 and self._row_seconds < SLOW_SECONDS and now >= look_again_at:
                    # Many threads cannot tell rows that wait from rows that get in each other's way; one can.
                    look_again_at = now + LOOK_AGAIN_SECONDS
                    self._threads_at_most = 1

    def _seconds_to_next_look(self) -> float:
        if self._threads >= self.concurrency:
            return ALL_HIRED_SECONDS
        with self._wake:
            if self._fresh or not self._parked:
                return HIRE_SECONDS
            # Nothing can go on before the first pause is over.
            return min(max(self._parked[0][0] - time.monotonic(), HIRE_SECONDS), ALL_HIRED_SECONDS)

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
                now, room = time.monotonic(), self._open_at_most - self._open
                if self._parked and self._parked[0][0] <= now and room > 0:
                    self._open += 1
                    self._begun += 1
                    return [heappop(self._parked)[2]]
                if self._fresh and room > 0:
                    at_once = min(self._at_once(), room, len(self._fresh))
                    self._begun += at_once
                    self._open += at_once
                    return [self._fresh.popleft() for _ in range(at_once)]
                pause = self._parked[0][0] - now if self._parked and room > 0 else IDLE_SECONDS
                self._idle += 1
                woken = self._wake.wait(min(pause, IDLE_SECONDS))
                self._idle -= 1
                if not (woken or self._fresh or self._parked):
                    break
            self._threads -= 1
            return []

    def _at_once(self) -> int:
        """Rows that a thread takes together: so many as take no time worth mentioning."""
        return max(1, min(int(QUICK_SECONDS / self._row_seconds), self.concurrency))

    def _advance(self, job: Job) -> None:
        """Bring a row as far as it gets without pausing."""
        steps = job.life = job.life or life(self.work, job)
        answer: Any = None
        try:
            while True:
                step = steps.send(answer)
                if isinstance(step, Sleep):
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
        error: BaseException | None = job.handle.context.copy().run(self.work.call, job)
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
            self._see_to_hiring()  # many may come back at once, and take longer than the first time
