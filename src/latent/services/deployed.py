"""
How the process of a deployed run comes to its flow: to the workspace first, then to the flow in it.

A deployment of ours has two parts that any worker of Prefect's understands: a step that enters the workspace
(`pull_steps`), and the place that the flow is imported from (`entrypoint`).
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote
from uuid import UUID

from latent.config import Workspace, find_workspace
from latent.errors import CodeChangedError, LatentError, WorkspaceError
from latent.services.code_digest import code_digest
from latent.services.due_runs import check_before, check_begun, fail

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prefect.client.orchestration import SyncPrefectClient

    from latent.prefect.deployed import DeployedFlow

ENTRYPOINTS = "latent.flows.deployed"
"""The module that has every flow of the workspace as an attribute."""


def entrypoint(flow_name: str) -> str:
    """The `entrypoint` of a flow's deployment: a path of modules, since a folder differs between machines."""
    return f"{ENTRYPOINTS}.{quote(flow_name, safe='').replace('.', '%2E')}"


def pull_steps(workspace: Workspace) -> list[dict[str, Any]]:
    """The `pull_steps` of every deployment of the workspace, with what its code is now."""
    step = f"{__name__}.{enter_workspace.__name__}"
    return [{step: {"path": str(workspace.root), "digest": code_digest(workspace)}}]


def deployed_from(steps: list[dict[str, Any]] | None) -> tuple[str, str] | None:
    """The path and the digest that a deployment's `pull_steps` ask for; None when it is none of ours."""
    step = f"{__name__}.{enter_workspace.__name__}"
    ours = next((each[step] for each in steps or () if step in each), None)
    return None if ours is None else (str(ours.get("path")), str(ours.get("digest")))


def deployed_digest(steps: list[dict[str, Any]] | None) -> str | None:
    """The digest that a deployment's `pull_steps` ask for; None when it is none of ours."""
    found = deployed_from(steps)
    return None if found is None else found[1]


def enter_workspace(path: str, digest: str) -> dict[str, str]:
    """
    The step that a worker runs before a flow: find the workspace, and see that it is what was deployed.

    Returns:
        The `directory` that the worker changes to.

    Raises:
        WorkspaceError: This machine has no such workspace.
        CodeChangedError: It has, with other code.
    """
    with said_to_the_server():
        workspace = workspace_of_deployment(path)
        check_code(workspace, digest)
    return {"directory": str(workspace.root)}


def workspace_of_deployment(path: str) -> Workspace:
    """
    LATENT_WORKSPACE, else the folder that was deployed, else the workspace around the current folder.

    Raises:
        WorkspaceError: There is none of them.
    """
    if os.environ.get("LATENT_WORKSPACE"):
        return find_workspace()
    for place in (Path(path), None):
        if (place is None or place.is_dir()) and (workspace := find_workspace(place)).found:
            return workspace
    raise WorkspaceError(
        f"The workspace was deployed from {path}, which is none on this machine: set LATENT_WORKSPACE to "
        "where it lies here, or start the worker in it."
    )


def workspace_with_code(own: Workspace, path: str, digest: str) -> Workspace:
    """
    The workspace of a worker that has what was deployed: its own one, or the one that was deployed.

    Raises:
        CodeChangedError: Neither has.
    """
    deployed = Workspace(Path(path))
    if own.settings.code.check == "trust" or code_digest(own) == digest:
        return own
    if deployed.root.is_dir() and deployed.root != own.root and code_digest(deployed) == digest:
        return deployed
    raise CodeChangedError(str(own.root), code_digest(own), digest)


def check_code(workspace: Workspace, deployed: str) -> None:
    """
    See that the code is what was deployed, unless `[code] check = "trust"`.

    Raises:
        CodeChangedError: It is not.
    """
    if workspace.settings.code.check == "trust":
        return
    if (here := code_digest(workspace)) != deployed:
        raise CodeChangedError(str(workspace.root), here, deployed)


def load_deployed(name: str, ready: Mapping[str, str]) -> DeployedFlow:
    """
    The flow of the workspace around the current folder whose entrypoint ends with `name`.

    Args:
        ready: Flows that need no file in the workspace: modules by name.

    Raises:
        WorkspaceError: The current folder lies in no workspace.
        RegistryError: The workspace has no such flow, or its file cannot be loaded.
    """
    from latent.prefect.deployed import DeployedFlow
    from latent.prefect.discovery import find_flow
    from latent.services.deployments.budgets import launch_for

    with said_to_the_server():
        workspace = find_workspace()
        if not workspace.found:
            raise WorkspaceError(
                f"The flow {unquote(name)!r} was deployed from a workspace, and {workspace.root} is none: "
                "set LATENT_WORKSPACE to where it lies on this machine."
            )
        found, run_id = find_flow(workspace, unquote(name), ready), _run_of_process()
        checks = None if run_id is None else _Checks(run_id)
        return DeployedFlow.of(workspace, found, partial(launch_for, workspace), checks)


class _Checks:
    """The checks of the run that this process is for."""

    def __init__(self, run_id: UUID) -> None:
        self.run_id = run_id

    def before(self) -> None:
        with _client() as client:
            check_before(client, client.read_flow_run(self.run_id))

    def begun(self) -> None:
        with _client() as client:
            check_begun(client, client.read_flow_run(self.run_id))


def _run_of_process() -> UUID | None:
    """The flow run that Prefect started this process for."""
    named = os.environ.get("PREFECT__FLOW_RUN_ID")
    return None if named is None else UUID(named)


def _client() -> SyncPrefectClient:
    from prefect.client.orchestration import get_client

    return get_client(sync_client=True)


@contextmanager
def said_to_the_server() -> Iterator[None]:
    """Let the run that this process is for fail with our words: a worker only knows that a process ended."""
    try:
        yield
    except LatentError as error:
        if (run_id := _run_of_process()) is not None:
            with _client() as client:
                fail(client, run_id, str(error))
        raise
