"""`latent deployments`: what stands on the server, and what became of its runs."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from latent.cli.exits import BUDGET_USED_UP, DONE, FAILED
from latent.cli.options import ParameterOption, complete_deployment, new_app, workspace_here
from latent.cli.terminal import printable, say, show_table
from latent.cli.wording import duration, moment, money

if TYPE_CHECKING:
    from collections.abc import Iterator

    from latent.config import Workspace
    from latent.services import DeployedRun, ServerClient

app = new_app(no_args_is_help=True)

NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Name of a deployment; FLOW/NAME for one that others made.",
        autocompletion=complete_deployment,
    ),
]


@app.callback()
def deployments() -> None:
    """Look at the deployments, and start or pause them."""


@contextmanager
def _server(command: str) -> Iterator[tuple[Workspace, ServerClient]]:
    from latent.services import server_client

    workspace = workspace_here()
    with server_client(workspace, needed_for=f"`latent deployments {command}`") as client:
        yield workspace, client


@app.command("list")
def show_list() -> None:
    """List the deployments of the settings and of the server."""
    from latent.services import statuses

    with _server("list") as (workspace, client):
        found = statuses(client, workspace, datetime.now(UTC))
    if not found:
        say(
            "There are no deployments: [[deployments]] in latent.toml names them, `latent deploy` makes them."
        )
        return
    headers = ["deployment", "flow", "state", "schedule", "next", "last", "work pool"]
    show_table(
        headers,
        [
            (
                each.name,
                each.flow_name,
                each.state,
                each.schedule,
                _moment(each.next_due),
                each.last_outcome,
                each.work_pool,
            )
            for each in found
        ],
    )


@app.command()
def run(
    name: NameArgument,
    parameter: ParameterOption = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for its end; the exit code is that of `latent run`.")
    ] = False,
) -> None:
    """Start a run now, on the workers."""
    from latent.config import parse_overrides
    from latent.flows import READY
    from latent.services import follow_run, named_deployment, start_run

    with _server("run") as (workspace, client):
        deployment = named_deployment(client, workspace, name)
        started = start_run(client, workspace, deployment, parse_overrides(parameter or ()), READY)
        say(f"Run {started.run_id} ({started.run_name}) is due: a worker takes it.")
        if wait:
            raise typer.Exit(_code(follow_run(client, workspace, started.run_id, _tell)))


def _tell(run: DeployedRun) -> None:
    what = f"{run.outcome}: {run.message}" if run.message else run.outcome
    say(f"{datetime.now():%H:%M:%S}  {printable(what)}")


def _code(run: DeployedRun) -> int:
    """The exit code that `latent run` would have had."""
    if run.stopped_by is not None:
        return BUDGET_USED_UP
    return DONE if run.is_completed else FAILED


@app.command()
def pause(name: NameArgument) -> None:
    """Let it make no runs by itself, until it is resumed."""
    _set_paused(name, paused=True)
    say(f"{name} is paused: `latent deploy` leaves it so, `latent deployments resume {name}` ends it.")


@app.command()
def resume(name: NameArgument) -> None:
    """Let it make runs again."""
    _set_paused(name, paused=False)
    say(f"{name} runs by its schedule again.")


def _set_paused(name: str, *, paused: bool) -> None:
    from latent.services import named_deployment, set_paused

    with _server("pause" if paused else "resume") as (workspace, client):
        set_paused(client, named_deployment(client, workspace, name), paused=paused)


@app.command("history")
def show_history(
    name: NameArgument,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=200, help="So many runs.")] = 20,
) -> None:
    """Show its last runs: when due, begun, how they ended."""
    from latent.services import history, named_deployment

    with _server("history") as (workspace, client):
        deployment = named_deployment(client, workspace, name)
        past = history(client, workspace, deployment, datetime.now(UTC), limit)
    if not past:
        say(f"No run of {name} has been due yet.")
        return
    show_table(
        ["due", "begun", "outcome", "took", "cost", "run", "message"],
        [
            (
                _moment(each.due),
                _moment(each.started),
                each.outcome,
                None if each.seconds is None else duration(each.seconds),
                None if each.cost_usd is None else money(each.cost_usd),
                each.run_id,
                each.message or None,
            )
            for each in past
        ],
    )


def _moment(time: datetime | None) -> str | None:
    return None if time is None else moment(time.timestamp())
