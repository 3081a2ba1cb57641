"""Calls that wait for admission, and in which order they come."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

from latent.errors import LatentError
from latent.limits.stopping import STOP_POLL_SECONDS, is_woken, wake

if TYPE_CHECKING:
    from latent.limits.upstream import SlotPool


class AdmissionStopped(LatentError):  # noqa: N818  # tells of an end that was asked for, not of a failure
    """The `stop` event was set while a call waited for admission; caught by the code that set it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"A call that waited for the limit {self.name!r} was not begun: it was stopped."


class Place(Enum):
    """Where a call is on its way in."""

    QUEUED = "in the queue"
    BOOKED = "holds a slot, and begins when its time comes"
    IN = "under way"
    GONE = "gave up"


HELD_BACK_SECONDS = 0.001
"""A call that waits longer than this for its booked time was held back by the rate."""


class Waiter(ABC):
    """A call on its way in; everything here changes under the limiter's lock only."""

    __slots__ = (
        "asked_at",
        "began_at",
        "departs_at",
        "in_flight",
        "local_queue",
        "place",
        "pool",
        "rate",
        "run_id",
        "start_at",
        "tokens",
    )

    def __init__(self, tokens: int, run_id: str, now: float) -> None:
        self.tokens, self.run_id, self.asked_at = tokens, run_id, now
        self.place = Place.QUEUED
        self.start_at: float | None = None
        """When the call may begin, once it is booked; None where no rate holds."""
        self.departs_at: float | None = None
        """When it may go at last, as far as one can tell, where it was woken late together with others."""
        self.local_queue: object = None
        """Where it asked; a forked child has another."""
        self.began_at = 0.0
        self.in_flight = 0
        """Calls in flight when this one began, itself among them."""
        self.rate: float | None = None
        """Requests per second allowed when it began."""
        self.pool: SlotPool | None = None
        """Where the call holds a slot besides: the limit is shared with other machines."""

    @property
    def was_held_back(self) -> bool:
        """Whether the call had to wait for the rate."""
        return self.start_at is not None and self.start_at - self.asked_at > HELD_BACK_SECONDS

    @abstractmethod
    def wake(self) -> bool:
        """Let the caller go on; False when nobody is there any more to do so."""


class ThreadWaiter(Waiter):
    """A thread that waits."""

    __slots__ = ("_gate",)

    def __init__(self, tokens: int, run_id: str, now: float) -> None:
        super().__init__(tokens, run_id, now)
        self._gate = threading.Lock()
        self._gate.acquire()

    def wake(self) -> bool:
        self._gate.release()
        return True

    def wait(self, stop: threading.Event | None) -> bool:
        """Block until woken (True), or until `stop` is set (False)."""
        if stop is None:
            return self._gate.acquire()
        while not self._gate.acquire(timeout=STOP_POLL_SECONDS):
            if stop.is_set():
                return False
        return True


class TaskWaiter(Waiter):
    """A coroutine that waits on its event loop."""

    __slots__ = ("_future", "_loop")

    def __init__(self, tokens: int, run_id: str, now: float) -> None:
        super().__init__(tokens, run_id, now)
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[bool] = self._loop.create_future()

    def wake(self) -> bool:
        if asyncio._get_running_loop() is self._loop:  # None instead of an error when no loop runs here
            wake(self._future)
            return True
        try:
            self._loop.call_soon_threadsafe(wake, self._future)
        except RuntimeError:  # the loop was closed under the waiter
            return False
        return True

    async def wait(self, stop: threading.Event | None) -> bool:
        """Wait until woken (True), or until `stop` is set (False)."""
        return await is_woken(self._future, stop)


class FairQueue:
    """Waiters in turn: first come, first served within a run, and run by run where several wait."""

    def __init__(self) -> None:
        self._runs: dict[str, deque[Waiter]] = {}
        self._turns: deque[str] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def by_run(self) -> dict[str, int]:
        """How many wait for each run; asked often, so it goes over the runs and not over who waits."""
        return {run: len(line) for run, line in self._runs.items()}

    def append(self, waiter: Waiter) -> None:
        """Put a waiter at the end of its run's line."""
        if (line := self._runs.get(waiter.run_id)) is None:
            line = self._runs[waiter.run_id] = deque()
            self._turns.append(waiter.run_id)
        line.append(waiter)
        self._count += 1

    def pop(self) -> Waiter:
        """Take out whose turn it is."""
        run_id = self._turns.popleft()
        line = self._runs[run_id]
        waiter = line.popleft()
        if line:
            self._turns.append(run_id)
        else:
            del self._runs[run_id]
        self._count -= 1
        return waiter

    def push_back(self, waiter: Waiter) -> None:
        """Put a waiter that was taken out where it came from: it is the next again."""
        if (line := self._runs.get(waiter.run_id)) is None:
            line = self._runs[waiter.run_id] = deque()
        else:
            self._turns.remove(waiter.run_id)
        line.appendleft(waiter)
        self._turns.appendleft(waiter.run_id)
        self._count += 1

    def remove(self, waiter: Waiter) -> None:
        """Take out one that gave up."""
        line = self._runs[waiter.run_id]
        line.remove(waiter)
        if not line:
            del self._runs[waiter.run_id]
            self._turns.remove(waiter.run_id)
        self._count -= 1
