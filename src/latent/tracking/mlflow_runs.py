"""
The MLflow run that stands for a run of ours: created once, when it is first needed.

The process and the writer agree through `mlflow.json` in the run's folder, under a lock. MLflow gives the
id, so a process that dies between creating the run and writing the file leaves a run that its tag finds.
"""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latent.errors import TrackingError
from latent.files import FileLock, read_json, replace_json
from latent.tracking.folders import Destination, RunFolder, artifact_location, run_folder
from latent.tracking.mlflow_database import ensure_database

if TYPE_CHECKING:
    from latent.config import Workspace

RUN_ID_TAG = "latent.run_id"
_LOCK_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class AgreedRun:
    """An MLflow run by its ids, and where it lies."""

    run_id: str
    experiment_id: str
    uri: str

    def entity(self) -> Any:
        """MLflow's own object for the run."""
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=self.uri).get_run(self.run_id)


def agree(workspace: Workspace, target: Destination, folder: RunFolder) -> AgreedRun:
    """
    The MLflow run of the run in `folder`, created when there is none.

    Raises:
        TrackingError: The run's folder says nothing of the run, or its experiment is deleted.
        Exception: Whatever MLflow raises when its store cannot be reached.
    """
    if target.is_default:
        ensure_database(workspace)
    known = read_json(folder.mlflow_file)
    if known is None:
        lock = FileLock(folder.mlflow_lock)
        if not lock.acquire(_LOCK_SECONDS):
            raise TrackingError(
                f"Another process has been creating the MLflow run of {folder.run_id} for too long."
            )
        try:
            known = read_json(folder.mlflow_file)
            if known is None:
                known = _create(workspace, target, folder)
                replace_json(folder.mlflow_file, known)
        finally:
            lock.release()
    return AgreedRun(known["run_id"], known["experiment_id"], target.uri)


def _create(workspace: Workspace, target: Destination, folder: RunFolder) -> dict[str, str]:
    from mlflow.tracking import MlflowClient

    run = read_json(folder.run_file)
    if run is None:
        raise TrackingError(f"{folder.run_file} is missing or damaged, so its MLflow run cannot be created.")
    client = MlflowClient(tracking_uri=target.uri)
    experiment_id = _experiment(
        client, run["flow"], artifact_location(workspace) if target.is_default else None
    )
    found = client.search_runs([experiment_id], f"tags.`{RUN_ID_TAG}` = '{folder.run_id}'", max_results=1)
    if found:
        run_id = found[0].info.run_id
    else:
        run_id = client.create_run(
            experiment_id,
            start_time=round(run["started_at"] * 1000),
            tags=_first_tags(workspace, target, run),
            run_name=run["run_name"],
        ).info.run_id
    return {"run_id": run_id, "experiment_id": experiment_id, "tracking_uri": target.shown_uri}


def _experiment(client: Any, name: str, artifacts: str | None) -> str:
    """The id of the experiment `name`, created when there is none; two processes may try at once."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifacts))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":
        raise TrackingError(
            f"The MLflow experiment {name!r} is deleted: restore it in the MLflow UI or with `mlflow "
            f"experiments restore --experiment-id {experiment.experiment_id}`. "
            "Its runs are kept here and sent then."
        )
    return str(experiment.experiment_id)


def _first_tags(workspace: Workspace, target: Destination, run: dict[str, Any]) -> dict[str, str]:
    tags = {RUN_ID_TAG: run["run_id"], "mlflow.user": _user(), "mlflow.source.type": "LOCAL"}
    if run["parent_run_id"]:
        parent = run_folder(workspace, run["parent_run_id"])
        about = read_json(parent.run_file) or {}
        # A parent that is not tracked, or elsewhere, has no run here to be nested under.
        if about.get("tracked") and about.get("tracking_folder") == target.folder.name:
            tags["mlflow.parentRunId"] = agree(workspace, target, parent).run_id
    return tags


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return "unknown"
