"""One writer of an index at a time, over threads and processes of this machine."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from latent.cache.file_locks import open_lock_file, try_lock, unlock

POLL_SECONDS = 0.05

logger = logging.getLogger(__name__)

_threads: dict[Path, Lock] = {}
_threads_lock = Lock()


@contextmanager
def index_lock(path: Path, index: str) -> Iterator[None]:
    """
    Held while an index is changed; a second ingestion waits until the first has ended, or died.

    The file stays: deleting it would take the lock from whoever holds it.
    """
    threads = _threads_of(path)
    said = not threads.acquire(blocking=False)
    if said:
        say_that_it_waits(index)
        threads.acquire()
    try:
        file = open_lock_file(path)
        try:
            while not try_lock(file, 0):
                if not said:
                    say_that_it_waits(index)
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
            yield try_lock(file, 0)
        finally:
            os.close(file)
    finally:
        threads.release()


def say_that_it_waits(index: str) -> None:
    """Tell why nothing happens."""
    logger.info("Another ingestion is changing the index %r: this one waits until it has ended.", index)


def _threads_of(path: Path) -> Lock:
    """The operating system's lock is the process's: threads of one need their own beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _threads_lock:
        return _threads.setdefault(path.resolve(), Lock())
