"""Prefect's and MLflow's servers for a workspace: started once, recognised, stopped without a trace."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.services.client import server_client as server_client
    from latent.services.doctor import examine as examine
    from latent.services.finding import Finding as Finding
    from latent.services.lifecycle import Report as Report
    from latent.services.lifecycle import answers as answers
    from latent.services.lifecycle import down as down
    from latent.services.lifecycle import up as up
    from latent.services.status import ServiceStatus as ServiceStatus
    from latent.services.status import effective_settings as effective_settings
    from latent.services.status import service_statuses as service_statuses
    from latent.services.streaming import stream_logs as stream_logs
    from latent.services.supervision import compose_file as compose_file
    from latent.services.supervision import server_unit as server_unit
    from latent.services.supervision import worker_unit as worker_unit

_HOME = {
    "Finding": "finding",
    "Report": "lifecycle",
    "ServiceStatus": "status",
    "answers": "lifecycle",
    "compose_file": "supervision",
    "down": "lifecycle",
    "effective_settings": "status",
    "examine": "doctor",
    "server_client": "client",
    "server_unit": "supervision",
    "service_statuses": "status",
    "stream_logs": "streaming",
    "up": "lifecycle",
    "worker_unit": "supervision",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    if (module := _HOME.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
