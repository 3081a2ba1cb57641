"""
The limit worker: the one thread of a process that talks to the limit store.

Calls never touch the file. They wait, or hand their slots to one another; this thread goes to the file for
all of them, when there is a reason to.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from typing import Protocol

from latent.files.forks import after_fork

_log = logging.getLogger("latent.limits")

_GOODBYE_SECONDS = 0.5


class Served(Protocol):
    """What the thread serves: a limit."""

    @property
    def due(self) -> float:
        """When it wants to be served next, on the monotonic clock."""

    def serve(self) -> None:
        """Do what is due, and set `due` again."""

    def trouble(self) -> None:
        """`serve` raised: set `due` again."""

    def close(self) -> None:
        """The process ends: give everything back."""


class LimitWorker(threading.Thread):
    """The thread: serves each limit when it is due."""

    def __init__(self) -> None:
        super().__init__(name="latent-limits", daemon=True)
        self._changed = threading.Condition()
        self._limits: list[Served] = []
        self._wakes_at = float("-inf")
        self._is_over = False

    def add(self, limit: Served) -> None:
        """Serve one more limit."""
        with self._changed:
            self._limits.append(limit)

    def hurry(self, due: float) -> None:
        """Wake up in time for `due`; does nothing while the thread is up, since it looks before it sleeps."""
        if due < self._wakes_at:
            with self._changed:
                self._changed.notify()

    def run(self) -> None:
        while not self._is_over:
            for limit in self._await_due():
                try:
                    limit.serve()
                except Exception:  # one limit's trouble must not stop the others
                    _log.exception("A limit could not be served; it is tried again.")
                    limit.trouble()
        for limit in list(self._limits):
            limit.close()

    def stop(self) -> None:
        """Give everything back; for the end of the process."""
        with self._changed:
            self._is_over = True
            self._changed.notify()
        self.join(_GOODBYE_SECONDS)

    def _await_due(self) -> list[Served]:
        with self._changed:
            while not self._is_over:
                now = time.monotonic()
                # Said first: what becomes due from here on either is seen below or wakes the thread.
                self._wakes_at = float("inf")
                soonest = min((limit.due for limit in self._limits), default=float("inf"))
                if soonest <= now:
                    break
                self._wakes_at = soonest
                self._changed.wait(None if soonest == float("inf") else soonest - now)
            self._wakes_at = float("-inf")
            now = time.monotonic()
            return [limit for limit in self._limits if limit.due <= now]


_worker: LimitWorker | None = None
_worker_lock = threading.Lock()


def limit_worker() -> LimitWorker:
    """The thread of this process, started when it is first needed."""
    global _worker
    if _worker is None:
        with _worker_lock:
            if _worker is None:
                started = LimitWorker()
                started.start()
                _worker = started
    return _worker


def _say_goodbye() -> None:
    if _worker is not None:
        _worker.stop()


def _reset_after_fork() -> None:
    # A forked child has no such thread.
    global _worker, _worker_lock
    _worker, _worker_lock = None, threading.Lock()


atexit.register(_say_goodbye)
after_fork(_reset_after_fork)
