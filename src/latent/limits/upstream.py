"""
Slots that a limit shares with other machines, taken in blocks and handed over locally.

`Upstream` is where they come from, say a Prefect server. Asking it takes milliseconds, and it tells nobody
when a slot is free, so a `SlotPool` keeps what it was granted while anybody here has use for it: a freed slot
goes to the next waiter at once, and only those that nobody wants are given back.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from latent.limits.stopping import STOP_POLL_SECONDS, is_woken, wake

POLL_SECONDS = 0.2
"""How often an upstream without a free slot is asked again."""

IDLE_SECONDS = 0.5
"""A slot that nobody wanted for so long is given back."""

TURN_SECONDS = 20.0
"""
A share of the slots is given up so often even while there are waiters here.

Upstream keeps no queue, so who never let go would keep others out for the length of a map.
"""

TURN_SHARE = 1 / 8
BREATH_SECONDS = 0.3
"""How long a slot that was given up is left to others: a little more than they take to ask again."""

RENEW_SECONDS = 5.0
CLOSE_SECONDS = 5.0


class Upstream(Protocol):
    """Where slots come from. It is called by one thread at a time, and may take its time."""

    returns_slots: bool
    """False when what is taken is used up, as the requests of a rate are."""

    def take(self, slots: int) -> int:
        """Take up to that many slots, and say how many: 0 when none is free now. Asked again for the rest."""

    def give_back(self, slots: int) -> None:
        """Let others have that many of the slots that were taken."""

    def renew(self) -> None:
        """Say that what is held is still in use; called every few seconds."""

    def close(self) -> None:
        """Give back whatever is held."""


class _Waiter:
    """A waiter for a slot: a thread at its event, or a task of an event loop at its future."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self.wake, self.granted = wake, False


class SlotPool:
    """The slots of one limit that this process holds."""

    def __init__(self, upstream: Upstream, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.upstream = upstream
        self._clock = clock
        self._changed = threading.Condition()
        self._waiters: deque[_Waiter] = deque()
        self._held = self._free = self._returning = self._owed = 0
        self._idle_since = self._ask_at = 0.0
        self._turn_at = self._renew_at = clock()
        self._keeper: threading.Thread | None = None
        self._closed = False

    # -- those who need a slot ---------------------------------------------------------------------------

    def acquire(self, stop: threading.Event | None = None) -> bool:
        """Wait for a slot; False, soon, once `stop` is set."""
        ready = threading.Event()
        waiter = self._join(ready.set)
        try:
            while not ready.wait(STOP_POLL_SECONDS if stop is not None else None):
                if stop is not None and stop.is_set():
                    self._leave(waiter)
                    return False
        except BaseException:  # Ctrl-C while waiting
            self._leave(waiter)
            raise
        return True

    async def acquire_async(self, stop: threading.Event | None = None) -> bool:
        """As `acquire`, without blocking the event loop; a cancelled wait leaves nothing behind."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[bool] = loop.create_future()
        waiter = self._join(lambda: loop.call_soon_threadsafe(wake, ready))
        try:
            is_ready = await is_woken(ready, stop)
        except BaseException:
            self._leave(waiter)
            raise
        if not is_ready:
            self._leave(waiter)
        return is_ready

    def release(self) -> None:
        """Hand the slot to the next waiter here; else keep it for a moment, then give it back."""
        if not self.upstream.returns_slots:
            return
        with self._changed:
            if self._owed > 0:
                self._owed -= 1
                self._returning += 1
                self._changed.notify()
            else:
                self._put()

    def close(self) -> None:
        """Give everything back and let everybody through: from here on the limit is this machine's alone."""
        with self._changed:
            self._closed = True
            while self._waiters:
                self._put()
            self._changed.notify()
            keeper = self._keeper
        if keeper is not None and keeper is not threading.current_thread():
            keeper.join(timeout=CLOSE_SECONDS)

    def _join(self, wake: Callable[[], object]) -> _Waiter:
        waiter = _Waiter(wake)
        with self._changed:
            self._waiters.append(waiter)
            if self._closed or self._free:
                self._free = max(self._free - 1, 0)
                self._put()
            else:
                self._start_keeper()
                self._changed.notify()
        return waiter

    def _leave(self, waiter: _Waiter) -> None:
        with self._changed:
            if waiter.granted:
                self._put()
            elif waiter in self._waiters:
                self._waiters.remove(waiter)

    def _put(self) -> None:
        """A slot is there: for the first who waits, or for later."""
        while self._waiters:
            waiter = self._waiters.popleft()
            try:
                waiter.wake()
            except RuntimeError:  # its event loop is closed: nobody waits there any more
                continue
            waiter.granted = True
            return
        if self.upstream.returns_slots and not self._closed:
            self._free += 1
            self._idle_since = self._clock()
            self._changed.notify()

    # -- the thread that talks to the upstream -----------------------------------------------------------

    def _start_keeper(self) -> None:
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._keep, name="latent-slots", daemon=True)
            self._keeper.start()

    def _keep(self) -> None:
        try:
            while (work := self._next_work()) is not None:
                action, slots = work
                if action == "take":
                    self._arrived(self.upstream.take(slots))
                elif action == "give back":
                    self.upstream.give_back(slots)
                else:
                    self.upstream.renew()
        finally:
            # Also after a bug in the upstream: nobody may wait for ever for what nobody gets any more.
            self.close()
            self.upstream.close()

    def _next_work(self) -> tuple[str, int] | None:
        """Wait until there is something to do upstream; None at the end."""
        with self._changed:
            while not self._closed:
                now = self._clock()
                if (work := self._due(now)) is not None:
                    return work
                self._changed.wait(self._seconds_until_due(now))
            return None

    def _due(self, now: float) -> tuple[str, int] | None:
        if self._held and now >= self._turn_at and self._waiters:
            self._turn_at = now + TURN_SECONDS
            self._owed = math.ceil(self._held * TURN_SHARE)
        if self._returning:
            slots, self._returning = self._returning, 0
            self._held -= slots
            self._ask_at = now + BREATH_SECONDS
            return "give back", slots
        if self._free and not self._waiters and now >= self._idle_since + IDLE_SECONDS:
            slots, self._free = self._free, 0
            self._held -= slots
            return "give back", slots
        if self._held and now >= self._renew_at:
            self._renew_at = now + RENEW_SECONDS
            return "renew", 0
        if self._waiters and now >= self._ask_at:
            return "take", len(self._waiters)
        return None

    def _seconds_until_due(self, now: float) -> float | None:
        moments = []
        if self._free:
            moments.append(self._idle_since + IDLE_SECONDS)
        if self._waiters:
            moments += [self._ask_at] + ([self._turn_at] if self._held else [])
        if self._held:
            moments.append(self._renew_at)
        return max(min(moments) - now, 0.001) if moments else None

    def _arrived(self, granted: int) -> None:
        with self._changed:
            now = self._clock()
            if granted == 0:
                self._ask_at = now + POLL_SECONDS
                return
            if self._held == 0:
                self._turn_at, self._renew_at = now + TURN_SECONDS, now + RENEW_SECONDS
            if self.upstream.returns_slots:
                self._held += granted
            for _ in range(granted):
                self._put()
