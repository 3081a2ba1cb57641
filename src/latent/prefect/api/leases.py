"""Who holds which slots of which limits, and until when. No HTTP, no waiting."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from latent.prefect.api.records import utc_now
from latent.prefect.api.slots import MIN_OCCUPANCY_SECONDS, Slots

MAX_WAIT_SECONDS = 30.0
"""Longest estimate of a wait: Prefect's `maximum_concurrency_slot_wait_seconds`."""


@dataclass(slots=True)
class Limit:
    """One global concurrency limit."""

    id: str
    name: str
    created: datetime
    updated: datetime
    slots: Slots


@dataclass(frozen=True, slots=True)
class _Lease:
    limits: tuple[Limit, ...]
    slots: int
    taken_at: float
    expires_at: float


class SlotBank:
    """All limits and the leases on their slots; every method counts what has decayed or expired by now."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._limits: dict[str, Limit] = {}
        self._leases: dict[str, _Lease] = {}

    def add(self, name: str, slots: Slots) -> Limit:
        """Have a new limit."""
        at = utc_now()
        slots.counted_at = self._clock()
        limit = self._limits[name] = Limit(str(uuid4()), name, at, at, slots)
        return limit

    def rename(self, limit: Limit, name: str) -> None:
        """Give a limit another name."""
        del self._limits[limit.name]
        limit.name = name
        self._limits[name] = limit

    def remove(self, limit: Limit) -> None:
        """Forget a limit; leases on it end without effect."""
        del self._limits[limit.name]

    def get(self, name: str) -> Limit | None:
        """Return the limit of that name."""
        return self._limits.get(name)

    def all(self) -> list[Limit]:
        """Return all limits with their slots as of now."""
        self._settle()
        return list(self._limits.values())

    def named(self, names: Iterable[str]) -> list[Limit]:
        """Return those of the named limits that exist."""
        return [self._limits[name] for name in names if name in self._limits]

    def take(self, limits: Iterable[Limit], slots: int) -> bool:
        """Take slots of all these limits, or of none and return False."""
        self._settle()
        enforced = [limit for limit in limits if limit.slots.active]
        if not all(limit.slots.fits(slots) for limit in enforced):
            return False
        for limit in enforced:
            limit.slots.take(slots)
        return True

    def give_back(self, limits: Iterable[Limit], slots: int, held_seconds: float | None) -> None:
        """Free slots, and learn from how long they were held (None: unknown)."""
        self._settle()
        for limit in limits:
            limit.slots.give_back(slots, held_seconds)

    def lease(self, limits: Iterable[Limit], slots: int, seconds: float) -> str:
        """Hold slots that were taken until they are released or the time is over; returns the lease's id."""
        lease_id, now = str(uuid4()), self._clock()
        if limits := tuple(limits):
            self._leases[lease_id] = _Lease(limits, slots, now, now + seconds)
        return lease_id

    def renew(self, lease_id: str, seconds: float) -> bool:
        """Let a lease last that long from now; False when it has ended."""
        self._settle()
        if (lease := self._leases.get(lease_id)) is None:
            return False
        self._leases[lease_id] = _Lease(lease.limits, lease.slots, lease.taken_at, self._clock() + seconds)
        return True

    def release(self, lease_id: str) -> None:
        """Give back what a lease holds; one that has ended gave it back already."""
        if (lease := self._leases.pop(lease_id, None)) is not None:
            self.give_back(lease.limits, lease.slots, self._clock() - lease.taken_at)

    def next_change(self, limits: Iterable[Limit], slots: int) -> float:
        """Return in how many seconds time alone may make room, by decay or by a lease that ends."""
        now = self._clock()
        decays = max((limit.slots.seconds_until(slots, now) for limit in limits), default=0.0)
        expires = min((lease.expires_at - now for lease in self._leases.values()), default=math.inf)
        # Never 0: a clock that stands still must not make a waiter spin.
        return max(min(decays, expires), 0.001)

    def estimate(self, limits: Iterable[Limit], slots: int) -> float:
        """Return the server's estimate of a wait in seconds: slots asked for times how long one is held."""
        waits = [MIN_OCCUPANCY_SECONDS]
        for limit in limits:
            held = limit.slots
            if held.decay_per_second:
                waits.append(slots / held.decay_per_second)
            elif not held.fits(slots):
                waits.append(held.occupancy_seconds * slots / max(held.limit, 1))
        return min(max(waits), MAX_WAIT_SECONDS)

    def _settle(self) -> None:
        now = self._clock()
        for limit in self._limits.values():
            limit.slots.settle(now)
        for lease_id in [key for key, lease in self._leases.items() if lease.expires_at <= now]:
            lease = self._leases.pop(lease_id)
            for limit in lease.limits:
                limit.slots.give_back(lease.slots, now - lease.taken_at)
