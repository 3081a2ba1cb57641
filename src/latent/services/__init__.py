"""Prefect's and MLflow's servers for a workspace: started once, recognised, stopped without a trace."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.services.client import ServerClient as ServerClient
    from latent.services.client import server_client as server_client
    from latent.services.deployments.changes import FieldChange as FieldChange
    from latent.services.deployments.changes import PlannedDeployment as PlannedDeployment
    from latent.services.deployments.deploying import Plan as Plan
    from latent.services.deployments.deploying import carry_out as carry_out
    from latent.services.deployments.deploying import plan_deployments as plan_deployments
    from latent.services.deployments.runs import DeployedRun as DeployedRun
    from latent.services.deployments.runs import follow_run as follow_run
    from latent.services.deployments.runs import history as history
    from latent.services.deployments.runs import named_deployment as named_deployment
    from latent.services.deployments.runs import set_paused as set_paused
    from latent.services.deployments.runs import start_run as start_run
    from latent.services.deployments.runs import statuses as statuses
    from latent.services.deployments.schedules import clock_remarks as clock_remarks
    from latent.services.deployments.schedules import next_times as next_times
    from latent.services.doctor import examine as examine
    from latent.services.finding import Finding as Finding
    from latent.services.lifecycle import Report as Report
    from latent.services.lifecycle import answers as answers
    from latent.services.lifecycle import down as down
    from latent.services.lifecycle import up as up
    from latent.services.notifications import install_notification as install_notification
    from latent.services.status import ServiceStatus as ServiceStatus
    from latent.services.status import effective_settings as effective_settings
    from latent.services.status import service_statuses as service_statuses
    from latent.services.streaming import stream_logs as stream_logs
    from latent.services.supervision import compose_file as compose_file
    from latent.services.supervision import server_unit as server_unit
    from latent.services.supervision import worker_unit as worker_unit
    from latent.services.working import WorkerOptions as WorkerOptions
    from latent.services.working import run_worker as run_worker
    from latent.services.working import serve as serve

_HOME = {
    "DeployedRun": "deployments.runs",
    "FieldChange": "deployments.changes",
    "Finding": "finding",
    "Plan": "deployments.deploying",
    "PlannedDeployment": "deployments.changes",
    "Report": "lifecycle",
    "ServiceStatus": "status",
    "WorkerOptions": "working",
    "answers": "lifecycle",
    "carry_out": "deployments.deploying",
    "clock_remarks": "deployments.schedules",
    "compose_file": "supervision",
    "down": "lifecycle",
    "effective_settings": "status",
    "examine": "doctor",
    "follow_run": "deployments.runs",
    "history": "deployments.runs",
    "install_notification": "notifications",
    "named_deployment": "deployments.runs",
    "next_times": "deployments.schedules",
    "plan_deployments": "deployments.deploying",
    "run_worker": "working",
    "serve": "working",
    "server_client": "client",
    "server_unit": "supervision",
    "service_statuses": "status",
    "set_paused": "deployments.runs",
    "start_run": "deployments.runs",
    "statuses": "deployments.runs",
    "stream_logs": "streaming",
    "up": "lifecycle",
    "worker_unit": "supervision",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    if (module := _HOME.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
