"""`latent ui`: where the pages are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from latent.cli.options import new_app, workspace_here
from latent.cli.report import written
from latent.cli.terminal import align, has_display, say
from latent.cli.up import TITLES
from latent.errors import EvaluationNotFoundError, ServiceError, UsageError

if TYPE_CHECKING:
    from latent.config import Workspace

app = new_app()


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
    """The address of the page of the last evaluation, written anew; None where there is none to show."""
    from latent.config import masker_for
    from latent.evals import load_evaluation
    from latent.evals.export import exported

    try:
        evaluation = load_evaluation("last")
        page = exported(evaluation, "html", masker_for(workspace).text)
        return written(page, None, evaluation.folder, "report.html").as_uri()
    except (EvaluationNotFoundError, UsageError):  # none yet, or a folder that cannot be written to
        return None
