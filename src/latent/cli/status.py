"""`latent status`: the servers, and which of them flows use."""

from __future__ import annotations

from typing import Annotated

import typer

from latent.cli.options import new_app, workspace_here
from latent.cli.terminal import say, show_table
from latent.cli.up import TITLES

app = new_app()


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
