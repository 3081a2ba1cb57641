"""`latent worker` and `latent serve`: a worker in the foreground, from its options to its end."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from latent.errors import ServiceError
from latent.errors.text import did_you_mean
from latent.services.client import server_client
from latent.services.crashes import resuming
from latent.services.worker_name import worker_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from prefect.client.orchestration import SyncPrefectClient

    from latent.config import Workspace
    from latent.services.worker import Worker

POLL_SECONDS = 2.0
"""How often a worker asks for runs, unless PREFECT_WORKER_QUERY_SECONDS says otherwise: none begins early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What one worker process is told."""

    drain_seconds: float = 60.0
    """The time to end in, once it is told to."""
    concurrency: int | None = None
    """Runs at the same time; None: as many as are due."""
    health_port: int | None = None
    """Where `/health` answers 200 while the worker polls; None: nowhere."""
    name: str | None = None
    """As Prefect's pages show it; None: one of its own."""


def run_worker(workspace: Workspace, pool: str, options: WorkerOptions, say: Callable[[str], None]) -> None:
    """
    Take runs from a work pool until the process is told to end.

    Raises:
        ServiceError: There is no server, no such pool, or one for workers of another kind.
    """
    with server_client(workspace, needed_for="`latent worker`") as client:
        _check_pool(client, pool, say)
        with _settings(options):
            from latent.services.worker import Worker

            name = options.name or worker_name()
            worker = Worker(workspace, pool, name=name, limit=options.concurrency)
            say(f"Worker {worker.name!r} takes runs of the pool {pool!r}, in {workspace.root}.")
            with resuming(workspace):
                _run(worker, options, say)


def serve(
    workspace: Workspace,
    names: Sequence[str],
    options: WorkerOptions,
    say: Callable[[str], None],
    ready: Mapping[str, str],
) -> None:
    """
    Deploy what the settings say, and run it in this process's children until the process is told to end.

    Args:
        names: Of deployments; none stands for all of the workspace.
        ready: Flows that need no file in the workspace: modules by name.

    Raises:
        ServiceError: There is no server.
        DeploymentError: A deployment cannot be used.
        DeploymentNotFoundError: The settings have no deployment of that name, or none at all.
    """
    from latent.errors import DeploymentNotFoundError
    from latent.services.deployments.deploying import carry_out, find_deployment, plan_deployments

    known = tuple(each.name for each in workspace.settings.deployments)
    for name in names or ("",):
        if name not in known and (names or not known):
            raise DeploymentNotFoundError(name, known, "latent.toml")
    with server_client(workspace, needed_for="`latent serve`") as client:
        found = []
        for name in names or known:
            plan = plan_deployments(client, workspace, name, ready, datetime.now(UTC))
            carry_out(client, workspace, plan, prune=False)
            found += [find_deployment(client, each.flow_name, each.name) for each in plan.deployments]
        with _settings(options):
            from latent.services.worker import ServingWorker

            deployments = [each.id for each in found if each is not None]
            worker = ServingWorker(workspace, deployments, limit=options.concurrency)
            say(f"Serving {', '.join(names or known)}, in {workspace.root}.")
            with resuming(workspace, deployments):
                _run(worker, options, say)


def _run(worker: Worker, options: WorkerOptions, say: Callable[[str], None]) -> None:
    import anyio

    with_health = options.health_port is not None
    anyio.run(partial(worker.work, drain_seconds=options.drain_seconds, say=say, health=with_health))


def _check_pool(client: SyncPrefectClient, name: str, say: Callable[[str], None]) -> None:
    from prefect.exceptions import ObjectNotFound

    try:
        pool = client.read_work_pool(name)
    except ObjectNotFound:
        known = [each.name for each in client.read_work_pools()]
        hint = did_you_mean(name, known, "`latent deploy` makes the pools that deployments name.")
        raise ServiceError("prefect", f"it has no work pool {name!r}: {hint}") from None
    if pool.type != "process":
        raise ServiceError(
            "prefect",
            f"the work pool {name!r} is for workers of the type {pool.type!r}, and this one starts "
            f"processes: `prefect worker start --pool {name}` starts one of that type.",
        )
    if pool.is_paused:
        say(f"The pool {name!r} is paused: nothing begins until `prefect work-pool resume {name}`.")


@contextmanager
def _settings(options: WorkerOptions) -> Iterator[None]:
    from prefect.settings import (
        PREFECT_WORKER_QUERY_SECONDS,
        PREFECT_WORKER_WEBSERVER_PORT,
        get_current_settings,
        temporary_settings,
    )

    changes: dict[Any, Any] = {}
    if "query_seconds" not in get_current_settings().worker.model_fields_set:
        changes[PREFECT_WORKER_QUERY_SECONDS] = POLL_SECONDS
    if options.health_port is not None:
        changes[PREFECT_WORKER_WEBSERVER_PORT] = options.health_port
    with temporary_settings(changes):
        yield
