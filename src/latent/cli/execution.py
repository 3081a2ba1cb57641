"""One flow carried out from the command line: watched, stoppable, its end shown and told as an exit code."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from latent.cli.exits import BUDGET_USED_UP, DONE, INTERRUPTED, TERMINATED, gates_code, report
from latent.cli.run_arguments import RunArguments, options_of
from latent.cli.terminal import say
from latent.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from latent.config import Workspace
    from latent.prefect.running import RunResult

WAIT_TRACKING_SECONDS = 120.0
"""`--wait-tracking` waits so long; what MLflow does not know by then is sent later."""

RECORDINGS = "LATENT_RECORDINGS__MODE"

EXIT_CODES: dict[int, int] = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a flow ended, as the command line tells it."""

    result: RunResult
    code: int
    """The exit code that follows from it."""


def carry_out(
    context: typer.Context,
    workspace: Workspace,
    flow: str,
    arguments: RunArguments,
    *,
    quiet: bool = False,
) -> Ended:
    """
    Run a flow and show how it ended.

    Args:
        quiet: Whether only errors and plans are shown, since something else is for stdout.

    Raises:
        UsageError: An option cannot be used.
        FlowNotFoundError: There is no such flow.
    """
    from latent.config import parse_overrides

    show_traceback = context.find_root().params["debug"] = (
        context.find_root().params["debug"] or arguments.debug
    )
    overrides = parse_overrides(arguments.parameter or ())
    options = options_of(workspace, flow, arguments)

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
    if result.cost_plan is not None and result.state != "interrupted":
        return Ended(result, _end_of_plan(workspace, result, traceback=show_traceback))
    if not quiet or result.error is not None:
        show_result(workspace, result, arguments)
    if arguments.wait_tracking and result.run_id is not None:
        _wait_for_tracking(workspace, result.run_id)
    code = _end_of_run(workspace, result, signals, traceback=show_traceback)
    return Ended(result, code or _code_of_gates(result.value, arguments.inconclusive))


def _end_of_plan(workspace: Workspace, result: RunResult, *, traceback: bool) -> int:
    """Show the plan as far as it got; the exit code."""
    from latent.cli.plan import is_left_open, show_plan

    left_open = result.error is not None and is_left_open(result.error)
    if result.error is None or left_open or (result.cost_plan is not None and not result.cost_plan.is_empty):
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


def _code_of_gates(value: object, inconclusive: str | None) -> int:
    """The exit code of the gates that were checked with an evaluation; 0 where there are none."""
    if not type(value).__module__.startswith("latent.evals."):
        return DONE  # nearly all flows: nothing is imported for them
    from latent.evals import Evaluation

    checked = value.gates if isinstance(value, Evaluation) else None
    return DONE if checked is None else gates_code(checked.verdict, inconclusive)


def _signal_of(error: BaseException | None) -> int:
    """The signal that ended an async flow: Prefect takes it there, and notes it on its exception."""
    return int(getattr(error, "signal", signal.SIGINT))


def _wait_for_tracking(workspace: Workspace, run_id: str) -> None:
    from latent.tracking import load_run, wait_for_tracking

    if not wait_for_tracking(workspace, run_id, WAIT_TRACKING_SECONDS):
        say(f"Tracking is {load_run(workspace, run_id).tracking_text}")


@contextmanager
def recorded_answers(arguments: RunArguments) -> Iterator[None]:
    """
    Say by the environment, which worker processes inherit, how recorded answers are used in the block.

    Raises:
        UsageError: Both --record and --replay are given.
    """
    if arguments.record and arguments.replay:
        raise UsageError("--record and --replay exclude one another: say one of them.")
    mode = arguments.recordings
    before = os.environ.get(RECORDINGS)
    if mode is not None:
        os.environ[RECORDINGS] = mode
    try:
        yield
    finally:
        if mode is not None:
            del os.environ[RECORDINGS]
        if before is not None:
            os.environ[RECORDINGS] = before


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
