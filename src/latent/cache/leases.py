"""Leases on keys that are being worked on, so that nobody pays for the same work at the same time."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

import xxhash

from latent.config.workspace import ensure_private_dir
from latent.errors import WorkspaceError
from latent.files.byte_locks import open_lock_file, try_lock, unlock
from latent.files.sqlite import inode

_log = logging.getLogger("latent.cache")

PEER_POLL_SECONDS = 0.01
"""How often a key held by another process is looked at again."""


class Lease:
    """The right to work on a key, given back at the end of a `with` block or when the process dies."""

    __slots__ = ("_leases", "file", "is_parked", "key", "owner", "waited", "was_taken")

    def __init__(self, leases: Leases | None, key: str, owner: object, file: int | None) -> None:
        self.key, self.owner, self.file = key, owner, file
        self.waited = False
        """Whether another call held the key first, so that the result may be there now."""
        self.is_parked = False
        """Whether its holder waits for a place under a limit: a call that has one may take the lease over."""
        self.was_taken = False
        """Whether a call did; the former holder claims again once it has its place."""
        self._leases = leases

    @classmethod
    def idle(cls, key: str) -> Lease:
        """A lease without effect: others are not kept away from the key."""
        return cls(None, key, None, None)

    def release(self) -> None:
        """Give the key back and wake those who wait for it; a second time does nothing."""
        if self._leases is not None:
            self._leases.release(self)

    @contextmanager
    def parked(self) -> Iterator[None]:
        """While the block waits for a place under a limit, a call that has one may take the lease over."""
        self.is_parked = True
        if self._leases is not None:
            self._leases.wake(self.key)
        try:
            yield
        finally:
            self.is_parked = False

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Leases:
    """
    Who in this process works on what; across processes, one byte of a lock file stands for each key.

    The operating system frees the bytes of a process that dies, so nothing is left to clean up.
    """

    def __init__(self, file: Path) -> None:
        self._path = file
        self._begin_life()

    def _begin_life(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._held: dict[str, Lease] = {}
        self._waiters: dict[str, list[Future[None]]] = {}
        self._file: int | None = None
        self._inode: int | None = None

    def claim(self, key: str, owner: object = None, *, takes_parked: bool = False) -> Lease | None:
        """
        The lease on `key`; None when another call has it.

        Work that asks again for a key that it holds itself gets a lease without effect: waiting for oneself
        would never end.

        Args:
            owner: Who works on it; the running asyncio task or thread when None.
            takes_parked: Whether to take over a lease of this process that is parked.
        """
        self._after_fork()
        owner = owner or _current_owner()
        with self._lock:
            if (holder := self._held.get(key)) is not None:
                if takes_parked and holder.is_parked:
                    holder.was_taken = True
                    lease = self._held[key] = Lease(self, key, owner, holder.file)
                    return lease
                return Lease.idle(key) if holder.owner == owner else None
            file = self._open()
            if file is not None and not try_lock(file, _offset(key)):
                return None
            lease = self._held[key] = Lease(self, key, owner, file)
            return lease

    def acquire(self, key: str, timeout_seconds: float | None = None) -> Lease:
        """
        The lease on `key`, after waiting for its holder; one without effect when the time is over.

        On an event loop, another coroutine's key is not waited for: that would stop its holder, too. With a
        timeout, a lease that is parked is taken over.
        """
        deadline, takes_parked = _deadline(timeout_seconds), timeout_seconds is not None
        waited = False
        while (lease := self.claim(key, takes_parked=takes_parked)) is None:
            if _current_task() is not None and self._is_held_here(key):
                return Lease.idle(key)
            waited = True
            if not self.wait(key, deadline - time.monotonic(), takes_parked=takes_parked):
                return Lease.idle(key)
        lease.waited = waited
        return lease

    async def acquire_async(self, key: str, timeout_seconds: float | None = None) -> Lease:
        """As `acquire`, without blocking the event loop."""
        deadline, takes_parked = _deadline(timeout_seconds), timeout_seconds is not None
        waited = False
        while (lease := self.claim(key, takes_parked=takes_parked)) is None:
            waited = True
            if not await self.wait_async(key, deadline - time.monotonic(), takes_parked=takes_parked):
                return Lease.idle(key)
        lease.waited = waited
        return lease

    @property
    def is_idle(self) -> bool:
        """Whether no key is held here."""
        with self._lock:
            return not self._held

    def release(self, lease: Lease) -> None:
        """What `Lease.release` does."""
        if self._pid != os.getpid():
            return  # the lease belongs to the process this one was forked from
        with self._lock:
            if self._held.get(lease.key) is not lease:
                return
            del self._held[lease.key]
            if lease.file is not None:
                with suppress(OSError):
                    unlock(lease.file, _offset(lease.key))
        self.wake(lease.key)

    def wake(self, key: str) -> None:
        """Have those who wait for `key` look again."""
        with self._lock:
            waiters = self._waiters.pop(key, [])
        for waiter in waiters:
            with suppress(InvalidStateError):  # it gave up meanwhile
                waiter.set_result(None)

    def wait(self, key: str, timeout_seconds: float | None = None, *, takes_parked: bool = False) -> bool:
        """
        Block until nobody holds `key`; False when the time is over first.

        Another call may be faster: claim the key then, and wait again if that fails.
        """
        deadline = _deadline(timeout_seconds)
        while not self._is_free(key, takes_parked):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if (release := self._watch(key)) is None:
                time.sleep(min(PEER_POLL_SECONDS, left))
                continue
            with suppress(TimeoutError):
                release.result(min(left, threading.TIMEOUT_MAX))
        return True

    async def wait_async(
        self, key: str, timeout_seconds: float | None = None, *, takes_parked: bool = False
    ) -> bool:
        """As `wait`, without blocking the event loop."""
        deadline = _deadline(timeout_seconds)
        while not self._is_free(key, takes_parked):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if (release := self._watch(key)) is None:
                await asyncio.sleep(min(PEER_POLL_SECONDS, left))
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.wrap_future(release), min(left, threading.TIMEOUT_MAX))
        return True

    def _is_held_here(self, key: str) -> bool:
        with self._lock:
            return key in self._held

    def _watch(self, key: str) -> Future[None] | None:
        """Resolved when this process gives `key` back; None when it does not hold it."""
        with self._lock:
            if key not in self._held:
                return None
            release: Future[None] = Future()
            self._waiters.setdefault(key, []).append(release)
            return release

    def _is_free(self, key: str, takes_parked: bool = False) -> bool:
        self._after_fork()
        with self._lock:
            if (holder := self._held.get(key)) is not None:
                return takes_parked and holder.is_parked
            file = self._open()
            if file is None:
                return True
            if free := try_lock(file, _offset(key)):
                unlock(file, _offset(key))
            return free

    def _open(self) -> int | None:
        """The lock file, opened again after it was deleted; None when there can be none."""
        if self._file is not None and inode(str(self._path)) == self._inode:
            return self._file
        try:
            ensure_private_dir(self._path.parent)
            # The old descriptor stays open: leases taken on it end only when they are released.
            self._file = open_lock_file(self._path)
        except (OSError, WorkspaceError) as error:
            _log.debug("Work in flight is not shared with other processes: %s", error)
            return None
        self._inode = inode(str(self._path))
        return self._file

    def close(self) -> None:
        """Let go of the lock file, and with it of every lease of this process."""
        with self._lock:
            if self._file is not None and self._pid == os.getpid():
                os.close(self._file)
            self._file = None

    def _after_fork(self) -> None:
        # A fork inherits no locks and must not believe that it holds its parent's leases.
        if self._pid != os.getpid():
            self._begin_life()


def _deadline(timeout_seconds: float | None) -> float:
    return float("inf") if timeout_seconds is None else time.monotonic() + timeout_seconds


def _offset(key: str) -> int:
    """The byte of the lock file that stands for a key; 62 bits are enough never to meet another's."""
    return xxhash.xxh3_64_intdigest(key.encode()) >> 2


def _current_owner() -> object:
    """Who is working: the asyncio task where there is one, else the thread."""
    return _current_task() or threading.get_ident()


def _current_task() -> object:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
