"""What processes tell the limit store and what it grants them, on a clock of the test's own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from latent.config import LimitSettings
from latent.limits import allocation
from latent.limits.accounts import read_account
from latent.limits.allocation import Ask, Grant
from latent.limits.controller import Refusal
from latent.limits.database import LimitDatabase


@pytest.fixture
def connection(tmp_path) -> Iterator[sqlite3.Connection]:
    database = LimitDatabase(tmp_path / "limits.db")
    database.write(lambda _: None)
    database.close()
    with closing(sqlite3.connect(tmp_path / "limits.db", isolation_level=None)) as opened:
        yield opened


def sync(connection: sqlite3.Connection, now: float, *, calls: int = 0, news=(), **settings: float) -> Grant:
    """What a process is granted that books so many calls under these settings."""
    limit = LimitSettings(**settings)
    ask = Ask("api", limit, owned=0, in_use=0, waiting=0, runs="{}", tokens=(0,) * calls, news=tuple(news))
    return allocation.sync(connection, ask, member=1, pid=1, now=now, wall=now, is_gone=lambda share: False)


def test_calls_booked_at_a_crawl_are_not_waited_for_once_the_user_raised_the_rate(connection):
    """Two calls at one in 120 s; then 50 a second: the third waits for the two at 50 a second."""
    assert sync(connection, 0.0, calls=2, requests_per_minute=0.5).starts == (0.0, 120.0)
    # By hand: at 1 s, 1.99 calls are missing; the bucket holds 5, so that one more may begin at once.
    assert sync(connection, 1.0, calls=1, requests_per_minute=3000).starts == (1.0,)


def test_calls_booked_at_a_high_rate_are_paid_off_at_the_lower_one(connection):
    """Twelve calls at 10 a second with a burst of 4: at 0 s, 11 s' worth is missing at 1 a second."""
    starts = sync(connection, 0.0, calls=12, requests_per_minute=600, burst=4).starts
    assert starts[-1] == pytest.approx(1.0)
    assert sync(connection, 0.0, calls=1, requests_per_minute=60, burst=4).starts == pytest.approx((11.0,))


def test_rate_that_was_lowered_by_refusals_and_is_back_leaves_no_wait(connection):
    bound = {"requests_per_minute": 3000, "burst": 10}
    refusals = [Refusal(second * 2.0, 50.0, 1) for second in range(1, 40)]
    for each in refusals:
        slow = sync(connection, each.sent_at + 0.1, news=[each], **bound).rate
    assert slow is not None
    assert slow < 5.0
    last = sync(connection, 80.0, calls=8, **bound).starts[-1]
    assert last > 80.5
    fast = sync(connection, 80.1, calls=1, adaptive=False, **bound)
    assert fast.rate == 50.0
    assert fast.starts[0] == pytest.approx(80.1 + (8 - 0.1 * slow - 4) / 50, abs=0.005)


def test_tokens_that_are_missing_are_paid_off_at_the_rate_of_now(connection):
    limit = LimitSettings(tokens_per_minute=60)
    ask = Ask("api", limit, owned=0, in_use=0, waiting=0, runs="{}", tokens=(100,))

    def starts(ask: Ask) -> tuple[float, ...]:
        return allocation.sync(
            connection, ask, member=1, pid=1, now=0.0, wall=0.0, is_gone=lambda share: False
        ).starts

    assert starts(ask) == (0.0,)
    faster = Ask("api", LimitSettings(tokens_per_minute=6000), 0, 0, 0, "{}", tokens=(10,))
    assert starts(faster) == pytest.approx((1.0,)), "100 tokens at 100 a second"


def test_file_that_another_process_started_over_meanwhile_is_not_deleted(tmp_path):
    """Both met the damage; the second one comes for the lock after the first has mended it."""
    file = tmp_path / "limits.db"
    file.write_bytes(b"no database" * 1000)
    first, second = LimitDatabase(file), LimitDatabase(file)
    with pytest.raises(sqlite3.DatabaseError) as met:
        second._opened()
    first.write(lambda connection: sync(connection, 1.0, calls=1, requests_per_minute=60))
    assert second._may_pass(met.value)
    known = second.write(lambda connection: read_account(connection, "api"))
    assert known is not None
    assert known.touched_at == 1.0
    assert first.version() is not None, "they use the same file"
    first.close()
    second.close()


def test_file_of_an_older_version_is_created_again(tmp_path):
    file = tmp_path / "limits.db"
    with closing(sqlite3.connect(file)) as old:
        old.execute("PRAGMA journal_mode = WAL")
        old.execute("CREATE TABLE limits (name TEXT PRIMARY KEY, requests_full_at REAL)")
        old.execute("PRAGMA user_version = 1")
    database = LimitDatabase(file)
    assert database.write(lambda connection: read_account(connection, "api")) is None
    assert database.is_shared
    database.close()
