"""`latent runs`: what was run, and how it went."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from latent.cli.options import FlowFilter, new_app, workspace_here
from latent.cli.terminal import is_terminal, printable, say, show_table
from latent.cli.wording import duration, moment, money, outcomes, several
from latent.errors import UsageError
from latent.errors.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from latent.config import Workspace
    from latent.tracking import RunView

RunId = Annotated[
    str, typer.Argument(metavar="[ID]", help="A run's id or its beginning; the last run when omitted.")
]
TaskFilter = Annotated[str | None, typer.Option("--task", metavar="NAME", help="Only those of this task.")]

ERROR_CHARS = 200
"""Messages in tables are shown up to this length; `--json` and the run's folder have all of them."""

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


@app.command("tag")
def tag(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the beginning of it, or `last`.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it from now on: `main`, say.")],
) -> None:
    """Give a run a name, which stands for its id everywhere; another run of that name loses it."""
    from latent.tracking import tag_run

    workspace = workspace_here()
    say(f"{name} is now {tag_run(workspace, run_id, name)}.")


@app.command("show")
def show(
    run_id: RunId = "last",
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Also show where the error that ended it was raised.")
    ] = False,
) -> None:
    """Show one run: its tasks, its data, its error, and whether tracking is complete."""
    from latent.cli.summary import MODEL_COLUMNS, model_rows, reused, show_evaluations, show_facts
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
    if run.models:
        say()
        show_table(MODEL_COLUMNS, model_rows(run.models))
    if (run.folder.path / "evaluations").is_dir():
        say()
        show_evaluations(run.folder.path)
    if run.datasets:
        say()
        data = [(each["direction"], each["name"], each["rows"], each["path"]) for each in run.datasets]
        show_table(["data", "name", "rows", "path"], data)
    if traceback and run.error and run.error.get("traceback"):
        say()
        say(run.error["traceback"].rstrip())


@app.command("rows")
def rows(
    run_id: RunId = "last",
    where: Annotated[
        str | None,
        typer.Option(
            "--where",
            metavar="CONDITION",
            help="Only rows that it holds for: \"outcome == 'failed'\", \"attempts > 1 and '429' in error\".",
        ),
    ] = None,
    task: TaskFilter = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many.")] = 50,
    as_json: Annotated[
        bool, typer.Option("--json", help="All columns, as a line of JSON for each row.")
    ] = False,
) -> None:
    """Show what became of each row that a run mapped a task over."""
    from latent.tracking import load_rows, parse_where

    condition = None if where is None else parse_where(where)
    table = load_rows(workspace_here(), run_id)
    if task is not None:
        _check_task(task, set(table.column("task").to_pylist()))
        table = parse_where(f"task == {task!r}").filter(table)
    if condition is not None:
        table = condition.filter(table)
    shown = table.sort_by([("task", "ascending"), ("index", "ascending")]).slice(0, limit).to_pylist()
    if as_json:
        _show_json(shown)
    elif shown:
        show_table(
            ["task", "row", "id", "outcome", "tries", "time", "waited", "why"],
            [_row_cells(row) for row in shown],
        )
    # A script that reads lines of JSON gets nothing else.
    if not as_json and (len(shown) < len(table) or not shown):
        say(f"{len(shown):,} of {several(len(table), 'row')}." if shown else "No such rows.")


@app.command("failures")
def failures(run_id: RunId = "last") -> None:
    """Show what failed in a run: rows and calls by their cause, with the first of each."""
    from latent.tracking import load_failures

    found = load_failures(workspace_here(), run_id)
    if not found:
        say("Nothing failed.")
        return
    cells = [
        (
            f"{group.rows:,}",
            group.task,
            _one_line(f"{group.error_type}: {group.first['error'] or ''}"),
            group.first["index"],
            group.first["id"],
        )
        for group in found
    ]
    show_table(["failed", "task", "error of the first", "row", "id"], cells)


def _row_cells(row: Mapping[str, Any]) -> tuple[object, ...]:
    error = f"{row['error_type']}: {row['error'] or ''}" if row["error_type"] else row["error"]
    ran = row["started_at"] is not None
    return (
        row["task"],
        row["index"],
        row["id"],
        row["outcome"],
        row["attempts"],
        duration(row["duration_seconds"]) if ran else None,
        duration(row["queue_seconds"]) if ran else None,
        _one_line(error or row["reason"] or "") or None,
    )


def _show_json(rows: Iterable[Mapping[str, Any]]) -> None:
    import json

    for row in rows:
        say(json.dumps(row, ensure_ascii=False))


def _check_task(task: str, known: set[str]) -> None:
    if task not in known:
        otherwise = f"it mapped {', '.join(sorted(known)) or 'none'}."
        raise UsageError(f"The run mapped no task {task!r}: {did_you_mean(task, known, otherwise)}")


def _one_line(text: str) -> str:
    """Messages may have many lines and any length; a cell of a table has one."""
    line = " ".join(text.split())
    return line if len(line) <= ERROR_CHARS else f"{line[:ERROR_CHARS]}..."


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
    if costs := [task["cost_usd"] for task in run.tasks if task.get("cost_usd") is not None]:
        yield "Cost", money(sum(costs))
    yield "Folder", workspace.label(run.folder.path)
    yield "Tracking", run.tracking_text
    if (command := mlflow_command(workspace, run)) is not None:
        yield "MLflow", command
