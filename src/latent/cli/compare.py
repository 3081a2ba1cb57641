"""`latent compare`: what differs between the evaluations of two runs."""

from __future__ import annotations

from typing import Annotated

import typer

from latent.cli.options import DebugOption, new_app, workspace_here
from latent.cli.terminal import say

app = new_app()


@app.command()
def compare(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A run's id, or the beginning of it.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Another one; `last` for the newest.")] = "last",
    flips: Annotated[
        int,
        typer.Option("--flips", metavar="N", min=0, help="Show N changed scores with both answers."),
    ] = 0,
    markdown: Annotated[bool, typer.Option("--md", help="As Markdown, for a pull request.")] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Compare also where rows or scorers are not the same."),
    ] = False,
    debug: DebugOption = False,
) -> None:
    """
    Compare the evaluations of two runs, row by row.

    Rows are joined by their id and content. Each metric has its difference with an interval, and a sentence
    that says what can be concluded; below stands what else differs between the two.
    """
    from latent.evals import compare as compared
    from latent.evals.comparing.text import comparison_markdown, comparison_text

    workspace_here()
    comparison = compared(old, new, force=force)
    text = comparison_markdown if markdown else comparison_text
    say(text(comparison, flips=flips).rstrip())
