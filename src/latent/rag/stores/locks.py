"""One writer of an index at a time, over threads and processes of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from latent.cache.file_locks import file_lock

POLL_SECONDS = 0.05

_threads: dict[Path, Lock] = {}
_threads_lock = Lock()


@contextmanager
def index_lock(path: Path) -> Iterator[None]:
    """
    Held while an index is changed; a second ingestion waits until the first has ended, or died.

    The file stays: deleting it would take the lock from whoever holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The operating system's lock is the process's: threads of one need their own beside it.
    with _threads_lock:
        threads = _threads.setdefault(path.resolve(), Lock())
    with threads, file_lock(path, poll_seconds=POLL_SECONDS):
        yield
