"""One run on its way to MLflow: what is new in its files is sent, and only then marked as sent."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from latent.files import read_json, replace_json
from latent.tracking import liveness
from latent.tracking.folders import Destination, RunFolder
from latent.tracking.jsonable import read_lines
from latent.tracking.mlflow_runs import agree
from latent.tracking.mlflow_store import LostError, MLflowSender, RefusedError
from latent.tracking.payload import Batch, batch_of, crashed
from latent.tracking.summary import summarize

if TYPE_CHECKING:
    from latent.config import Workspace

logger = logging.getLogger("latent.tracking.writer")

Progress = Literal["sent", "waiting", "complete", "gone", "refused"]

# A batch is held in memory and sent again as a whole when MLflow fails in the middle of it.
_BATCH_BYTES = 1_000_000


class Uploader:
    """Brings one run to MLflow, in steps that may each be the last."""

    def __init__(self, workspace: Workspace, target: Destination, folder: RunFolder) -> None:
        self.workspace = workspace
        self.target = target
        self.folder = folder
        state = read_json(folder.tracking_file) or {}
        self._sent: dict[str, int] = {"tasks": 0, "events": 0, **state.get("sent", {})}
        self._closed = bool(state.get("complete"))
        self._notes: set[str] = set(state.get("notes", ()))
        self._sender: MLflowSender | None = None
        self._error: str | None = state.get("error")

    def advance(self) -> Progress:
        """
        Send what is new, at most about a megabyte of it.

        Raises:
            Exception: MLflow did not take it; the same is sent again the next time.
        """
        if not self.folder.path.is_dir():
            return "gone"
        run = read_json(self.folder.run_file)
        if run is None:  # it is written before a run is announced, so it was removed
            return "gone"
        # Events before tasks: once the end of the run has been read, all tasks that belong to it can be, too.
        events, events_end = _new_lines(self.folder.events_file, self._sent["events"])
        tasks, tasks_end = _new_lines(self.folder.tasks_file, self._sent["tasks"])
        finishing = any(line.get("event") == "finish" for line in events)
        if finishing and tasks_end < _size(self.folder.tasks_file):
            events, events_end = [], self._sent["events"]  # the end is told last, after all tasks
        batch = batch_of(run, events, tasks)
        if not events and not tasks:
            if self._closed or is_alive(self.workspace, run):
                return "complete" if self._closed else "waiting"
            batch = self._crash(run)
        try:
            self._send(run, batch)
        except LostError:
            self._start_over()
            return "sent"
        except RefusedError as error:
            self._note(error=str(error))
            return "refused"
        self._sent = {"tasks": tasks_end, "events": events_end}
        self._closed = batch.finish is not None or (self._closed and not batch.started)
        self._error = None
        self._save()
        return "sent"

    def has_news(self) -> bool:
        """Whether the run's files hold more than was sent."""
        files = {"tasks": self.folder.tasks_file, "events": self.folder.events_file}
        return any(_size(file) > self._sent[name] for name, file in files.items())

    def is_alive(self) -> bool:
        """Whether the run goes on."""
        run = read_json(self.folder.run_file)
        return run is not None and run["state"] == "running" and is_alive(self.workspace, run)

    def tell(self, reason: str) -> None:
        """Write down why nothing can be sent, for readers of the run."""
        if reason != self._error:
            self._note(error=reason)

    def _send(self, run: Mapping[str, Any], batch: Batch) -> None:
        if self._sender is None:
            agreed = agree(self.workspace, self.target, self.folder)
            self._sender = MLflowSender(agreed, self.workspace.settings.tracking.artifact_max_bytes)
        self._sender.send(run, batch)
        self._notes |= self._sender.notes

    def _start_over(self) -> None:
        """Forget the MLflow run: its store was moved away, and the folder holds all there is to send."""
        logger.info("Run %s is sent again: its MLflow run is gone.", self.folder.run_id)
        self.folder.mlflow_file.unlink(missing_ok=True)
        self._sent, self._sender, self._closed = {"tasks": 0, "events": 0}, None, False

    def _crash(self, run: Mapping[str, Any]) -> Batch:
        lines = read_lines(self.folder.tasks_file.read_bytes()) if self.folder.tasks_file.exists() else []
        last_seen = max(
            [run["started_at"]]
            + [
                file.stat().st_mtime
                for file in (self.folder.events_file, self.folder.tasks_file)
                if file.exists()
            ]
        )
        return crashed(run, last_seen, summarize(lines).as_list())

    def _save(self) -> None:
        assert self._sender is not None
        agreed = self._sender.run
        replace_json(
            self.folder.tracking_file,
            {
                "sent": self._sent,
                "complete": self._closed,
                "error": None,
                "notes": sorted(self._notes),
                "mlflow_run_id": agreed.run_id,
                "mlflow_experiment_id": agreed.experiment_id,
                "tracking_uri": self.target.shown_uri,
                "updated_at": time.time(),
            },
        )

    def _note(self, *, error: str) -> None:
        state = read_json(self.folder.tracking_file) or {"sent": self._sent, "complete": False}
        try:
            replace_json(self.folder.tracking_file, {**state, "error": error, "updated_at": time.time()})
            self._error = error
        except OSError as problem:
            logger.warning("%s cannot be written: %s", self.folder.tracking_file, problem)


def is_alive(workspace: Workspace, run: Mapping[str, Any]) -> bool:
    """Whether the process that runs `run` lives, as far as its lock tells."""
    name = run.get("holder")
    return isinstance(name, str) and liveness.is_held(workspace, name)


def _new_lines(path: Path, start: int) -> tuple[list[dict[str, Any]], int]:
    """The whole lines behind `start`, and where they end; a line still being written is left for later."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            content = file.read(_BATCH_BYTES)
            if content and b"\n" not in content:
                content += file.readline()
    except FileNotFoundError:
        return [], start
    end = content.rfind(b"\n") + 1
    return read_lines(content[:end]), start + end


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
