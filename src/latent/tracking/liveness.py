"""
Which process holds a run: how others tell a run that goes on from one whose process died.

A process holds one lock file for each workspace it runs in. The operating system frees it at the
process's death, also at kill -9, so that neither heartbeats nor process ids (which are reused) are needed.
"""

from __future__ import annotations

import atexit
import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from uuid import uuid4

from latent.config import ensure_private_dir
from latent.errors import WorkspaceError
from latent.files import FileLock, is_locked
from latent.tracking.folders import tracking_dir

if TYPE_CHECKING:
    from latent.config import Workspace

logger = logging.getLogger("latent.tracking")

_STALE_SECONDS = 3_600.0

_held: dict[Path, FileLock] = {}
_held_lock = Lock()


def hold(workspace: Workspace) -> str | None:
    """The name under which this process holds runs in `workspace`; None when no lock can be taken there."""
    folder = _folder(workspace)
    with _held_lock:
        lock = _held.get(folder)
        if lock is None or not lock.held or not lock.path.exists():
            try:
                lock = FileLock(ensure_private_dir(folder) / f"{os.getpid()}-{uuid4().hex[:12]}.lock")
                lock.acquire()
            except (OSError, WorkspaceError) as error:
                logger.debug("No lock can be held in %s: %s", folder, error)
                return None
            _held[folder] = lock
        return lock.path.name


def is_held(workspace: Workspace, name: str) -> bool:
    """Whether the process that holds runs under `name` lives."""
    path = _folder(workspace) / Path(name).name
    own = _held.get(path.parent)
    if own is not None and own.held and own.path == path:
        return True
    try:
        return is_locked(path)
    except OSError:
        return False


def sweep(workspace: Workspace) -> None:
    """Remove the lock files of processes that died; a missing file means the same as a free one."""
    for path in _folder(workspace).glob("*.lock"):
        # A file is young between its creation and its lock; an hour leaves room for any pause.
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE_SECONDS and not is_held(workspace, path.name):
                path.unlink()


def _folder(workspace: Workspace) -> Path:
    return tracking_dir(workspace) / "holders"


def _release_all() -> None:
    for lock in _held.values():
        if lock.held:
            lock.release()
            with suppress(OSError):
                lock.path.unlink()


# Registered before the spool's own flush at exit, hence called after it.
atexit.register(_release_all)
