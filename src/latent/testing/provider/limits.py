"""The limits of a simulated provider: token buckets for requests and tokens, a cap on requests at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from latent.testing.provider.behaviour import Behaviour

LimitKind = Literal["requests", "tokens", "concurrency"]


@dataclass(frozen=True, slots=True)
class Level:
    """How far one limit is used, as the headers of an answer tell it."""

    kind: Literal["requests", "tokens"]
    per_minute: float
    remaining: int
    """What could be taken at once. Never more than the burst, which headers do not name."""
    full_in_seconds: float
    """Until nothing of the burst is used any more, if nobody asks meanwhile."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that a limit turned away."""

    kind: LimitKind
    wait_seconds: float | None
    """How soon the same request would pass. None: that depends on other requests, or it never will."""
    per_minute: float | None = None
    asked: int = 1
    remaining: int = 0


class TokenBucket:
    """
    Lets `capacity` through at once and `per_minute` in the long run.

    It is full at the start, and refills evenly. Debt is allowed, for costs that are known only afterwards.
    """

    __slots__ = ("_at", "_level", "capacity", "per_minute")

    def __init__(self, per_minute: float, capacity: float, now: float) -> None:
        self.per_minute, self.capacity = per_minute, capacity
        self._level, self._at = capacity, now

    def level(self, now: float) -> float:
        """What can be taken now; negative while in debt."""
        self._level = min(self.capacity, self._level + (now - self._at) * self.per_minute / 60.0)
        self._at = now
        return self._level

    def wait_seconds(self, amount: float, now: float) -> float:
        """How long until `amount` can be taken; 0.0 when it can be taken now."""
        # The tolerance is for the sum of many refills: 9.999999 is ten.
        missing = amount - self.level(now)
        return 0.0 if missing <= 1e-6 else missing * 60.0 / self.per_minute

    def take(self, amount: float) -> None:
        """Take `amount`, whether it is there or not."""
        self._level -= amount


class Limits:
    """All limits of a provider together: a request takes from each of them, or from none."""

    def __init__(self, behaviour: Behaviour, now: float) -> None:
        self._concurrency = behaviour.concurrency
        self._buckets: dict[Literal["requests", "tokens"], TokenBucket] = {}
        if behaviour.requests_per_minute is not None:
            capacity = behaviour.burst or max(1.0, behaviour.requests_per_minute / 60.0)
            self._buckets["requests"] = TokenBucket(behaviour.requests_per_minute, capacity, now)
        if behaviour.tokens_per_minute is not None:
            capacity = behaviour.burst_tokens or behaviour.tokens_per_minute
            self._buckets["tokens"] = TokenBucket(behaviour.tokens_per_minute, capacity, now)

    def admit(self, tokens: int, in_flight: int, now: float) -> Refusal | None:
        """
        Take one request of `tokens` tokens from the limits; or say which limit turns it away.

        Args:
            in_flight: Requests that are being answered already.
        """
        if self._concurrency is not None and in_flight >= self._concurrency:
            return Refusal("concurrency", None)
        amounts = [
            (kind, bucket, 1 if kind == "requests" else tokens) for kind, bucket in self._buckets.items()
        ]
        for kind, bucket, amount in amounts:
            wait = bucket.wait_seconds(amount, now)
            if wait > 0.0:
                never = amount > bucket.capacity
                remaining = max(0, int(bucket.level(now)))
                return Refusal(kind, None if never else wait, bucket.per_minute, amount, remaining)
        for _, bucket, amount in amounts:
            bucket.take(amount)
        return None

    def charge(self, tokens: int) -> None:
        """Take the tokens of an answer, which are known only when it exists."""
        if bucket := self._buckets.get("tokens"):
            bucket.take(tokens)

    def levels(self, now: float) -> tuple[Level, ...]:
        """Where the limits stand."""
        return tuple(
            Level(
                kind,
                bucket.per_minute,
                max(0, int(bucket.level(now) + 1e-6)),
                (bucket.capacity - bucket.level(now)) * 60.0 / bucket.per_minute,
            )
            for kind, bucket in self._buckets.items()
        )
