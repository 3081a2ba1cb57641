"""
Global concurrency limits: slots, leases, and waiting for a free one.

Answers like Prefect's server with one difference in time: a request for a slot that is taken is
held open and answered the moment a slot is free, where the server sends the client away to ask
again after an estimate.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from latent.prefect.api.filters import sort
from latent.prefect.api.messages import Answer, RefusalError, Request, Route
from latent.prefect.api.records import parse_id, utc_now
from latent.prefect.api.slots import MIN_OCCUPANCY_SECONDS, Slots

MAX_WAIT_SECONDS = 30.0
"""Longest estimate of a wait: Prefect's `maximum_concurrency_slot_wait_seconds`."""
HOLD_SECONDS = 10.0
"""Longest time that one request is held open; Prefect's client gives up reading after 60."""


@dataclass(frozen=True, slots=True)
class GlobalLimit:
    """A global concurrency limit to have from the start, as `prefect gcl create` would make it."""

    name: str
    """The name that `concurrency(...)` and `rate_limit(...)` use; `tag:x` limits the tasks tagged x."""
    limit: int
    slot_decay_per_second: float = 0.0
    """More than 0 makes it a rate limit: that many slots free themselves each second."""


@dataclass(slots=True)
class _Limit:
    id: str
    name: str
    created: datetime
    updated: datetime
    slots: Slots


@dataclass(frozen=True, slots=True)
class _Lease:
    limits: tuple[_Limit, ...]
    slots: int
    taken_at: float
    expires_at: float


class GlobalLimits:
    """
    The global concurrency limits of this process and its children.

    Args:
        clock: Seconds that never go back; leases, decay and waits are counted with it.
        hold_seconds: Longest time that one request for a slot is held open.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, hold_seconds: float = HOLD_SECONDS
    ) -> None:
        self._clock = clock
        self._hold_seconds = hold_seconds
        self._limits: dict[str, _Limit] = {}
        self._leases: dict[str, _Lease] = {}
        self._freed = asyncio.Event()

    def define(self, limits: Iterable[GlobalLimit]) -> None:
        """Create limits, or change those of the same name; slots that are taken stay taken."""
        for wanted in limits:
            if (known := self._limits.get(wanted.name)) is None:
                self._add(wanted.name, Slots(wanted.limit, wanted.slot_decay_per_second))
            else:
                known.slots.limit = wanted.limit
                known.slots.decay_per_second = wanted.slot_decay_per_second

    def snapshot(self) -> list[dict[str, Any]]:
        """Return all limits with the slots taken now."""
        self._settle()
        return [_response(limit) for limit in self._limits.values()]

    def routes(self) -> list[Route]:
        """Return what this part of the API answers."""
        base = "v2/concurrency_limits"
        return [
            ("POST", base, self._create),
            ("POST", f"{base}/filter", self._filter),
            ("POST", f"{base}/increment", self._increment),
            ("POST", f"{base}/increment-with-lease", self._increment_with_lease),
            ("POST", f"{base}/decrement", self._decrement),
            ("POST", f"{base}/decrement-with-lease", self._decrement_with_lease),
            ("POST", f"{base}/leases/{{id}}/renew", self._renew),
            ("GET", f"{base}/{{id_or_name}}", self._read),
            ("PATCH", f"{base}/{{id_or_name}}", self._update),
            ("DELETE", f"{base}/{{id_or_name}}", self._delete),
        ]

    def _create(self, request: Request) -> Answer:
        body = request.mapping()
        name = body.get("name")
        if not isinstance(name, str) or not name or not isinstance(body.get("limit"), int):
            raise RefusalError(422, "A global concurrency limit needs a name and a limit.")
        if name in self._limits:
            raise RefusalError(409, f"A global concurrency limit with the name {name!r} already exists.")
        limit = self._add(name, Slots(body["limit"]))
        _change(limit, body)
        return Answer(201, _response(limit))

    def _read(self, request: Request) -> Answer:
        self._settle()
        return Answer(200, _response(self._find(request)))

    def _filter(self, request: Request) -> Answer:
        body = request.mapping()
        offset = body.get("offset") or 0
        ordered = sort(self.snapshot(), "NAME_ASC", "global concurrency limits")
        return Answer(200, ordered[offset : offset + (body.get("limit") or 200)])

    def _update(self, request: Request) -> Answer:
        limit = self._find(request)
        self._limits.pop(limit.name)
        _change(limit, request.mapping())
        self._limits[limit.name] = limit
        self._wake()
        return Answer(204)

    def _delete(self, request: Request) -> Answer:
        del self._limits[self._find(request).name]
        self._wake()
        return Answer(204)

    def _increment(self, request: Request) -> Answer | Awaitable[Answer]:
        asked = _Asked.parse(request)
        return self._acquire(asked, lambda limits: [_minimal(limit) for limit in limits])

    def _increment_with_lease(self, request: Request) -> Answer | Awaitable[Answer]:
        asked = _Asked.parse(request)
        seconds = _lease_seconds(request)
        return self._acquire(asked, lambda limits: self._lease(limits, asked.slots, seconds))

    def _lease(self, limits: list[_Limit], slots: int, seconds: float) -> dict[str, Any]:
        lease_id, now = str(uuid4()), self._clock()
        if limits:
            self._leases[lease_id] = _Lease(tuple(limits), slots, now, now + seconds)
        return {"lease_id": lease_id, "limits": [_minimal(limit) for limit in limits]}

    def _decrement(self, request: Request) -> Answer:
        asked = _Asked.parse(request)
        held = request.mapping().get("occupancy_seconds")
        limits = [self._limits[name] for name in asked.names if name in self._limits]
        self._give_back(limits, asked.slots, held)
        return Answer(200, [_minimal(limit) for limit in limits])

    def _decrement_with_lease(self, request: Request) -> Answer:
        lease = self._leases.pop(parse_id(str(request.mapping().get("lease_id"))), None)
        # A lease that has expired has given its slots back already.
        if lease is not None:
            self._give_back(lease.limits, lease.slots, self._clock() - lease.taken_at)
        return Answer(204)

    def _renew(self, request: Request) -> Answer:
        self._settle()
        lease_id = parse_id(request.params["id"])
        if (lease := self._leases.get(lease_id)) is None:
            raise RefusalError(410, "Lease not found - it may have expired or been revoked")
        expires_at = self._clock() + _lease_seconds(request)
        self._leases[lease_id] = _Lease(lease.limits, lease.slots, lease.taken_at, expires_at)
        return Answer(204)

    def _acquire(self, asked: _Asked, granted: Callable[[list[_Limit]], Any]) -> Answer | Awaitable[Answer]:
        """Take the slots now, or return an awaitable that takes them when they become free."""
        limits = self._take(asked)
        return self._wait(asked, granted) if limits is None else Answer(200, granted(limits))

    async def _wait(self, asked: _Asked, granted: Callable[[list[_Limit]], Any]) -> Answer:
        """
        Wait for slots as long as the server would have sent the client away.

        That keeps `max_retries` of a client, which counts these answers, worth the same time.
        """
        until = self._clock() + self._estimate(asked)
        hold_until = min(until, self._clock() + self._hold_seconds)
        while (now := self._clock()) < hold_until:
            freed = self._freed
            pause = min(hold_until - now, self._next_change(asked, now))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(freed.wait(), pause)
            if (limits := self._take(asked)) is not None:
                return Answer(200, granted(limits))
        return Answer(423, {"detail": "No slot is free."}, {"Retry-After": f"{max(until - now, 0.0):.3f}"})

    def _take(self, asked: _Asked) -> list[_Limit] | None:
        """Take the slots of all named limits that exist, or none of them and return None."""
        self._settle()
        limits = [self._limits[name] for name in asked.names if name in self._limits]
        enforced = [limit for limit in limits if limit.slots.active]
        asked.check(enforced)
        if not all(limit.slots.fits(asked.slots) for limit in enforced):
            return None
        for limit in enforced:
            limit.slots.take(asked.slots)
        return limits

    def _give_back(self, limits: Iterable[_Limit], slots: int, held_seconds: float | None) -> None:
        self._settle()
        for limit in limits:
            limit.slots.give_back(slots, held_seconds)
        self._wake()

    def _settle(self) -> None:
        """Bring all slots up to the present: what has decayed, and what expired leases held."""
        now = self._clock()
        for limit in self._limits.values():
            limit.slots.settle(now)
        for lease_id in [key for key, lease in self._leases.items() if lease.expires_at <= now]:
            lease = self._leases.pop(lease_id)
            for limit in lease.limits:
                limit.slots.give_back(lease.slots, now - lease.taken_at)

    def _wake(self) -> None:
        """Let everyone who waits look again."""
        self._freed.set()
        self._freed = asyncio.Event()

    def _next_change(self, asked: _Asked, now: float) -> float:
        """Return in how many seconds time alone may free a slot."""
        named = [self._limits[name] for name in asked.names if name in self._limits]
        decays = max((limit.slots.seconds_until(asked.slots, now) for limit in named), default=0.0)
        expires = min((lease.expires_at - now for lease in self._leases.values()), default=math.inf)
        return max(min(decays, expires), 0.001)

    def _estimate(self, asked: _Asked) -> float:
        """Return the server's estimate of the wait: slots asked for times how long one is held."""
        waits = []
        for name in asked.names:
            if (limit := self._limits.get(name)) is not None and not limit.slots.fits(asked.slots):
                slots = limit.slots
                per_slot = 1.0 / slots.decay_per_second if slots.decay_per_second else slots.occupancy_seconds
                waits.append(per_slot * asked.slots / (1 if slots.decay_per_second else max(slots.limit, 1)))
        return min(max([*waits, MIN_OCCUPANCY_SECONDS]), MAX_WAIT_SECONDS)

    def _add(self, name: str, slots: Slots) -> _Limit:
        at = utc_now()
        slots.counted_at = self._clock()
        limit = self._limits[name] = _Limit(str(uuid4()), name, at, at, slots)
        return limit

    def _find(self, request: Request) -> _Limit:
        wanted = request.params["id_or_name"]
        for limit in self._limits.values():
            if wanted in {limit.id, limit.name}:
                return limit
        raise RefusalError(404, "Concurrency Limit not found")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request for slots."""

    names: tuple[str, ...]
    slots: int
    mode: str

    @classmethod
    def parse(cls, request: Request) -> _Asked:
        body = request.mapping()
        names, slots = body.get("names"), body.get("slots")
        if not isinstance(names, list) or not names or not isinstance(slots, int) or slots < 1:
            raise RefusalError(422, "Slots are asked for by `names` and a number of `slots` above 0.")
        return cls(tuple(names), slots, body.get("mode") or "concurrency")

    def check(self, limits: Iterable[_Limit]) -> None:
        """Refuse what can never be granted."""
        fixed = [limit.name for limit in limits if limit.slots.decay_per_second == 0.0]
        if any(limit.slots.limit < self.slots for limit in limits):
            raise RefusalError(422, "Slots requested is greater than the limit")
        if self.mode == "rate_limit" and fixed:
            raise RefusalError(
                422,
                "Only concurrency limits with slot decay can be used for rate limiting. The following "
                f"limits do not have a decay configured: {','.join(fixed)!r}",
            )


def _lease_seconds(request: Request) -> float:
    seconds = request.mapping().get("lease_duration", 300)
    if not isinstance(seconds, int | float) or not 60 <= seconds <= 86_400:
        raise RefusalError(422, "A lease lasts 60 seconds to one day.")
    return float(seconds)


def _change(limit: _Limit, body: dict[str, Any]) -> None:
    slots = limit.slots
    limit.name = body.get("name") or limit.name
    limit.updated = utc_now()
    slots.limit = _given(body, "limit", slots.limit)
    slots.active = _given(body, "active", slots.active)
    slots.taken = _given(body, "active_slots", slots.taken)
    slots.decay_per_second = _given(body, "slot_decay_per_second", slots.decay_per_second)


def _given(body: dict[str, Any], name: str, known: Any) -> Any:
    value = body.get(name)
    return known if value is None else value


def _minimal(limit: _Limit) -> dict[str, Any]:
    return {"id": limit.id, "name": limit.name, "limit": limit.slots.limit}


def _response(limit: _Limit) -> dict[str, Any]:
    return {
        **_minimal(limit),
        "created": limit.created,
        "updated": limit.updated,
        "active": limit.slots.active,
        "active_slots": limit.slots.taken,
        "slot_decay_per_second": limit.slots.decay_per_second,
    }
