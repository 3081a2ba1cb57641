"""`latent run`: one flow, from its name to its result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from latent.cli.execution import carry_out, recorded_answers
from latent.cli.options import FlowArgument, new_app, takes, workspace_here
from latent.cli.run_arguments import RunArguments
from latent.errors import UsageError

if TYPE_CHECKING:
    from latent.config import Workspace

app = new_app()


@app.command()
@takes(RunArguments)
def run(context: typer.Context, flow: FlowArgument = None, *, arguments: RunArguments) -> None:
    """
    Run a flow.

    What earlier runs have finished is reused. Ctrl-C stops new work and keeps what is done, and so does a
    budget that is used up.
    """
    # Before the workspace is looked for: its settings follow from it.
    context.with_resource(recorded_answers(arguments))
    workspace = workspace_here()
    if flow is None:
        raise UsageError(_which_flow(workspace))
    ended = carry_out(context, workspace, flow, arguments)
    raise typer.Exit(ended.code)


def _which_flow(workspace: Workspace) -> str:
    names = list(workspace.flow_folders())
    if not names:
        return f"Which flow? There is none in {workspace.flows_dir} yet: `latent new flow NAME` makes one."
    return f"Which flow? This workspace has {', '.join(names)}: say `latent run {names[0]}`."
