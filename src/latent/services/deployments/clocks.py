"""Changes of a time zone's clock: hours that do not exist or come twice, and what schedules make of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class ClockChange:
    """One change: at `at`, the clock jumps from `before` to `after`, both without a time zone."""

    at: datetime
    before: datetime
    after: datetime
    zone: ZoneInfo

    @property
    def skips(self) -> bool:
        """Whether the time between does not exist; else it comes twice."""
        return self.after > self.before

    @property
    def span(self) -> tuple[datetime, datetime]:
        """What is skipped or comes twice, as the clock shows it: from, and until before."""
        return min(self.before, self.after), max(self.before, self.after)

    def local(self, moment: datetime) -> datetime:
        """What the clock shows at a moment, without a time zone."""
        return moment.astimezone(self.zone).replace(tzinfo=None)


def changes_of_the_clock(zone: ZoneInfo, now: datetime, days: int) -> Iterator[ClockChange]:
    """The changes in the coming `days`; zone databases tell them only by the difference from UTC."""
    moment = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    for _ in range(days):
        following = moment + timedelta(days=1)
        if _offset(zone, moment) != _offset(zone, following):
            at = _between(zone, moment, following)
            before, after = _offset(zone, at - timedelta(seconds=1)), _offset(zone, at)
            naive = at.replace(tzinfo=None)
            yield ClockChange(at, naive + before, naive + after, zone)
        moment = following


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def _between(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The first second of the new time, between a moment of the old and one of the new."""
    first = _offset(zone, low)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        low, high = (middle, high) if _offset(zone, middle) == first else (low, middle)
    return high


def remark(change: ClockChange, meant: Sequence[datetime], runs: Sequence[datetime]) -> str | None:
    """
    What a change of the clock does to a schedule, as a sentence; None when it does nothing.

    Args:
        meant: The times of the schedule around the change as the clock would show them, without a time zone.
        runs: When it runs around the change, with a time zone.
    """
    begin, end = change.span
    touched = [time for time in meant if begin <= time < end]
    if not touched:
        return None
    shown = [change.local(run) for run in runs]
    what = f"{touched[0]:%H:%M}" if len(touched) == 1 else f"{begin:%H:%M} to {end:%H:%M}"
    if change.skips:
        moved = [time for time in shown if time not in meant]
        return f"{what} does not exist on {begin:%Y-%m-%d}: {_what_becomes_of(len(touched), moved)}"
    times = sum(time in touched for time in shown)
    said = "the first time only" if times <= len(touched) else "both times"
    return f"{what} happens twice on {begin:%Y-%m-%d}: it runs {said}"


def _what_becomes_of(missing: int, moved: Sequence[datetime]) -> str:
    at = ", ".join(f"{time:%H:%M}" for time in moved)
    if missing == 1:
        return f"it runs at {at} instead" if moved else "it does not run then"
    return f"{missing} runs fall away" + (f", and one more is at {at}" if moved else "")
