"""`latent worker`: runs of a work pool, in the foreground."""

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
def worker(
    pool: Annotated[
        str,
        typer.Option(metavar="NAME", envvar="LATENT_WORKER_POOL", help="The work pool to take runs from."),
    ] = "default",
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", envvar="LATENT_WORKER_NAME", help="As Prefect's pages show the worker."),
    ] = None,
    concurrency: ConcurrencyOption = None,
    drain: DrainOption = "60s",
    health: HealthOption = None,
    print_systemd: Annotated[
        bool, typer.Option("--print-systemd", help="Print a systemd unit that does this, and start nothing.")
    ] = False,
) -> None:
    """
    Run what is due in a work pool, until it is stopped.

    Each run has a process of its own. Ctrl-C or SIGTERM: nothing new begins, what runs has the time of
    `--drain` to finish, and what is not finished then is handed over to the next worker. A second one ends it
    at once.
    """
    from latent.services import WorkerOptions, run_worker, worker_unit

    workspace = workspace_here()
    if print_systemd:
        say(worker_unit(workspace, pool=pool).rstrip())
        return
    options = WorkerOptions(
        drain_seconds=drain_seconds(drain), concurrency=concurrency, health_port=health, name=name
    )
    log_to_stdout()
    run_worker(workspace, pool, options, say)
