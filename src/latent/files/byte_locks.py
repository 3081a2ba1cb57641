"""Locks on single bytes of a file, which the operating system frees when their holder dies in any way."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_SECONDS = 0.005


if sys.platform == "win32":
    import msvcrt

    def try_lock(file: int, offset: int) -> bool:
        """Take the byte at `offset` for this process; False when another process holds it."""
        os.lseek(file, offset, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def unlock(file: int, offset: int) -> None:
        """Give the byte at `offset` back."""
        os.lseek(file, offset, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def try_lock(file: int, offset: int) -> bool:
        """Take the byte at `offset` for this process; False when another process holds it."""
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def unlock(file: int, offset: int) -> None:
        """Give the byte at `offset` back."""
        fcntl.lockf(file, fcntl.LOCK_UN, 1, offset)


def open_lock_file(path: Path) -> int:
    """
    A descriptor of the lock file, created when missing.

    A process keeps one per file: on POSIX, closing any descriptor of a file frees all locks that the process
    holds on it.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)


@contextmanager
def file_lock(path: Path, *, poll_seconds: float = POLL_SECONDS) -> Iterator[None]:
    """
    Hold a lock file that no other process holds, for work that must not happen twice at once.

    Args:
        poll_seconds: How often it is tried; more than the default suits work that takes long.
    """
    file = open_lock_file(path)
    try:
        while not try_lock(file, 0):
            time.sleep(poll_seconds)
        yield
        unlock(file, 0)
    finally:
        os.close(file)
