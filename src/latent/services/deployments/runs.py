"""Deployments that stand on the server: found by name, paused, started, and what became of their runs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from latent.config.merging import Layers, as_meant
from latent.errors import DeploymentError, DeploymentNotFoundError, TrackingError
from latent.prefect.deployed import check_parameters
from latent.prefect.discovery import find_flow
from latent.services.deployments.changes import own_schedule
from latent.services.deployments.deploying import deployments_there, find_deployment
from latent.services.deployments.record import record_of
from latent.services.deployments.schedules import next_times, schedule_text
from latent.tracking import load_run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse

    from latent.config import DeploymentSettings, Workspace

COST_LABEL = "latent.cost_usd"
"""The label of a flow run that says what its calls have cost, as far as prices are known."""

STOPPED_LABEL = "latent.stopped_by"
"""The label of a flow run whose budget was used up: which part of it, as a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentStatus:
    """One deployment of the settings or of the server."""

    name: str
    flow_name: str
    state: str
    """`active`, `paused`, `on demand`, `not deployed`, or `not in the settings`."""
    schedule: str
    work_pool: str | None
    next_due: datetime | None
    last_outcome: str | None
    """The state of the run that was due last; None when there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedRun:
    """One run of a deployment."""

    run_id: str
    run_name: str
    due: datetime | None
    started: datetime | None
    outcome: str
    """The name of its state: Completed, Failed, Crashed, Skipped, Late, ..."""
    message: str
    """What the state says: of a skipped run, what superseded it."""
    seconds: float | None
    """None before it has begun."""
    cost_usd: float | None
    """None: unknown, which is not free."""
    is_final: bool
    is_completed: bool
    stopped_by: str | None
    """The part of its budget that was used up, as a sentence; None when it had enough."""


def named_deployment(client: SyncPrefectClient, workspace: Workspace, name: str) -> DeploymentResponse:
    """
    A deployment on the server, by its name; one that others made by FLOW/NAME.

    Raises:
        DeploymentNotFoundError: There is none.
    """
    flow_name, _, own_name = name.rpartition("/")
    if flow_name and (found := find_deployment(client, flow_name, own_name)) is not None:
        return found
    ours = [deployment for _, deployment in deployments_there(client, workspace)]
    for deployment in ours:
        if deployment.name == name:
            return deployment
    where = "what `latent deploy` has put on the server"
    raise DeploymentNotFoundError(name, tuple(each.name for each in ours), where)


def set_paused(client: SyncPrefectClient, deployment: DeploymentResponse, *, paused: bool) -> None:
    """Let a deployment make no runs by itself, or again; it can be started by hand in any case."""
    if paused:
        client.pause_deployment(deployment.id)
        return
    client.resume_deployment(deployment.id)
    schedule = own_schedule(deployment)
    if schedule is not None and not schedule.active:  # only the schedule was paused, on the server's page
        client.update_deployment_schedule(deployment.id, schedule.id, active=True)


def start_run(
    client: SyncPrefectClient,
    workspace: Workspace,
    deployment: DeploymentResponse,
    parameters: Mapping[str, Any],
    ready: Mapping[str, str],
) -> DeployedRun:
    """
    A run of the deployment that is due now; a worker begins it.

    Args:
        parameters: Nested; they come over those of the deployment.
        ready: Flows that need no file in the workspace: modules by name.

    Raises:
        UsageError: The flow does not take them.
        ConfigValidationError: Its schema refuses them.
    """
    layers = Layers(deployment.parameters)
    layers.override(as_meant(parameters, layers.values, keeps_lists=True), "this run")
    if (record := record_of(deployment)) is not None:
        check_parameters(workspace, find_flow(workspace, record.settings.flow, ready), layers.values)
    return _as_told(
        workspace, client.create_flow_run_from_deployment(deployment.id, parameters=layers.values)
    )


def follow_run(
    client: SyncPrefectClient,
    workspace: Workspace,
    run_id: str,
    tell: Callable[[DeployedRun], None],
    *,
    every_seconds: float = 0.5,
) -> DeployedRun:
    """
    Wait for the end of a run, and return it as it is then.

    Args:
        tell: Called with the run whenever its state is another one.
    """
    told = None
    while True:
        run = _as_told(workspace, client.read_flow_run(UUID(run_id)))
        if (run.outcome, run.message) != told:
            told = run.outcome, run.message
            tell(run)
        if run.is_final:
            return run
        time.sleep(every_seconds)


def history(
    client: SyncPrefectClient, workspace: Workspace, deployment: DeploymentResponse, now: datetime, limit: int
) -> list[DeployedRun]:
    """The last runs of a deployment that were due before `now`, the newest first."""
    from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    runs = client.read_flow_runs(
        deployment_filter=DeploymentFilter.model_validate({"id": {"any_": [deployment.id]}}),
        flow_run_filter=FlowRunFilter.model_validate({"expected_start_time": {"before_": now}}),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=limit,
    )
    return [_as_told(workspace, run) for run in runs]


def _as_told(workspace: Workspace, run: FlowRun) -> DeployedRun:
    state = run.state
    return DeployedRun(
        run_id=str(run.id),
        run_name=run.name,
        due=run.expected_start_time,
        started=run.start_time,
        outcome=(state.name if state else None) or "Unknown",
        message=(state.message if state else None) or "",
        seconds=run.total_run_time.total_seconds() if run.start_time is not None else None,
        cost_usd=cost_of(workspace, run),
        is_final=state is not None and state.is_final(),
        is_completed=state is not None and state.is_completed(),
        stopped_by=str(stopped_by) if (stopped_by := run.labels.get(STOPPED_LABEL)) else None,
    )


def cost_of(workspace: Workspace, run: FlowRun) -> float | None:
    """
    What a run has cost so far, by what it told the server and by its folder, if that lies here.

    A process that was killed has told the server less than its folder holds.
    """
    known = [float(told)] if (told := run.labels.get(COST_LABEL)) is not None else []
    try:
        tasks = load_run(workspace, str(run.id)).tasks
    except TrackingError:
        tasks = []
    costs = [task["cost_usd"] for task in tasks if task.get("cost_usd") is not None]
    return max([*known, *([sum(costs)] if costs else [])], default=None)


def statuses(client: SyncPrefectClient, workspace: Workspace, now: datetime) -> list[DeploymentStatus]:
    """The deployments of the settings and those on the server, as they stand."""
    there = {deployment.name: (flow, deployment) for flow, deployment in deployments_there(client, workspace)}
    settings = {each.name: each for each in workspace.settings.deployments}
    found = [_missing(each) for name, each in settings.items() if name not in there]
    for name, (flow_name, deployment) in there.items():
        record = record_of(deployment)
        assert record is not None  # only such ones are ours
        state = _state(deployment) if name in settings else "not in the settings"
        past = history(client, workspace, deployment, now, limit=1)
        found.append(
            DeploymentStatus(
                name=name,
                flow_name=flow_name,
                state=state,
                schedule=schedule_text(record.settings),
                work_pool=deployment.work_pool_name,
                next_due=_next_due(record.settings, now) if state == "active" else None,
                last_outcome=past[0].outcome if past else None,
            )
        )
    return sorted(
        found, key=lambda status: list(settings).index(status.name) if status.name in settings else -1
    )


def _missing(settings: DeploymentSettings) -> DeploymentStatus:
    return DeploymentStatus(
        name=settings.name,
        flow_name=settings.flow,
        state="not deployed",
        schedule=schedule_text(settings),
        work_pool=settings.work_pool,
        next_due=None,
        last_outcome=None,
    )


def _state(deployment: DeploymentResponse) -> str:
    schedule = own_schedule(deployment)
    if deployment.paused or (schedule is not None and not schedule.active):
        return "paused"
    return "active" if schedule is not None else "on demand"


def _next_due(settings: DeploymentSettings, now: datetime) -> datetime | None:
    try:
        return next(iter(next_times(settings, now, 1)), None)
    except DeploymentError:  # it was deployed, and comes due no more
        return None
