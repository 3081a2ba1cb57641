"""
What forked processes read of parameters comes back to the process that forked them.

A pool of forked processes works for the call that uses it, but in a copy of everything that is known here.
So a process that forks holds an unnamed file to which its children write what they read, and looks into it
whenever a call ends.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from latent.prefect.kept_reads import Place

_to_parent: int | None = None
"""The file in which this process, a forked one, tells what it reads."""
_from_children: int | None = None
"""The file in which those that were forked from this process do."""
_lock = Lock()


def is_forked() -> bool:
    """Whether this process was forked from one that wants to know what it reads."""
    return _to_parent is not None


def tell_parent(places: list[Place], reads: Mapping[str, str]) -> None:
    """Send what was read, and by which functions, to the process that forked this one."""
    if (file := _to_parent) is None:
        return
    line = json.dumps([places, dict(reads)]) + "\n"
    with _locked(file):
        os.pwrite(file, line.encode(), os.fstat(file).st_size)


def told_by_children() -> list[tuple[list[Place], dict[str, str]]]:
    """What forked processes have read since this was asked last, and by which functions."""
    if (file := _from_children) is None or os.fstat(file).st_size == 0:
        return []
    with _locked(file):
        text = os.pread(file, os.fstat(file).st_size, 0)
        os.ftruncate(file, 0)
    return [
        ([(path, name) for path, name in places], reads)
        for places, reads in map(json.loads, text.splitlines())
    ]


@contextmanager
def _locked(file: int) -> Iterator[None]:
    """One at a time, of the threads of a process and of the processes that share the file."""
    import fcntl  # there is none on Windows, where nothing is forked

    with _lock:
        fcntl.lockf(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(file, fcntl.LOCK_UN)


def _before() -> None:
    global _from_children
    _lock.acquire()
    if _from_children is None:
        with suppress(OSError), tempfile.TemporaryFile() as file:  # nowhere to write to: then nobody is told
            _from_children = os.dup(file.fileno())


def _after_in_child() -> None:
    global _to_parent, _from_children
    _to_parent, _from_children = _from_children, None
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_lock.release, after_in_child=_after_in_child)
