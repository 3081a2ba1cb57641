"""A provider and its clients on a clock of their own: bucket and controller together, without waiting."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from dataclasses import dataclass, field, replace

from latent.limits.bucket import book, request_bucket
from latent.limits.controller import (
    Answers,
    Learned,
    Refusal,
    Statement,
    allowed_rate,
    begin,
    learn,
    note_sent,
)


@dataclass
class Provider:
    """A token bucket and a bound on calls in flight, as a provider enforces them."""

    rate: float = 50.0
    burst: float = 10.0
    concurrency: int = 10_000
    level: float = field(init=False)
    at: float = 0.0
    in_flight: int = 0

    def __post_init__(self) -> None:
        self.level = self.burst

    def admits(self, now: float) -> bool:
        self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level < 1 or self.in_flight >= self.concurrency:
            return False
        self.level -= 1
        self.in_flight += 1
        return True


@dataclass(frozen=True)
class Outcome:
    """How a simulated run went."""

    seconds: float
    refused: int
    requests: int
    learned: Learned

    def of_ideal(self, rows: int, rate: float, burst: float, latency: float) -> float:
        return ((rows - burst) / rate + latency) / self.seconds

    @property
    def refused_share(self) -> float:
        return self.refused / self.requests


def simulate(
    provider: Provider,
    *,
    rows: int = 1500,
    workers: int = 32,
    configured: float | None = None,
    burst: int | None = None,
    states_limit: bool = False,
    latency: float = 0.3,
    jitter_seconds: float = 0.01,
    refusal_seconds: float = 0.01,
    stall_seconds: float = 0.0,
    changes: tuple[tuple[float, float], ...] = (),
    learned: Learned | None = None,
    seed: int = 1,
) -> Outcome:
    """
    Send `rows` calls through bucket and controller; refused ones come back after a jittered delay.

    Args:
        stall_seconds: How long the client stands still every three seconds, as on an overloaded machine.
    """
    dice = random.Random(seed)
    learned = learned if learned is not None else begin(is_open=configured is None)
    order = itertools.count()
    events: list[tuple[float, int, str, object]] = []
    waiting = deque((row, 1) for row in range(rows))
    busy = sent = refused = done = booked = 0
    full_at = now = 0.0
    to_change = list(changes)

    def later(seconds: float, what: str, about: object) -> None:
        at = now + seconds
        if what != "arrive" and at % 3.0 < stall_seconds:
            at += stall_seconds - at % 3.0
        heapq.heappush(events, (at, next(order), what, about))

    def send() -> None:
        nonlocal busy, full_at, booked, learned
        window = min(workers, learned.window or workers)
        while waiting and busy < window and booked < 2:
            rate = allowed_rate(learned, configured)
            start, bound = now, None
            if rate is not None:
                bound = request_bucket(rate, burst)
                start, (full_at,) = book(now, [(full_at, 1.0, bound)])
            busy += 1
            booked += 1
            later(start - now, "begin", waiting.popleft())

    while done < rows:
        send()
        now, _, what, about = heapq.heappop(events)
        while to_change and now >= to_change[0][0]:
            provider.rate = to_change.pop(0)[1]
        if what == "begin":
            booked -= 1
            sent += 1
            learned = note_sent(learned, 1, now)
            call = (about, now, allowed_rate(learned, configured), busy)
            later(dice.expovariate(1 / jitter_seconds), "arrive", call)
        elif what == "arrive":
            if provider.admits(now):
                seconds = dice.lognormvariate(math.log(latency), 0.4)
                later(seconds, "served", about)
            else:
                later(refusal_seconds, "refused", about)
        elif what == "served":
            provider.in_flight -= 1
            (_row, sent_at, _, in_flight) = about
            busy -= 1
            done += 1
            news = [Answers(1, now - sent_at, in_flight, bool(waiting))]
            if states_limit:
                news.append(Statement(provider.rate, None))
            learned = learn(learned, news, now, configured)
        elif what == "refused":
            ((row, attempt), sent_at, rate, in_flight) = about
            busy -= 1
            refused += 1
            learned = learn(learned, [Refusal(sent_at, rate, in_flight)], now, configured)
            later(dice.uniform(0, min(60, 2 ** (attempt - 1))), "again", (row, attempt + 1))
        else:
            waiting.appendleft(about)
    return Outcome(now, refused, sent, replace(learned))
