"""`latent runs`: what was run, and how it went."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from latent.cli.options import FlowFilter, new_app, workspace_here
from latent.cli.terminal import is_terminal, printable, say, show_table
from latent.cli.wording import duration, moment, outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from latent.config import Workspace
    from latent.tracking import RunView

app = new_app(no_args_is_help=True)


@app.callback()
def runs() -> None:
    """Look at past runs."""


@app.command("list")
def list_command(
    flow: FlowFilter = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many.")] = 20,
) -> None:
    """List the newest runs."""
    from latent.tracking import list_runs

    workspace = workspace_here()
    found = list_runs(workspace, flow=flow, limit=limit)
    if not found:
        say(f"No runs{'' if flow is None else f' of {flow!r}'} in {workspace.label(workspace.runs_dir)} yet.")
        return
    # The beginning of an id is enough for `runs show`; a script gets all of it.
    length = 8 if is_terminal(sys.stdout) else None
    rows = [
        (
            run.run_id[:length],
            run.flow_name,
            run.state,
            moment(run.started_at),
            duration(run.duration_seconds),
            outcomes(run.outcomes) or None,
        )
        for run in found
    ]
    show_table(["run", "flow", "state", "started", "took", "outcome"], rows)


@app.command("show")
def show(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="A run's id, or its beginning.")],
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Also show where the error that ended it was raised.")
    ] = False,
) -> None:
    """Show one run: its tasks, its data, its error, and whether tracking is complete."""
    from latent.cli.summary import reused, show_facts
    from latent.tracking import load_run

    workspace = workspace_here()
    run = load_run(workspace, run_id)
    show_facts(_facts(workspace, run))
    if run.tasks:
        rows = [
            (
                task["name"],
                outcomes(task["outcomes"]),
                duration(task.get("elapsed_seconds", task["duration_seconds"])),
                task["attempts"],
                reused(task["outcomes"]),
            )
            for task in run.tasks
        ]
        say()
        show_table(["task", "outcome", "time", "attempts", "reused"], rows)
    if run.datasets:
        say()
        data = [(each["direction"], each["name"], each["rows"], each["path"]) for each in run.datasets]
        show_table(["data", "name", "rows", "path"], data)
    if traceback and run.error and run.error.get("traceback"):
        say()
        say(run.error["traceback"].rstrip())


def _facts(workspace: Workspace, run: RunView) -> Iterator[tuple[str, str]]:
    from latent.cli.summary import mlflow_command

    yield "Run", run.run_id
    yield "Flow", run.flow_name
    yield "State", run.state
    if run.parent_run_id:
        yield "Called by", run.parent_run_id
    yield "Started", moment(run.started_at)
    yield "Took", duration(run.duration_seconds)
    if run.parameters:
        yield "Parameters", printable(", ".join(f"{key}={value}" for key, value in run.parameters.items()))
    if run.error:
        message = " ".join(str(run.error.get("message")).split())  # a table cell is one line
        yield "Error", printable(f"{run.error.get('type')}: {message}")
    yield "Folder", workspace.label(run.folder.path)
    yield "Tracking", run.tracking_text
    if (command := mlflow_command(workspace, run)) is not None:
        yield "MLflow", command
