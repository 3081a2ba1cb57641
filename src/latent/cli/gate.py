"""`latent gate`: whether a run's evaluation is good enough, with noise taken for what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latent.cli.exits import gates_code
from latent.cli.options import DebugOption, InconclusiveOption, new_app, workspace_here
from latent.cli.report import written
from latent.cli.terminal import say
from latent.errors import UsageError

app = new_app()


@app.command()
def gate(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id, its beginning, its tag, or `last`.")
    ] = "last",
    gates: Annotated[
        list[str] | None,
        typer.Option("--gate", metavar="GATE", help="'contains: >= 0.80', beside the flow's. Repeatable."),
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="RUN", help="What gates that compare are held against.")
    ] = None,
    inconclusive: InconclusiveOption = None,
    markdown: Annotated[bool, typer.Option("--md", help="As Markdown, for a pull request.")] = False,
    junit: Annotated[
        str | None, typer.Option(metavar="FILE|-", help="Also write JUnit's XML; `-`: print that alone.")
    ] = None,
    debug: DebugOption = False,
) -> None:
    """
    Check a run's evaluation against its gates.

    Gates stand under `gates` in the flow's parameters.yaml. It ends with 0 when all are passed, 4 when one
    failed, and 5 when none failed and one is inconclusive: the rows are too few, or too many are missing.
    What the flow's own gates said is shown in the run's report and page, too.
    """
    from latent.config import load_gates
    from latent.evals import load_evaluation
    from latent.evals.comparing.gate_text import gates_junit, gates_markdown, gates_text
    from latent.evals.comparing.gates import keep_gates

    workspace = workspace_here()
    evaluation = load_evaluation(run)
    asked = load_gates(workspace, evaluation.about["flow"]) | dict(map(_parsed, gates or ()))
    if not asked:
        raise UsageError(
            "There are no gates: put some under `gates` into "
            f"flows/{evaluation.about['flow']}/parameters.yaml, or say --gate 'METRIC: >= 0.80'."
        )
    report = evaluation.check(asked, against=against)
    if not gates and against is None:
        keep_gates(evaluation, report)
    if junit == "-":
        say(gates_junit(report).rstrip())
    else:
        say((gates_markdown if markdown else gates_text)(report).rstrip())
        if junit is not None:
            written(gates_junit(report).encode(), Path(junit), None, "")
    raise typer.Exit(gates_code(report.verdict, inconclusive))


def _parsed(text: str) -> tuple[str, str]:
    name, colon, condition = text.partition(":")
    if not colon:
        raise UsageError(f"--gate {text!r} names no metric: write --gate 'contains: >= 0.80'.")
    return name.strip(), condition.strip()
