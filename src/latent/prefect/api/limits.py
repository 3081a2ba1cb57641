"""
Global concurrency limits, as the API's clients see them.

Answers like Prefect's server with one difference in time: a request for a slot that is taken is
held open and answered the moment a slot is free, where the server sends the client away to ask
again after an estimate.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from latent.prefect.api.filters import DEFAULT_LIMIT, sort
from latent.prefect.api.leases import Limit, SlotBank
from latent.prefect.api.messages import Answer, RefusalError, Request, Route
from latent.prefect.api.records import parse_id, utc_now
from latent.prefect.api.slots import Slots

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

    @property
    def numbers(self) -> str:
        """What it allows, for people: `10 slots, 2 freed each second`."""
        decay = self.slot_decay_per_second
        return f"{self.limit} slots" + (f", {decay:g} freed each second" if decay else "")


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
        self._bank = SlotBank(clock)
        self._freed = asyncio.Event()

    def define(self, limits: Iterable[GlobalLimit]) -> None:
        """Create limits, or change those of the same name; slots that are taken stay taken."""
        for wanted in limits:
            if (known := self._bank.get(wanted.name)) is None:
                self._bank.add(wanted.name, Slots(wanted.limit, wanted.slot_decay_per_second))
            else:
                known.slots.limit = wanted.limit
                known.slots.decay_per_second = wanted.slot_decay_per_second

    def snapshot(self) -> list[dict[str, Any]]:
        """Return all limits with the slots taken now."""
        return [_response(limit) for limit in self._bank.all()]

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
        self._refuse_duplicate(name)
        limit = self._bank.add(name, Slots(body["limit"]))
        _change(limit, body)
        return Answer(201, _response(limit))

    def _read(self, request: Request) -> Answer:
        return Answer(200, _response(self._find(request)))

    def _filter(self, request: Request) -> Answer:
        body = request.mapping()
        offset = body.get("offset") or 0
        ordered = sort(self.snapshot(), "NAME_ASC", "global concurrency limits")
        return Answer(200, ordered[offset : offset + (body.get("limit") or DEFAULT_LIMIT)])

    def _update(self, request: Request) -> Answer:
        limit, body = self._find(request), request.mapping()
        if (name := body.get("name") or limit.name) != limit.name:
            self._refuse_duplicate(name)
            self._bank.rename(limit, name)
        _change(limit, body)
        self._wake()
        return Answer(204)

    def _delete(self, request: Request) -> Answer:
        self._bank.remove(self._find(request))
        self._wake()
        return Answer(204)

    def _increment(self, request: Request) -> Answer | Awaitable[Answer]:
        asked = _Asked.parse(request)
        return self._acquire(asked, lambda limits: [_minimal(limit) for limit in limits])

    def _increment_with_lease(self, request: Request) -> Answer | Awaitable[Answer]:
        asked, seconds = _Asked.parse(request), _lease_seconds(request)

        def leased(limits: list[Limit]) -> dict[str, Any]:
            lease_id = self._bank.lease(limits, asked.slots, seconds)
            return {"lease_id": lease_id, "limits": [_minimal(limit) for limit in limits]}

        return self._acquire(asked, leased)

    def _decrement(self, request: Request) -> Answer:
        asked = _Asked.parse(request)
        limits = self._bank.named(asked.names)
        self._bank.give_back(limits, asked.slots, request.mapping().get("occupancy_seconds"))
        self._wake()
        return Answer(200, [_minimal(limit) for limit in limits])

    def _decrement_with_lease(self, request: Request) -> Answer:
        self._bank.release(parse_id(str(request.mapping().get("lease_id"))))
        self._wake()
        return Answer(204)

    def _renew(self, request: Request) -> Answer:
        if not self._bank.renew(parse_id(request.params["id"]), _lease_seconds(request)):
            raise RefusalError(410, "Lease not found - it may have expired or been revoked")
        return Answer(204)

    def _acquire(self, asked: _Asked, granted: Callable[[list[Limit]], Any]) -> Answer | Awaitable[Answer]:
        """Take the slots now, or return an awaitable that takes them when they become free."""
        limits = self._take(asked)
        return self._wait(asked, granted) if limits is None else Answer(200, granted(limits))

    async def _wait(self, asked: _Asked, granted: Callable[[list[Limit]], Any]) -> Answer:
        """
        Wait for slots as long as the server would have sent the client away.

        That keeps `max_retries` of a client, which counts these answers, worth the same time.
        """
        until = self._clock() + self._bank.estimate(self._bank.named(asked.names), asked.slots)
        hold_until = min(until, self._clock() + self._hold_seconds)
        while (now := self._clock()) < hold_until:
            change = self._bank.next_change(self._bank.named(asked.names), asked.slots)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._freed.wait(), min(hold_until - now, change))
            if (limits := self._take(asked)) is not None:
                return Answer(200, granted(limits))
        return Answer(423, {"detail": "No slot is free."}, {"Retry-After": f"{max(until - now, 0.0):.3f}"})

    def _take(self, asked: _Asked) -> list[Limit] | None:
        """Take the slots of all named limits that exist, or none of them and return None."""
        limits = self._bank.named(asked.names)
        asked.check(limit for limit in limits if limit.slots.active)
        return limits if self._bank.take(limits, asked.slots) else None

    def _wake(self) -> None:
        """Let everyone who waits look again."""
        self._freed.set()
        self._freed = asyncio.Event()

    def _find(self, request: Request) -> Limit:
        wanted = request.params["id_or_name"]
        for limit in self._bank.all():
            if wanted in {limit.id, limit.name}:
                return limit
        raise RefusalError(404, "Concurrency Limit not found")

    def _refuse_duplicate(self, name: str) -> None:
        if self._bank.get(name) is not None:
            raise RefusalError(409, f"A global concurrency limit with the name {name!r} already exists.")


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

    def check(self, limits: Iterable[Limit]) -> None:
        """Refuse what can never be granted."""
        fixed = []
        for limit in limits:
            if limit.slots.limit < self.slots:
                raise RefusalError(422, "Slots requested is greater than the limit")
            if limit.slots.decay_per_second == 0.0:
                fixed.append(limit.name)
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


def _change(limit: Limit, body: dict[str, Any]) -> None:
    slots = limit.slots
    limit.updated = utc_now()
    slots.limit = _given(body, "limit", slots.limit)
    slots.active = _given(body, "active", slots.active)
    slots.taken = _given(body, "active_slots", slots.taken)
    slots.decay_per_second = _given(body, "slot_decay_per_second", slots.decay_per_second)


def _given(body: dict[str, Any], name: str, known: Any) -> Any:
    value = body.get(name)
    return known if value is None else value


def _minimal(limit: Limit) -> dict[str, Any]:
    return {"id": limit.id, "name": limit.name, "limit": limit.slots.limit}


def _response(limit: Limit) -> dict[str, Any]:
    return {
        **_minimal(limit),
        "created": limit.created,
        "updated": limit.updated,
        "active": limit.slots.active,
        "active_slots": limit.slots.taken,
        "slot_decay_per_second": limit.slots.decay_per_second,
    }
