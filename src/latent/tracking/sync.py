"""Have what is spooled sent to MLflow now, and see what is left."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from latent.errors import RunNotFoundError
from latent.tracking.folders import destination, tracking_dir
from latent.tracking.views import load_run
from latent.tracking.writer_process import ensure_writer, stop_writer

if TYPE_CHECKING:
    from pathlib import Path

    from latent.config import Workspace

_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """What became of runs that MLflow did not know completely."""

    address: str
    """Where they were sent, without credentials."""
    sent: list[str]
    """Ids of runs that are complete there now."""
    waiting: dict[str, str]
    """Ids of runs that are not, with the reason."""
    elsewhere: int
    """Runs that wait for another MLflow: their processes had another MLFLOW_TRACKING_URI or user."""


def has_unsent_runs(workspace: Workspace) -> bool:
    """Whether runs wait for the MLflow that this process's settings name."""
    return bool(_names(destination(workspace).pending_dir))


def sync_runs(workspace: Workspace, timeout_seconds: float) -> Synced:
    """Send what waits, with a writer of this process's environment, for at most `timeout_seconds`."""
    target = destination(workspace)
    before = _names(target.pending_dir)
    left = before
    if before:
        # One that fails waits a while between its tries, and has the environment that it began with.
        stop_writer(workspace)
        deadline = time.monotonic() + timeout_seconds
        while left and time.monotonic() < deadline:
            ensure_writer(workspace, target)
            time.sleep(_POLL_SECONDS)
            left = _names(target.pending_dir) & before
    others = [folder for folder in tracking_dir(workspace).glob("*/pending") if folder != target.pending_dir]
    return Synced(
        address=target.shown_uri,
        sent=sorted(before - left),
        waiting={run_id: _reason(workspace, run_id) for run_id in sorted(left)},
        elsewhere=sum(len(_names(folder)) for folder in others),
    )


def _names(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()}
    except OSError:
        return set()


def _reason(workspace: Workspace, run_id: str) -> str:
    try:
        return load_run(workspace, run_id).tracking_text
    except (RunNotFoundError, ValueError):
        return "incomplete"
