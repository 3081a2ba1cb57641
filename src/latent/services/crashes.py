"""
Runs whose process is gone: marked as crashed by an automation of Prefect's, and started again by workers.

The automation marks runs that send heartbeats of ours (`latent.prefect.heartbeats`) and fall silent. A
worker looks for crashed runs of deployments with `on_crash = "resume"`, and has the server make a run that
goes on in the place of each: a run of its own, since the old process may live and only have been held.
"""

from __future__ import annotations

import contextvars
import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from latent.errors import DeploymentError
from latent.prefect.api.session import service_api
from latent.prefect.heartbeats import HEARTBEAT
from latent.prefect.late_ends import SUCCESSOR_KEY, impatient_client
from latent.services.deployments.record import TAG, record_of
from latent.services.silent_runs import SilentRuns, is_heard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

    from latent.config import Workspace
    from latent.config.running_services import Service

logger = logging.getLogger("latent.services")

AUTOMATION = "latent: runs that fell silent have crashed"
SILENT_BEATS = 6
"""After so many heartbeats that did not come, a run counts as crashed."""

LEAST_SILENCE_SECONDS = 10.0
"""Prefect's least time without an event that an automation waits for."""

RESUMES = 3
"""A run is started again so often at most: what kills it every time is not the machine."""

ATTEMPT = "latent.resumes"
"""The label of a run that goes on for a crashed one: the how-manyeth such run it is."""

GRACE_BEATS = 1.5
"""A run that was marked although it lives says so with its next heartbeat; it is waited for."""

LOOK_BACK = timedelta(days=1)
"""Runs that crashed longer ago stay as they are: their users have dealt with them."""

_ENDS = ("Completed", "Failed", "Crashed", "Cancelled", "Cancelling", "TimedOut", "Superseded", "Skipped")
_PAUSES = ("AwaitingRetry", "Paused", "Suspended", "Scheduled", "Waiting", "HandedOver")
_POLL_SECONDS = 5.0
_PAGE = 200


@dataclass(frozen=True, slots=True)
class Resumed:
    """A crashed run, and the run that goes on in its place."""

    crashed: FlowRun
    successor: FlowRun


def silence_seconds(heartbeat_seconds: float) -> float:
    """How long a run may say nothing before it counts as crashed."""
    return max(SILENT_BEATS * heartbeat_seconds, LEAST_SILENCE_SECONDS)


def install_automation(client: SyncPrefectClient, workspace: Workspace) -> None:
    """
    See that the server marks runs that fell silent as crashed; an automation that is there is only corrected.

    One that the user switched off stays off.
    """
    wanted = _automation(silence_seconds(workspace.settings.services.heartbeat_seconds))
    found = client.read_automations_by_name(AUTOMATION)
    if not found:
        client.create_automation(wanted)
        return
    there = found[0]
    if _essence(there) != _essence(wanted):
        client.update_automation(there.id, wanted.model_copy(update={"enabled": there.enabled}))
    for duplicate in found[1:]:  # two `latent up` at once
        client.delete_automation(duplicate.id)


def install_on(service: Service, workspace: Workspace) -> None:
    """
    The automations of the workspace on a server that `latent up` started: also that of `notify_webhook`.

    Raises:
        httpx.HTTPError: The server does not take it.
    """
    from prefect.client.orchestration import get_client

    from latent.services.notifications import install_notification

    with service_api(workspace, service), get_client(sync_client=True) as client:
        install_automation(client, workspace)
        install_notification(client, workspace)


def _automation(seconds: float) -> Any:
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
    from prefect.events.schemas.events import ResourceSpecification

    # Each name that the state of a run can have when it is not running: the run need not beat then.
    silent_rightly = {f"prefect.flow-run.{name}" for name in (*_ENDS, *_PAUSES)}
    return AutomationCore(
        name=AUTOMATION,
        description="Made by latent. A run of latent's tells the server every few seconds that it lives.",
        trigger=EventTrigger(
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            after={HEARTBEAT},
            expect={HEARTBEAT, *silent_rightly},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=seconds),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                name=None,
                force=False,  # a run that has ended meanwhile has ended
                message=f"Nothing was heard of the run for {seconds:.0f} s: its process is gone.",
            )
        ],
    )


def _essence(automation: Any) -> dict[str, Any]:
    """What makes an automation do what it does, without the ids that the server gives."""
    dumped: dict[str, Any] = automation.model_dump(mode="json", include={"trigger", "actions", "description"})
    for each in (dumped["trigger"], *dumped["actions"]):
        each.pop("id", None)
    for name in ("after", "expect", "for_each"):
        dumped["trigger"][name] = sorted(dumped["trigger"][name])
    return dumped


def resume_crashed(
    client: SyncPrefectClient, *, grace_seconds: float = 0.0, deployments: Iterable[UUID] | None = None
) -> list[Resumed]:
    """
    Have a run made for each crashed run that is to be resumed and has none; many may do so at once.

    The successor has the parameters of the crashed run, and finds what that one remembered.

    Args:
        grace_seconds: How long ago a run must have crashed at least.
        deployments: Those whose runs are looked at; None: all that `latent deploy` made.
    """
    resumed = []
    for run in _crashed(client, grace_seconds, deployments):
        attempt = int(run.labels.get(ATTEMPT, 0)) + 1
        if attempt > RESUMES or not _is_to_be_resumed(client, run):
            continue
        successor = _make_successor(client, run, attempt)
        if successor is not None:
            resumed.append(Resumed(run, successor))
    return resumed


def _crashed(
    client: SyncPrefectClient, grace_seconds: float, deployments: Iterable[UUID] | None
) -> list[FlowRun]:
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import StateType

    now: Any = datetime.now(UTC)
    wanted = filters.FlowRunFilter(
        state=filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=[StateType.CRASHED])),
        tags=filters.FlowRunFilterTags(all_=[TAG]),
        end_time=filters.FlowRunFilterEndTime(
            after_=now - LOOK_BACK, before_=now - timedelta(seconds=grace_seconds)
        ),
        deployment_id=None
        if deployments is None
        else filters.FlowRunFilterDeploymentId(any_=list(deployments)),
    )
    found: list[FlowRun] = []
    while True:
        page = client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE, offset=len(found))
        found += page
        if len(page) < _PAGE:
            break
    return _without_successor(client, [run for run in found if run.deployment_id is not None])


def _without_successor(client: SyncPrefectClient, runs: list[FlowRun]) -> list[FlowRun]:
    from prefect.client.schemas import filters

    keys = {SUCCESSOR_KEY.format(run.id): run for run in runs}
    if not keys:
        return []
    wanted = filters.FlowRunFilterIdempotencyKey(any_=list(keys))
    made = client.read_flow_runs(flow_run_filter=filters.FlowRunFilter(idempotency_key=wanted), limit=_PAGE)
    has_one = {each.idempotency_key for each in made}
    return [run for key, run in keys.items() if key not in has_one]


def _is_to_be_resumed(client: SyncPrefectClient, run: FlowRun) -> bool:
    from prefect.exceptions import ObjectNotFound

    assert run.deployment_id is not None
    try:
        deployment = client.read_deployment(run.deployment_id)
        record = record_of(deployment)
    except (ObjectNotFound, DeploymentError):  # it was removed, or is for another version's workers
        return False
    return record is not None and record.settings.on_crash == "resume" and not deployment.paused


def _make_successor(client: SyncPrefectClient, run: FlowRun, attempt: int) -> FlowRun | None:
    from prefect.states import Scheduled

    assert run.deployment_id is not None
    # Asked again: a run that was marked although it lives may have said so meanwhile, or is about to.
    state = client.read_flow_run(run.id).state
    if state is None or not state.is_crashed() or is_heard(client, run, state.timestamp):
        return None
    return client.create_flow_run_from_deployment(
        run.deployment_id,
        parameters=run.parameters,
        state=Scheduled(name="Resuming", message=f"It goes on for run {run.name!r}, which crashed."),
        name=f"{run.name.partition(' (resumed')[0]} (resumed {attempt})",
        tags=run.tags,
        idempotency_key=SUCCESSOR_KEY.format(run.id),
        work_queue_name=run.work_queue_name,
        job_variables=run.job_variables,
        labels={ATTEMPT: attempt, "latent.crashed-run": str(run.id)},
    )


@contextmanager
def resuming(workspace: Workspace, deployments: Iterable[UUID] | None = None) -> Iterator[None]:
    """While the block runs, resume crashed runs: what a worker does beside its work, from the start on."""
    stopped = threading.Event()
    only = None if deployments is None else list(deployments)
    # Prefect's settings, which name the server, stand in the context.
    thread = threading.Thread(
        target=contextvars.copy_context().run,
        args=(_resume_until, stopped, workspace, only),
        name="latent-resuming",
        daemon=True,
    )
    thread.start()
    try:
        yield
    finally:
        stopped.set()


def _resume_until(stopped: threading.Event, workspace: Workspace, deployments: list[UUID] | None) -> None:
    beat_seconds = workspace.settings.services.heartbeat_seconds
    silent = SilentRuns(silence_seconds(beat_seconds))
    while not stopped.is_set():
        try:
            with impatient_client(workspace) as client:
                while client is not None and not stopped.is_set():
                    silent.mark(client)
                    for each in resume_crashed(
                        client, grace_seconds=GRACE_BEATS * beat_seconds, deployments=deployments
                    ):
                        logger.info("Run %r crashed; %r goes on.", each.crashed.name, each.successor.name)
                    stopped.wait(_POLL_SECONDS)
        except Exception as error:  # the server is away, say: the work goes on, and so does this
            logger.debug("Crashed runs cannot be looked for: %s", error)
            silent.forget()
        stopped.wait(_POLL_SECONDS)
