"""The servers as they are: which one flows use, whether it answers, how it is set."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from latent.config.running_services import recorded_services, running_service
from latent.services.lifecycle import NAMES, answers, is_reachable
from latent.services.servers import HEALTH_PATHS, SETTINGS

if TYPE_CHECKING:
    from latent.config import Workspace
    from latent.config.running_services import Service, ServiceName

State = Literal["running", "not answering", "elsewhere", "ended", "not started"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """One server, as flows of the workspace see it."""

    name: ServiceName
    state: State
    url: str | None
    """Where flows reach it; None: they use the API in their process, or the workspace's database."""
    because: str
    """What decides that."""
    service: Service | None
    """What `latent up` started; None when it started none, or it has ended."""


def service_statuses(workspace: Workspace) -> list[ServiceStatus]:
    """Both servers: what the environment names wins over what `latent up` started."""
    return [_status(workspace, name) for name in NAMES]


def _status(workspace: Workspace, name: ServiceName) -> ServiceStatus:
    service = running_service(workspace, name)
    if (named := _named_elsewhere(name)) is not None:
        url, because = named
        state: State = "elsewhere" if is_reachable(url) else "not answering"
        return ServiceStatus(name=name, state=state, url=url, because=because, service=service)
    if service is None:
        was_started = name in recorded_services(workspace)
        because = "it ended, and `latent up` starts it again" if was_started else "`latent up` starts it"
        state = "ended" if was_started else "not started"
        return ServiceStatus(name=name, state=state, url=None, because=because, service=None)
    is_well = answers(f"{service.url}{HEALTH_PATHS[name]}")
    return ServiceStatus(
        name=name,
        state="running" if is_well else "not answering",
        url=service.url,
        because="started by `latent up`",
        service=service,
    )


def _named_elsewhere(name: ServiceName) -> tuple[str, str] | None:
    """The server that the user's own settings name, and which of them does."""
    if name == "mlflow":
        uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
        return (uri, "MLFLOW_TRACKING_URI names it") if uri else None
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    if not url:
        return None
    return url, "PREFECT_API_URL names it" if os.environ.get(
        "PREFECT_API_URL"
    ) else "Prefect's profile names it"


def effective_settings(name: ServiceName) -> list[tuple[str, str, str]]:
    """How `latent up` sets a server: variable, value and reason; what the environment says comes first."""
    return [
        (
            variable,
            os.environ.get(variable, value),
            "set in the environment" if variable in os.environ else reason,
        )
        for variable, (value, reason) in SETTINGS[name].items()
    ]
