"""`latent worker` and `latent serve`: runs that are due, in the foreground."""

from __future__ import annotations

from typing import Annotated

import typer

from latent.cli.options import new_app, workspace_here
from latent.cli.terminal import log_to_stdout, say
from latent.errors import UsageError

app = new_app()

ConcurrencyOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        envvar="LATENT_WORKER_CONCURRENCY",
        help="Runs at the same time; else all due ones.",
    ),
]
DrainOption = Annotated[
    str,
    typer.Option(
        metavar="DURATION", envvar="LATENT_WORKER_DRAIN", help="The time to end in, such as 30s or 5m."
    ),
]
HealthOption = Annotated[
    int | None,
    typer.Option(
        metavar="PORT", envvar="LATENT_WORKER_HEALTH", help="Answer on /health while it asks for runs."
    ),
]


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
        drain_seconds=_drain_seconds(drain), concurrency=concurrency, health_port=health, name=name
    )
    log_to_stdout()
    run_worker(workspace, pool, options, say)


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
    options = WorkerOptions(drain_seconds=_drain_seconds(drain), concurrency=concurrency, health_port=health)
    log_to_stdout()
    serve(workspace, names or (), options, say, READY)


def _drain_seconds(text: str) -> float:
    """
    What `--drain` says, in seconds.

    Raises:
        UsageError: It is not a duration.
    """
    from latent.config.durations import parse_duration

    try:
        return parse_duration(text).total_seconds()
    except ValueError as error:
        raise UsageError(f"--drain {text!r}: {error}.") from error
