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

from latent.config import find_workspace
from latent.errors import CodeChangedError, LatentError, WorkspaceError
from latent.services.code_digest import code_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from latent.config import Workspace
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


def deployed_digest(steps: list[dict[str, Any]] | None) -> str | None:
    """The digest that a deployment's `pull_steps` ask for; None when it is none of ours."""
    step = f"{__name__}.{enter_workspace.__name__}"
    return next((str(each[step].get("digest")) for each in steps or () if step in each), None)


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
        found = find_flow(workspace, unquote(name), ready)
        return DeployedFlow.of(workspace, found, partial(launch_for, workspace))


@contextmanager
def said_to_the_server() -> Iterator[None]:
    """Let the run that this process is for fail with our words: a worker only knows that a process ended."""
    try:
        yield
    except LatentError as error:
        if (run_id := os.environ.get("PREFECT__FLOW_RUN_ID")) is not None:
            from prefect.client.orchestration import get_client
            from prefect.states import Failed

            with get_client(sync_client=True) as client:
                client.set_flow_run_state(UUID(run_id), Failed(message=str(error)))
        raise
