"""One writer of an index at a time, over threads and processes of this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from latent.files.byte_locks import open_lock_file, try_lock, unlock

POLL_SECONDS = 0.05
_PID_DIGITS = 10

_threads: dict[Path, Lock] = {}
_threads_lock = Lock()


@contextmanager
def index_lock(path: Path, index: str) -> Iterator[None]:
    """
    Held while an index is changed; a second ingestion waits until the first has ended, or died.

    The file stays: deleting it would take the lock from its holder.
    """
    threads = _threads_of(path)
    said = not threads.acquire(blocking=False)
    if said:
        say_that_it_waits(index)
        threads.acquire()
    try:
        file = open_lock_file(path)
        try:
            while not _taken(file):
                if not said:
                    say_that_it_waits(index, _holder(file))
                    said = True
                time.sleep(POLL_SECONDS)
            yield
            unlock(file, 0)
        finally:
            os.close(file)
    finally:
        threads.release()


@contextmanager
def index_lock_if_free(path: Path) -> Iterator[bool]:
    """Whether nobody else holds the lock of an index; then it is held."""
    threads = _threads_of(path)
    # Not a look at the file first: closing it would free what another thread of this process holds.
    if not threads.acquire(blocking=False):
        yield False
        return
    try:
        file = open_lock_file(path)
        try:
            yield _taken(file)
        finally:
            os.close(file)
    finally:
        threads.release()


def say_that_it_waits(index: str, who: str = "Another ingestion") -> None:
    """Tell why nothing happens."""
    from latent.prefect.logs import logger  # loads for longer than all the rest that opening a store needs

    logger.info("%s is changing the index %r: this one waits until it has ended.", who, index)


def _taken(file: int) -> bool:
    """Take the lock, and write down who has it: behind the locked byte, which others may not read."""
    if not try_lock(file, 0):
        return False
    os.lseek(file, 1, os.SEEK_SET)
    os.write(file, f"{os.getpid():{_PID_DIGITS}}".encode())
    return True


def _holder(file: int) -> str:
    os.lseek(file, 1, os.SEEK_SET)
    pid = os.read(file, _PID_DIGITS).strip().decode()
    return f"Process {pid}" if pid else "Another process"


def _threads_of(path: Path) -> Lock:
    """The operating system's lock is the process's: threads of one need their own beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _threads_lock:
        return _threads.setdefault(path.resolve(), Lock())
