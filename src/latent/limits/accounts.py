"""What is known of a limit as a whole: its buckets, what was learned, and how long ago."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass, fields, replace

from latent.config.settings import LimitSettings
from latent.limits.bucket import Bucket, request_bucket, token_bucket
from latent.limits.controller import Learned, allowed_rate, begin, resume

IDLE_SECONDS = 60.0
"""After this long without a call, what was learned begins to fade."""


@dataclass(frozen=True, slots=True)
class Account:
    """A row of the file of limits; points in time are on the monotonic clock, `touched_wall` is not."""

    requests_full_at: float
    tokens_full_at: float
    learned: Learned
    touched_at: float
    touched_wall: float
    requests_rate: float | None = None
    """Requests per second that `requests_full_at` was reckoned with; None while no rate held yet."""
    tokens_rate: float | None = None


def current_account(
    connection: sqlite3.Connection, name: str, settings: LimitSettings, now: float, wall: float
) -> Account:
    """What still holds of what the file says; what is known at first when it says nothing."""
    account = read_account(connection, name)
    if account is None:
        return Account(now, now, nothing_learned(settings), now, wall)
    # A clock behind that of the file started over since: the machine was started again.
    is_of_before = account.touched_at > now + 1.0
    if not is_of_before and now - account.touched_at <= IDLE_SECONDS:
        return account
    learned = resume(account.learned, wall - account.touched_wall, is_open=is_open(settings))
    if is_of_before:
        return Account(now, now, learned, now, wall)
    return replace(account, learned=learned)


def read_account(connection: sqlite3.Connection, name: str) -> Account | None:
    """What is known of a limit; None before its first use."""
    row = connection.execute(
        "SELECT requests_full_at, tokens_full_at, learned, touched_at, touched_wall, "
        "requests_rate, tokens_rate FROM limits WHERE name = ?",
        (name,),
    ).fetchone()
    return None if row is None else Account(row[0], row[1], _learned(row[2]), *row[3:])


def save_account(connection: sqlite3.Connection, name: str, account: Account) -> None:
    """Write down what is known now."""
    connection.execute(
        "INSERT OR REPLACE INTO limits VALUES (?,?,?,?,?,?,?,?)",
        (
            name, account.requests_full_at, account.tokens_full_at,
            json.dumps(asdict(account.learned)), account.touched_at, account.touched_wall,
            account.requests_rate, account.tokens_rate,
        ),
    )  # fmt: skip


def per_second(per_minute: float | None) -> float | None:
    return None if per_minute is None else per_minute / 60


def is_open(settings: LimitSettings) -> bool:
    """Whether a limit has no number at all, so that the provider's answers are all there is to go by."""
    numbers = (settings.concurrency, settings.requests_per_minute, settings.tokens_per_minute)
    return settings.adaptive and not any(numbers)


def nothing_learned(settings: LimitSettings) -> Learned:
    """What is known of a limit before its first use."""
    return begin(is_open=is_open(settings))


def buckets(settings: LimitSettings, learned: Learned, crowd: int = 1) -> tuple[Bucket | None, Bucket | None]:
    """The buckets for requests and for tokens that a limit has now."""
    rate = per_second(settings.requests_per_minute)
    tokens = per_second(settings.tokens_per_minute)
    if settings.adaptive:
        rate = allowed_rate(learned, rate)
        tokens = min((each for each in (tokens, learned.stated_tokens) if each), default=None)
    requests = request_bucket(rate / crowd, settings.burst) if rate else None
    return requests, token_bucket(tokens / crowd, requests) if tokens else None


def slots_of(settings: LimitSettings, learned: Learned, crowd: int = 1) -> int | None:
    """Calls that may be in flight now; None: any number."""
    window = learned.window if settings.adaptive else None
    known = [slots for slots in (settings.concurrency, window) if slots is not None]
    return max(1, min(known) // crowd) if known else None


_LEARNED = frozenset(field.name for field in fields(Learned))


def _learned(text: str) -> Learned:
    """What stands in the file; nothing when another version wrote it in its own way."""
    try:
        known = {name: value for name, value in json.loads(text).items() if name in _LEARNED}
        for name in ("sent", "refused"):
            known[name] = tuple((mark[0], mark[1]) for mark in known.get(name, ()))
        return Learned(**known)
    except (ValueError, TypeError, AttributeError, LookupError):
        return Learned()
