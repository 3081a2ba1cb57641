"""
Remember what rows return, the moment they return it.

One thread commits for all rows of the process: what comes while it writes shares the next transaction, so a
row that takes a second is safe within a millisecond, and ten thousand quick ones do not wait for the disk
one by one. Only after the commit is a row reported finished and its key given back.
"""

from __future__ import annotations

from collections import deque
from threading import Condition, Thread
from typing import TYPE_CHECKING

from latent.files.forks import after_fork
from latent.prefect.logs import log_errors

if TYPE_CHECKING:
    from latent.prefect.rows.job import Job

IDLE_SECONDS = 5.0
"""The thread ends after this long without work; the next row starts another."""


class Committer:
    """Takes rows that have ended, remembers what is to be remembered, and reports them."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """As if nothing had been put down yet, and without a thread."""
        self._ended: deque[Job] = deque()
        self._wake = Condition()
        self._alive = False
        self._waiting = False

    def put(self, job: Job) -> None:
        """Hand over a row that has ended."""
        self._ended.append(job)
        # Without the lock while the thread is at work: it looks again before it waits.
        if self._waiting or not self._alive:
            self._rouse()

    def _rouse(self) -> None:
        with self._wake:
            if not self._alive:
                self._alive = True
                Thread(target=self._run, name="latent-committer", daemon=True).start()
            self._wake.notify()

    def _run(self) -> None:
        while jobs := self._take():
            for together in _by_work(jobs):
                with log_errors("Reporting rows"):  # one map's trouble must not leave all others without ends
                    together[0].handle.work.finish(together)

    def _take(self) -> list[Job]:
        """All rows that have come; none when nothing came for a while, and then the thread ends."""
        if not self._ended:
            with self._wake:
                self._waiting = True
                if not self._ended:
                    self._wake.wait(IDLE_SECONDS)
                self._alive = bool(self._ended)
                # Last: a thread that puts a row down meanwhile still comes to the lock, and starts a new one.
                self._waiting = False
                if not self._alive:
                    return []
        # Others may append meanwhile.
        return [self._ended.popleft() for _ in range(len(self._ended))]


def _by_work(jobs: list[Job]) -> list[list[Job]]:
    """The rows of each map: two maps may run at once, each with its own memory and records."""
    groups: dict[int, list[Job]] = {}
    for job in jobs:
        groups.setdefault(id(job.handle.work), []).append(job)
    return list(groups.values())


committer = Committer()
"""The one of this process."""

# A child has none of the rows, and no thread: what its parent waits for is its parent's.
after_fork(committer.reset)
