"""Processes of ours that outlive the one that starts them: the writer of tracking, the reporter of ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

_LOG_BYTES = 1_000_000


def start_detached(module: str, root: Path, log: Path) -> subprocess.Popen[bytes]:
    """
    Start `python -m module root` in `root`, away from this terminal; what it says is added to `log`.

    To let the process outlive this one, set its `returncode` before the interpreter ends: Python warns
    of a process that is left running.

    Raises:
        OSError: The log cannot be written, or no process can be started.
    """
    # -P keeps the current folder off the import path: a user's mlflow.py must not be taken for MLflow.
    command = [sys.executable, "-P", "-m", module, str(root)]
    with _opened(log) as output:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=root,
            env=_environment(),
            **_detached(),
        )


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with suppress(OSError):
        if path.stat().st_size > _LOG_BYTES:
            path.replace(path.with_name(f"{path.name}.1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as log:
        yield log


def _environment() -> dict[str, str]:
    """The user's environment, where servers' addresses and credentials are found, without telemetry."""
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
    """Options that keep a Ctrl-C in the user's terminal, and its closing, away from the process."""
    if sys.platform == "win32":
        return {
            "creationflags": subprocess.DETACHED_PROCESS
            | subprocess.CREATE_NEW_PROCESS_GROUP
            | subprocess.BELOW_NORMAL_PRIORITY_CLASS
        }
    return {"start_new_session": True}
