"""Seeing that a writer process lives: one for each workspace and MLflow store, started by whom needs it."""

from __future__ import annotations

import atexit
import logging
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from latent.config import ensure_private_dir
from latent.errors import WorkspaceError
from latent.files import is_locked
from latent.files.detached import start_detached
from latent.tracking.folders import Destination, destination

if TYPE_CHECKING:
    from latent.config import Workspace

logger = logging.getLogger("latent.tracking")

_CHECK_SECONDS = 1.0
# A new writer needs a moment to take its lock; until then nobody should start a second one.
_START_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True)
class _Started:
    """A writer that this process started."""

    process: subprocess.Popen[bytes]
    at: float
    attempt: int
    """How many in a row ended with an error, this one included if it does."""


_checked: dict[Path, float] = {}
_started: dict[Path, _Started] = {}
_leaving: list[subprocess.Popen[bytes]] = []
_lock = Lock()


def announce(target: Destination, run_id: str) -> None:
    """
    Leave word for the writer that it has work on `run_id`; it removes the note when all is sent.

    Raises:
        OSError: The note cannot be written.
    """
    note = target.pending_dir / run_id
    if not note.exists():
        ensure_private_dir(target.pending_dir)
        note.touch(mode=0o600)


def ensure_writer(workspace: Workspace, target: Destination | None = None, *, now: bool = False) -> bool:
    """
    Start a writer for `target` unless one lives; returns in a few milliseconds, without waiting for it.

    Asked again within a second it answers from memory, unless `now`. False: it cannot be started.
    """
    target = target or destination(workspace)
    with _lock:
        if not now and time.monotonic() - _checked.get(target.folder, -_CHECK_SECONDS) < _CHECK_SECONDS:
            return True
        _checked[target.folder] = time.monotonic()
        try:
            if is_locked(target.lock_file) or _is_starting(target):
                return True
            _start(workspace, target)
        except (OSError, WorkspaceError) as error:
            logger.debug("The writer of %s cannot be started: %s", workspace.root, error)
            return False
    return True


def stop_writer(workspace: Workspace, *, timeout_seconds: float = 10.0) -> bool:
    """
    Ask the workspace's writer to end after what it is sending, and wait for that; what is left stays spooled.

    Returns:
        Whether no writer lives now.
    """
    target = destination(workspace)
    deadline = time.monotonic() + timeout_seconds
    while is_locked(target.lock_file) or _is_running(target):
        if time.monotonic() > deadline:
            return False
        target.stop_file.touch()
        time.sleep(0.02)
    with suppress(OSError):
        target.stop_file.unlink()
    with _lock:
        _checked.pop(target.folder, None)
    return True


def _is_starting(target: Destination) -> bool:
    """Whether a writer of ours is on its way, or failed so recently that another one would fail, too."""
    last = _started.get(target.folder)
    if last is None:
        return False
    since = time.monotonic() - last.at
    code = last.process.poll()
    if code is None:
        return since < _START_SECONDS
    # A writer that was killed is replaced at once; one that could not do its work is not.
    return code > 0 and since < min(2.0**last.attempt, _LONGEST_PAUSE_SECONDS)


def _is_running(target: Destination) -> bool:
    last = _started.get(target.folder)
    return last is not None and last.process.poll() is None


def _start(workspace: Workspace, target: Destination) -> None:
    ensure_private_dir(target.pending_dir)
    with suppress(OSError):  # left by a process that asked a dead writer to stop
        target.stop_file.unlink()
    log = ensure_private_dir(workspace.logs_dir) / "writer.log"
    process = start_detached("latent.tracking.writer", workspace.root, log)
    last = _started.get(target.folder)
    # One that is still on its way out is kept until it has ended: Python warns of a process it loses.
    _leaving[:] = [old for old in (*_leaving, *([last.process] if last else ())) if old.poll() is None]
    attempt = last.attempt + 1 if last is not None and last.process.returncode else 1
    _started[target.folder] = _Started(process, time.monotonic(), attempt)


def _let_go() -> None:
    for process in (*_leaving, *(started.process for started in _started.values())):
        # The writer is meant to outlive us; without this, Python warns of a process left running.
        if process.poll() is None:
            process.returncode = 0


atexit.register(_let_go)
