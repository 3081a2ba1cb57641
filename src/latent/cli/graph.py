"""`latent graph`: tasks, and how data runs between them, with nothing run."""

from __future__ import annotations

from typing import Annotated

import typer

from latent.cli.options import FlowArgument, new_app, workspace_here
from latent.cli.terminal import say

app = new_app()


@app.command()
def graph(
    flow: FlowArgument = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="As a Mermaid diagram, for Markdown.")] = False,
) -> None:
    """
    Show the flows' tasks, and how data runs between them.

    Nothing is run. Without a name: all flows of the workspace.
    """
    from latent.cli.ls import end_if_broken
    from latent.flows import READY
    from latent.prefect.running import discover, find_flow
    from latent.registry import TaskRegistry

    workspace = workspace_here()
    if flow is not None:
        find_flow(workspace, flow, READY)  # an unknown name is told before all the others are loaded
    index = discover(workspace)
    say((TaskRegistry.to_mermaid(flow) if mermaid else TaskRegistry.ascii(flow)).rstrip())
    end_if_broken(index)
