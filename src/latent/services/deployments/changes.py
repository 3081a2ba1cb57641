"""What `latent deploy` would change: each deployment of the settings beside the one on the server."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from pydantic_core import to_jsonable_python

from latent.config.durations import duration_text
from latent.errors import DeploymentError
from latent.services.deployed import deployed_digest
from latent.services.deployments.record import record_of
from latent.services.deployments.schedules import schedule_facts, schedule_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prefect.client.schemas.objects import DeploymentSchedule
    from prefect.client.schemas.responses import DeploymentResponse

    from latent.config import DeploymentSettings
    from latent.services.deployments.definitions import Definition

Outcome = Literal["new", "changed", "unchanged", "gone"]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One part of a deployment that differs; None: it is not there."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDeployment:
    """One deployment, and what becomes of it."""

    name: str
    flow_name: str
    outcome: Outcome
    """"gone": it stands on the server, and in the settings no more."""
    changes: tuple[FieldChange, ...] = ()
    definition: Definition | None = None
    """None when it is gone."""
    there: DeploymentResponse | None = None
    """None when it is new."""

    @property
    def is_paused(self) -> bool:
        """Whether it is on the server, and makes no runs at present."""
        if self.there is None:
            return False
        schedule = own_schedule(self.there)
        return self.there.paused or (schedule is not None and not schedule.active)

    @property
    def other_schedules(self) -> list[DeploymentSchedule]:
        """Schedules that were added on the server."""
        return [each for each in self.there.schedules if each.slug != self.name] if self.there else []


def own_schedule(deployment: DeploymentResponse) -> DeploymentSchedule | None:
    """The schedule that `latent deploy` made: its slug is the deployment's name."""
    return next((each for each in deployment.schedules if each.slug == deployment.name), None)


def compared(definition: Definition, there: DeploymentResponse | None) -> PlannedDeployment:
    """What has to be done so that the server has what the settings say."""
    wanted = _wanted(definition)
    if there is None:
        changes = tuple(FieldChange(field, None, value) for field, value in wanted.items())
    else:
        found = _found(there)
        changes = tuple(
            FieldChange(field, found.get(field), wanted.get(field))
            for field in {**wanted, **found}
            if found.get(field) != wanted.get(field)
        )
    outcome: Outcome = "new" if there is None else "changed" if changes else "unchanged"
    return PlannedDeployment(
        name=definition.name,
        flow_name=definition.flow_name,
        outcome=outcome,
        changes=changes,
        definition=definition,
        there=there,
    )


def _wanted(definition: Definition) -> dict[str, Any]:
    settings = definition.settings
    return {
        "schedule": schedule_text(settings),
        **_parameters(to_jsonable_python(settings.parameters)),
        "work pool": settings.work_pool,
        "work queue": settings.work_queue or DEFAULT_QUEUE,
        **_policies(settings),
        **_code(definition.pull_steps),
        "entrypoint": definition.entrypoint,
        "description": definition.description,
        "parameters' schema": definition.parameter_schema,
    }


DEFAULT_QUEUE = "default"
"""Prefect's name for the queue that each pool has."""


def _found(there: DeploymentResponse) -> dict[str, Any]:
    try:
        record = record_of(there)
    except DeploymentError:  # another version of latent wrote it: all that it says is written again
        record = None
    return {
        "schedule": _schedule_there(there, record.settings if record else None),
        **_parameters(there.parameters),
        "work pool": there.work_pool_name,
        "work queue": there.work_queue_name,
        **(_policies(record.settings) if record else {}),
        **_code(there.pull_steps),
        "entrypoint": there.entrypoint,
        "description": there.description or "",
        "parameters' schema": there.parameter_openapi_schema,
    }


def _schedule_there(there: DeploymentResponse, deployed: DeploymentSettings | None) -> str:
    schedule = own_schedule(there)
    if schedule is None:
        return "on demand"
    facts = schedule.schedule.model_dump()
    if deployed is not None and _is_the_same(schedule_facts(deployed), facts):
        return schedule_text(deployed)
    return ", ".join(f"{name} {_shown(value)}" for name, value in facts.items() if value is not None)


def _is_the_same(ours: Mapping[str, Any] | None, there: Mapping[str, Any]) -> bool:
    """Whether a schedule on the server is what was sent: it says what was left open, and anchors rules."""
    if ours is None:
        return False
    rule = ours.get("rrule")
    return all(
        there.get(name) == value
        or (value is rule and str(there.get(name)).endswith(str(rule).removeprefix("RRULE:")))
        for name, value in ours.items()
    )


def _parameters(values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"parameters.{name}": value for name, value in values.items()}


def _policies(settings: DeploymentSettings) -> dict[str, Any]:
    """What our check before a run goes by."""
    budget = settings.budget.model_dump(exclude_none=True) if settings.budget else None
    return {
        "overlap": settings.overlap,
        "catch_up": settings.catch_up,
        "late_after": duration_text(settings.late_after),
        "on_crash": settings.on_crash,
        "budget": budget and ", ".join(f"{name} = {_shown(value)}" for name, value in budget.items()),
        "timezone": settings.timezone,
    }


def _code(steps: list[dict[str, Any]] | None) -> dict[str, Any]:
    """The digest of the code, and where it lies."""
    digest = deployed_digest(steps)
    paths = [options["path"] for step in steps or () for options in step.values() if "path" in options]
    return {"code": digest, "workspace": paths[0] if digest and paths else None}


def _shown(value: Any) -> str:
    return duration_text(value) if isinstance(value, timedelta) else str(value)
