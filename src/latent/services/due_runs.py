"""
The due runs of deployments, on the server: decided about, and moved to the state that follows.

The same check stands at three places: before a worker of ours starts a run's process, in that process before
the run begins, however it was started, and once more when it has begun.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import UUID

from latent.errors import DeploymentError
from latent.services.deployments.record import record_of
from latent.services.overlap import CLAIM_LOST, Candidate, Decision, decide, decide_to_go_on, may_go_on

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas import OrchestrationResult
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.objects import FlowRun, State

    from latent.config import DeploymentSettings
    from latent.services.deployments.record import DeploymentRecord

SKIPPED = "Skipped"
"""The name of the state Cancelled of a run that its deployment's settings leave out."""

WAITING = "Waiting"
"""The name of the state Scheduled of a run that was about to begin, and waits for another one."""

HANDED_OVER = "HandedOver"
"""The name of the state Scheduled of a run whose worker was stopped: another one goes on with it."""

_PAUSE_SECONDS = (3.0, 8.0)
"""Bounds of the time after which a run that waits is looked at again; by chance, so that two do not meet."""

_PAGE = 200


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a look at due runs led to."""

    going: list[FlowRun] = field(default_factory=list)
    skipped: list[tuple[FlowRun, str]] = field(default_factory=list)
    """Those that ended, with the reason."""


def choose(client: SyncPrefectClient, due: Iterable[FlowRun]) -> Chosen:
    """
    Of runs that are due, those that go now; those that are to be skipped end.

    Runs of deployments that `latent deploy` did not make all go.
    """
    chosen = Chosen()
    by_deployment: dict[UUID | None, list[FlowRun]] = {}
    for run in due:
        by_deployment.setdefault(run.deployment_id, []).append(run)
    for deployment_id, runs in by_deployment.items():
        try:
            record = None if deployment_id is None else record_of(client.read_deployment(deployment_id))
        except DeploymentError as error:
            chosen.skipped.extend((run, str(error)) for run in runs if fail(client, run.id, str(error)))
            continue
        if deployment_id is None or record is None:
            chosen.going.extend(runs)
            continue
        alive = runs_alive(client, deployment_id)
        known = [*alive, *runs_ended(client, deployment_id, alive)]
        asked = {run.id for run in runs}
        # All that are alive count, and not only those of a worker's page, which come without their states.
        for run in alive:
            if run.state is None or not run.state.is_scheduled():
                continue
            decision = _decision(run, known, record.settings)
            if decision.verdict == "skip" and skip(client, run.id, decision.reason):
                chosen.skipped.append((run, decision.reason))
            elif decision.verdict == "go" and run.id in asked:
                chosen.going.append(run)
    return chosen


def check_before(client: SyncPrefectClient, run: FlowRun) -> None:
    """
    See that a run whose process is there may begin: its worker need not be ours.

    Raises:
        Abort: It may not; its state says why.
    """
    record = _record(client, run)
    if record is None or run.deployment_id is None:
        return
    now_there = client.read_flow_run(run.id)
    if now_there.state is not None and now_there.state.is_final():
        _abort("It has ended already.")
    known = [*runs_alive(client, run.deployment_id), *runs_ended(client, run.deployment_id, [now_there])]
    decision = _decision(now_there, known, record.settings)
    if decision.verdict == "skip":
        skip(client, run.id, decision.reason)
        _abort(decision.reason)
    if decision.verdict == "wait":
        _let_wait(client, run, decision.reason)


def check_begun(client: SyncPrefectClient, run: FlowRun) -> None:
    """
    See that a run that has just begun is the only one, where its deployment wants that.

    Raises:
        Abort: Another one began at the same time; this one waits.
    """
    record = _record(client, run)
    if record is None or run.deployment_id is None:
        return
    alive = runs_alive(client, run.deployment_id)
    me = _candidate(client.read_flow_run(run.id))
    if not may_go_on(me, map(_candidate, alive), record.settings):
        _let_wait(client, run, "Another run of the deployment began at the same time.")


def runs_alive(client: SyncPrefectClient, deployment_id: UUID) -> list[FlowRun]:
    """The runs of a deployment that are due or under way."""
    from prefect.client.schemas.filters import FlowRunFilter

    wanted = FlowRunFilter.model_validate(
        {
            "deployment_id": {"any_": [deployment_id]},
            "state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING", "CANCELLING"]}},
            "expected_start_time": {"before_": datetime.now(UTC)},
        }
    )
    found: list[FlowRun] = []
    while True:
        page = client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE, offset=len(found))
        found += page
        if len(page) < _PAGE:
            return [run for run in found if not _is_lost(run)]


def runs_ended(client: SyncPrefectClient, deployment_id: UUID, due: Sequence[FlowRun]) -> list[FlowRun]:
    """The runs of a deployment that ran to their end, and were due later than the oldest of `due`."""
    from prefect.client.schemas.filters import FlowRunFilter

    times = [run.expected_start_time for run in due if run.expected_start_time is not None]
    if not times:
        return []
    wanted = FlowRunFilter.model_validate(
        {
            "deployment_id": {"any_": [deployment_id]},
            "state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}},
            "expected_start_time": {"after_": min(times)},
        }
    )
    return client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE)


def due_of(deployments: Sequence[UUID]) -> FlowRunFilter:
    """The filter for the scheduled runs of deployments whose time has come."""
    from prefect.client.schemas.filters import FlowRunFilter

    return FlowRunFilter.model_validate(
        {
            "deployment_id": {"any_": list(deployments)},
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "next_scheduled_start_time": {"before_": datetime.now(UTC)},
        }
    )


def skip(client: SyncPrefectClient, run_id: UUID, reason: str) -> bool:
    """End a run that does not go; False: the server did not let it."""
    from prefect.states import Cancelled

    return _set_state(client, run_id, Cancelled(name=SKIPPED, message=reason))


def put_back(
    client: SyncPrefectClient, run_id: UUID, name: str, reason: str, *, after_seconds: float = 0.0
) -> None:
    """Let a run be scheduled again, for whichever worker is there."""
    from prefect.states import Scheduled

    when = datetime.now(UTC) + timedelta(seconds=after_seconds)
    # By force: a run that has begun would otherwise count as one that tries itself again, in its process.
    client.set_flow_run_state(run_id, Scheduled(scheduled_time=when, name=name, message=reason), force=True)


def fail(client: SyncPrefectClient, run_id: UUID, reason: str) -> bool:
    """End a run that cannot begin on this machine; False: the server did not let it."""
    from prefect.states import Failed

    return _set_state(client, run_id, Failed(message=reason))


def _set_state(client: SyncPrefectClient, run_id: UUID, state: State[Any]) -> bool:
    answer: OrchestrationResult[Any] = client.set_flow_run_state(run_id, state)
    return answer.status.name == "ACCEPT"


def _record(client: SyncPrefectClient, run: FlowRun) -> DeploymentRecord | None:
    return None if run.deployment_id is None else record_of(client.read_deployment(run.deployment_id))


def _decision(run: FlowRun, alive: Sequence[FlowRun], settings: DeploymentSettings) -> Decision:
    me, others = _candidate(run), [_candidate(each) for each in alive if each.id != run.id]
    if me.stage == "interrupted":
        return decide_to_go_on(me, others, settings)
    return decide(me, others, settings, datetime.now(UTC))


def _candidate(run: FlowRun) -> Candidate:
    state = run.state
    assert state is not None
    has_begun = (run.run_count or 0) > 0 and state.name != WAITING
    due = run.expected_start_time or state.timestamp
    if state.is_final():
        return Candidate(str(run.id), run.name, due, "ended", state.timestamp, not run.auto_scheduled)
    if state.is_running() or state.is_cancelling():
        return Candidate(str(run.id), run.name, due, "begun", state.timestamp, not run.auto_scheduled)
    if has_begun:
        return Candidate(str(run.id), run.name, due, "interrupted", run.start_time, not run.auto_scheduled)
    if state.is_pending():
        return Candidate(str(run.id), run.name, due, "claimed", state.timestamp, not run.auto_scheduled)
    return Candidate(str(run.id), run.name, due, "scheduled", is_by_hand=not run.auto_scheduled)


def _is_lost(run: FlowRun) -> bool:
    """Whether a worker claimed it so long ago that its process must have ended."""
    state = run.state
    return state is None or (state.is_pending() and datetime.now(UTC) - state.timestamp > CLAIM_LOST)


def _let_wait(client: SyncPrefectClient, run: FlowRun, reason: str) -> NoReturn:
    pause = random.uniform(*_PAUSE_SECONDS)  # noqa: S311  # no secret
    put_back(client, run.id, WAITING, reason, after_seconds=pause)
    _abort(reason)


def _abort(reason: str) -> NoReturn:
    """End the process of a run without an error: Prefect's engine takes its state from the server."""
    from prefect.exceptions import Abort

    raise Abort(reason)
