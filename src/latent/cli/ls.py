"""`latent ls` and `latent graph`: the flows of the workspace, with nothing run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from latent.cli.exits import FAILED
from latent.cli.options import FlowArgument, new_app, workspace_here
from latent.cli.terminal import complain, say, show_table

if TYPE_CHECKING:
    from latent.prefect.running import FlowIndex

app = new_app()


@app.command()
def ls() -> None:
    """
    List the flows of the workspace.

    A flow file that cannot be loaded is told with its line, and does not hide the others.
    """
    from latent.prefect.running import discover

    workspace = workspace_here()
    _ = workspace.settings  # a file that cannot be used is told here, not by the first run
    index = discover(workspace)
    rows = [
        (name, found.doc, ", ".join(found.inputs), ", ".join(found.outputs), workspace.label(found.file))
        for name, found in index.flows.items()
    ]
    if rows:
        show_table(["flow", "what it does", "reads", "writes", "file"], rows)
    elif not index.errors:
        say(f"No flows in {workspace.flows_dir} yet: `latent new flow NAME` makes one.")
    _show_ready(index)
    _end_if_broken(index)


def _show_ready(index: FlowIndex) -> None:
    """The flows that need no file here; one that the workspace has under the same name is its own."""
    from latent.flows import READY

    own = {name.replace("-", "_") for name in index.flows}
    if ready := [name for name in READY if name not in own]:
        say(
            f"Ready in any workspace: {', '.join(ready)}. `latent run {ready[0]}`, or to change one: "
            f"`latent new flow NAME --from {ready[0]}`."
        )


def _end_if_broken(index: FlowIndex) -> None:
    """Complain about each flow file that cannot be loaded, and end with 1 when there are any."""
    for error in index.errors:
        complain(str(error))
    if index.errors:
        raise typer.Exit(FAILED)


@app.command()
def graph(
    flow: FlowArgument = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="As a Mermaid diagram, for Markdown.")] = False,
) -> None:
    """
    Show the flows' tasks, and how data runs between them.

    Nothing is run. Without a name: all flows of the workspace.
    """
    from latent.flows import READY
    from latent.prefect.running import discover, find_flow
    from latent.registry import TaskRegistry

    workspace = workspace_here()
    if flow is not None:
        find_flow(workspace, flow, READY)  # an unknown name is told before all the others are loaded
    index = discover(workspace)
    say((TaskRegistry.to_mermaid(flow) if mermaid else TaskRegistry.ascii(flow)).rstrip())
    _end_if_broken(index)
