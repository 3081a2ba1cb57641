"""`latent gate`: whether a run's evaluation is good enough, with noise taken for what it is."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from latent.cli.exits import DONE, GATE_FAILED, GATE_INCONCLUSIVE
from latent.cli.options import DebugOption, new_app, workspace_here
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
    inconclusive: Annotated[
        Literal["pass", "fail"] | None,
        typer.Option(help="End as if inconclusive gates had passed, or failed, and not with 5."),
    ] = None,
    markdown: Annotated[bool, typer.Option("--md", help="As Markdown, for a pull request.")] = False,
    debug: DebugOption = False,
) -> None:
    """
    Check a run's evaluation against its gates.

    Gates stand under `gates` in the flow's parameters.yaml. It ends with 0 when all are passed, 4 when one
    failed, and 5 when none failed and one is inconclusive: the rows are too few, or too many are missing.
    """
    from latent.config import load_gates
    from latent.evals import load_evaluation
    from latent.evals.comparing.text import gates_markdown, gates_text

    workspace = workspace_here()
    evaluation = load_evaluation(run)
    asked = load_gates(workspace, evaluation.about["flow"]) | dict(map(_parsed, gates or ()))
    if not asked:
        raise UsageError(
            "There are no gates: put some under `gates` into "
            f"flows/{evaluation.about['flow']}/parameters.yaml, or say --gate 'METRIC: >= 0.80'."
        )
    report = evaluation.check(asked, against=against)
    say((gates_markdown if markdown else gates_text)(report).rstrip())
    raise typer.Exit(_code(report.verdict, inconclusive))


def _parsed(text: str) -> tuple[str, str]:
    name, colon, condition = text.partition(":")
    if not colon:
        raise UsageError(f"--gate {text!r} names no metric: write --gate 'contains: >= 0.80'.")
    return name.strip(), condition.strip()


def _code(verdict: str, inconclusive: str | None) -> int:
    if verdict == "inconclusive":
        verdict = inconclusive or verdict
    return {"pass": DONE, "fail": GATE_FAILED, "inconclusive": GATE_INCONCLUSIVE}[verdict]
