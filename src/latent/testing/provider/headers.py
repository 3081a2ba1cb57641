"""
Rate-limit headers as the providers write them.

Sources: https://platform.openai.com/docs/guides/rate-limits (rate limits in headers) and
https://docs.claude.com/en/api/rate-limits (response headers). OpenAI gives the time until a limit is whole
again as a duration of the Go language (`120ms`, `6m0s`), Anthropic as a moment (RFC 3339, whole seconds).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from math import ceil

from latent.testing.provider.limits import Level

Headers = list[tuple[str, str]]


def openai_limits(levels: Sequence[Level]) -> Headers:
    """`x-ratelimit-limit-requests: 3000`, `-remaining-requests: 9`, `-reset-requests: 20ms` and so on."""
    headers: Headers = []
    for level in levels:
        headers += [
            (f"x-ratelimit-limit-{level.kind}", str(round(level.per_minute))),
            (f"x-ratelimit-remaining-{level.kind}", str(level.remaining)),
            (f"x-ratelimit-reset-{level.kind}", duration(level.full_in_seconds)),
        ]
    return headers


def anthropic_limits(levels: Sequence[Level], epoch_seconds: float) -> Headers:
    """
    `anthropic-ratelimit-requests-limit: 3000`, `-remaining: 9`, `-reset: 2026-01-31T12:00:00Z`, for each
    limit.

    Args:
        epoch_seconds: The present, as `time.time()` gives it.
    """
    headers: Headers = []
    for level in levels:
        name = f"anthropic-ratelimit-{level.kind}"
        headers += [
            (f"{name}-limit", str(round(level.per_minute))),
            (f"{name}-remaining", str(level.remaining)),
            (f"{name}-reset", moment(epoch_seconds + level.full_in_seconds)),
        ]
    return headers


def retry_after(wait_seconds: float | None, *, milliseconds: bool) -> Headers:
    """
    `retry-after` in whole seconds, rounded up; nothing when the wait is not known.

    Args:
        milliseconds: Add `retry-after-ms`, which OpenAI sends and Anthropic does not.
    """
    if wait_seconds is None:
        return []
    hint = [("retry-after", str(ceil(wait_seconds)))]
    return [*hint, ("retry-after-ms", str(ceil(wait_seconds * 1000)))] if milliseconds else hint


def duration(seconds: float) -> str:
    """A time span as Go writes it, to the millisecond: `0s`, `12ms`, `1.5s`, `6m0s`, `1h0m2s`."""
    milliseconds = ceil(seconds * 1000 - 1e-6)
    if milliseconds <= 0:
        return "0s"
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    larger = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{larger}{rest / 1000:g}s"


def moment(epoch_seconds: float) -> str:
    """A moment as RFC 3339 writes it, in UTC, rounded up to the second."""
    return datetime.fromtimestamp(ceil(epoch_seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
