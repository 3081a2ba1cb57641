"""`latent run`: one flow, from its name to its result."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from latent.cli.exits import BUDGET_USED_UP, DONE, INTERRUPTED, TERMINATED, report
from latent.cli.options import FlowArgument, new_app, workspace_here
from latent.cli.terminal import say
from latent.cli.wishes import Wishes, options_of
from latent.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from latent.config import Workspace
    from latent.prefect.running import RunResult

WAIT_TRACKING_SECONDS = 120.0
"""`--wait-tracking` waits so long; what MLflow does not know by then is sent later."""

EXIT_CODES: dict[int, int] = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}

app = new_app()


@app.command()
def run(
    context: typer.Context,
    flow: FlowArgument = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "-p",
            "--param",
            metavar="KEY=VALUE",
            help="A parameter for this run, its value read as YAML; `a.b=1` sets a nested one. Repeatable.",
        ),
    ] = None,
    only_failed: Annotated[
        bool,
        typer.Option(
            "--only-failed", help="Of rows that are not remembered, only those that failed last time."
        ),
    ] = False,
    refresh: Annotated[
        list[str] | None,
        typer.Option(
            "--refresh",
            metavar="TASK[:CONDITION]",
            help="Compute a task again, or those of its rows that a condition holds for, on `index`, `id`, "
            'its arguments and the columns of its rows: "ask:index < 10". Repeatable.',
        ),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan", help="Say what the run would ask of models, and what that would cost; nothing is sent."
        ),
    ] = False,
    max_cost: Annotated[
        float | None, typer.Option("--max-cost", metavar="USD", help="Stop once calls have cost so much.")
    ] = None,
    max_calls: Annotated[
        int | None,
        typer.Option(
            "--max-calls", metavar="N", help="Make at most so many calls of models; without any, rows."
        ),
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option("--max-minutes", metavar="N", help="Begin no row after so many minutes.")
    ] = None,
    wait_tracking: Annotated[
        bool, typer.Option("--wait-tracking", help="End only when MLflow knows everything about the run.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """
    Run a flow.

    What earlier runs have finished is reused. Ctrl-C stops new work and keeps what is done, and so does a
    budget that is used up.
    """
    from latent.config import parse_overrides

    show_traceback = context.find_root().params["debug"] = context.find_root().params["debug"] or debug
    workspace = workspace_here()
    wishes = Wishes(
        parameters=parameter or (),
        refresh=refresh or (),
        only_failed=only_failed,
        plan=plan,
        max_cost=max_cost,
        max_calls=max_calls,
        max_minutes=max_minutes,
    )
    if flow is None:
        raise UsageError(_which_flow(workspace))
    overrides = parse_overrides(wishes.parameters)
    options = options_of(workspace, flow, wishes)

    # The engine last: a slip on the command line is told at once.
    from latent.cli.live import live_view
    from latent.cli.summary import show_result
    from latent.flows import READY
    from latent.prefect.running import run as run_flow

    with _stoppable() as signals:
        result = run_flow(
            workspace,
            flow,
            overrides,
            tracebacks=show_traceback,
            options=options,
            watch=live_view,
            ready=READY,
        )
    if result.outlook is not None and result.state != "interrupted":
        raise typer.Exit(_end_of_plan(workspace, result, traceback=show_traceback))
    show_result(workspace, result, wishes)
    if wait_tracking and result.run_id is not None:
        _wait_for_tracking(workspace, result.run_id)
    raise typer.Exit(_end_of_run(workspace, result, signals, traceback=show_traceback))


def _end_of_plan(workspace: Workspace, result: RunResult, *, traceback: bool) -> int:
    """Show the plan as far as it got; the exit code."""
    from latent.cli.plan import is_left_open, show_plan

    left_open = result.error is not None and is_left_open(result.error)
    if result.error is None or left_open or (result.outlook is not None and not result.outlook.is_empty):
        show_plan(workspace, result)
    if result.error is None or left_open:
        return DONE
    return report(result.error, traceback=traceback, workspace=workspace)


def _end_of_run(workspace: Workspace, result: RunResult, signals: list[int], *, traceback: bool) -> int:
    """Report the error that ended the run, if any; the exit code."""
    if result.state == "interrupted":
        return EXIT_CODES.get(signals[0] if signals else _signal_of(result.error), INTERRUPTED)
    code = DONE if result.error is None else report(result.error, traceback=traceback, workspace=workspace)
    return code if result.stopped_by is None else BUDGET_USED_UP


def _signal_of(error: BaseException | None) -> int:
    """The signal that ended an async flow: Prefect takes it there, and notes it on its exception."""
    return int(getattr(error, "signal", signal.SIGINT))


def _which_flow(workspace: Workspace) -> str:
    names = list(workspace.flow_folders())
    if not names:
        return f"Which flow? There is none in {workspace.flows_dir} yet: `latent new flow NAME` makes one."
    return f"Which flow? This workspace has {', '.join(names)}: say `latent run {names[0]}`."


def _wait_for_tracking(workspace: Workspace, run_id: str) -> None:
    from latent.tracking import load_run, wait_for_tracking

    if not wait_for_tracking(workspace, run_id, WAIT_TRACKING_SECONDS):
        say(f"Tracking is {load_run(workspace, run_id).tracking_text}")


@contextmanager
def _stoppable() -> Iterator[list[int]]:
    """
    Let Ctrl-C and SIGTERM stop new work, and a second one end the process; gives the signals that came.

    What is finished is safe at any moment, so an end at once loses only what is under way.
    """
    signals: list[int] = []

    def stop(number: int, frame: object) -> None:
        signals.append(number)
        if len(signals) > 1:
            os._exit(EXIT_CODES[number])  # threads that wait for an answer would keep the process
        typer.echo(
            "\nStopping: nothing new is begun, what is finished is kept. Once more to end at once.", err=True
        )
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in EXIT_CODES}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
