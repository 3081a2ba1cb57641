"""
What the runs of a deployment may spend in a day together, and where each says what it has spent.

Each run tells the server, in labels of its flow run, so that runs on several machines share one budget.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from latent.prefect.api import is_in_memory
from latent.prefect.budget import SharedBudget, Spent
from latent.prefect.flows import Launch
from latent.prefect.logs import log_errors
from latent.prefect.run_options import RunOptions
from latent.services.deployments.deploying import PAGE
from latent.services.deployments.record import record_of
from latent.services.deployments.runs import COST_LABEL, STOPPED_LABEL, cost_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

    from latent.config import DeploymentSettings, Workspace
    from latent.prefect.outcomes import Outcomes

CALLS_LABEL = "latent.calls"
"""The label of a flow run that says how many calls it has made, as a budget counts them."""

ACCOUNT_SECONDS = 5.0
"""How often a run with a budget tells what it has spent, and asks what the others have."""


def launch_for(workspace: Workspace, flow_run: FlowRun) -> Launch:
    """How a flow run begins: with its parameters, and within what is left of its deployment's budget."""
    launched = Launch(dict(flow_run.parameters))
    settings = None if is_in_memory() else _settings(flow_run)
    if settings is None:
        return launched
    shared = None
    if settings.budget is not None:
        shared = SharedBudget(**settings.budget.model_dump())
        launched.options = RunOptions(shared_budget=shared)
    account = _Account(workspace, flow_run, launched, shared, _midnight(settings))
    if shared is not None:
        account.ask()  # a run that does not know what is left must not spend
    launched.watch = account.kept
    return launched


def _settings(flow_run: FlowRun) -> DeploymentSettings | None:
    """The settings of the run's deployment; None when `latent deploy` has not made it."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    if flow_run.deployment_id is None:
        return None
    try:
        with get_client(sync_client=True) as client:
            record = record_of(client.read_deployment(flow_run.deployment_id))
    except ObjectNotFound:  # taken away since the run was made
        return None
    return record.settings if record is not None else None


def _midnight(settings: DeploymentSettings) -> datetime:
    """When the day of the deployment's time zone began; a run belongs to the day that it begins in."""
    return datetime.now(ZoneInfo(settings.timezone)).replace(hour=0, minute=0, second=0, microsecond=0)


@dataclass
class _Account:
    """What one run has spent, told to the server, and what the others have, asked of it."""

    workspace: Workspace
    flow_run: FlowRun
    launched: Launch
    shared: SharedBudget | None
    since: datetime

    def __post_init__(self) -> None:
        self.earlier = _spent(self.workspace, self.flow_run)
        """By earlier attempts of this same flow run."""
        self.told: dict[str, int | float | str] = {}

    @contextmanager
    def kept(self, outcomes: Outcomes) -> Iterator[None]:
        """Keep the account while the run is under way."""
        ended = threading.Event()
        # With the context, in which Prefect's settings name the server.
        keeper = threading.Thread(target=copy_context().run, args=(self._keep, ended), daemon=True)
        if self.shared is not None:
            keeper.start()
        try:
            yield
        finally:
            ended.set()
            if self.shared is not None:
                keeper.join()
            with log_errors("Telling the server what the run has cost"):
                self.tell()

    def _keep(self, ended: threading.Event) -> None:
        while not ended.wait(ACCOUNT_SECONDS):
            with log_errors("Accounting for the budget of the deployment"):
                self.tell()
                self.ask()

    def tell(self) -> None:
        """Write what has been spent into the labels of the flow run."""
        from prefect.client.orchestration import get_client

        run = self.launched.run
        if run is None or run.budget is None:
            return
        labels: dict[str, int | float | str] = {CALLS_LABEL: self.earlier.calls + run.budget.calls}
        if run.budget.cost_usd or self.earlier.cost_usd:
            labels[COST_LABEL] = self.earlier.cost_usd + run.budget.cost_usd
        if run.budget.reached:
            labels[STOPPED_LABEL] = run.budget.reached
        if labels != self.told:
            with get_client(sync_client=True) as client:
                client.update_flow_run_labels(self.flow_run.id, labels)
            self.told = labels

    def ask(self) -> None:
        """Bring what the other runs of the day have spent up to date."""
        from prefect.client.orchestration import get_client

        if self.shared is None or self.flow_run.deployment_id is None:
            return
        spent = self.earlier
        with get_client(sync_client=True) as client:
            for run in _runs_since(client, self.flow_run.deployment_id, self.since):
                if run.id != self.flow_run.id:
                    spent += _spent(self.workspace, run)
        self.shared.others = spent


def _runs_since(client: SyncPrefectClient, deployment_id: UUID, since: datetime) -> list[FlowRun]:
    """The runs of a deployment that have begun since then."""
    from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    found: list[FlowRun] = []
    while True:
        page = client.read_flow_runs(
            deployment_filter=DeploymentFilter.model_validate({"id": {"any_": [deployment_id]}}),
            flow_run_filter=FlowRunFilter.model_validate({"start_time": {"after_": since}}),
            sort=FlowRunSort.START_TIME_ASC,
            limit=PAGE,
            offset=len(found),
        )
        found += page
        if len(page) < PAGE:
            return found


def _spent(workspace: Workspace, run: FlowRun) -> Spent:
    calls = run.labels.get(CALLS_LABEL, 0)
    return Spent(
        calls=int(calls) if isinstance(calls, (int, float)) else 0,
        cost_usd=cost_of(workspace, run) or 0.0,
        seconds=run.estimated_run_time.total_seconds(),  # of one that runs, until now
    )
