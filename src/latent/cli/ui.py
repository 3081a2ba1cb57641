"""`latent ui`: where the pages are."""

from __future__ import annotations

from typing import Annotated

import typer

from latent.cli.options import new_app, workspace_here
from latent.cli.terminal import align, has_display, say
from latent.cli.up import TITLES
from latent.errors import ServiceError

app = new_app()


@app.command()
def ui(
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Only print the addresses, also where there is a display.")
    ] = False,
) -> None:
    """
    Print where the pages of Prefect and MLflow are.

    Where there is a display, they are opened.
    """
    from latent.services import service_statuses

    pages = [
        (TITLES[found.name], (found.url or "").removesuffix("/api"))
        for found in service_statuses(workspace_here())
        if found.state in ("running", "elsewhere") and (found.url or "").startswith("http")
    ]
    if not pages:
        raise ServiceError(
            None, "No server runs, so there is no page to look at: start both with `latent up`."
        )
    for line in align([list(page) for page in pages]):
        say(line)
    if not no_open and has_display():
        for _, address in pages:
            typer.launch(address)
