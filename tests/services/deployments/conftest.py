"""A workspace of its own name on the shared server, and the command line in this process."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient

from latent.config import Workspace
from latent.services import server_client
from latent.services.deployments.deploying import deployments_there
from latent.testing.workspace import temporary_workspace, write_files
from tests.cli.conftest import Cli, latent

__all__ = ["latent"]

FLOW = '''
"""Squares of numbers."""
from latent.prefect import flow, spend, task

@task("square")
def square(n):
    spend(0.01)
    return n * n

@flow("squares")
def squares(count: int = 3, note: str = "none"):
    return square.map(list(range(count))).result()
'''

Deploy = Callable[[str], Workspace]


@pytest.fixture
def client(on_server: str) -> Iterator[SyncPrefectClient]:
    """A client of the shared server."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as made:
        yield made


@pytest.fixture
def settle(tmp_path: Path, on_server: str) -> Iterator[Deploy]:
    """
    A function that writes a `latent.toml` into a workspace with the flow `squares`.

    The workspace has a name that no other test has, and what it has put on the server goes with the test.
    """
    root = tmp_path / f"shop-{secrets.token_hex(4)}"
    root.mkdir()
    with ExitStack() as stack:
        workspace = stack.enter_context(temporary_workspace({"flows/squares/flow.py": FLOW}, root=root))

        def write(toml: str) -> Workspace:
            from latent.config import find_workspace

            write_files(root, {"config/latent.toml": toml})
            return find_workspace()

        yield write
        with server_client(workspace, needed_for="a test") as client:
            for _, deployment in deployments_there(client, workspace):
                client.delete_deployment(deployment.id)


@pytest.fixture
def deploy(settle: Deploy, latent: Cli) -> Callable[..., str]:
    """Writes a `latent.toml` and runs `latent deploy` with the words that follow; gives what it prints."""

    def run(toml: str, *words: str) -> str:
        settle(toml)
        ended = latent("deploy", *words)
        assert ended.code == 0, ended.err
        return ended.out

    return run
