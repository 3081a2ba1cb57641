"""What is going on at the limits of this machine: who holds, who waits, and what was learned."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from latent.config.settings import LimitSettings
from latent.limits.accounts import Account, buckets, nothing_learned, read_account, slots_of
from latent.limits.allocation import Share, read_shares
from latent.limits.controller import refused_lately
from latent.limits.lookup import limits_folder, store_of

if TYPE_CHECKING:
    from latent.config.workspace import Workspace
    from latent.limits.peers import Peers


@dataclass(frozen=True, slots=True)
class Holder:
    """One process at a limit."""

    pid: int
    in_use: int
    """Calls under way, or about to begin at their booked time."""
    waiting: int
    runs: Mapping[str, tuple[int, int]]
    """The same two numbers by run; what belongs to no run stands under the empty text."""


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """One limit: what is configured, what was learned, and who is there."""

    name: str
    settings: LimitSettings | None
    """None for a limit that only other workspaces define."""
    holders: tuple[Holder, ...]
    slots: int | None
    """Calls that may be under way now; None: any number."""
    requests_per_minute: float | None
    """Requests that may be sent now: what is configured, or less while the provider refuses more."""
    tokens_per_minute: float | None
    stated_requests_per_minute: float | None
    """What the provider's headers say."""
    refused_last_minute: int
    """Calls that the provider answered with 429."""

    @property
    def in_use(self) -> int:
        return sum(holder.in_use for holder in self.holders)

    @property
    def waiting(self) -> int:
        return sum(holder.waiting for holder in self.holders)


def snapshot(workspace: Workspace) -> list[LimitStatus]:
    """
    Every limit that the workspace defines or that is in use on this machine, by name.

    Processes write down what they hold at least once a second, and when slots change hands.

    Raises:
        ConfigError: The settings cannot be read.
    """
    defined = workspace.settings.limits
    folder = limits_folder(workspace)
    file = folder / "limits.db"
    if not file.is_file():
        return [_status(name, defined[name], None, ()) for name in sorted(defined)]
    try:
        return _read(file, defined, store_of(folder).members)
    except (sqlite3.Error, OSError):
        return [_status(name, defined[name], None, ()) for name in sorted(defined)]


def _read(file: Path, defined: Mapping[str, LimitSettings], members: Peers) -> list[LimitStatus]:
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as connection:
        shares = {}
        for (name,) in connection.execute("SELECT DISTINCT name FROM shares").fetchall():
            alive = [share for share in read_shares(connection, name) if members.is_alive(share.member)]
            if alive:
                shares[name] = tuple(alive)
        names = sorted({*defined, *shares})
        return [
            _status(name, defined.get(name), read_account(connection, name), shares.get(name, ()))
            for name in names
        ]


def _status(
    name: str,
    settings: LimitSettings | None,
    account: Account | None,
    shares: tuple[Share, ...],
) -> LimitStatus:
    known = settings or LimitSettings()
    learned = account.learned if account else nothing_learned(known)
    requests, tokens = buckets(known, learned)
    now = time.monotonic()
    # Times of a clock that started over since say nothing about this minute.
    is_current = account is not None and account.touched_at <= now + 1.0
    return LimitStatus(
        name=name,
        settings=settings,
        holders=tuple(_holder(share) for share in sorted(shares, key=lambda share: share.pid)),
        slots=slots_of(known, learned),
        requests_per_minute=requests.per_second * 60 if requests else None,
        tokens_per_minute=tokens.per_second * 60 if tokens else None,
        stated_requests_per_minute=learned.stated * 60 if learned.stated else None,
        refused_last_minute=refused_lately(learned, now) if is_current else 0,
    )


def _holder(share: Share) -> Holder:
    runs = {run: (held, waiting) for run, (held, waiting) in json.loads(share.runs).items()}
    return Holder(share.pid, share.in_use, share.waiting, runs)
