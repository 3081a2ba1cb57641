"""
The writer process: `python -m latent.tracking.writer ROOT`.

One lives for each workspace and MLflow store. It pays for importing MLflow once, sends what runs leave in
their folders, outlives them, and ends after the setting `tracking.idle_minutes` without work. Killed at any
moment it loses nothing: what was not acknowledged is sent again by the next one.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from latent.config import Workspace, ensure_private_dir, find_workspace, masker_for
from latent.errors import LatentError
from latent.files import FileLock, replace_json
from latent.tracking import liveness
from latent.tracking.folders import Destination, destination, run_folder
from latent.tracking.uploader import Uploader
from latent.tracking.writer_process import ensure_writer

logger = logging.getLogger("latent.tracking.writer")

_POLL_SECONDS = 0.05
_IDLE_POLL_SECONDS = 0.25
# A process that only checks whether the lock is free holds it for a moment.
_LOCK_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
# So long does a writer wait for an MLflow that is away, with no run alive. Then it makes room for one with a
# newer environment, which the next run starts, or `latent up`, or `latent sync`.
_GIVE_UP_SECONDS = 600.0


@dataclass
class _Waiting:
    """A run that MLflow does not know completely, and how patient to be with it."""

    uploader: Uploader
    pause_seconds: float = 0.0
    retry_at: float = 0.0


class Writer:
    """The loop of one writer process."""

    def __init__(self, workspace: Workspace, target: Destination, idle_seconds: float) -> None:
        self.workspace = workspace
        self.target = target
        self.idle_seconds = idle_seconds
        self.failing_since: float | None = None
        """When MLflow stopped taking anything; None while it takes what it is sent."""
        self.displaced = False
        self._database: tuple[int, int] | None = None
        self._login_refused = False
        self._waiting: dict[str, _Waiting] = {}

    def run(self, lock: FileLock) -> None:
        """Send until there has been nothing to send for long enough, or it is asked to stop."""
        last_work = time.monotonic()
        while not self.target.stop_file.exists() and not self.is_displaced(lock):
            if self.round():
                last_work = time.monotonic()
            elif self._is_done(time.monotonic() - last_work):
                break
            time.sleep(_POLL_SECONDS if self._waiting else _IDLE_POLL_SECONDS)

    def is_displaced(self, lock: FileLock) -> bool:
        """
        Whether the files that this process works on were deleted or moved away under it.

        MLflow keeps the database open: it would go on to write into a file that nobody finds any more.
        """
        if not self.displaced:
            known, self._database = self._database, _identity(self.workspace.mlflow_db)
            self.displaced = not lock.excludes_others or known not in (None, self._database)
        return self.displaced

    def round(self) -> bool:
        """Advance every waiting run once; whether anything moved or may still move by itself."""
        self._look_for_runs()
        busy, failures = False, 0
        for name, waiting in list(self._waiting.items()):
            if waiting.retry_at > time.monotonic():
                continue
            try:
                busy = self._advance(name, waiting.uploader) or busy
            except Exception as error:  # whatever MLflow or its server raised: told, and tried again
                self._fail(waiting, error)
                failures += 1
            else:
                self.failing_since, self._login_refused, waiting.pause_seconds, failures = None, False, 0.0, 0
            # One failure may be the run's own; two in a row are MLflow's, and the others need not be tried.
            if failures > 1 or self.target.stop_file.exists():
                break
        return busy

    def _look_for_runs(self) -> None:
        try:
            names = set(os.listdir(self.target.pending_dir))  # noqa: PTH208 - polled 20 times a second
        except OSError:
            names = set()
        for gone in self._waiting.keys() - names:
            del self._waiting[gone]
        for name in sorted(names - self._waiting.keys()):
            try:
                folder = run_folder(self.workspace, name)
            except ValueError:  # a file of another program
                continue
            self._waiting[name] = _Waiting(Uploader(self.workspace, self.target, folder))

    def _advance(self, name: str, uploader: Uploader) -> bool:
        """Take one run a step further; whether it moved or its process lives."""
        progress = uploader.advance()
        if progress in ("complete", "gone", "refused"):
            self._waiting.pop(name, None)
            note = self.target.pending_dir / name
            with suppress(OSError):
                note.unlink()
            # Lines that came after the look, before the note was removed, would otherwise be forgotten.
            if progress == "complete" and uploader.has_news():
                note.touch(mode=0o600)
        return progress in ("sent", "waiting")

    def _fail(self, waiting: _Waiting, error: Exception) -> None:
        """Say why a run cannot be sent, and wait longer after each failure in a row."""
        from latent.tracking.mlflow_store import is_login_refused, reason_of

        # An error may quote the server's address, with the password in it.
        reason = masker_for(self.workspace).text(reason_of(error))
        logger.warning("Run %s cannot be sent: %s", waiting.uploader.folder.run_id, reason)
        self.failing_since = self.failing_since or time.monotonic()
        self._login_refused = is_login_refused(error)
        waiting.pause_seconds = min(
            max(2 * waiting.pause_seconds, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS
        )
        waiting.retry_at = time.monotonic() + waiting.pause_seconds
        waiting.uploader.tell(reason)

    def _is_done(self, idle_seconds: float) -> bool:
        """Whether to end: idle for long enough, or failing with no run alive that could need us."""
        if self.failing_since is None:
            return idle_seconds >= self.idle_seconds
        patience = 0.0 if self._login_refused else min(_GIVE_UP_SECONDS, self.idle_seconds)
        lasting = time.monotonic() - self.failing_since
        return lasting >= patience and not any(
            waiting.uploader.is_alive() for waiting in self._waiting.values()
        )


def main(arguments: list[str]) -> int:
    """Serve the workspace whose root is the only argument; the exit code is 1 when MLflow took nothing."""
    os.environ["LATENT_WORKSPACE"] = arguments[0]
    _prepare_process()
    workspace = find_workspace()
    target = destination(workspace)
    ensure_private_dir(target.pending_dir)
    lock = FileLock(target.lock_file)
    writer: Writer | None = None
    while lock.acquire(_LOCK_SECONDS):
        try:
            writer = _serve(workspace, target, lock)
        finally:
            lock.release()
        if writer is None or writer.failing_since is not None or target.stop_file.exists():
            return 1 if writer is None or writer.failing_since is not None else 0
        if not _has_pending(target):
            break
        # A run that announced itself while the lock was still held relies on us.
        if writer.displaced:
            ensure_writer(workspace, target, now=True)
            break
    return 0


def _serve(workspace: Workspace, target: Destination, lock: FileLock) -> Writer | None:
    """Write until there is no more to do; None when the settings cannot be read."""
    try:
        idle_seconds = workspace.settings.tracking.idle_minutes * 60
    except LatentError as error:
        logger.warning("The settings cannot be used, so the writer ends: %s", error)
        return None
    about = {"pid": os.getpid(), "started_at": time.time(), "tracking_uri": target.shown_uri}
    replace_json(target.state_file, about)
    liveness.sweep(workspace)
    logger.info("Writing to %s.", target.shown_uri)
    writer = Writer(workspace, target, idle_seconds)
    writer.run(lock)
    logger.info("The writer ends.")
    return writer


def _has_pending(target: Destination) -> bool:
    return target.pending_dir.is_dir() and any(target.pending_dir.iterdir())


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file stands at `path`, however it is called; None when there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def _prepare_process() -> None:
    """Log to the standard error stream, step back behind the user's work, keep MLflow quick and silent."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s"
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if hasattr(os, "nice"):
        with suppress(OSError):
            os.nice(5)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    # We try again ourselves, with the spool safe on disk: MLflow's own patience of minutes is too long.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    os.environ.setdefault("MLFLOW_ASYNC_TRACE_LOGGING_RETRY_TIMEOUT", "30")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: python -m latent.tracking.writer ROOT")
    sys.exit(main(sys.argv[1:]))
