"""When deployments run: the next times, and what changes of the clock do to them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from latent.config import DeploymentSettings
from latent.errors import DeploymentError
from latent.services.deployments.clocks import changes_of_the_clock
from latent.services.deployments.schedules import clock_remarks, next_times, schedule_text

NOW = datetime(2026, 11, 30, 12, 7, tzinfo=UTC)


def deployment(**schedule) -> DeploymentSettings:
    return DeploymentSettings(flow="ingest", name="nightly", **schedule)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"cron": "0 2 * * *"}, ["2026-12-01 02:00", "2026-12-02 02:00", "2026-12-03 02:00"]),
        # Mondays: 30 November 2026 is one, and its 06:00 is over.
        ({"cron": "0 6 * * 1"}, ["2026-12-07 06:00", "2026-12-14 06:00", "2026-12-21 06:00"]),
        ({"interval": "15m"}, ["2026-11-30 12:15", "2026-11-30 12:30", "2026-11-30 12:45"]),
        (
            {"rrule": "FREQ=WEEKLY;BYDAY=TU,FR;BYHOUR=6;BYMINUTE=0;BYSECOND=0"},
            ["2026-12-01 06:00", "2026-12-04 06:00", "2026-12-08 06:00"],
        ),
        ({}, []),
    ],
)
def test_next_three_times_are_known_of_every_kind_of_schedule(schedule, expected):
    assert [f"{time:%Y-%m-%d %H:%M}" for time in next_times(deployment(**schedule), NOW)] == expected


def test_cron_goes_by_the_clock_of_its_time_zone():
    times = next_times(deployment(cron="0 2 * * *", timezone="Europe/Berlin"), NOW, 1)
    assert times == [datetime(2026, 12, 1, 1, tzinfo=UTC)]  # Berlin is an hour ahead in winter
    assert times[0].tzinfo == ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (
            {"cron": "61 * * * *"},
            r"Deployment 'nightly': cron = '61 \* \* \* \*' cannot be read: cron is five",
        ),
        ({"cron": "daily"}, "cannot be read"),
        ({"cron": ""}, "cannot be read"),
        ({"cron": "0 0 31 2 *"}, r"cron = '0 0 31 2 \*' never comes due"),
        ({"rrule": "FREQ=DIALY"}, "rrule = 'FREQ=DIALY' cannot be read"),
        ({"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=31"}, "never comes due"),
        ({"rrule": "FREQ=DAILY;COUNT=3"}, "never comes due"),  # three days of January 2020
    ],
)
def test_schedule_that_is_malformed_or_never_comes_due_is_refused(schedule, message):
    with pytest.raises(DeploymentError, match=message):
        next_times(deployment(**schedule), NOW)


# In 2027 Berlin goes from 02:00 to 03:00 on 28 March, and from 03:00 back to 02:00 on 31 October.
@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (
            {"cron": "30 2 * * *"},
            [
                "02:30 does not exist on 2027-03-28: it runs at 01:30 instead",
                "02:30 happens twice on 2027-10-31: it runs the first time only",
            ],
        ),
        (
            {"cron": "*/30 * * * *"},
            [
                "02:00 to 03:00 does not exist on 2027-03-28: 2 runs fall away",
                "02:00 to 03:00 happens twice on 2027-10-31: it runs the first time only",
            ],
        ),
        ({"cron": "0 4 * * *"}, []),
        ({"cron": "30 2 * * 1"}, []),  # both days are Sundays
        ({"interval": "30m"}, []),  # counts on, whatever the clock shows
        ({}, []),
    ],
)
def test_changes_of_the_clock_are_told_where_they_touch_the_schedule(schedule, expected):
    assert clock_remarks(deployment(timezone="Europe/Berlin", **schedule), NOW) == expected


def test_utc_has_no_changes_of_the_clock():
    assert clock_remarks(deployment(cron="30 2 * * *"), NOW) == []


def test_changes_of_the_clock_are_found_to_the_second():
    spring, autumn = changes_of_the_clock(ZoneInfo("America/New_York"), NOW, 366)
    assert spring.at == datetime(2027, 3, 14, 7, tzinfo=UTC)
    assert spring.span == (datetime(2027, 3, 14, 2), datetime(2027, 3, 14, 3))
    assert (spring.skips, autumn.skips) == (True, False)
    assert autumn.at == datetime(2027, 11, 7, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        ({"cron": "0 2 * * *"}, "cron 0 2 * * * (UTC)"),
        ({"interval": "90m"}, "every 1h30m (UTC)"),
        ({"rrule": "FREQ=DAILY"}, "rrule FREQ=DAILY (UTC)"),
        ({}, "on demand"),
    ],
)
def test_schedule_is_told_in_a_few_words(schedule, text):
    assert schedule_text(deployment(**schedule)) == text
