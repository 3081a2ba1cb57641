"""`latent sync`: send what servers that were away do not know yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from latent.cli.options import new_app, workspace_here
from latent.cli.terminal import printable, say

if TYPE_CHECKING:
    from latent.prefect.late_ends import Sent
    from latent.tracking.sync import Synced

app = new_app()


@app.command()
def sync(
    wait: Annotated[
        float,
        typer.Option("--wait", min=0.0, metavar="SECONDS", help="How long MLflow is waited for at most."),
    ] = 120.0,
) -> None:
    """
    Send what servers that were away do not know yet.

    How runs ended goes to Prefect's server, and tracking to MLflow. Both are also sent without this, once the
    servers are back. Ends with 1 when something is left.
    """
    from latent.prefect.late_ends import send
    from latent.tracking import sync_runs

    workspace = workspace_here()
    sent, synced = send(workspace), sync_runs(workspace, wait)
    _show_ends(sent)
    _show_runs(synced)
    if sent.waiting or synced.waiting:
        raise typer.Exit(1)


def _show_ends(sent: Sent) -> None:
    for end in sent.known:
        say(f"Prefect  reported {printable(end.shown)}")
    for end, reason in sent.refused:
        say(f"Prefect  not reported {printable(end.shown)}: {printable(reason)}")
    for end, reason in sent.waiting:
        say(f"Prefect  waits {printable(end.shown)}: {printable(reason)}")
    if not (sent.known or sent.refused or sent.waiting):
        say("Prefect  nothing to send")


def _show_runs(synced: Synced) -> None:
    for run_id in synced.sent:
        say(f"MLflow   sent {run_id}")
    for run_id, reason in synced.waiting.items():
        say(f"MLflow   waits {run_id}: {printable(reason)}")
    if not (synced.sent or synced.waiting):
        say("MLflow   nothing to send")
    if synced.elsewhere:
        say(f"MLflow   {synced.elsewhere} runs wait for another server than {printable(synced.address)}")
