"""A deployment as it should stand on the server: checked against the workspace, the flow and the calendar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latent.errors import DeploymentError, LatentError
from latent.prefect.deployed import check_parameters
from latent.prefect.discovery import find_flow
from latent.services.deployed import entrypoint, pull_steps
from latent.services.deployments.record import DeploymentRecord
from latent.services.deployments.schedules import schedule_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from latent.config import DeploymentSettings, Workspace
    from latent.prefect.discovery import FoundFlow
    from latent.services.deployments.schedules import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """All that is sent to the server of one deployment."""

    settings: DeploymentSettings
    flow_name: str
    """As Prefect knows the flow."""
    schedule: Schedule | None
    """None: it runs on demand only."""
    entrypoint: str
    pull_steps: list[dict[str, Any]]
    description: str
    parameter_schema: dict[str, Any]
    """What a form for its parameters can offer, as JSON Schema."""
    record: DeploymentRecord

    @property
    def name(self) -> str:
        """Of the deployment, and the slug of its schedule."""
        return self.settings.name


def define(
    workspace: Workspace, settings: DeploymentSettings, ready: Mapping[str, str], now: datetime
) -> Definition:
    """
    One deployment of the settings, ready to be sent.

    Args:
        ready: Flows that need no file in the workspace: modules by name.
        now: With a time zone; the schedule must come due after it.

    Raises:
        DeploymentError: Its flow, its parameters or its schedule cannot be used.
    """
    schedule = schedule_of(settings, now)
    try:
        found = find_flow(workspace, settings.flow, ready)
        check_parameters(workspace, found, settings.parameters)
    except LatentError as error:
        raise DeploymentError(settings.name, str(error)) from error
    return Definition(
        settings=settings,
        flow_name=found.flow.name,
        schedule=schedule,
        entrypoint=entrypoint(found.name),
        pull_steps=pull_steps(workspace),
        description=found.doc,
        parameter_schema=_parameter_schema(found),
        record=DeploymentRecord(workspace=workspace.root.name, settings=settings),
    )


def _parameter_schema(found: FoundFlow) -> dict[str, Any]:
    """
    The parameters of the flow's function and of its `config_schema`.

    None is required: what a run is not told, the workspace's files say.
    """
    from prefect.utilities.callables import parameter_schema

    schema = parameter_schema(found.flow.fn).model_dump(exclude_none=True)
    if (model := found.flow.config_schema) is not None:
        more = model.model_json_schema(ref_template="#/definitions/{model}")
        schema["properties"] = {**schema.get("properties", {}), **more.get("properties", {})}
        schema["definitions"] = {**schema.get("definitions", {}), **more.get("$defs", {})}
    return {**schema, "required": []}
