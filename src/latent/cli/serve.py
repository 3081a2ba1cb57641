"""`latent serve`: the deployments of the workspace, run from here."""

from __future__ import annotations

from typing import Annotated

import typer

from latent.cli.options import (
    ConcurrencyOption,
    DrainOption,
    HealthOption,
    drain_seconds,
    new_app,
    workspace_here,
)
from latent.cli.terminal import log_to_stdout, say

app = new_app()


@app.command()
def serve(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Only the deployments of these names."),
    ] = None,
    concurrency: ConcurrencyOption = None,
    drain: DrainOption = "60s",
    health: HealthOption = None,
) -> None:
    """
    Deploy [[deployments]], and run them when they are due.

    It is `latent deploy` and a worker in one, for one machine: it needs no work pool. It ends as
    `latent worker` does, and schedules stay active.
    """
    from latent.flows import READY
    from latent.services import WorkerOptions, serve

    workspace = workspace_here()
    options = WorkerOptions(drain_seconds=drain_seconds(drain), concurrency=concurrency, health_port=health)
    log_to_stdout()
    serve(workspace, names or (), options, say, READY)
