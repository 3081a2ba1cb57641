"""
What the headers of a provider's answer say about waiting and about its limits. Pure: text in, numbers out.

Sources: RFC 9110 section 10.2.3 (`Retry-After`); the rate limit pages of OpenAI, Azure OpenAI, Anthropic,
Groq, Cerebras, Mistral and GitHub; draft-ietf-httpapi-ratelimit-headers-07 (`RateLimit-Limit`, ...).
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MILLISECOND_HINTS = ("retry-after-ms", "x-ms-retry-after-ms")

_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|[dhms])")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LEADING_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)")

_FIELDS = ("limit", "remaining", "reset")
_WINDOWS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0, "month": 30 * 86400.0}
_KINDS = {"": "requests", "req": "requests", "request": "requests", "token": "tokens"}

_EPOCH_SECONDS = 1e9
"""A larger number is a point in time, not a duration: as a duration it would be 31 years."""
_EPOCH_MILLISECONDS = 1e12


@dataclass(frozen=True, slots=True)
class HeaderLimit:
    """One limit as an answer's headers state it; None for what they leave out."""

    kind: str
    """`requests`, `tokens`, `input-tokens`, `output-tokens`, or what else the provider counts."""
    limit: float | None
    remaining: float | None
    reset_seconds: float | None
    """From now until the limit is whole again."""
    window_seconds: float | None = None
    """The time that `limit` counts for, where the header's name says it."""

    @property
    def refill_per_second(self) -> float | None:
        """
        How fast a limit that fills up steadily does so: what is used, over the time until it is whole again.

        None when the headers say too little. Steady are those of OpenAI, Anthropic and Groq, whose limits
        stand for a minute or a day without saying which; this number is right for either.
        """
        if self.limit is None or self.remaining is None or not self.reset_seconds:
            return None
        used = self.limit - self.remaining
        return used / self.reset_seconds if used > 0 else None


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """
    How long the provider asks to wait; None when it does not say, or says nonsense.

    Args:
        headers: Names in lower case.
        now: The local clock in Unix seconds. An HTTP date is measured against the answer's own `Date` where
            it has one, since then it does not matter whose clock is wrong.
    """
    for name in _MILLISECOND_HINTS:
        if (milliseconds := _number(headers.get(name))) is not None:
            return milliseconds / 1000
    text = headers.get("retry-after")
    if text is None:
        return None
    seconds = _number(text)
    if seconds is not None:
        return seconds
    moment = _http_date(text)
    return None if moment is None else max(moment - _servers_now(headers, now), 0.0)


def header_limits(headers: Mapping[str, str], now: float) -> tuple[HeaderLimit, ...]:
    """The limits that an answer's headers state, in the order of their first header."""
    found: dict[tuple[str, float | None], dict[str, str]] = defaultdict(dict)
    for name, value in headers.items():
        if "ratelimit-" in name and (place := _place(name)) is not None:
            kind, window, field = place
            found[kind, window][field] = value
    if not found:
        return ()
    servers_now = _servers_now(headers, now)
    limits = (
        HeaderLimit(
            kind,
            _leading_number(fields.get("limit")),
            _leading_number(fields.get("remaining")),
            reset_seconds(fields["reset"], servers_now) if "reset" in fields else None,
            window,
        )
        for (kind, window), fields in found.items()
    )
    return tuple(
        limit for limit in limits if (limit.limit, limit.remaining, limit.reset_seconds) != (None,) * 3
    )


def reset_seconds(text: str, now: float) -> float | None:
    """
    Seconds from `now` until the moment that `text` names; None when it cannot be read.

    Durations ("6m0s", "20ms", "12.5"), Unix seconds or milliseconds, RFC 3339 and HTTP dates.
    """
    text = text.strip()
    if (number := _number(text)) is not None:
        if number >= _EPOCH_MILLISECONDS:
            return max(number / 1000 - now, 0.0)
        return max(number - now, 0.0) if number >= _EPOCH_SECONDS else number
    if (seconds := duration_seconds(text)) is not None:
        return seconds
    moment = _rfc3339(text)
    moment = _http_date(text) if moment is None else moment
    return None if moment is None else max(moment - now, 0.0)


def duration_seconds(text: str) -> float | None:
    """The length of "6m0s", "1.5s" or "20ms" in seconds; None for other text."""
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != text.strip():
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _place(name: str) -> tuple[str, float | None, str] | None:
    """
    Kind, window and field of a header of limits; None for others.

    The field comes first in `x-ratelimit-limit-requests`, last in `anthropic-ratelimit-requests-limit`.
    """
    words = name.partition("ratelimit-")[2].split("-")
    if words[0] in _FIELDS:
        field, rest = words[0], words[1:]
    elif words[-1] in _FIELDS:
        field, rest = words[-1], words[:-1]
    else:
        return None
    window = None
    if rest and (window := _WINDOWS.get(rest[-1])) is not None:
        rest = rest[:-1]
    kind = "-".join(rest)
    return _KINDS.get(kind, kind), window, field


def _servers_now(headers: Mapping[str, str], now: float) -> float:
    moment = _http_date(headers["date"]) if "date" in headers else None
    return now if moment is None else moment


def _number(text: str | None) -> float | None:
    """A finite number that is not negative."""
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _leading_number(text: str | None) -> float | None:
    """The number before whatever follows: drafts of the standard write `100;w=60`."""
    match = _LEADING_NUMBER.match(text) if text is not None else None
    return float(match[1]) if match else None


def _http_date(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return _timestamp(moment)


def _rfc3339(text: str) -> float | None:
    try:
        return _timestamp(datetime.fromisoformat(text))
    except ValueError:
        return None


def _timestamp(moment: datetime) -> float | None:
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
