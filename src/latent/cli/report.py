"""`latent report`: the evaluation of a run as a page, a table or a test report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from latent.cli.options import DebugOption, new_app, workspace_here
from latent.cli.terminal import has_display, say
from latent.errors import UsageError

if TYPE_CHECKING:
    from latent.evals.export import Kind

app = new_app()


@app.command()
def report(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id, its beginning, its tag, or `last`.")
    ] = "last",
    html: Annotated[bool, typer.Option("--html", help="Write the page; the default.")] = False,
    markdown: Annotated[bool, typer.Option("--md", help="Print it as Markdown, for a pull request.")] = False,
    junit: Annotated[
        bool, typer.Option("--junit", help="Print JUnit's XML: a suite a metric, a case an answer.")
    ] = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="Print a table: a line for each row, repeat and metric.")
    ] = False,
    parquet: Annotated[bool, typer.Option("--parquet", help="Write the same table as Parquet.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where it is written; its suffix says what."),
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Keep the details of all rows in the page, beyond 20 MB too.")
    ] = False,
    open_it: Annotated[
        bool | None,
        typer.Option("--open/--no-open", help="Open the page; the default where there is a display."),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """
    Write the page of a run's evaluation, and open it.

    One HTML file with the metrics, drawn, and all rows to search, sort and look into. It needs no server, and
    loads and sends nothing. Or the same as Markdown, JUnit's XML, CSV or Parquet.
    """
    from latent.config import masker_for
    from latent.evals import load_evaluation
    from latent.evals.export import exported

    workspace = workspace_here()
    kind = _kind({"html": html, "md": markdown, "junit": junit, "csv": csv, "parquet": parquet}, output)
    evaluation = load_evaluation(run)
    content = exported(evaluation, kind, masker_for(workspace).text, whole=whole)
    if output is None and kind in ("md", "junit", "csv"):
        sys.stdout.buffer.write(content)
        return
    path = written(content, output, evaluation.folder, f"report.{kind}")
    say(f"Report:  {workspace.label(path)}")
    if kind == "html":
        open_page(path, open_it)


def written(content: bytes, output: Path | None, folder: Path | None, name: str) -> Path:
    """
    Where the content now is: in `output`, else under `name` in the folder.

    Raises:
        UsageError: It cannot be written there.
    """
    from latent.files import replace_file

    path = (output or (folder or Path.cwd()) / name).absolute()
    try:
        replace_file(path, content)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{path.name} cannot be written to {path.parent}: {reason}.") from error
    return path


def open_page(path: Path, open_it: bool | None) -> None:
    """Open a page where that is wanted, or there is a display."""
    if has_display() if open_it is None else open_it:
        typer.launch(path.as_uri())


def _kind(asked: dict[Kind, bool], output: Path | None) -> Kind:
    from latent.evals.export import kind_of_file

    kinds = [kind for kind, is_asked in asked.items() if is_asked]
    if len(kinds) > 1:
        raise UsageError(f"--{kinds[0]} and --{kinds[1]} are two formats: one at a time.")
    if kinds:
        return kinds[0]
    return "html" if output is None or not output.suffix else kind_of_file(output)
