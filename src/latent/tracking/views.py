"""Runs as people look at them: what the folders say, put together with whether the process still lives."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from latent.config import ensure_private_dir
from latent.errors import RunNotFoundError, UsageError
from latent.files import FileLock, read_json, replace_json
from latent.tracking.folders import RunFolder, run_folder
from latent.tracking.jsonable import read_lines
from latent.tracking.payload import trace_id
from latent.tracking.spool import spool
from latent.tracking.summary import RunSummary, summarize
from latent.tracking.uploader import is_alive
from latent.tracking.writer_process import ensure_writer

if TYPE_CHECKING:
    from pathlib import Path

    from latent.config import Workspace

State = Literal["running", "ok", "failed", "interrupted", "crashed"]


@dataclass(frozen=True)
class RunView:
    """One run as its folder tells it; nothing is read before it is asked for, except run.json."""

    workspace: Workspace
    folder: RunFolder
    record: Mapping[str, Any]
    """run.json as it stands."""
    state: State
    """`crashed`: the process died without telling an end."""

    @property
    def run_id(self) -> str:
        return self.folder.run_id

    @property
    def flow_name(self) -> str:
        return str(self.record["flow"])

    @property
    def run_name(self) -> str | None:
        return self.record.get("run_name")

    @property
    def parent_run_id(self) -> str | None:
        return self.record.get("parent_run_id")

    @property
    def started_at(self) -> float:
        """Seconds since the epoch."""
        return float(self.record["started_at"])

    @property
    def finished_at(self) -> float | None:
        """None while the run goes on; for a crashed run, when it was last heard of."""
        if self.state == "crashed":
            files = (self.folder.tasks_file, self.folder.events_file)
            return max([self.started_at] + [file.stat().st_mtime for file in files if file.exists()])
        return self.record.get("finished_at")

    @property
    def duration_seconds(self) -> float:
        """Until its end; for a run that goes on, until now."""
        end = self.finished_at
        return max((time.time() if end is None else end) - self.started_at, 0.0)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.record.get("parameters") or {}

    @property
    def error(self) -> Mapping[str, Any] | None:
        """`type`, `message` and `traceback` of what ended the run."""
        if self.state == "crashed":
            return {"type": "Crashed", "message": "The process died before the run ended."}
        return self.record.get("error")

    @property
    def outcomes(self) -> dict[str, int]:
        """Rows by outcome, over all tasks."""
        return dict(self.record["outcomes"]) if self._has_account else self._summary.outcomes

    @property
    def tasks(self) -> list[dict[str, Any]]:
        """One summary per task, in order of appearance: see `TaskSummary` for its keys."""
        return list(self.record["tasks"]) if self._has_account else self._summary.as_list()

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        """What was used of each model: `calls`, `unpriced` of them, `amounts` by name, `cost_usd`."""
        return dict(self.record.get("models") or {})

    @property
    def datasets(self) -> list[dict[str, Any]]:
        """The datasets that were loaded and saved: name, direction, fingerprint, path, rows, size_bytes."""
        return list(self.record.get("datasets") or ())

    def task_lines(self) -> Iterator[dict[str, Any]]:
        """The table of tasks, a line a call, in the order in which the calls ended."""
        try:
            with self.folder.tasks_file.open("rb") as file:
                for line in file:
                    yield from read_lines(line)
        except FileNotFoundError:
            return

    @cached_property
    def tracking(self) -> Mapping[str, Any]:
        """What the writer acknowledged: mlflow_run_id, mlflow_experiment_id, tracking_uri, notes, error."""
        return read_json(self.folder.tracking_file) or {}

    @property
    def trace_url(self) -> str | None:
        """
        Where MLflow shows the run's trace, once it was told of it; None before.

        Without a tracking server of one's own that is the one of `latent up`, whether it runs now or not.
        """
        experiment, uri = (
            self.tracking.get("mlflow_experiment_id"),
            str(self.record.get("tracking_uri") or ""),
        )
        if not experiment:
            return None
        if not uri.startswith(("http://", "https://")):
            uri = f"http://127.0.0.1:{self.workspace.settings.services.mlflow_port}"
        traces = f"{uri.rstrip('/')}/#/experiments/{experiment}/traces"
        return f"{traces}?selectedEvaluationId={trace_id(self.run_id)}"

    @property
    def tracked(self) -> bool:
        """Whether MLflow is told of this run at all."""
        return bool(self.record.get("tracked"))

    @property
    def tracking_complete(self) -> bool:
        """Whether MLflow knows everything that the folder holds, the end included."""
        if not self.tracked or not self.tracking.get("complete"):
            return False
        sent = self.tracking.get("sent", {})
        files = {"tasks": self.folder.tasks_file, "events": self.folder.events_file}
        return all(
            not file.exists() or file.stat().st_size <= sent.get(name, 0) for name, file in files.items()
        )

    @property
    def tracking_text(self) -> str:
        """One line for people: `complete`, `off`, or `incomplete` with the reason."""
        if not self.tracked:
            return "off"
        lost = self.record.get("dropped") or 0
        if self.tracking_complete:
            notes = "; ".join(self.tracking.get("notes", ()))
            missing = f"; {lost:,} records were lost to a full disk" if lost else ""
            return "complete" + (f" ({notes})" if notes else "") + missing
        if error := self.tracking.get("error"):
            return f"incomplete: {error}"
        if self.state == "running":
            return "incomplete: the run goes on"
        return "incomplete: what is missing lies in the run's folder, for the writer to send"

    @property
    def _has_account(self) -> bool:
        return self.record.get("state") != "running"

    @cached_property
    def _summary(self) -> RunSummary:
        return summarize(self.task_lines())


def list_runs(workspace: Workspace, *, flow: str | None = None, limit: int | None = None) -> list[RunView]:
    """
    The workspace's runs, newest first; folders that hold no readable run.json are left out.

    Args:
        workspace: Whose runs.
        flow: Only runs of this flow.
        limit: At most so many.
    """
    folders = workspace.runs_dir.iterdir() if workspace.runs_dir.is_dir() else ()
    found = (_view(workspace, RunFolder(folder)) for folder in folders)
    runs = [run for run in found if run is not None and flow in (None, run.flow_name)]
    runs.sort(key=lambda run: (run.started_at, run.run_id), reverse=True)
    return runs[:limit]


def run_tags(workspace: Workspace) -> dict[str, str]:
    """The ids of runs that were given a name, by that name."""
    return {str(name): str(run_id) for name, run_id in (read_json(_tags_file(workspace)) or {}).items()}


def tag_run(workspace: Workspace, run_id: str, tag: str) -> str:
    """
    Give a run a name of the user's, such as `main`, which any other run loses; the run's whole id.

    Raises:
        UsageError: The name could be an id, or means something already.
        RunNotFoundError: There is no such run.
    """
    if (
        tag == "last"
        or not re.fullmatch(r"[A-Za-z_][\w.-]{0,99}", tag)
        or re.fullmatch(r"[0-9a-f-]{4,}", tag)
    ):
        raise UsageError(
            f"{tag!r} cannot be the tag of a run: it begins with a letter, has letters, digits, '-', '_' and "
            "'.', and is not a beginning of an id."
        )
    run = load_run(workspace, run_id)
    with FileLock(ensure_private_dir(workspace.runs_dir) / "tags.lock"):
        replace_json(_tags_file(workspace), run_tags(workspace) | {tag: run.run_id})
    return run.run_id


def _tags_file(workspace: Workspace) -> Path:
    return workspace.runs_dir / "tags.json"


def load_run(workspace: Workspace, run_id: str) -> RunView:
    """
    The run with this id or tag, or the only one whose id begins so; `last` is the newest one.

    Raises:
        RunNotFoundError: There is none, or there are several.
    """
    place = workspace.label(workspace.runs_dir)
    run_id = run_tags(workspace).get(run_id, run_id)
    if run_id == "last":
        for newest in list_runs(workspace, limit=1):
            return newest
    try:
        exact = _view(workspace, run_folder(workspace, run_id))
    except ValueError as error:
        raise RunNotFoundError(run_id, (), place) from error
    if exact is not None:
        return exact
    names = sorted(path.name for path in workspace.runs_dir.glob(f"{run_id}*") if path.is_dir())
    views = [view for name in names if (view := _view(workspace, run_folder(workspace, name))) is not None]
    if len(views) != 1:
        raise RunNotFoundError(run_id, tuple(view.run_id for view in views), place)
    return views[0]


def wait_for_tracking(workspace: Workspace, run_id: str, timeout_seconds: float) -> bool:
    """
    Wait until MLflow knows the run completely; False after `timeout_seconds`.

    Also False, at once, when the run is not tracked. Starts a writer when none lives.
    """
    deadline = time.monotonic() + timeout_seconds
    spool.flush(timeout_seconds)  # what this process itself has told of the run
    while True:
        run = load_run(workspace, run_id)
        if run.tracking_complete or not run.tracked:
            return run.tracking_complete
        if time.monotonic() >= deadline:
            return False
        ensure_writer(workspace)
        time.sleep(0.05)


def _view(workspace: Workspace, folder: RunFolder) -> RunView | None:
    record = read_json(folder.run_file)
    if record is None or not {"flow", "started_at", "state"} <= record.keys():
        return None
    state = record["state"]
    if state == "running" and not is_alive(workspace, record):
        state = "crashed"
    return RunView(workspace, folder, record, state)
