"""`latent compare`: what differs between the evaluations of runs, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latent.cli.eval import parameters_of
from latent.cli.execution import carry_out
from latent.cli.exits import DONE
from latent.cli.options import new_app, takes, workspace_here
from latent.cli.report import open_page
from latent.cli.run_arguments import RunArguments
from latent.cli.terminal import say
from latent.errors import UsageError

if TYPE_CHECKING:
    from latent.config import Workspace

FLOW = "comparison"

app = new_app()


@dataclass(kw_only=True)
class ComparisonArguments:
    """What is compared, and how it is shown."""

    flips: Annotated[
        int,
        typer.Option("--flips", metavar="N", min=0, help="Show N changed scores with both answers."),
    ] = 0
    causes: Annotated[
        bool,
        typer.Option("--causes", help="Say which change made which rows flip; asks for what is missing."),
    ] = False
    rejudge: Annotated[
        bool, typer.Option("--rejudge", help="Score all sides with the newest run's scorers first.")
    ] = False
    markdown: Annotated[bool, typer.Option("--md", help="As Markdown, for a pull request.")] = False
    html: Annotated[
        bool, typer.Option("--html", help="As a page: each row with both answers side by side.")
    ] = False
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where it is written: .html or .md.")
    ] = None
    open_it: Annotated[
        bool | None,
        typer.Option("--open/--no-open", help="Open the page; the default where there is a display."),
    ] = None
    force: Annotated[
        bool,
        typer.Option("--force", help="Compare also where rows or scorers are not the same."),
    ] = False


@app.command()
@takes(ComparisonArguments)
@takes(RunArguments, "plan", "max_cost", "max_calls", "debug")
def compare(
    context: typer.Context,
    runs: Annotated[
        list[str],
        typer.Argument(metavar="OLD [NEW ...]", help="Runs: ids, their beginnings, tags, `last`; NEW: last."),
    ],
    *,
    shown: ComparisonArguments,
    arguments: RunArguments,
) -> None:
    """
    Compare the evaluations of runs, row by row.

    Rows are joined by their id and content. Each metric has its difference with an interval, and a sentence
    that says what can be concluded; below stands what else differs. Of more than two runs, it says which are
    tied. --causes and --rejudge are the flow comparison: what they ask and score is remembered.
    """
    runs = runs if len(runs) > 1 else [*runs, "last"]
    if shown.causes and len(runs) > 2:
        raise UsageError("--causes tells two runs apart: name two.")
    workspace = workspace_here()
    if not shown.causes and not shown.rejudge:
        if arguments.plan or arguments.max_cost or arguments.max_calls:
            raise UsageError("Only --causes and --rejudge ask for anything: say one of them.")
        from latent.evals import compare as compared

        _show(workspace, compared(*runs, force=shown.force), shown)
        return
    arguments.parameter = parameters_of(
        {
            "runs": [_run_id(workspace, each) for each in runs],
            "causes": shown.causes,
            "rejudge": shown.rejudge,
            "force": shown.force,
        }
    )
    ended = carry_out(context, workspace, FLOW, arguments, quiet=shown.markdown)
    if ended.code == DONE and (value := ended.result.value) is not None:
        _show(workspace, value, shown)
    raise typer.Exit(ended.code)


def _show(workspace: Workspace, found: Any, shown: ComparisonArguments) -> None:
    """Write what was found to a file or to the terminal, as was asked for."""
    if shown.html or shown.output is not None:
        _write(workspace, found, shown.output, shown.open_it)
    else:
        say(_text(found, shown.markdown, shown.flips))


def _write(workspace: Workspace, found: Any, output: Path | None, open_it: bool | None) -> None:
    """Write the page, or the Markdown, to a file, and open the page."""
    from latent.evals.page.comparison import sides_of

    old, new = sides_of(found)
    path = output or (new.folder or Path.cwd()) / f"compared-with-{old.run_id[:8]}.html"
    try:
        path = found.export(path).absolute()
    except OSError as error:
        raise UsageError(f"{path.name} cannot be written to {path.parent}: {error.strerror}.") from error
    say(f"Comparison:  {workspace.label(path)}")
    if path.suffix != ".md":
        open_page(path, open_it)


def _run_id(workspace: Workspace, run: str) -> str:
    """The whole id of a run: `last` would be another one once the comparison is a run of its own."""
    from latent.evals import load_evaluation

    return run if "/" in run else load_evaluation(run).run_id


def _text(found: Any, markdown: bool, flips: int) -> str:
    from latent.evals import Comparison, Ranking
    from latent.evals.comparing import text

    if isinstance(found, Ranking):
        return (text.ranking_markdown if markdown else text.ranking_text)(found).rstrip()
    shown = text.comparison_markdown if markdown else text.comparison_text
    if isinstance(found, Comparison):
        return shown(found, flips=flips).rstrip()
    why = (text.causes_markdown if markdown else text.causes_text)(found)
    return f"{shown(found.comparison, flips=flips).rstrip()}\n\n{why.rstrip()}"
