"""The limit store as one process sees it: the file, and its place among the processes that share it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

from latent.files.forks import after_fork
from latent.limits import allocation
from latent.limits.allocation import Ask, Grant, Share
from latent.limits.database import LimitDatabase
from latent.limits.peers import Peers

if TYPE_CHECKING:
    import sqlite3

_log = logging.getLogger("latent.limits")

PEER_CHECK_SECONDS = 0.25
"""How often a process that waits asks whether those that hold slots still live."""


class LimitStore:
    """What the processes that share a folder know of their limits; used by one thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = LimitDatabase(folder / "limits.db")
        self.members = Peers(folder / "limits.lock")
        self._checked: dict[str, float] = {}
        self._crowd: dict[str, int] = {}
        self._active: set[str] = set()
        _stores.add(self)

    def sync(self, ask: Ask) -> Grant:
        """Tell the others what this process holds, and take what it is granted."""
        self._active.add(ask.name)
        now = time.monotonic()
        is_gone = self._gone(ask, now)

        def action(connection: sqlite3.Connection) -> Grant:
            # Numbers are given inside the transaction, so that nobody finds a row without its lock.
            member = self._number()
            crowd = 1 if self.database.is_shared else self._crowd.get(ask.name, 1)
            return allocation.sync(
                connection,
                replace(ask, crowd=crowd),
                member=member, pid=os.getpid(), now=now, wall=time.time(), is_gone=is_gone,
            )  # fmt: skip

        grant = self.database.write(action)
        if self.database.is_shared:
            self._crowd[ask.name] = grant.members
        return grant

    def matters(self, ask: Ask, capacity: int, *, others_wait: bool) -> bool:
        """Whether what others wrote is a reason to sync; reads only."""
        member, now = self._number(), time.monotonic()

        def action(connection: sqlite3.Connection) -> bool:
            return allocation.is_worth_a_sync(
                connection, ask, member=member, capacity=capacity, others_wait=others_wait, now=now
            )

        return self.database.read(action) is not False

    def leave(self, name: str) -> None:
        """Take this process off the list of a limit."""
        self._active.discard(name)
        if (member := self.members.id) is not None:
            self.database.write(lambda connection: allocation.leave(connection, name, member))

    def rest(self) -> None:
        """Close the file while nothing here is in use."""
        if not self._active:
            self.database.close()
            self.members.leave()

    def forget(self) -> None:
        """Start over in a forked child."""
        self.database.forget()
        self.members.forget()
        self._checked, self._crowd, self._active = {}, {}, set()

    def _number(self) -> int:
        try:
            return self.members.join()
        except OSError as error:
            _log.debug("No lock file: %s", error)  # nor a database then, so that the number is seen by nobody
            return 0

    def _gone(self, ask: Ask, now: float) -> Callable[[Share], bool]:
        """Whether a process is dead or stopped: asked while calls here wait, and not all the time."""
        if not ask.waiting or now - self._checked.get(ask.name, 0.0) < PEER_CHECK_SECONDS:
            return lambda share: False
        self._checked[ask.name] = now

        def is_gone(share: Share) -> bool:
            try:
                alive = self.members.is_alive(share.member)
            except OSError:
                return False
            return not alive or self.members.is_silent(share.member, share.beat, now)

        return is_gone


_stores: WeakSet[LimitStore] = WeakSet()


def _reset_after_fork() -> None:
    for store in list(_stores):
        store.forget()


after_fork(_reset_after_fork)
