"""`latent score`: the answers of a finished run with other scorers; no answer is asked for."""

from __future__ import annotations

from typing import Annotated

import typer

from latent.cli.eval import (
    JudgeModelOption,
    JudgeOption,
    judges_of,
    nothing_scored,
    parameters_of,
    scorer_as_seen_from,
)
from latent.cli.execution import carry_out
from latent.cli.options import (
    DebugOption,
    MaxCallsOption,
    MaxCostOption,
    MaxMinutesOption,
    PlanOption,
    RefreshOption,
    WaitTrackingOption,
    new_app,
    workspace_here,
)
from latent.cli.wishes import Wishes

FLOW = "rescoring"

app = new_app()


@app.command()
def score(
    context: typer.Context,
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id, the beginning of it, or `last`.")
    ] = "last",
    scorers: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="SCORER", help="As `latent eval --score` takes it. Repeatable."),
    ] = None,
    judge: JudgeOption = None,
    judge_model: JudgeModelOption = None,
    evaluation: Annotated[
        str | None, typer.Option("--evaluation", metavar="NAME", help="Of several in one run, which.")
    ] = None,
    refresh: RefreshOption = None,
    plan: PlanOption = False,
    max_cost: MaxCostOption = None,
    max_calls: MaxCallsOption = None,
    max_minutes: MaxMinutesOption = None,
    wait_tracking: WaitTrackingOption = False,
    debug: DebugOption = False,
) -> None:
    """
    Score the answers of a run again.

    New or changed scorers look at the answers of a finished run. Nothing is asked of the model that
    answered, and the scores of other scorers stay. It is the flow rescoring.
    """
    from latent.tracking import load_run

    workspace = workspace_here()
    if run != "last":
        run = load_run(workspace, run).run_id
    given = {
        "run": run,
        "evaluation": evaluation,
        "scorers": [scorer_as_seen_from(workspace, each) for each in scorers or ()] or None,
        "judge": judges_of(judge, judge_model),
    }
    wishes = Wishes(
        parameters=parameters_of(given),
        refresh=refresh or (),
        plan=plan,
        max_cost=max_cost,
        max_calls=max_calls,
        max_minutes=max_minutes,
    )
    ended = carry_out(context, workspace, FLOW, wishes, debug=debug, wait_tracking=wait_tracking)
    raise typer.Exit(ended.code or nothing_scored(ended.result))
