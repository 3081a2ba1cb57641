"""Seeing that a writer process lives: one for each workspace and MLflow store, started by whom needs it."""

from __future__ import annotations

import atexit
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING, Any

from latent.config import ensure_private_dir
from latent.errors import WorkspaceError
from latent.tracking.folders import Destination, destination
from latent.tracking.locks import is_locked

if TYPE_CHECKING:
    from latent.config import Workspace

logger = logging.getLogger("latent.tracking")

_CHECK_SECONDS = 1.0
# A new writer needs a moment to take its lock; until then nobody should start a second one.
_START_SECONDS = 10.0
_LOG_BYTES = 1_000_000

_checked: dict[Path, float] = {}
_started: dict[Path, tuple[float, subprocess.Popen[bytes]]] = {}
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
    while is_locked(target.lock_file) or _is_starting(target):
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
    started, process = _started.get(target.folder, (0.0, None))
    if process is None or process.poll() is not None:
        return False
    return time.monotonic() - started < _START_SECONDS


def _start(workspace: Workspace, target: Destination) -> None:
    ensure_private_dir(target.pending_dir)
    with suppress(OSError):  # left by somebody who asked a writer to stop that was dead already
        target.stop_file.unlink()
    # -P keeps the current folder off the import path: a user's mlflow.py must not be taken for MLflow.
    command = [sys.executable, "-P", "-m", "latent.tracking.writer", str(workspace.root)]
    with _log_file(workspace) as log:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=workspace.root,
            env=_environment(),
            **_detached(),
        )
    _started[target.folder] = (time.monotonic(), process)


@contextmanager
def _log_file(workspace: Workspace) -> Iterator[IO[bytes]]:
    path = ensure_private_dir(workspace.logs_dir) / "writer.log"
    with suppress(OSError):
        if path.stat().st_size > _LOG_BYTES:
            path.replace(path.with_name("writer.log.1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as log:
        yield log


def _environment() -> dict[str, str]:
    """The user's environment, where MLflow finds its address and credentials, without its telemetry."""
    source = str(Path(__file__).parents[2])
    found = os.environ.get("PYTHONPATH", "")
    paths = [path for path in found.split(os.pathsep) if path]
    if source not in sys.path[:1] and source not in paths and "site-packages" not in source:
        paths.append(source)
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }


def _detached() -> dict[str, Any]:
    """Options that keep a Ctrl-C in the user's terminal, and its closing, away from the writer."""
    if sys.platform == "win32":
        return {
            "creationflags": subprocess.DETACHED_PROCESS
            | subprocess.CREATE_NEW_PROCESS_GROUP
            | subprocess.BELOW_NORMAL_PRIORITY_CLASS
        }
    return {"start_new_session": True}


def _let_go() -> None:
    for _, process in _started.values():
        # The writer is meant to outlive us; without this, Python warns of a process left running.
        if process.poll() is None:
            process.returncode = 0


atexit.register(_let_go)
