"""
What processes tell the limit store about a limit, and what it grants them: one transaction each time.

Each process knows best what it holds, and writes it down whenever it comes; so a file that was deleted is
complete again after everybody has come once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from latent.config.settings import LimitSettings
from latent.limits.accounts import Account, buckets, current_account, per_second, save_account, slots_of
from latent.limits.bucket import Bucket, at_new_rate, book
from latent.limits.controller import News, learn, note_sent


@dataclass(frozen=True, slots=True)
class Claim:
    """What one process wants of a limit."""

    member: int
    wanted: int
    """Calls under way and waiting."""
    rank: float
    """The lowest first gets a slot that cannot be shared evenly."""


def fair_shares(slots: int, claims: Iterable[Claim]) -> Mapping[int, int]:
    """
    Slots by member: nobody gets more than he wants, and what is left goes evenly to those who want more.

    Max-min fairness (Bertsekas and Gallager, Data Networks, section 6.5.2). What cannot be divided goes one
    each by rank.
    """
    shares: dict[int, int] = {}
    left = slots
    hungry = sorted(claims, key=lambda claim: claim.wanted)
    while hungry and hungry[0].wanted * len(hungry) <= left:
        modest = hungry.pop(0)
        shares[modest.member] = modest.wanted
        left -= modest.wanted
    if hungry:
        # Each of them wants at least the even part; some of them no more than that.
        even, extra = divmod(max(left, 0), len(hungry))
        in_turn = sorted(hungry, key=lambda claim: (claim.wanted <= even, claim.rank, claim.member))
        for place, claim in enumerate(in_turn):
            shares[claim.member] = even + (place < extra)
    return shares


TURN_SECONDS = 0.25
"""How long a slot that cannot be shared evenly stays with one process while others wait for it."""
SPARE_SLOTS = 8
"""Slots beyond what is needed that a process takes at most while nobody else wants them."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a process says and wants."""

    name: str
    settings: LimitSettings
    owned: int
    """Slots that it holds, used or not."""
    in_use: int
    waiting: int
    runs: str
    """JSON: calls under way and waiting by run."""
    tokens: tuple[int, ...] = ()
    """Of each call to book, the tokens."""
    begun: int = 0
    """Calls begun without booking since the last time."""
    returned: tuple[int, float] = (0, 0.0)
    """Requests and tokens that were booked and not used; negative for more tokens than booked."""
    news: tuple[News, ...] = ()
    crowd: int = 1
    """Processes to divide the limit by: more than 1 only while they cannot be heard."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What the limit store answers."""

    owned: int
    share: int
    """Slots that are this process's when everybody gets a fair share."""
    asked: int
    """Slots that this process could have used when it asked: only then may more of them be its share."""
    free: int
    """Slots that nobody holds."""
    others_wait: bool
    """Whether another process lacks slots that are its fair share."""
    starts: tuple[float, ...]
    """When each booked call may begin."""
    capacity: int | None
    """Slots there are in all; None: any number."""
    rate: float | None
    is_paced: bool
    """Whether calls must be booked."""
    members: int
    others_in_use: int
    version: int | None
    """What `LimitDatabase.version` said meanwhile: what changes later is news."""


class Share(NamedTuple):
    """A row: what one process has of one limit."""

    member: int
    pid: int
    owned: int
    in_use: int
    waiting: int
    since: float
    beat: int
    runs: str


def sync(
    connection: sqlite3.Connection,
    ask: Ask,
    *,
    member: int,
    pid: int,
    now: float,
    wall: float,
    is_gone: Callable[[Share], bool],
) -> Grant:
    """
    Write down what a process holds, learn its news, and grant what is free.

    Args:
        is_gone: Whether another process is dead, or has been silent for too long; its slots are free then.
    """
    account = current_account(connection, ask.name, ask.settings, now, wall)
    configured = per_second(ask.settings.requests_per_minute)
    learned = account.learned
    if ask.settings.adaptive:
        learned = learn(learned, ask.news, now, configured)
    learned = note_sent(learned, ask.begun + len(ask.tokens), now)
    requests, tokens = buckets(ask.settings, learned, ask.crowd)
    account = _at_rates(account, requests, tokens, now)
    starts, full_at = _booked(account, ask, requests, tokens, now)
    known = replace(
        account,
        requests_full_at=full_at[0],
        tokens_full_at=full_at[1],
        learned=learned,
        touched_at=now,
        touched_wall=wall,
    )
    save_account(connection, ask.name, known)

    shares = {share.member: share for share in read_shares(connection, ask.name)}
    mine = shares.pop(member, None)
    others = [share for share in shares.values() if not _removed(connection, ask.name, share, is_gone)]
    capacity = slots_of(ask.settings, learned, ask.crowd)
    owned, fair, since = _slots(ask, mine, member, others, capacity, now)
    beat = 0 if mine is None else mine.beat + 1
    row = Share(member, pid, owned, ask.in_use, ask.waiting, since, beat, ask.runs)
    connection.execute("INSERT OR REPLACE INTO shares VALUES (?,?,?,?,?,?,?,?,?)", (ask.name, *row))
    return Grant(
        owned=owned,
        share=fair.get(member, 0),
        asked=ask.in_use + ask.waiting,
        free=0 if capacity is None else max(0, capacity - owned - sum(share.owned for share in others)),
        others_wait=_lacking(fair, others),
        starts=starts,
        capacity=capacity,
        rate=requests.per_second if requests else None,
        is_paced=bool(requests or tokens),
        members=1 + len(others),
        others_in_use=sum(share.in_use for share in others),
        version=int(connection.execute("PRAGMA data_version").fetchone()[0]),
    )


def is_worth_a_sync(
    connection: sqlite3.Connection, ask: Ask, *, member: int, capacity: int, others_wait: bool, now: float
) -> bool:
    """Whether others' changes matter to a process: slots are free for it, or others want some of its own."""
    shares = {share.member: share for share in read_shares(connection, ask.name)}
    if (mine := shares.pop(member, None)) is None:
        return True
    others = list(shares.values())
    owned, fair, _ = _slots(ask, mine, member, others, capacity, now)
    return owned > ask.owned or _lacking(fair, others) != others_wait


def leave(connection: sqlite3.Connection, name: str, member: int) -> None:
    """Take what a process holds off the list."""
    connection.execute("DELETE FROM shares WHERE name = ? AND member = ?", (name, member))


def read_shares(connection: sqlite3.Connection, name: str) -> list[Share]:
    """What every process has of a limit."""
    columns = ", ".join(Share._fields)
    rows = connection.execute(f"SELECT {columns} FROM shares WHERE name = ?", (name,))  # noqa: S608  # constants
    return [Share(*row) for row in rows]


def _at_rates(account: Account, requests: Bucket | None, tokens: Bucket | None, now: float) -> Account:
    """The account with its debts as they are paid at the rates of now; one that no rate holds for stays."""
    if requests:
        full_at = at_new_rate(account.requests_full_at, now, account.requests_rate, requests.per_second)
        account = replace(account, requests_full_at=full_at, requests_rate=requests.per_second)
    if tokens:
        full_at = at_new_rate(account.tokens_full_at, now, account.tokens_rate, tokens.per_second)
        account = replace(account, tokens_full_at=full_at, tokens_rate=tokens.per_second)
    return account


def _corrected(full_at: float, returned: float, bucket: Bucket, now: float) -> float:
    """When a bucket is full after something was given back, or taken: then what is full is so only now."""
    return (full_at if returned >= 0 else max(full_at, now)) - returned / bucket.per_second


def _booked(
    account: Account, ask: Ask, requests: Bucket | None, tokens: Bucket | None, now: float
) -> tuple[tuple[float, ...], tuple[float, float]]:
    """When each call may begin, and when both buckets are full again after them."""
    requests_full, tokens_full = account.requests_full_at, account.tokens_full_at
    if requests:
        requests_full = _corrected(requests_full, ask.returned[0], requests, now)
    if tokens:
        tokens_full = _corrected(tokens_full, ask.returned[1], tokens, now)
    starts = []
    for amount in ask.tokens:
        demands = []
        if requests:
            demands.append((requests_full, 1.0, requests))
        if tokens and amount:
            demands.append((tokens_full, float(amount), tokens))
        start, full = book(now, demands)
        starts.append(start)
        if requests:
            requests_full = full[0]
        if tokens and amount:
            tokens_full = full[-1]
    return tuple(starts), (requests_full, tokens_full)


def _slots(
    ask: Ask, mine: Share | None, member: int, others: Sequence[Share], capacity: int | None, now: float
) -> tuple[int, Mapping[int, int], float]:
    """Slots held from now on, fair shares by member, and since when this process waits or has its turn."""
    demand = ask.in_use + ask.waiting
    since = now if mine is None else mine.since
    if capacity is None:
        return demand, {member: demand}, since
    even = capacity // (len(others) + 1)
    if mine is not None and mine.owned > even >= ask.owned:
        since = now  # its turn is over; it waits behind all the others
    fair = fair_shares(
        capacity,
        [
            Claim(member, demand, _rank(ask.owned > even, since, now)),
            *(
                Claim(each.member, each.in_use + each.waiting, _rank(each.owned > even, each.since, now))
                for each in others
            ),
        ],
    )
    free = capacity - ask.owned - sum(share.owned for share in others)
    target = fair[member]
    if demand > ask.owned and not _lacking(fair, others):
        target = max(target, demand + min(SPARE_SLOTS, demand))
    owned = ask.owned + max(0, min(free, target - ask.owned))
    has_turn = owned > even >= ask.owned
    return owned, fair, now if has_turn else since


def _rank(has_extra: bool, since: float, now: float) -> float:
    """Whose turn is first for a slot that cannot be shared evenly: who has it just now, then who waited."""
    if not has_extra:
        return since
    return float("-inf") if now - since < TURN_SECONDS else float("inf")


def _lacking(fair: Mapping[int, int], others: Sequence[Share]) -> bool:
    """Whether another process lacks slots that are its fair share."""
    return any(fair.get(each.member, 0) > each.owned for each in others)


def _removed(
    connection: sqlite3.Connection, name: str, share: Share, is_gone: Callable[[Share], bool]
) -> bool:
    if not is_gone(share):
        return False
    leave(connection, name, share.member)
    return True
