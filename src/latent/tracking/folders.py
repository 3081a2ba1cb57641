"""Where a run's files lie, and which MLflow store its process writes to."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from latent.config.running_services import lock_file, recorded_services, service_password

if TYPE_CHECKING:
    from latent.config import Workspace


@dataclass(frozen=True)
class RunFolder:
    """`.latent/runs/<id>/`: everything that is kept of one run."""

    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def run_file(self) -> Path:
        """What the run is and how it ended; replaced whole at its start and end."""
        return self.path / "run.json"

    @property
    def tasks_file(self) -> Path:
        """The table of tasks: one JSON object a line, only ever appended to."""
        return self.path / "tasks.jsonl"

    @property
    def rows_dir(self) -> Path:
        """The table of rows, in Parquet parts that are whole from the moment they appear."""
        return self.path / "rows"

    @property
    def events_file(self) -> Path:
        """Everything else that is told to MLflow: datasets, metrics, spans, the end."""
        return self.path / "events.jsonl"

    @property
    def tracking_file(self) -> Path:
        """What the writer has brought to MLflow so far."""
        return self.path / "tracking.json"

    @property
    def mlflow_file(self) -> Path:
        """The MLflow run that stands for this run, agreed under `mlflow_lock`."""
        return self.path / "mlflow.json"

    @property
    def mlflow_lock(self) -> Path:
        return self.path / "mlflow.lock"


@dataclass(frozen=True)
class Destination:
    """
    The MLflow store that a process writes to, and the meeting place with the writer that serves it.

    Processes with different MLflow addresses or users have writers of their own, since an address can hold
    a password, which is never written down: only the writer's environment knows it.
    """

    uri: str
    """With credentials; never to be written to a file."""
    folder: Path
    is_default: bool
    """Whether it is the workspace's own database."""

    @property
    def shown_uri(self) -> str:
        return without_credentials(self.uri)

    @property
    def lock_file(self) -> Path:
        """Held by the writer for as long as it lives."""
        return self.folder / "writer.lock"

    @property
    def state_file(self) -> Path:
        """What the writer says about itself: process id, start, last trouble."""
        return self.folder / "writer.json"

    @property
    def stop_file(self) -> Path:
        """Its appearance asks the writer to end."""
        return self.folder / "stop"

    @property
    def pending_dir(self) -> Path:
        """One empty file for each run that MLflow does not know completely."""
        return self.folder / "pending"


def tracking_dir(workspace: Workspace) -> Path:
    """Where writers and the processes that hold runs meet."""
    return workspace.state_dir / "tracking"


def run_folder(workspace: Workspace, run_id: str) -> RunFolder:
    """
    The folder of the run `run_id`, whether or not it exists.

    Raises:
        ValueError: The id is not a plain name, so that it would lead out of the runs folder.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}", run_id):
        raise ValueError(f"A run id is made of letters, digits, '-', '_' and '.', not {run_id!r}.")
    return RunFolder(workspace.runs_dir / run_id)


def destination(workspace: Workspace) -> Destination:
    """
    Where this process's runs go: MLFLOW_TRACKING_URI when that is set, else the workspace's database.

    A server that `latent up` started on that database shows what is written there. One that keeps its data in
    a PostgreSQL, which other machines share, is written to itself.
    """
    named = os.environ.get("MLFLOW_TRACKING_URI", "").strip() or _shared_server(workspace)
    default = default_tracking_uri(workspace)
    if not named or named == default:
        return Destination(default, tracking_dir(workspace) / "local", True)
    user = os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    # The password and token are left out: a changed one reaches the same store, and waiting runs with it.
    digest = hashlib.sha256(f"{without_credentials(named)}\n{user}".encode()).hexdigest()[:12]
    return Destination(named, tracking_dir(workspace) / digest, False)


def _shared_server(workspace: Workspace) -> str:
    """
    The address of the workspace's MLflow server, where its data lie in a shared database; else empty.

    Also of one that was killed: what it is to know waits for its return, and does not go elsewhere.
    """
    if not lock_file(workspace, "mlflow").exists():  # as in nearly every workspace: one look at the disk
        return ""
    service = recorded_services(workspace).get("mlflow")
    if service is None or not service.is_shared:
        return ""
    password = service_password(workspace)
    return service.url if password is None else service.url.replace("://", f"://latent:{password}@", 1)


def default_tracking_uri(workspace: Workspace) -> str:
    """The address of the workspace's own database, as SQLAlchemy writes it on this system."""
    return f"sqlite:///{workspace.mlflow_db.absolute().as_posix()}"


def artifact_location(workspace: Workspace) -> str:
    """Where runs in the workspace's own database keep their artifacts, as a file URI."""
    return (workspace.state_dir.absolute() / "mlartifacts").as_uri()


def without_credentials(uri: str) -> str:
    """`uri` without user name and password, for files and messages."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return "<an address that cannot be read>"
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc="***@" + parts.netloc.rpartition("@")[2]))
