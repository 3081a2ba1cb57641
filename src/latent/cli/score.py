"""`latent score`: the answers of a finished run with other scorers; no answer is asked for."""

from __future__ import annotations

from typing import Annotated

import typer

from latent.cli.eval import EvaluationArguments, nothing_scored, parameters_of, scorers_as_seen_from
from latent.cli.execution import carry_out
from latent.cli.options import new_app, workspace_here
from latent.cli.run_arguments import RunArguments, takes

FLOW = "rescoring"

app = new_app()


@app.command()
@takes(EvaluationArguments, "judge", "judge_model")
@takes(RunArguments, "refresh", "plan", "max_cost", "max_calls", "max_minutes", "wait_tracking", "debug")
def score(
    context: typer.Context,
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id, the beginning of it, or `last`.")
    ] = "last",
    scorers: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="SCORER", help="As `latent eval --score` takes it. Repeatable."),
    ] = None,
    *,
    judges: EvaluationArguments,
    evaluation: Annotated[
        str | None, typer.Option("--evaluation", metavar="NAME", help="Of several in one run, which.")
    ] = None,
    arguments: RunArguments,
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
        "scorers": scorers_as_seen_from(workspace, scorers),
        "judge": judges.judges(),
    }
    arguments.parameter = parameters_of(given)
    ended = carry_out(context, workspace, FLOW, arguments)
    raise typer.Exit(ended.code or nothing_scored(ended.result))
