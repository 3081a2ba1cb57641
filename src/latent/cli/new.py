"""`latent new`: more of what a workspace is made of."""

from __future__ import annotations

from typing import Annotated

import typer

from latent.cli.options import new_app, workspace_here
from latent.cli.terminal import say

app = new_app(no_args_is_help=True)


@app.callback()
def new() -> None:
    """Add a flow to the workspace."""


@app.command("flow")
def new_flow(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name; a Python identifier.")],
    ready: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="READY", help="Copy a ready flow, to be changed: batch_evaluation, ..."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that stand in the way.")] = False,
) -> None:
    """Add flows/NAME with a flow, its parameters and its catalog."""
    from latent.cli.init import add_files
    from latent.cli.scaffold import flow_files, ready_flow_files

    root = workspace_here().root
    files = flow_files(name) if ready is None else ready_flow_files(name, ready)
    command = f"latent new flow {name}" + (f" --from {ready}" if ready else "")
    add_files(root, files, command=command, force=force)
    say(f"The flow stands in {root / 'flows' / name}. Next:")
    say(f"  latent run {name}")
