"""
The way from the hot path to disk: callers append to a queue, one thread of the process writes.

A caller pays for an append and at most one wake-up. The thread gathers for a moment, so that ten thousand
rows become a few writes. It is a daemon: what is left when the interpreter ends is written within a bound.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from latent.files.forks import after_fork

logger = logging.getLogger("latent.tracking")

_GATHER_SECONDS = 0.03
_TICK_SECONDS = 1.0
_EXIT_SECONDS = 5.0


class Sink(Protocol):
    """The owner of queued items: gets them back in order, in batches, on the spool's thread."""

    def write(self, items: Sequence[Any]) -> None:
        """Take what was queued since the last time."""

    def tick(self) -> bool:
        """Called about once a second; False once there is nothing left to look after."""


class Spool:
    """A queue with one writing thread, shared by all runs of a process."""

    def __init__(self) -> None:
        self._queue: deque[tuple[Sink | None, Any]] = deque()
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._asleep = False
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._sinks: list[Sink] = []

    def put(self, sink: Sink, item: Any) -> None:
        """Queue `item` for `sink`; returns in about a microsecond."""
        self._queue.append((sink, item))
        if self._asleep:
            self._wake.set()

    def attach(self, sink: Sink) -> None:
        """Tick `sink` until it says that it is done; starts the thread when there is none."""
        with self._lock:
            self._sinks.append(sink)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="latent-spool", daemon=True)
                self._thread.start()
        self._wake.set()

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until everything queued so far has been handed to its sink; False after the timeout."""
        if self._thread is None or not self._thread.is_alive():
            return not self._queue
        written = threading.Event()
        self._queue.append((None, written))
        self._hurry.set()
        self._wake.set()
        return written.wait(timeout_seconds)

    def _run(self) -> None:
        ticked = time.monotonic()
        while True:
            self._asleep = True
            # Looked at after saying so: what was put before is seen here, what is put after wakes us.
            if not self._queue:
                self._wake.wait(_TICK_SECONDS if self._sinks else None)
            self._asleep = False
            self._wake.clear()
            if self._queue:
                self._hurry.wait(_GATHER_SECONDS)
                self._hurry.clear()
                self._drain()
            if time.monotonic() - ticked >= _TICK_SECONDS:
                self._tick()
                ticked = time.monotonic()

    def _drain(self) -> None:
        batches: dict[Sink, list[Any]] = {}
        flushes: list[threading.Event] = []
        for _ in range(len(self._queue)):
            sink, item = self._queue.popleft()
            if sink is None:
                flushes.append(item)
            else:
                batches.setdefault(sink, []).append(item)
        for sink, items in batches.items():
            _guarded(sink.write, items)
        for flush in flushes:
            flush.set()

    def _tick(self) -> None:
        with self._lock:
            sinks = list(self._sinks)
        done = [sink for sink in sinks if not _guarded(sink.tick)]
        with self._lock:
            self._sinks = [sink for sink in self._sinks if sink not in done]


def _guarded(call: Any, *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except Exception:  # a defect in tracking must not end the thread that all runs share
        logger.exception("Tracking failed on one batch; the run goes on.")
        return True


spool = Spool()


def _flush_at_exit() -> None:
    spool.flush(_EXIT_SECONDS)


def _start_over() -> None:
    # A forked child has the queue but not the thread, and its parent writes what is queued.
    spool.__init__()  # type: ignore[misc]  # the object stays the same: others hold references to it


atexit.register(_flush_at_exit)
after_fork(_start_over)
