"""`latent report`: the page of an evaluation, as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from latent.cli.options import DebugOption, new_app, workspace_here
from latent.cli.terminal import has_display, say
from latent.errors import UsageError

app = new_app()


@app.command()
def report(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id, its beginning, its tag, or `last`.")
    ] = "last",
    markdown: Annotated[bool, typer.Option("--md", help="Print the report as Markdown instead.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where the page is written.")
    ] = None,
    open_it: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Open it; the default where there is a display.")
    ] = None,
    debug: DebugOption = False,
) -> None:
    """
    Write the page of a run's evaluation, and open it.

    One HTML file with the metrics, drawn, and all rows to search, sort and look into. It needs no server, and
    loads and sends nothing.
    """
    from latent.config import masker_for
    from latent.evals import load_evaluation
    from latent.evals.page.document import write_page
    from latent.evals.report import markdown_report

    workspace = workspace_here()
    evaluation = load_evaluation(run)
    if markdown:
        say(markdown_report(evaluation).rstrip())
        return
    try:
        path = write_page(evaluation, masker_for(workspace).text, output).absolute()
    except OSError as error:
        where = output or evaluation.folder
        raise UsageError(f"The page cannot be written to {where}: {error.strerror or error}.") from error
    say(f"Report:  {workspace.label(path)}")
    if has_display() if open_it is None else open_it:
        typer.launch(path.as_uri())
