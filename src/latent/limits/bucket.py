"""
Token buckets as points in time: when may the next call begin?

A bucket is kept as the moment at which it is full again if nothing more is taken (the generic cell rate
algorithm: ITU-T I.371; "GCRA" as Brandur Leach describes it for rate limits). Taking is adding, waiting is
known in advance, and nothing has to be refilled. Pure: clock in, times out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

JITTER_SECONDS = 0.1
"""A bucket without a stated burst holds what flows in this time, so that a late waker can catch up."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """How fast a bucket fills, and how much it holds."""

    per_second: float
    capacity: float


def request_bucket(per_second: float, burst: int | None) -> Bucket:
    """
    The bucket for a request rate.

    Of the provider's burst half is used: both buckets run at the same rate, so that with all of it used, two
    requests that the network brings closer together would be one too many.
    """
    capacity = per_second * JITTER_SECONDS if burst is None else burst / 2
    return Bucket(per_second, max(1.0, capacity))


def departure_bucket(per_second: float, burst: int | None) -> Bucket:
    """
    The bucket for calls that really go: half as large again as the one that they were booked by.

    Calls that were booked in time and woken late catch up within it; a quarter of the provider's burst is
    left for what the network brings closer together.
    """
    capacity = per_second * JITTER_SECONDS * 1.5 if burst is None else burst * 3 / 4
    return Bucket(per_second, max(1.0, capacity))


def token_bucket(per_second: float, requests: Bucket | None) -> Bucket:
    """The bucket for tokens: as much time's worth as that for requests holds, where there is one."""
    seconds = requests.capacity / requests.per_second if requests else JITTER_SECONDS
    return Bucket(per_second, per_second * seconds)


def at_new_rate(full_at: float, now: float, old: float | None, new: float) -> float:
    """
    When a bucket is full that fills at another rate from now on: as much is missing as before.

    Without it, what was taken while the rate was a crawl would be waited for at that crawl. `old` is None
    where no rate held before.
    """
    if old is None or full_at <= now:
        return full_at
    return now + (full_at - now) * old / new


def book(now: float, demands: Sequence[tuple[float, float, Bucket]]) -> tuple[float, tuple[float, ...]]:
    """
    When a call may begin that takes from several buckets at once, and when each is full again after it.

    A call that takes more than a bucket holds begins when it is full, and leaves it in debt.

    Args:
        now: Seconds on the clock that all times here are on.
        demands: For each bucket, when it is full again, what the call takes from it, and the bucket.
    """
    start = now
    for full_at, amount, bucket in demands:
        spare = bucket.capacity - min(amount, bucket.capacity)
        start = max(start, full_at - spare / bucket.per_second)
    return start, tuple(
        max(full_at, start) + amount / bucket.per_second for full_at, amount, bucket in demands
    )
