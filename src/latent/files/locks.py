"""
A lock on a file that the operating system frees when its holder dies, however it dies.

POSIX: `flock`, which belongs to the open file. Windows: a locked byte through `msvcrt`.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from weakref import WeakSet

from latent.files.forks import after_fork

_POLL_SECONDS = 0.02


class FileLock:
    """An exclusive lock between processes and threads; each object is one claim on the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        _claims.add(self)

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    @property
    def excludes_others(self) -> bool:
        """Whether it is held on the file that others see: a deleted or replaced file excludes nobody."""
        if self._descriptor is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._descriptor), self.path.stat())
        except OSError:
            return False

    def acquire(self, timeout_seconds: float | None = 0.0) -> bool:
        """
        Take the lock, waiting at most `timeout_seconds` (None: for ever); whether it is held now.

        Raises:
            OSError: The file cannot be created or the file system knows no locks.
        """
        if self._descriptor is not None:
            return True
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while not _try_lock(descriptor):
                if deadline is not None and time.monotonic() >= deadline:
                    return False
                time.sleep(_POLL_SECONDS)
            self._descriptor = descriptor
        finally:
            if self._descriptor is None:
                os.close(descriptor)
        return True

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                _unlock(descriptor)
            os.close(descriptor)

    def fileno(self) -> int:
        """
        The open file that holds the lock: a process that inherits it holds the lock until it ends.

        Raises:
            ValueError: The lock is not held.
        """
        if self._descriptor is None:
            raise ValueError(f"The lock on {self.path} is not held.")
        return self._descriptor

    def forget(self) -> None:
        """Close the file without unlocking it: our parent, or a process that inherited it, keeps the lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)

    def __enter__(self) -> FileLock:
        self.acquire(None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock on `path`; False when the file does not exist."""
    if not path.exists():
        return False
    probe = FileLock(path)
    if not probe.acquire():
        return True
    probe.release()
    return False


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


_claims: WeakSet[FileLock] = WeakSet()


def _forget_all() -> None:
    # A forked child shares its parent's open files: were they left open, the lock would outlive the parent.
    for claim in list(_claims):
        claim.forget()


after_fork(_forget_all)
