"""Running runs that nothing was heard of, and that Prefect's automation does not know of."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from latent.prefect.heartbeats import HEARTBEAT
from latent.services.deployments.record import TAG

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

_PAGE = 200


class SilentRuns:
    """
    Running runs of deployments of which a server heard no heartbeat, though it was there for long enough.

    The automation begins to wait for a run at its first heartbeat, and forgets those that it waits for when
    the server itself is away for some minutes. Both leave runs that would count as running for ever.
    """

    def __init__(self, silence_seconds: float) -> None:
        self.limit_seconds = 2 * silence_seconds
        """Twice as long as the automation waits, which comes first where it can."""
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
        running = _running_for(client, self.limit_seconds)
        heard = _heard_of(client, running, self.limit_seconds)
        silent = [run for run in running if str(run.id) not in heard]
        for run in silent:
            _mark_crashed(client, run, self.limit_seconds)
        return silent


def _running_for(client: SyncPrefectClient, seconds: float) -> list[FlowRun]:
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import StateType

    running = filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=[StateType.RUNNING]))
    wanted = filters.FlowRunFilter(state=running, tags=filters.FlowRunFilterTags(all_=[TAG]))
    since = datetime.now(UTC) - timedelta(seconds=seconds)
    found = client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE)
    return [
        run for run in found if run.deployment_id is not None and run.state and run.state.timestamp < since
    ]


def _heard_of(client: SyncPrefectClient, runs: list[FlowRun], seconds: float) -> set[str]:
    """Those of the runs that sent a heartbeat within the last `seconds`."""
    from prefect.events.filters import (
        EventFilter,
        EventNameFilter,
        EventOccurredFilter,
        EventResourceFilter,
    )

    heard: set[str] = set()
    since: Any = datetime.now(UTC) - timedelta(seconds=seconds)
    for run in runs:
        wanted = EventFilter(
            event=EventNameFilter(name=[HEARTBEAT]),
            occurred=EventOccurredFilter(since=since),
            resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
        )
        if client.read_events(wanted, limit=1).events:
            heard.add(str(run.id))
    return heard


def _mark_crashed(client: SyncPrefectClient, run: FlowRun, seconds: float) -> None:
    from prefect.states import Crashed

    state: Any = Crashed(message=f"Nothing was heard of the run for {seconds:.0f} s: its process is gone.")
    client.set_flow_run_state(run.id, state)
