"""`latent eval` and `latent score`: answers, from a model or at hand, and what scorers say of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latent.cli.execution import carry_out, recorded_answers
from latent.cli.exits import DONE, FAILED
from latent.cli.options import new_app, takes, workspace_here
from latent.cli.run_arguments import RunArguments
from latent.cli.terminal import complain, say
from latent.errors import UsageError

if TYPE_CHECKING:
    from latent.config import Workspace
    from latent.prefect.running import RunResult

FLOW, IMPORT, RESCORING = "batch_evaluation", "imported_evaluation", "rescoring"


app = new_app()


@dataclass(kw_only=True)
class EvaluationArguments:
    """How a model is asked and its answers are scored; `None` leaves it to parameters.yaml."""

    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="MODEL", help="What answers: openai:gpt-5-mini, local:smollm2."
        ),
    ] = None
    prompt: Annotated[
        str | None,
        typer.Option(
            "--prompt",
            metavar="TEMPLATE",
            help="What it is asked: 'Answer briefly: {{ question }}', or a file.",
        ),
    ] = None
    score: Annotated[
        list[str] | None,
        typer.Option(
            "--score",
            metavar="SCORER",
            help="exact_match, 'numeric(tolerance=0.01)', my_scorers.py:function. Repeatable.",
        ),
    ] = None
    judge: Annotated[
        list[str] | None,
        typer.Option("--judge", metavar="RUBRIC", help='What a model grades: "Is it right?". Repeatable.'),
    ] = None
    judge_model: Annotated[
        str | None, typer.Option("--judge-model", metavar="MODEL", help="The model that grades; no default.")
    ] = None
    expected: Annotated[
        str | None, typer.Option("--expected", metavar="COLUMN", help="The column of expected answers.")
    ] = None
    row_id: Annotated[str | None, typer.Option("--id", metavar="COLUMN", help="The column of ids.")] = None
    repeats: Annotated[
        int | None, typer.Option("--repeats", metavar="N", help="How often each row is asked.")
    ] = None
    cluster: Annotated[
        str | None, typer.Option("--cluster", metavar="COLUMN", help="What tells which rows belong together.")
    ] = None
    slices: Annotated[
        list[str] | None,
        typer.Option("--slice", metavar="COLUMN", help="Tell metrics apart by its values. Repeatable."),
    ] = None
    labels: Annotated[
        str | None,
        typer.Option("--labels", metavar="COLUMN|FILE", help="What people say, to hold judges against."),
    ] = None
    tool: Annotated[
        str | None,
        typer.Option("--from", metavar="TOOL", help="DATA is what inspect, lm-eval or promptfoo wrote."),
    ] = None
    column: Annotated[
        int | None,
        typer.Option("--column", metavar="N", help="Of promptfoo's prompts by providers, which one."),
    ] = None

    @property
    def is_import(self) -> bool:
        """Whether another tool has asked and scored already."""
        return self.tool is not None or self.column is not None

    def judges(self) -> list[dict[str, str]] | None:
        """
        The judges that the options describe; of several, each has a name of its own.

        Raises:
            UsageError: There is a rubric and no model, or the other way round.
        """
        if not self.judge:
            if self.judge_model is not None:
                raise UsageError('--judge-model needs to know what to grade: --judge "Is it right?".')
            return None
        if self.judge_model is None:
            raise UsageError(
                "--judge needs --judge-model: which model grades decides what the grades are worth."
            )
        names = ["judge", *(f"judge_{number}" for number in range(2, len(self.judge) + 1))]
        return [
            {"name": name, "rubric": rubric, "model": self.judge_model}
            for name, rubric in zip(names, self.judge, strict=True)
        ]

    def parameters(self, workspace: Workspace, data: str) -> dict[str, Any]:
        """Parameters of the flow batch_evaluation, with files as it finds them from the workspace."""
        return {
            "dataset": as_seen_from(workspace, data),
            "model": self.model,
            "prompt": None if self.prompt is None else as_seen_from(workspace, self.prompt),
            "scorers": scorers_as_seen_from(workspace, self.score),
            "judge": self.judges(),
            "expected": self.expected,
            "row_id": self.row_id,
            "repeats": self.repeats,
            "cluster": self.cluster,
            "slices": self.slices or None,
            "labels": None if self.labels is None else as_seen_from(workspace, self.labels),
        }


@app.command("eval")
@takes(EvaluationArguments)
@takes(RunArguments)
def evaluate(
    context: typer.Context,
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A file (JSONL, CSV, Parquet, JSON, YAML) or a dataset.")
    ],
    *,
    evaluation: EvaluationArguments,
    arguments: RunArguments,
) -> None:
    """
    Evaluate a model, or answers that are there.

    Every row of DATA is asked, and its answer scored. Rows that have an `output` are scored as they are:
    without --model nothing is asked. Answers and scores are remembered: whatever has not changed costs
    nothing again. It is the flow batch_evaluation.
    """
    # Before the workspace is looked for: its settings follow from it.
    context.with_resource(recorded_answers(arguments))
    workspace = workspace_for_results()
    given = evaluation.parameters(workspace, data)
    flow = IMPORT if evaluation.is_import else FLOW
    asked = import_parameters(evaluation, given) if evaluation.is_import else parameters_of(given)
    arguments.parameter = [*asked, *(arguments.parameter or ())]
    ended = carry_out(context, workspace, flow, arguments)
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
    except (OSError, ValueError):  # a long prompt is not a path
        return given
    return workspace.label(path.resolve())


def scorers_as_seen_from(workspace: Workspace, specs: list[str] | None) -> list[str] | None:
    """The same for scorers, of which some stand as `file.py:function`."""
    found = []
    for spec in specs or ():
        path, colon, function = spec.rpartition(":")
        found.append(f"{as_seen_from(workspace, path)}{colon}{function}" if path.endswith(".py") else spec)
    return found or None


def import_parameters(evaluation: EvaluationArguments, given: dict[str, Any]) -> list[str]:
    """
    What the flow that takes over another tool's results is told.

    Raises:
        UsageError: An option says how to ask or to score, which the tool has done already.
    """
    if evaluation.tool is None:
        raise UsageError("--column is for --from promptfoo: it says which of its prompts by providers.")
    others = [name for name, value in given.items() if value is not None and name != "dataset"]
    if others:
        raise UsageError(
            f"--from takes answers and scores as they are, so `{others[0]}` says nothing there. Score them "
            "further with `latent score last --with SCORER`."
        )
    told = {"tool": evaluation.tool, "file": given["dataset"], "column": evaluation.column}
    return parameters_of(told)


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
    ended = carry_out(context, workspace, RESCORING, arguments)
    raise typer.Exit(ended.code or nothing_scored(ended.result))
