"""
Admission to a named limit, for the threads and coroutines of this process.

A freed slot goes to the next waiter here at once, without asking anybody. Only the limit worker asks for
more, books calls where a rate holds, and gives back what others lack.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from numbers import Real
from typing import TYPE_CHECKING
from weakref import WeakSet

from latent.files.forks import after_fork
from latent.limits.local_queue import BEAT_SECONDS, Action, LocalQueue, Plan
from latent.limits.permit import Permit
from latent.limits.stopping import STOP_POLL_SECONDS
from latent.limits.waiting import AdmissionStopped, TaskWaiter, ThreadWaiter, Waiter
from latent.limits.worker import limit_worker

if TYPE_CHECKING:
    from latent.config.settings import LimitSettings
    from latent.limits.controller import News
    from latent.limits.limit_store import LimitStore
    from latent.limits.upstream import SlotPool

_log = logging.getLogger("latent.limits")


class Limiter:
    """A named limit, as the calls of this process meet it; `limiter_for` makes it."""

    def __init__(self, store: LimitStore, name: str, settings: LimitSettings) -> None:
        self.name = name
        self._store = store
        self._begin_life(settings)
        _limiters.add(self)

    def _begin_life(self, settings: LimitSettings) -> None:
        self._lock = threading.Lock()
        self._local_queue = LocalQueue(self.name, settings)
        self._version: int | None = None
        self._is_served = False
        self._pool: SlotPool | None = None

    @property
    def settings(self) -> LimitSettings:
        return self._local_queue.settings

    @property
    def due(self) -> float:
        """When the limit worker has something to do for it, on the monotonic clock."""
        return self._local_queue.due

    def acquire(self, *, tokens: int = 0, run_id: str = "", stop: threading.Event | None = None) -> Permit:
        """
        Block until a call may begin.

        Args:
            tokens: What the call will take, as far as one can say; corrected when its permit is released.
            run_id: On whose behalf; several runs of a process take turns.
            stop: When set, the wait ends soon.

        Raises:
            AdmissionStopped: `stop` was set.
        """
        if _is_set(stop):
            raise AdmissionStopped(self.name)
        waiter = ThreadWaiter(_checked(tokens), run_id, time.monotonic())
        is_in = self._enter(waiter)
        try:
            if not is_in and not waiter.wait(stop):
                raise AdmissionStopped(self.name)
            if (pool := self._pool) is not None:
                if not pool.acquire(stop):
                    raise AdmissionStopped(self.name)
                waiter.pool, waiter.began_at = pool, time.monotonic()
            while (pause := self._pause_before(waiter, stop)) > 0:
                time.sleep(pause)
        except BaseException:  # Ctrl-C while waiting, too
            self._give_up(waiter)
            raise
        return Permit(self, waiter)

    async def acquire_async(
        self, *, tokens: int = 0, run_id: str = "", stop: threading.Event | None = None
    ) -> Permit:
        """As `acquire`, without blocking the event loop; a cancelled wait leaves nothing behind."""
        if _is_set(stop):
            raise AdmissionStopped(self.name)
        waiter = TaskWaiter(_checked(tokens), run_id, time.monotonic())
        is_in = self._enter(waiter)
        try:
            if not is_in and not await waiter.wait(stop):
                raise AdmissionStopped(self.name)
            if (pool := self._pool) is not None:
                if not await pool.acquire_async(stop):
                    raise AdmissionStopped(self.name)
                waiter.pool, waiter.began_at = pool, time.monotonic()
            while (pause := self._pause_before(waiter, stop)) > 0:
                await asyncio.sleep(pause)
        except BaseException:
            self._give_up(waiter)
            raise
        return Permit(self, waiter)

    def bind(self, pool: SlotPool | None) -> None:
        """Take a slot of `pool` for each call too: it is shared with other machines. None: no more."""
        self._pool = pool

    def configure(self, settings: LimitSettings) -> None:
        """Go by other settings from now on: the file was edited."""
        with self._lock:
            if settings != self._local_queue.settings:
                self._local_queue.settings = settings
                self._local_queue.ask_soon(time.monotonic())
        self._wake_thread()

    def tell(self, news: News) -> None:
        """Let the controller hear of an answer, at once."""
        if self.settings.adaptive:
            with self._lock:
                self._local_queue.tell(news, time.monotonic())
            self._wake_thread()

    def book(self, tokens: int, requests: int = 0) -> None:
        """Take `tokens` and requests more for a call that is under way; negative gives some back."""
        if tokens or requests:
            with self._lock:
                self._local_queue.book(tokens, requests, time.monotonic())
            self._wake_thread()

    def give_back(self, waiter: Waiter, *, succeeded: bool) -> None:
        """A call has ended: its slot goes to the next one."""
        if self.owns(waiter):
            with self._lock:
                self._local_queue.leave(waiter, time.monotonic(), succeeded=succeeded)
            self._wake_thread()
            if waiter.pool is not None:
                waiter.pool.release()

    def owns(self, waiter: Waiter) -> bool:
        """Whether a call is this process's: a forked child inherits its parent's permits."""
        return waiter.local_queue is self._local_queue

    def serve(self) -> None:
        """Do what is due; the entrance of the limit worker."""
        while (plan := self._looked(self._plan())).action is Action.SYNC:
            self._sync(plan)
        if plan.action is Action.LEAVE:
            self._store.leave(self.name)
            with self._lock:
                self._local_queue.retire(time.monotonic())
        elif plan.action is Action.CLOSE:
            self._store.rest()
        with self._lock:
            self._local_queue.schedule(time.monotonic())

    def trouble(self) -> None:
        """Something went wrong while it was served: try again, not too soon."""
        with self._lock:
            self._local_queue.due = time.monotonic() + BEAT_SECONDS

    def close(self) -> None:
        """The process ends: take it off the list."""
        if self._local_queue.grant is not None:
            self._store.leave(self.name)

    def reset(self) -> None:
        """In a forked child: its parent's calls, and its thread, are not here."""
        self._begin_life(self.settings)

    def _enter(self, waiter: Waiter) -> bool:
        waiter.local_queue = self._local_queue
        with self._lock:
            is_in = self._local_queue.enter(waiter, waiter.asked_at)
            is_first, self._is_served = not self._is_served, True
        if is_first:
            limit_worker().add(self)
        self._wake_thread()
        return is_in

    def _pause_before(self, waiter: Waiter, stop: threading.Event | None) -> float:
        """
        Seconds after which a call that was let in may really begin, or asks again; 0 for now.

        A busy event loop or a machine out of breath wakes calls late, and then many at once: as a burst that
        the provider would refuse.
        """
        # A call that is let in only now is not made any more: it may cost money.
        if _is_set(stop):
            raise AdmissionStopped(self.name)
        if waiter.start_at is None:
            return 0.0
        with self._lock:
            pause = self._local_queue.depart(waiter, time.monotonic())
        # Soon, for calls that were stopped, or may go at last since the rate has gone up.
        return min(pause, STOP_POLL_SECONDS)

    def _give_up(self, waiter: Waiter) -> None:
        if self.owns(waiter):
            with self._lock:
                self._local_queue.give_up(waiter, time.monotonic())
            self._wake_thread()
            if waiter.pool is not None:
                waiter.pool.release()

    def _wake_thread(self) -> None:
        if self._is_served:
            limit_worker().hurry(self._local_queue.due)

    def _plan(self) -> Plan:
        with self._lock:
            return self._local_queue.plan(time.monotonic())

    def _looked(self, plan: Plan) -> Plan:
        """`plan`, or the sync that a check turned out to be a reason for."""
        grant = self._local_queue.grant
        if plan.action is not Action.CHECK or grant is None or grant.capacity is None:
            return plan
        version = self._store.database.version()
        if version is None or version == self._version:
            return plan
        self._version = version
        with self._lock:
            ask = self._local_queue.ask()
        matters = self._store.matters(ask, grant.capacity, others_wait=grant.others_wait)
        return Plan(Action.SYNC, ask) if matters else plan

    def _sync(self, plan: Plan) -> None:
        assert plan.ask is not None
        with self._lock:
            ask = self._local_queue.with_news(plan.ask)
        try:
            grant = self._store.sync(ask)
        except BaseException:
            with self._lock:
                self._local_queue.abandon(plan, ask, time.monotonic())
            raise
        self._version = grant.version
        with self._lock:
            self._local_queue.apply(plan, grant, time.monotonic())


_limiters: WeakSet[Limiter] = WeakSet()


def _reset_after_fork() -> None:
    for limiter in list(_limiters):
        limiter.reset()


after_fork(_reset_after_fork)


def _is_set(stop: threading.Event | None) -> bool:
    return stop is not None and stop.is_set()


def _checked(tokens: int) -> int:
    given: object = tokens  # whatever the type says, it may come from a setting
    if not isinstance(given, Real) or not tokens >= 0:
        raise ValueError(f"tokens={tokens!r}: a call takes none, or more, and says it as a number.")
    return tokens
