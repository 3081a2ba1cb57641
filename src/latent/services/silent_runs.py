"""Runs under way that nothing was heard of, and that Prefect's automation does not know of."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from latent.prefect.heartbeats import HEARTBEAT
from latent.services.deployments.record import TAG
from latent.services.overlap import CLAIM_LOST

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

_PAGE = 200


class SilentRuns:
    """
    Runs of deployments of which a server heard no heartbeat, though it was there for long enough.

    The automation begins to wait for a run at its first heartbeat, and forgets those that it waits for when
    the server itself is away for some minutes. Both leave runs that would count as running, or as about to
    run (Pending), for ever.
    """

    def __init__(self, silence_seconds: float, claim_lost: timedelta = CLAIM_LOST) -> None:
        self.limit_seconds = 2 * silence_seconds
        """Twice as long as the automation waits, which comes first where it can."""
        self._claim_lost = claim_lost
        self._answers_since: float | None = None
        self._looked_at = 0.0

    def forget(self) -> None:
        """The server did not answer: what it has not heard meanwhile says nothing."""
        self._answers_since = None

    def mark(self, client: SyncPrefectClient) -> list[FlowRun]:
        """Mark silent runs as crashed; nothing before the server has answered for long enough."""
        now = time.monotonic()
        if self._answers_since is None:
            self._answers_since = now
        is_early = now - self._answers_since < self.limit_seconds
        if is_early or now - self._looked_at < self.limit_seconds / 4:
            return []
        self._looked_at = now
        at = datetime.now(UTC)
        since = at - timedelta(seconds=self.limit_seconds)
        under_way = _under_way(client, running_since=since, claimed_since=at - self._claim_lost)
        silent = [run for run in under_way if not is_heard(client, run, since)]
        for run in silent:
            _mark_crashed(client, run, self.limit_seconds)
        return silent


def _under_way(
    client: SyncPrefectClient, *, running_since: datetime, claimed_since: datetime
) -> list[FlowRun]:
    """Runs of deployments that were running at one time already, or claimed by a worker at the other."""
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import StateType

    latest = {StateType.RUNNING: running_since, StateType.PENDING: claimed_since}
    state = filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=list(latest)))
    wanted = filters.FlowRunFilter(state=state, tags=filters.FlowRunFilterTags(all_=[TAG]))
    return [
        run
        for run in client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE)
        if run.deployment_id is not None and run.state
        if run.state.timestamp < latest[run.state.type]
    ]


def is_heard(client: SyncPrefectClient, run: FlowRun, since: datetime) -> bool:
    """Whether the server has a heartbeat that the run sent after that time."""
    from prefect.events.filters import (
        EventFilter,
        EventNameFilter,
        EventOccurredFilter,
        EventResourceFilter,
    )

    after: Any = since
    wanted = EventFilter(
        event=EventNameFilter(name=[HEARTBEAT]),
        occurred=EventOccurredFilter(since=after),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
    )
    return bool(client.read_events(wanted, limit=1).events)


def _mark_crashed(client: SyncPrefectClient, run: FlowRun, seconds: float) -> None:
    from prefect.states import Crashed

    state: Any = Crashed(message=f"Nothing was heard of the run for {seconds:.0f} s: its process is gone.")
    client.set_flow_run_state(run.id, state)
