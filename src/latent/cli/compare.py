"""`latent compare`: what differs between the evaluations of runs, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latent.cli.eval import parameters_of
from latent.cli.execution import carry_out
from latent.cli.exits import DONE
from latent.cli.options import (
    DebugOption,
    MaxCallsOption,
    MaxCostOption,
    PlanOption,
    new_app,
    workspace_here,
)
from latent.cli.report import open_page
from latent.cli.terminal import say
from latent.cli.wishes import Wishes
from latent.errors import UsageError

if TYPE_CHECKING:
    from latent.config import Workspace

FLOW = "comparison"

app = new_app()


@app.command()
def compare(
    context: typer.Context,
    runs: Annotated[
        list[str],
        typer.Argument(metavar="OLD [NEW ...]", help="Runs: ids, their beginnings, tags, `last`; NEW: last."),
    ],
    flips: Annotated[
        int,
        typer.Option("--flips", metavar="N", min=0, help="Show N changed scores with both answers."),
    ] = 0,
    causes: Annotated[
        bool,
        typer.Option("--causes", help="Say which change made which rows flip; asks for what is missing."),
    ] = False,
    rejudge: Annotated[
        bool, typer.Option("--rejudge", help="Score all sides with the newest run's scorers first.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--md", help="As Markdown, for a pull request.")] = False,
    html: Annotated[
        bool, typer.Option("--html", help="As a page: each row with both answers side by side.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where it is written: .html or .md.")
    ] = None,
    open_it: Annotated[
        bool | None,
        typer.Option("--open/--no-open", help="Open the page; the default where there is a display."),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Compare also where rows or scorers are not the same."),
    ] = False,
    plan: PlanOption = False,
    max_cost: MaxCostOption = None,
    max_calls: MaxCallsOption = None,
    debug: DebugOption = False,
) -> None:
    """
    Compare the evaluations of runs, row by row.

    Rows are joined by their id and content. Each metric has its difference with an interval, and a sentence
    that says what can be concluded; below stands what else differs. Of more than two runs, it says which are
    tied. --causes and --rejudge are the flow comparison: what they ask and score is remembered.
    """
    runs = runs if len(runs) > 1 else [*runs, "last"]
    if causes and len(runs) > 2:
        raise UsageError("--causes tells two runs apart: name two.")
    workspace = workspace_here()
    if not causes and not rejudge:
        if plan or max_cost or max_calls:
            raise UsageError("Only --causes and --rejudge ask for anything: say one of them.")
        from latent.evals import compare as compared

        found = compared(*runs, force=force)
        if html or output is not None:
            _write(workspace, found, output, open_it)
        else:
            say(_text(found, markdown, flips))
        return
    given: dict[str, Any] = {"runs": [_run_id(workspace, each) for each in runs]}
    given |= {"causes": causes, "rejudge": rejudge, "force": force}
    wishes = Wishes(parameters=parameters_of(given), plan=plan, max_cost=max_cost, max_calls=max_calls)
    ended = carry_out(context, workspace, FLOW, wishes, debug=debug, quiet=markdown)
    if ended.code == DONE and (value := ended.result.value) is not None:
        if html or output is not None:
            _write(workspace, value, output, open_it)
        else:
            say(_text(value, markdown, flips))
    raise typer.Exit(ended.code)


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
