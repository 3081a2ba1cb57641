"""Durations as people write them in settings and options: a number and its unit, "30s", "15m", "1h30m"."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_PARTS = "".join(rf"(?:(?P<{unit}>\d+(?:\.\d+)?)\s*{unit}\s*)?" for unit in _SECONDS)


def parse_duration(text: str) -> timedelta:
    """
    The duration that `text` stands for: days, hours, minutes and seconds, the largest unit first.

    Raises:
        ValueError: A number without a unit, another unit, or no number at all.
    """
    match = re.fullmatch(rf"\s*{_PARTS}", text)
    given = {unit: float(number) for unit, number in (match.groupdict() if match else {}).items() if number}
    if not given:
        raise ValueError('a duration is a number with its unit, such as "30s", "15m", "2h" or "1d"')
    return timedelta(seconds=sum(_SECONDS[unit] * number for unit, number in given.items()))


def duration_text(duration: timedelta) -> str:
    """`duration` as `parse_duration` reads it: "1h30m"."""
    left, parts = duration.total_seconds(), []
    for unit, seconds in _SECONDS.items():
        count = left if unit == "s" else left // seconds
        left -= count * seconds
        parts += [f"{count:g}{unit}"] if count else []
    return "".join(parts) or "0s"


def _read(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    # pydantic reads a bare number as seconds, which a user who means minutes would not notice.
    return parse_duration(value if isinstance(value, str) else "")


def _positive(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise ValueError("a duration is longer than nothing")
    return duration


Duration = Annotated[
    timedelta,
    BeforeValidator(_read),
    AfterValidator(_positive),
    PlainSerializer(duration_text, when_used="json"),
]
"""The type of a setting that is a duration, longer than nothing."""
