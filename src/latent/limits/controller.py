"""
How fast a provider lets us go, learned from its answers. Pure: what was learned, what happened, the clock.

Slow start, then additive increase and multiplicative decrease, as in congestion control (Chiu and Jain 1989,
"Analysis of the Increase and Decrease Algorithms for Congestion Avoidance"; Jacobson 1988, "Congestion
Avoidance and Control"), on the rate of requests and on the number in flight. All refusals of what was sent
before a decrease belong to that decrease. After one, the rate goes back quickly to where it was refused and
creeps from there (the idea of CUBIC, RFC 9438), since a provider's limit seldom moves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

START_PER_SECOND = 10.0
"""Where a limit of which nothing is known begins."""
SLOWEST_PER_SECOND = 1 / 120
FASTEST_PER_SECOND = 10_000.0
"""A rate beyond this is no bound."""

DOUBLING_SECONDS = 0.5
"""Slow start doubles in this time, or in the time that an answer takes where that is longer."""
RECOVERY_SECONDS = 0.7
"""Time constant of the way back to where the provider refused."""
CREEP_PER_SECOND = 0.02
"""Additive increase: the part of the rate that is added in a second."""
QUIET_SECONDS = 10.0
"""After this long without a refusal the increase doubles every half of it: the limit may have been raised."""

STARTING_FACTOR = 0.65
FACTOR = 0.88
KNOWN_FACTOR = 0.92
NEAR = 0.85
"""
Near a limit that is known, from settings or headers, a refusal is most likely jitter: the decrease is small,
goes no further than this part of the limit, and the way back leads to that limit.
"""
JITTER_SHARE = 0.06
"""Jitter makes a provider refuse a few calls; where more than this part is refused, it allows less."""
SHARE_CALLS = 100
"""The part that is refused is that of about so many calls sent last."""
AGAIN_FACTOR = 0.78
AGAIN_SECONDS = 1.5
"""A decrease this soon after the last: the rate is far off."""
OVERLOAD_FACTOR = 0.95

WINDOW_PROBE_SECONDS = 0.25
LONGEST_PROBE_SECONDS = 10.0
"""How often more calls in flight are tried: twice as long after each time that they were refused."""

MEASURED_SECONDS = 2.0
_LONG_AGO = -1e12


@dataclass(frozen=True, slots=True)
class Learned:
    """What the answers of a provider taught; times are seconds on the monotonic clock."""

    rate: float | None = None
    """Requests per second; None: as many as the limit allows, or any number."""
    ceiling: float | None = None
    """Requests per second at which the provider last refused."""
    is_starting: bool = False
    stated: float | None = None
    """Requests per second that the provider's headers state."""
    stated_tokens: float | None = None
    """Tokens per second that the provider's headers state."""
    window: int | None = None
    """Calls in flight; None: no bound was met."""
    crowded: int = 0
    """Refusals in a row of more calls in flight than ever were taken."""
    proven: int = 0
    """The most calls in flight of which none was refused."""
    lowered_at: float = _LONG_AGO
    raised_at: float = _LONG_AGO
    widened_at: float = _LONG_AGO
    answer_seconds: float = 0.0
    """How long an answer takes, smoothed."""
    sent: tuple[tuple[float, int], ...] = ()
    """Calls begun in the last seconds, by when they were counted."""
    refused: tuple[tuple[int, int], ...] = ()
    """Refusals by slices of ten seconds, of the last minute."""
    refused_share: float = 0.0
    """The part of the calls sent last that was refused, smoothed."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Calls that succeeded since the last time."""

    count: int
    seconds: float
    """How long each took, on average."""
    in_flight: int
    """The most calls in flight when one of them began."""
    were_held_back: bool
    """Whether calls waited for the rate: else their success says nothing about a faster one."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that the provider refused with 429."""

    sent_at: float
    rate: float | None
    """Requests per second allowed when it was sent."""
    in_flight: int


@dataclass(frozen=True, slots=True)
class Overload:
    """A call that the provider could not serve (503, 529)."""

    sent_at: float


@dataclass(frozen=True, slots=True)
class Statement:
    """Limits that a provider's headers state, per second."""

    requests: float | None
    tokens: float | None


News = Answers | Refusal | Overload | Statement


def begin(*, is_open: bool) -> Learned:
    """What is known at first; a limit without any number (`is_open`) starts slowly, others as configured."""
    return Learned(rate=START_PER_SECOND, is_starting=True) if is_open else Learned()


def resume(learned: Learned, idle_seconds: float, *, is_open: bool) -> Learned:
    """What is still believed after a pause: the rate halves with each day, down to where it would start."""
    faith = 0.5 ** (max(idle_seconds, 0.0) / 86_400)
    floor = START_PER_SECOND if is_open else SLOWEST_PER_SECOND
    rate = None if learned.rate is None else max(learned.rate * faith, min(floor, learned.rate))
    if rate is None and is_open:
        return begin(is_open=True)
    return Learned(
        rate=rate,
        ceiling=learned.ceiling,
        is_starting=learned.is_starting,
        stated=learned.stated,
        stated_tokens=learned.stated_tokens,
        window=learned.window if idle_seconds < 3600 else None,
        proven=learned.proven if idle_seconds < 3600 else 0,
    )


def allowed_rate(learned: Learned, configured: float | None) -> float | None:
    """Requests per second that may be sent now; None: any number. Never above what is configured."""
    known = [rate for rate in (configured, learned.stated, learned.rate) if rate is not None]
    return min(known, default=None)


def learn(learned: Learned, news: Iterable[News], now: float, configured: float | None) -> Learned:
    """What is known after `news`; `configured` is the rate of the settings, per second."""
    for item in news:
        match item:
            case Answers():
                learned = _after_answers(learned, item, now, configured)
            case Refusal():
                learned = _after_refusal(_counted(learned, now), item, now, configured)
            case Overload():
                learned = _after_overload(learned, item, now, configured)
            case Statement():
                learned = _after_statement(learned, item)
    return learned


def note_sent(learned: Learned, count: int, now: float) -> Learned:
    """Count calls that begin; they tell the rate where none was set."""
    if not count:
        return learned
    learned = replace(learned, refused_share=learned.refused_share * (1 - 1 / SHARE_CALLS) ** count)
    last_at, last = learned.sent[-1] if learned.sent else (_LONG_AGO, 0)
    if now - last_at < MEASURED_SECONDS / 8:
        return replace(learned, sent=(*learned.sent[:-1], (last_at, last + count)))
    recent = tuple(mark for mark in learned.sent if now - mark[0] < MEASURED_SECONDS)
    return replace(learned, sent=(*recent, (now, count)))


def refused_lately(learned: Learned, now: float) -> int:
    """Refusals in the last minute, to ten seconds."""
    return sum(count for tenth, count in learned.refused if now // 10 - tenth < 6)


def _after_answers(learned: Learned, answers: Answers, now: float, configured: float | None) -> Learned:
    old = learned.answer_seconds or answers.seconds
    weight = min(1.0, answers.count / 8)
    learned = replace(
        learned,
        answer_seconds=old + (answers.seconds - old) * weight,
        proven=max(learned.proven, answers.in_flight),
    )
    learned = _widened(learned, answers, now)
    if learned.rate is None:
        return learned
    # Time in which nobody asked for more is not evidence.
    elapsed = min(now - learned.raised_at, 0.5) if answers.were_held_back else 0.0
    rate = learned.rate
    if elapsed > 0:
        rate = _grown(learned, learned.rate, answers.count, elapsed, now)
    bound = allowed_rate(replace(learned, rate=None), configured)
    if rate >= (FASTEST_PER_SECOND if bound is None else bound):
        return replace(learned, rate=None, is_starting=False, raised_at=now)
    return replace(learned, rate=rate, raised_at=now)


def _grown(learned: Learned, rate: float, count: int, elapsed: float, now: float) -> float:
    if learned.is_starting or learned.ceiling is None:
        # By answers, not by time: a slow provider must not be overrun before its first answer.
        return rate + count * math.log(2) / max(DOUBLING_SECONDS, learned.answer_seconds)
    quiet = now - learned.lowered_at - QUIET_SECONDS
    haste = 2.0 ** min(quiet / (QUIET_SECONDS / 2), 6.0) if quiet > 0 else 1.0
    creep = CREEP_PER_SECOND * learned.ceiling * elapsed * haste
    back = max(0.0, learned.ceiling - rate)
    recovery = max(RECOVERY_SECONDS, 2 * learned.answer_seconds)
    return rate + back * (1 - math.exp(-elapsed / recovery)) + creep


def _widened(learned: Learned, answers: Answers, now: float) -> Learned:
    if learned.window is None or answers.in_flight < learned.window:
        return learned
    patience = min(WINDOW_PROBE_SECONDS * 2.0**learned.crowded, LONGEST_PROBE_SECONDS)
    if now - max(learned.widened_at, learned.lowered_at) < max(patience, learned.answer_seconds):
        return learned
    return replace(learned, window=learned.window + max(1, learned.window // 10), widened_at=now)


def _after_refusal(learned: Learned, refusal: Refusal, now: float, configured: float | None) -> Learned:
    if refusal.sent_at <= learned.lowered_at:
        return learned  # sent before the last decrease could have had an effect
    if refusal.in_flight > learned.proven > 0:
        learned = replace(learned, crowded=learned.crowded + 1)
        is_bounded = allowed_rate(learned, configured) is not None
        if learned.crowded > 1 or not is_bounded:
            window = max(learned.proven, int(refusal.in_flight * FACTOR))
            learned = replace(learned, window=min(window, learned.window or window))
        if not is_bounded:
            # Most likely too many at once; if not, the next refusal comes with no more in flight.
            return replace(learned, lowered_at=now, widened_at=now)
    else:
        # As many were in flight before: it is the rate.
        learned = replace(learned, window=None, crowded=0)
    now_allowed = allowed_rate(learned, configured) or _measured(learned, now)
    rate = min(now_allowed, refusal.rate or now_allowed)
    bound = allowed_rate(replace(learned, rate=None), configured)
    is_jitter = bound is not None and rate >= NEAR * bound and learned.refused_share <= JITTER_SHARE
    slowest = NEAR * bound if bound is not None and is_jitter else SLOWEST_PER_SECOND
    return replace(
        learned,
        rate=max(slowest, rate * _factor(learned, now, is_jitter=is_jitter)),
        ceiling=bound if is_jitter else rate,
        is_starting=False,
        lowered_at=now,
        raised_at=now,
        widened_at=now,
    )


def _factor(learned: Learned, now: float, *, is_jitter: bool) -> float:
    if learned.is_starting:
        return STARTING_FACTOR
    if is_jitter:
        return KNOWN_FACTOR
    soon = now - learned.lowered_at < max(AGAIN_SECONDS, 2 * learned.answer_seconds)
    return AGAIN_FACTOR if soon else FACTOR


def _after_overload(learned: Learned, overload: Overload, now: float, configured: float | None) -> Learned:
    if overload.sent_at <= learned.lowered_at:
        return learned
    rate = allowed_rate(learned, configured) or _measured(learned, now)
    slower = max(SLOWEST_PER_SECOND, rate * OVERLOAD_FACTOR)
    ceiling = learned.ceiling if learned.ceiling is not None else rate
    return replace(learned, rate=slower, ceiling=ceiling, lowered_at=now, raised_at=now)


def _after_statement(learned: Learned, statement: Statement) -> Learned:
    stated = statement.requests or learned.stated
    tokens = statement.tokens or learned.stated_tokens
    if stated == learned.stated and tokens == learned.stated_tokens:
        return learned
    if statement.requests and learned.is_starting:
        learned = replace(learned, rate=None, is_starting=False)  # no need to search for what was told
    return replace(learned, stated=stated, stated_tokens=tokens)


def _measured(learned: Learned, now: float) -> float:
    """Calls begun per second lately."""
    marks = [mark for mark in learned.sent if now - mark[0] < MEASURED_SECONDS]
    if not marks:
        return START_PER_SECOND
    return sum(count for _, count in marks) / max(now - marks[0][0], MEASURED_SECONDS / 8)


def _counted(learned: Learned, now: float) -> Learned:
    tenth = int(now // 10)
    kept = [(slice_, count) for slice_, count in learned.refused if 0 <= tenth - slice_ < 6]
    if kept and kept[-1][0] == tenth:
        kept[-1] = (tenth, kept[-1][1] + 1)
    else:
        kept.append((tenth, 1))
    return replace(learned, refused=tuple(kept), refused_share=learned.refused_share + 1 / SHARE_CALLS)
