"""`latent run`: one flow, from its name to its result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from latent.cli.execution import carry_out, recorded_answers
from latent.cli.options import (
    DebugOption,
    FlowArgument,
    InconclusiveOption,
    MaxCallsOption,
    MaxCostOption,
    MaxMinutesOption,
    OnlyFailedOption,
    ParameterOption,
    PlanOption,
    RecordOption,
    RefreshOption,
    ReplayOption,
    WaitTrackingOption,
    new_app,
    workspace_here,
)
from latent.cli.wishes import Wishes
from latent.errors import UsageError

if TYPE_CHECKING:
    from latent.config import Workspace

app = new_app()


@app.command()
def run(
    context: typer.Context,
    flow: FlowArgument = None,
    parameter: ParameterOption = None,
    only_failed: OnlyFailedOption = False,
    refresh: RefreshOption = None,
    plan: PlanOption = False,
    max_cost: MaxCostOption = None,
    max_calls: MaxCallsOption = None,
    max_minutes: MaxMinutesOption = None,
    inconclusive: InconclusiveOption = None,
    record: RecordOption = False,
    replay: ReplayOption = False,
    wait_tracking: WaitTrackingOption = False,
    debug: DebugOption = False,
) -> None:
    """
    Run a flow.

    What earlier runs have finished is reused. Ctrl-C stops new work and keeps what is done, and so does a
    budget that is used up.
    """
    # Before the workspace is looked for: its settings follow from it.
    recordings = context.with_resource(recorded_answers(record=record, replay=replay))
    workspace = workspace_here()
    wishes = Wishes(
        parameters=parameter or (),
        refresh=refresh or (),
        only_failed=only_failed,
        plan=plan,
        max_cost=max_cost,
        max_calls=max_calls,
        max_minutes=max_minutes,
        recordings=recordings,
        inconclusive=inconclusive,
    )
    if flow is None:
        raise UsageError(_which_flow(workspace))
    ended = carry_out(context, workspace, flow, wishes, debug=debug, wait_tracking=wait_tracking)
    raise typer.Exit(ended.code)


def _which_flow(workspace: Workspace) -> str:
    names = list(workspace.flow_folders())
    if not names:
        return f"Which flow? There is none in {workspace.flows_dir} yet: `latent new flow NAME` makes one."
    return f"Which flow? This workspace has {', '.join(names)}: say `latent run {names[0]}`."
