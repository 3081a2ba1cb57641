"""`latent down`: end what `latent up` started."""

from __future__ import annotations

from latent.cli.options import new_app, workspace_here
from latent.cli.terminal import say
from latent.cli.up import show_reports

app = new_app()


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
