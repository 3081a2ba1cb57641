"""`latent deploy`: from the settings to the server, in two steps, so that the first can be shown alone."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latent.errors import DeploymentError, DeploymentNotFoundError
from latent.prefect.global_limits import LimitChange, global_limits, limit_changes
from latent.services.code_digest import code_digest
from latent.services.crashes import install_automation
from latent.services.deployed import deployed_digest
from latent.services.deployments.changes import PlannedDeployment, compared, own_schedule
from latent.services.deployments.definitions import define
from latent.services.deployments.record import KEY, TAG, record_of
from latent.services.deployments.schedules import schedule_facts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

    from latent.config import Workspace
    from latent.services.deployments.definitions import Definition

PAGE = 200
"""What is read from a server at a time: the most that it gives."""

PROCESS = "process"
"""The type of the pools that are made: their workers, such as `latent worker`, start a process a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the server lacks for the deployments of a workspace."""

    deployments: Sequence[PlannedDeployment]
    pools: Sequence[str]
    """Work pools that do not exist yet."""
    limits: Sequence[LimitChange]
    behind: Sequence[str] = ()
    """Deployments that were not asked for and have other code than what lies here: workers refuse them."""


def plan_deployments(
    client: SyncPrefectClient,
    workspace: Workspace,
    name: str | None,
    ready: Mapping[str, str],
    now: datetime,
) -> Plan:
    """
    What has to be done so that the server has the deployment `name`, or all of the workspace.

    Args:
        ready: Flows that need no file in the workspace: modules by name.
        now: With a time zone.

    Raises:
        DeploymentError: One of them cannot be used.
        DeploymentNotFoundError: There is none of that name.
    """
    wanted = [each for each in workspace.settings.deployments if name is None or each.name == name]
    if name is not None and not wanted:
        known = tuple(each.name for each in workspace.settings.deployments)
        raise DeploymentNotFoundError(name, known, "latent.toml")
    definitions = [define(workspace, settings, ready, now) for settings in wanted]
    behind: list[str] = []
    planned = [compared(each, find_deployment(client, each.flow_name, each.name)) for each in definitions]
    kept = {(each.flow_name, each.name) for each in definitions}
    others = [
        (flow_name, there)
        for flow_name, there in deployments_there(client, workspace)
        if (flow_name, there.name) not in kept
    ]
    if name is None:
        planned += [
            PlannedDeployment(name=there.name, flow_name=flow_name, outcome="gone", there=there)
            for flow_name, there in others
        ]
    else:
        code = code_digest(workspace)
        behind = [there.name for _, there in others if deployed_digest(there.pull_steps) != code]
    pools = dict.fromkeys(each.settings.work_pool for each in definitions)
    return Plan(
        deployments=planned,
        pools=[pool for pool in pools if not _has_pool(client, pool)],
        limits=limit_changes(client, global_limits(workspace.settings.limits)),
        behind=behind,
    )


def find_deployment(client: SyncPrefectClient, flow_name: str, name: str) -> DeploymentResponse | None:
    """The deployment on the server; None when there is none."""
    from prefect.exceptions import ObjectNotFound

    try:
        return client.read_deployment_by_name(f"{flow_name}/{name}")
    except ObjectNotFound:
        return None


def deployments_there(
    client: SyncPrefectClient, workspace: Workspace
) -> list[tuple[str, DeploymentResponse]]:
    """What `latent deploy` has put on the server for this workspace: each with the name of its flow."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags

    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    found: list[DeploymentResponse] = []
    while len(page := client.read_deployments(deployment_filter=ours, limit=PAGE, offset=len(found))) == PAGE:
        found += page
    found = [each for each in [*found, *page] if _is_of(workspace, each)]
    return [(client.read_flow(each.flow_id).name, each) for each in found]


def _is_of(workspace: Workspace, deployment: DeploymentResponse) -> bool:
    try:
        record = record_of(deployment)
    except DeploymentError:  # of another version of latent, and so perhaps of another workspace
        return False
    return record is not None and record.workspace == workspace.root.name


def _has_pool(client: SyncPrefectClient, name: str) -> bool:
    from prefect.exceptions import ObjectNotFound

    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        return False
    return True


def carry_out(client: SyncPrefectClient, workspace: Workspace, plan: Plan, *, prune: bool) -> None:
    """
    Do what the plan says; a paused deployment stays paused.

    Afterwards the server also has the automation for runs that die.

    Args:
        prune: Whether what the settings do not have is removed: deployments, and schedules of other hands.
    """
    install_automation(client, workspace)
    for pool in plan.pools:
        _make_pool(client, pool)
    for limit in plan.limits:
        limit.apply(client)
    for planned in plan.deployments:
        if planned.definition is not None and planned.outcome != "unchanged":
            _put(client, planned, planned.definition)
        if prune and planned.there is not None:
            for schedule in planned.other_schedules:
                client.delete_deployment_schedule(planned.there.id, schedule.id)
            if planned.outcome == "gone":
                client.delete_deployment(planned.there.id)


def _make_pool(client: SyncPrefectClient, name: str) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    with suppress(ObjectAlreadyExists):  # another `latent deploy` has made it since the plan
        client.create_work_pool(WorkPoolCreate(name=name, type=PROCESS, base_job_template=template))


def _put(client: SyncPrefectClient, planned: PlannedDeployment, definition: Definition) -> None:
    there = planned.there
    fields = _fields(definition, there)
    if there is None:
        flow_id = client.create_flow_from_name(definition.flow_name)
        deployment_id = client.create_deployment(flow_id, definition.name, **fields)
        there = _made_meanwhile(client, deployment_id)
    else:
        from prefect.client.schemas.actions import DeploymentUpdate

        deployment_id = there.id
        client.update_deployment(deployment_id, DeploymentUpdate(**fields))
    _put_schedule(client, deployment_id, definition, there)


def _made_meanwhile(client: SyncPrefectClient, deployment_id: UUID) -> DeploymentResponse | None:
    """The deployment, when another `latent deploy` has made it with its schedule since the plan."""
    there = client.read_deployment(deployment_id)
    return there if there.schedules else None


def _fields(definition: Definition, there: DeploymentResponse | None) -> dict[str, Any]:
    """What is sent; what others have added to the tags and the job variables stays."""
    job_variables = (there.job_variables if there else None) or {}
    kept = {name: value for name, value in job_variables.items() if name != KEY}
    return {
        "version": deployed_digest(definition.pull_steps),
        "parameters": dict(definition.settings.parameters),
        "description": definition.description,
        "work_pool_name": definition.settings.work_pool,
        "work_queue_name": definition.settings.work_queue,
        "tags": [*dict.fromkeys([*(there.tags if there else ()), TAG])],
        "entrypoint": definition.entrypoint,
        "pull_steps": definition.pull_steps,
        "job_variables": kept | definition.record.as_job_variables(),
        "parameter_openapi_schema": definition.parameter_schema,
        "enforce_parameter_schema": False,  # a schema cannot say what the files of the workspace fill in
    }


def _put_schedule(
    client: SyncPrefectClient, deployment_id: UUID, definition: Definition, there: DeploymentResponse | None
) -> None:
    """Leave the deployment with our schedule as it should be, and whether it is active as it was."""
    from prefect.client.schemas.actions import DeploymentScheduleCreate

    facts = schedule_facts(definition.settings)
    known = own_schedule(there) if there is not None else None
    if facts is None:
        if known is not None:
            client.delete_deployment_schedule(deployment_id, known.id)
        return
    # As a person who paused another schedule of it meant this one, too.
    is_active = there is None or not there.schedules or any(each.active for each in there.schedules)
    made = DeploymentScheduleCreate.model_validate(
        {"schedule": facts, "slug": definition.name, "active": is_active}
    )
    if known is None:
        client.create_deployment_schedules(deployment_id, [made])
    else:
        client.update_deployment_schedule(deployment_id, known.id, schedule=made.schedule)
