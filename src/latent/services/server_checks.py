"""What `latent doctor` asks the Prefect server: its version, its workers, and whether its limits hold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from latent.config.running_services import running_service
from latent.prefect.global_limits import global_limits, server_limits
from latent.services.client import server_client
from latent.services.finding import Finding
from latent.services.worker_name import installed_versions, versions_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import Worker
    from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse

    from latent.config import Workspace
    from latent.prefect.api import GlobalLimit


def server_findings(workspace: Workspace) -> Iterator[Finding]:
    """
    What is to be said of the server that flows of the workspace use; nothing where there is none.

    Raises:
        ServiceError: It refuses us.
        ServerUnreachableError: It does not answer.
    """
    from prefect.settings import get_current_settings

    if get_current_settings().api.url is None and running_service(workspace, "prefect") is None:
        return
    with server_client(workspace, needed_for="`latent doctor`") as client:
        yield from _version(client)
        yield from _workers(client, workspace)
        yield from _limits(client, workspace)


def _version(client: SyncPrefectClient) -> Iterator[Finding]:
    theirs, ours = client.api_version(), client.client_version()
    if theirs != ours:
        yield Finding(
            "server", "warning", f"Prefect's server is of version {theirs}, installed is {ours}",
            f"pip install 'prefect=={theirs}', or update the server",
        )  # fmt: skip


def _workers(client: SyncPrefectClient, workspace: Workspace) -> Iterator[Finding]:
    """Each worker that is online, and each pool of `[[deployments]]` that none looks at."""
    attended = set()
    ours = installed_versions()
    for pool in client.read_work_pools():
        for worker in client.read_workers_for_work_pool(pool.name):
            if worker.status != "ONLINE":
                continue
            attended.add(pool.name)
            theirs = versions_in(worker.name)
            said = f"{worker.name}, in the pool {pool.name}{_last_seen(worker)}"
            if theirs is not None and theirs != ours:
                yield Finding(
                    "workers", "warning", f"{said}: installed here is {ours}",
                    "install the same versions there and here: what is remembered depends on them",
                )  # fmt: skip
            else:
                yield Finding("workers", "ok", said)
    for name in sorted({each.work_pool for each in workspace.settings.deployments} - attended):
        yield Finding(
            "workers", "warning", f"no worker takes the runs of the pool {name}, which deployments name",
            f"latent worker --pool {name}, or latent serve",
        )  # fmt: skip


def _last_seen(worker: Worker) -> str:
    seen = worker.last_heartbeat_time
    return "" if seen is None else f", last seen {seen.astimezone():%H:%M:%S}"


def _limits(client: SyncPrefectClient, workspace: Workspace) -> Iterator[Finding]:
    """Each limit of `latent.toml` that the server does not hold as tightly."""
    wanted = global_limits(workspace.settings.limits)
    if not wanted:
        return
    known = server_limits(client)
    laxer = {limit.name: why for limit in wanted if (why := _laxer(limit, known))}
    for name, why in laxer.items():
        yield Finding("limits", "warning", why, "latent deploy, or the next run, sets it as latent.toml says")
        if f"tag:{name}" in known:
            yield Finding(
                "limits", "warning",
                f"{name!r} limits task runs with that tag there, and concurrency({name!r}) does not heed it",
                f"prefect concurrency-limit delete {name}",
            )  # fmt: skip
    if not laxer:
        yield Finding("limits", "ok", f"the server holds {len(wanted)} as tightly as latent.toml")


def _laxer(limit: GlobalLimit, known: dict[str, GlobalConcurrencyLimitResponse]) -> str | None:
    """How the server's limit lets through more than the settings do; None when it does not."""
    there = known.get(limit.name)
    if there is None:
        return f"{limit.name!r} is not on the server: concurrency({limit.name!r}) runs unlimited there"
    if not there.active:
        return f"{limit.name!r} is switched off on the server"
    if there.limit > limit.limit:
        return f"{limit.name!r} has {there.limit} slots on the server, {limit.limit} in latent.toml"
    theirs, ours = there.slot_decay_per_second, limit.slot_decay_per_second
    if theirs > ours and not math.isclose(theirs, ours):
        return f"{limit.name!r} frees {theirs:g} slots a second on the server, {ours:g} in latent.toml"
    return None
