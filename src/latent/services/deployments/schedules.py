"""
When a deployment runs: its schedule as Prefect's, the next times, and what changes of the clock do to it.

The times are asked of the schedule class that Prefect's scheduler itself uses, so they are those at which
runs are really made.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

from latent.config.durations import duration_text
from latent.errors import DeploymentError
from latent.services.deployments.clocks import changes_of_the_clock, remark

if TYPE_CHECKING:
    from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule

    from latent.config import DeploymentSettings

    Schedule = CronSchedule | IntervalSchedule | RRuleSchedule

ANCHOR = datetime(2020, 1, 1)
"""Intervals count from this midnight of the deployment's time zone: "15m" is at every quarter of an hour."""

_WINDOW = timedelta(hours=3)
"""Prefect moves a run by less than that when its hour does not exist."""


def schedule_of(
    settings: DeploymentSettings, now: datetime, *, timezone: str | None = None
) -> Schedule | None:
    """
    The schedule of a deployment as Prefect's server reads it; None for one that only runs on demand.

    Args:
        now: With its own time zone.
        timezone: Whose clock it goes by, in the place of the deployment's.

    Raises:
        DeploymentError: It is malformed, or never comes due from `now` on.
    """
    try:
        schedule = _made(settings, timezone)
        if schedule is None or _dates(schedule, now, count=1):
            return schedule
    except ValueError:  # of pydantic, or of a rule that contradicts itself
        raise DeploymentError(settings.name, f"{_written(settings)} cannot be read: {_FORMS}") from None
    raise DeploymentError(settings.name, f"{_written(settings)} never comes due")


_FORMS = (
    'cron is five fields, "minute hour day month weekday", such as "0 2 * * *"; rrule is a rule of '
    'iCalendar, such as "FREQ=DAILY;BYHOUR=6;BYMINUTE=0"'
)


def schedule_facts(settings: DeploymentSettings, timezone: str | None = None) -> dict[str, Any] | None:
    """The schedule as Prefect writes one; None for a deployment that only runs on demand."""
    zone = timezone or settings.timezone
    if settings.cron is not None:
        return {"cron": settings.cron, "timezone": zone}
    if settings.interval is not None:
        anchor = ANCHOR.replace(tzinfo=ZoneInfo(zone))
        return {"interval": settings.interval, "anchor_date": anchor, "timezone": zone}
    if settings.rrule is not None:
        return {"rrule": settings.rrule, "timezone": zone}
    return None


def _made(settings: DeploymentSettings, timezone: str | None) -> Schedule | None:
    from prefect._internal.schemas.validators import normalize_schedule_rrule
    from prefect.server.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule

    facts = schedule_facts(settings, timezone)
    if facts is None:
        return None
    kinds = {"cron": CronSchedule, "interval": IntervalSchedule, "rrule": RRuleSchedule}
    made: Schedule = kinds[next(iter(facts))](**facts)
    # As the server does with one that it takes: else a rule of minutes is counted from 2020 each time.
    return normalize_schedule_rrule(made)


def _written(settings: DeploymentSettings) -> str:
    """The schedule as it stands in the settings."""
    if settings.cron is not None:
        return f"cron = {settings.cron!r}"
    if settings.interval is not None:
        return f"interval = {duration_text(settings.interval)!r}"
    return f"rrule = {settings.rrule!r}"


def schedule_text(settings: DeploymentSettings) -> str:
    """The schedule in a few words: `cron 0 2 * * * (UTC)`; "on demand" without one."""
    for kind in ("cron", "rrule"):
        if (value := getattr(settings, kind)) is not None:
            return f"{kind} {value} ({settings.timezone})"
    if settings.interval is not None:
        return f"every {duration_text(settings.interval)} ({settings.timezone})"
    return "on demand"


def next_times(settings: DeploymentSettings, now: datetime, count: int = 3) -> list[datetime]:
    """
    When it runs next, by the clock of its time zone; none for a deployment that only runs on demand.

    Args:
        now: With its own time zone.
    """
    schedule = schedule_of(settings, now)
    return [] if schedule is None else _dates(schedule, now, count=count)


def clock_remarks(settings: DeploymentSettings, now: datetime, days: int = 366) -> list[str]:
    """
    What the changes of the clock in the coming days do to the schedule, a sentence for each that touches it.

    Args:
        now: With its own time zone.
    """
    if settings.interval is not None:
        return []  # it counts hours, whatever the clock shows
    real, by_the_clock = schedule_of(settings, now), schedule_of(settings, now, timezone="UTC")
    if real is None or by_the_clock is None:
        return []
    remarks = []
    for change in changes_of_the_clock(ZoneInfo(settings.timezone), now, days):
        begin, end = change.at - _WINDOW, change.at + _WINDOW
        first, last = (change.local(each).replace(tzinfo=UTC) for each in (begin, end))
        meant = [time.replace(tzinfo=None) for time in _dates(by_the_clock, first, last)]
        if (text := remark(change, meant, _dates(real, begin, end))) is not None:
            remarks.append(text)
    return remarks


def _dates(
    schedule: Schedule, begin: datetime, end: datetime | None = None, count: int | None = None
) -> list[datetime]:
    """The due times from `begin` on; none where there are none any more."""
    from prefect._vendor.croniter.croniter import CroniterBadDateError
    from prefect.utilities.asyncutils import run_coro_as_sync

    async def dates() -> list[datetime]:
        # A rule's `end` may be None, too, though Prefect does not say so.
        return [*await schedule.get_dates(count, begin, cast("datetime", end))]

    try:
        found: list[datetime] = run_coro_as_sync(dates())
    except CroniterBadDateError:
        return []
    zone = ZoneInfo(schedule.timezone or "UTC")
    return [datetime.fromtimestamp(date.timestamp(), zone) for date in found]
