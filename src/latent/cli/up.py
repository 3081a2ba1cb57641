"""`latent up`: both servers for the workspace."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from latent.cli.options import new_app, workspace_here
from latent.cli.terminal import align, printable, say
from latent.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from latent.config import Workspace
    from latent.services import Report

app = new_app()

TITLES = {"prefect": "Prefect", "mlflow": "MLflow"}


@app.command()
def up(
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay, show both logs, and stop both on Ctrl-C.")
    ] = False,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Listen there and not on this machine alone; asks for a password."
        ),
    ] = None,
    postgres: Annotated[
        str | None,
        typer.Option(metavar="URL", help="PostgreSQL for both, in the place of files under .latent/."),
    ] = None,
    print_systemd: Annotated[
        bool, typer.Option("--print-systemd", help="Print a systemd unit that does this, and start nothing.")
    ] = False,
    print_compose: Annotated[
        bool,
        typer.Option("--print-compose", help="Print a compose.yaml for containers, and start nothing."),
    ] = False,
) -> None:
    """
    Start Prefect's and MLflow's servers.

    It waits until they answer; what runs already is used as it is. Flows need neither: with servers they are
    shown in Prefect's pages while they run, and can run on a schedule and on workers.
    """
    from latent.services import compose_file, server_unit
    from latent.services import up as start

    workspace = workspace_here()
    if print_systemd or print_compose:
        if postgres is not None:
            raise UsageError(
                "--postgres is not printed, since it may hold a password: a unit reads `database_url` under "
                "[services] in latent.toml, and compose.yaml has a PostgreSQL of its own."
            )
        say((compose_file() if print_compose else server_unit(workspace, host=host)).rstrip())
        return
    reports = start(workspace, host=host, database_url=postgres)
    show_reports(reports)
    _say_who_is_used_instead(workspace)
    if host is not None:
        _say_password(workspace)
    if foreground:
        _stay(workspace, reports)


def show_reports(reports: Sequence[Report]) -> None:
    """A line for each server: where it is, where its data lie, its version, and what became of it."""
    for line in align([_cells(report) for report in reports]):
        say(line)


def _cells(report: Report) -> list[str]:
    service = report.service
    store = printable(service.store)
    return [TITLES[service.name], service.url, f"{store}, {service.version}, {_became(report)}"]


def _became(report: Report) -> str:
    service = report.service
    if report.became == "started":
        return f"started ({report.seconds:.1f} s)"
    since = time.strftime("%H:%M", time.localtime(service.started_at))
    return f"{report.became} (pid {service.pid}, since {since})"


def _say_who_is_used_instead(workspace: Workspace) -> None:
    from latent.services import service_statuses

    for status in service_statuses(workspace):
        if status.service is not None and status.url != status.service.url:
            what = "" if status.state == "elsewhere" else ", which does not answer"
            say(f"{TITLES[status.name]}: flows use {status.url}{what}, and not this one: {status.because}.")


def _say_password(workspace: Workspace) -> None:
    from latent.config.running_services import auth_file, service_password

    if service_password(workspace) is not None:
        say(f"Both ask for the user `latent` and the password in {workspace.label(auth_file(workspace))}.")


def _stay(workspace: Workspace, reports: Sequence[Report]) -> None:
    from latent.services import down, stream_logs

    say("Ctrl-C stops both.")
    try:
        stream_logs(workspace, [report.service for report in reports], lambda line: say(printable(line)))
    except KeyboardInterrupt:
        say()
    finally:
        show_reports(down(workspace))
