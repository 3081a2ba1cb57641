"""Slots of a Prefect server's global concurrency limit, leased in small blocks: the upstream of a limiter."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latent.prefect.logs import warn_once

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable
    from uuid import UUID

    from latent.prefect.api.limits import GlobalLimit

LEASE_SECONDS = 60.0
"""How long the server waits for a sign of life before it frees the slots: the shortest that it takes."""

RENEW_AFTER_SECONDS = 20.0

BLOCKS = 8
"""A limit is taken in about so many blocks: larger ones could not be given back in parts."""

RETRY_SECONDS = 5.0
"""A server that did not answer is not asked again for so long."""

_TAKEN = (423, 422)
"""No slot is free, or the limit was lowered below what is asked for."""
_LOST = (404, 410)


@dataclass(slots=True)
class _Lease:
    id: UUID
    slots: int
    renewed_at: float


class ServerSlots:
    """
    The `latent.limits.upstream.Upstream` of one limit on a Prefect server.

    While the server does not answer, slots are granted on trust: the machine's own limiter still holds, and
    work must not stand still because nobody counts it.

    Args:
        context: Where Prefect's settings stand that name the server; all requests are made in it.
    """

    def __init__(
        self,
        limit: GlobalLimit,
        context: contextvars.Context,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = limit.name
        self.returns_slots = limit.slot_decay_per_second == 0.0
        self._limit, self._block = limit.limit, max(1, math.ceil(limit.limit / BLOCKS))
        self._context, self._clock = context, clock
        self._client: Any = None
        self._leases: list[_Lease] = []
        self._spare = 0
        """Leased slots that are not in use, too few to end a lease."""
        self._trusted = 0
        """Slots in use that no lease stands for."""
        self._silent_until = -math.inf

    def take(self, slots: int) -> int:
        """Lease a block of at most `slots`: who waits can have them while the next one is asked for."""
        if self._spare:
            taken = min(slots, self._spare)
            self._spare -= taken
            return taken
        return self._take_block(min(slots, self._block if self.returns_slots else self._limit))

    def _take_block(self, slots: int) -> int:
        """The largest block that is free; the server grants a number of slots as a whole or not at all."""
        if self._clock() < self._silent_until:
            return self._trust(slots)
        while slots > 0:
            try:
                self._ask(slots)
            except Exception as error:
                if _status(error) not in _TAKEN:
                    self._is_silent(error)
                    return self._trust(slots)
                slots //= 2
            else:
                return slots
        return 0

    def _ask(self, slots: int) -> None:
        if not self.returns_slots:
            self._call("increment_concurrency_slots", names=[self.name], slots=slots, mode="rate_limit")
            return
        leased = self._call(
            "increment_concurrency_slots_with_lease",
            names=[self.name],
            slots=slots,
            mode="concurrency",
            lease_duration=LEASE_SECONDS,
        )
        self._leases.append(_Lease(leased.json()["lease_id"], slots, self._clock()))

    def give_back(self, slots: int) -> None:
        """End as many leases as these slots make up."""
        trusted = min(slots, self._trusted)
        self._trusted -= trusted
        self._spare += slots - trusted
        for lease in sorted(self._leases, key=lambda each: -each.slots):
            if lease.slots <= self._spare:
                self._spare -= lease.slots
                self._end(lease)

    def renew(self) -> None:
        """Renew the leases that are due; one that the server has forgotten goes on on trust."""
        now = self._clock()
        for lease in [each for each in self._leases if now - each.renewed_at >= RENEW_AFTER_SECONDS]:
            try:
                self._call("renew_concurrency_lease", lease_id=lease.id, lease_duration=LEASE_SECONDS)
                lease.renewed_at = now
            except Exception as error:
                if _status(error) in _LOST:
                    self._forget(lease)
                else:
                    self._is_silent(error)
                    return

    def _forget(self, lease: _Lease) -> None:
        """Without the lease, its spare slots are gone, and those in use go on."""
        self._leases.remove(lease)
        spare = min(self._spare, lease.slots)
        self._spare -= spare
        self._trusted += lease.slots - spare

    def close(self) -> None:
        """End all leases."""
        for lease in list(self._leases):
            self._end(lease)
        if self._client is not None:
            self._context.run(self._client.__exit__, None, None, None)
            self._client = None

    def _end(self, lease: _Lease) -> None:
        self._leases.remove(lease)
        try:
            self._call("release_concurrency_slots_with_lease", lease_id=lease.id)
        except Exception as error:  # it expires by itself
            self._is_silent(error)

    def _call(self, method: str, **arguments: Any) -> Any:
        return self._context.run(self._send, method, arguments)

    def _send(self, method: str, arguments: dict[str, Any]) -> Any:
        if self._client is None:
            from prefect.client.orchestration import get_client

            self._client = get_client(sync_client=True).__enter__()
        return getattr(self._client, method)(**arguments)

    def _trust(self, slots: int) -> int:
        self._trusted += slots
        return slots

    def _is_silent(self, error: Exception) -> None:
        self._silent_until = self._clock() + RETRY_SECONDS
        warn_once(
            f"server-slots:{self.name}",
            f"The Prefect server does not answer for the limit {self.name!r}, so that it holds on this "
            f"machine only until it does ({type(error).__name__}: {error}).",
        )


def _status(error: BaseException) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)
