"""`latent up`, `down`, `status` and `ui`: the servers of the workspace, and their pages."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from latent.cli.options import new_app, workspace_here
from latent.cli.report import written
from latent.cli.terminal import align, has_display, printable, say, show_table
from latent.errors import EvaluationNotFoundError, ServiceError, UsageError

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


@app.command()
def down() -> None:
    """
    Stop the servers that `latent up` started.

    All that they started ends, too.
    """
    from latent.services import down as stop

    ended = stop(workspace_here())
    show_reports(ended)
    if not ended:
        say("No server of this workspace runs.")


@app.command()
def status(
    settings: Annotated[
        bool, typer.Option("--settings", help="Also show how `latent up` sets the servers, and why.")
    ] = False,
) -> None:
    """
    Show where the servers are, and what decides that.

    They are those that flows of this workspace use: what the environment names comes first.
    """
    from latent.services import effective_settings, service_statuses

    workspace = workspace_here()
    rows = [
        (
            TITLES[found.name],
            found.state,
            found.url,
            found.service.store if found.service else None,
            found.service.version if found.service else None,
            found.service.pid if found.service else None,
            found.because,
        )
        for found in service_statuses(workspace)
    ]
    show_table(["server", "state", "address", "data", "version", "pid", "because"], rows)
    if settings:
        for name in ("prefect", "mlflow"):
            say()
            show_table([f"{TITLES[name]}'s setting", "value", "why"], effective_settings(name))


@app.command()
def ui(
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Only print the addresses, also where there is a display.")
    ] = False,
) -> None:
    """
    Print where the servers' pages and the last report are.

    The report is that of the last run with an evaluation. Where there is a display, the pages are opened.
    """
    from latent.services import service_statuses

    workspace = workspace_here()
    pages = [
        (TITLES[found.name], (found.url or "").removesuffix("/api"))
        for found in service_statuses(workspace)
        if found.state in ("running", "elsewhere") and (found.url or "").startswith("http")
    ]
    if (report := _last_report(workspace)) is not None:
        pages.append(("Report", report))
    if not pages:
        raise ServiceError(
            None,
            "No server runs and no run has an evaluation, so there is no page to look at: start both with "
            "`latent up`.",
        )
    for line in align([list(page) for page in pages]):
        say(line)
    if not no_open and has_display():
        for _, address in pages:
            typer.launch(address)


def _last_report(workspace: Workspace) -> str | None:
    """The address of the page of the last evaluation, written again; None where there is none to show."""
    from latent.config import masker_for
    from latent.evals import load_evaluation
    from latent.evals.export import exported

    try:
        evaluation = load_evaluation("last")
        page = exported(evaluation, "html", masker_for(workspace).text)
        return written(page, None, evaluation.folder, "report.html").as_uri()
    except (EvaluationNotFoundError, UsageError):  # none yet, or a folder that cannot be written to
        return None
