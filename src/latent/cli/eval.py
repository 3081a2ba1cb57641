"""`latent eval`: evaluate a model, or answers that are there, without writing anything."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latent.cli.execution import carry_out, recorded_answers
from latent.cli.exits import DONE, FAILED
from latent.cli.options import (
    DebugOption,
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
)
from latent.cli.terminal import complain, say
from latent.cli.wishes import Wishes
from latent.errors import UsageError

if TYPE_CHECKING:
    from latent.config import Workspace
    from latent.prefect.running import RunResult

FLOW, IMPORT = "batch_evaluation", "imported_evaluation"

JudgeOption = Annotated[
    list[str] | None,
    typer.Option("--judge", metavar="RUBRIC", help='What a model grades: "Is it right?". Repeatable.'),
]
JudgeModelOption = Annotated[
    str | None, typer.Option("--judge-model", metavar="MODEL", help="The model that grades; no default.")
]

app = new_app()


@app.command("eval")
def evaluate(
    context: typer.Context,
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A file (JSONL, CSV, Parquet, JSON, YAML) or a dataset.")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="MODEL", help="What answers: openai:gpt-5-mini, local:smollm2."
        ),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            "--prompt",
            metavar="TEMPLATE",
            help="What it is asked: 'Answer briefly: {{ question }}', or a file.",
        ),
    ] = None,
    score: Annotated[
        list[str] | None,
        typer.Option(
            "--score",
            metavar="SCORER",
            help="exact_match, 'numeric(tolerance=0.01)', my_scorers.py:function. Repeatable.",
        ),
    ] = None,
    judge: JudgeOption = None,
    judge_model: JudgeModelOption = None,
    expected: Annotated[
        str | None, typer.Option("--expected", metavar="COLUMN", help="The column of expected answers.")
    ] = None,
    row_id: Annotated[str | None, typer.Option("--id", metavar="COLUMN", help="The column of ids.")] = None,
    repeats: Annotated[
        int | None, typer.Option("--repeats", metavar="N", help="How often each row is asked.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option("--cluster", metavar="COLUMN", help="What tells which rows belong together.")
    ] = None,
    slices: Annotated[
        list[str] | None,
        typer.Option("--slice", metavar="COLUMN", help="Tell metrics apart by its values. Repeatable."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option("--labels", metavar="COLUMN|FILE", help="What people say, to hold judges against."),
    ] = None,
    tool: Annotated[
        str | None,
        typer.Option("--from", metavar="TOOL", help="DATA is what inspect, lm-eval or promptfoo wrote."),
    ] = None,
    column: Annotated[
        int | None,
        typer.Option("--column", metavar="N", help="Of promptfoo's prompts by providers, which one."),
    ] = None,
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
    Evaluate a model, or answers that are there.

    Every row of DATA is asked, and its answer scored. Rows that have an `output` are scored as they are:
    without --model nothing is asked. Answers and scores are remembered: whatever has not changed costs
    nothing again. It is the flow batch_evaluation.
    """
    # Before the workspace is looked for: its settings follow from it.
    recordings = context.with_resource(recorded_answers(record=record, replay=replay))
    workspace = workspace_for_results()
    given: dict[str, Any] = {
        "dataset": as_seen_from(workspace, data),
        "model": model,
        "prompt": None if prompt is None else as_seen_from(workspace, prompt),
        "scorers": [scorer_as_seen_from(workspace, each) for each in score or ()] or None,
        "judge": judges_of(judge, judge_model),
        "expected": expected,
        "row_id": row_id,
        "repeats": repeats,
        "cluster": cluster,
        "slices": slices or None,
        "labels": None if labels is None else as_seen_from(workspace, labels),
    }
    flow = FLOW
    wishes = Wishes(
        parameters=[*parameters_of(given), *(parameter or ())],
        refresh=refresh or (),
        only_failed=only_failed,
        plan=plan,
        max_cost=max_cost,
        max_calls=max_calls,
        max_minutes=max_minutes,
        recordings=recordings,
        inconclusive=inconclusive,
    )
    if tool is not None or column is not None:
        flow = IMPORT
        wishes = replace(wishes, parameters=import_parameters(tool, column, given, parameter))
    ended = carry_out(context, workspace, flow, wishes, debug=debug, wait_tracking=wait_tracking)
    raise typer.Exit(nothing_scored(ended.result) or ended.code)


def workspace_for_results() -> Workspace:
    """The workspace around, or the current folder made one, which is said."""
    from latent.config import ensure_private_dir, find_workspace

    workspace = find_workspace()
    if not workspace.found:
        ensure_private_dir(workspace.runs_dir)
        say(f"No workspace here: results are kept in {workspace.state_dir}.")
        workspace = find_workspace()
    return workspace


def as_seen_from(workspace: Workspace, given: str) -> str:
    """A file of the current folder as the flow finds it; anything else as it is."""
    try:
        path = Path(given)
        if not path.is_file():
            return given
    except (OSError, ValueError):  # a long prompt is no path
        return given
    return workspace.label(path.resolve())


def scorer_as_seen_from(workspace: Workspace, spec: str) -> str:
    """The same for `file.py:function`."""
    path, colon, function = spec.rpartition(":")
    return f"{as_seen_from(workspace, path)}{colon}{function}" if path.endswith(".py") else spec


def judges_of(rubrics: list[str] | None, model: str | None) -> list[dict[str, str]] | None:
    """
    The judges that options describe; of several, each has a name of its own.

    Raises:
        UsageError: There is a rubric and no model, or the other way round.
    """
    if not rubrics:
        if model is not None:
            raise UsageError('--judge-model needs to know what to grade: --judge "Is it right?".')
        return None
    if model is None:
        raise UsageError("--judge needs --judge-model: which model grades decides what the grades are worth.")
    names = ["judge", *(f"judge_{number}" for number in range(2, len(rubrics) + 1))]
    return [
        {"name": name, "rubric": rubric, "model": model} for name, rubric in zip(names, rubrics, strict=True)
    ]


def import_parameters(
    tool: str | None, column: int | None, given: dict[str, Any], further: list[str] | None
) -> list[str]:
    """
    What the flow that takes over another tool's results is told.

    Raises:
        UsageError: An option says how to ask or to score, which the tool has done already.
    """
    if tool is None:
        raise UsageError("--column is for --from promptfoo: it says which of its prompts by providers.")
    others = [name for name, value in given.items() if value is not None and name != "dataset"]
    if others:
        raise UsageError(
            f"--from takes answers and scores as they are, so `{others[0]}` says nothing there. Score them "
            "further with `latent score last --with SCORER`."
        )
    return [
        *parameters_of({"tool": tool, "file": given["dataset"], "column": column}),
        *(further or ()),
    ]


def parameters_of(given: dict[str, Any]) -> list[str]:
    """Values as `-p` takes them; those that were not given are left to `parameters.yaml`."""
    return [
        f"{name}={json.dumps(value, ensure_ascii=False)}"
        for name, value in given.items()
        if value is not None
    ]


def nothing_scored(result: RunResult) -> int:
    """The exit code of a run that ended well: failed where a scorer has not scored one row that it should."""
    from latent.evals import Evaluation

    if not isinstance(result.value, Evaluation):
        return DONE
    code = DONE
    for metric in result.value.metrics.values():
        if metric.rows and not metric.n and not metric.is_derived:
            scores = result.value.scores
            reasons = scores[(scores["metric"] == metric.name) & scores["reason"].notna()]["reason"]
            why = f" {reasons.iloc[0]}" if len(reasons) else ""
            complain(f"{metric.name!r} has scored none of {metric.rows:,} rows.{why}")
            code = FAILED
    return code
