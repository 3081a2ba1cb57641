"""What the options of `latent run` and of commands like it ask of a run, checked before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from latent.cli.options import DebugOption, InconclusiveOption, ParameterOption
from latent.errors import UsageError
from latent.errors.text import did_you_mean

if TYPE_CHECKING:
    from latent.config import Workspace
    from latent.prefect.outcomes import TaskAccount
    from latent.prefect.run_options import RunOptions


@dataclass(kw_only=True)
class RunArguments:
    """The options of commands that run a flow: each is a field, and `takes` makes options of the fields."""

    parameter: ParameterOption = None
    only_failed: Annotated[
        bool,
        typer.Option(
            "--only-failed", help="Of rows that are not remembered, only those that failed last time."
        ),
    ] = False
    refresh: Annotated[
        list[str] | None,
        typer.Option(
            "--refresh",
            metavar="TASK[:CONDITION]",
            help="Compute a task again, or those of its rows that a condition holds for, on `index`, `id`, "
            'its arguments and the columns of its rows: "ask:index < 10". Repeatable.',
        ),
    ] = None
    plan: Annotated[
        bool,
        typer.Option(
            "--plan", help="Say what the run would ask of models, and what that would cost; nothing is sent."
        ),
    ] = False
    max_cost: Annotated[
        float | None, typer.Option("--max-cost", metavar="USD", help="Stop once calls have cost so much.")
    ] = None
    max_calls: Annotated[
        int | None,
        typer.Option(
            "--max-calls", metavar="N", help="Make at most so many calls of models; without any, rows."
        ),
    ] = None
    max_minutes: Annotated[
        float | None, typer.Option("--max-minutes", metavar="N", help="Begin no row after so many minutes.")
    ] = None
    inconclusive: InconclusiveOption = None
    record: Annotated[
        bool, typer.Option("--record", help="Keep what models answer in files to commit, in recordings/.")
    ] = False
    replay: Annotated[
        bool, typer.Option("--replay", help="Take models' answers from recordings/: no key, no network.")
    ] = False
    wait_tracking: Annotated[
        bool, typer.Option("--wait-tracking", help="End only when MLflow knows everything about the run.")
    ] = False
    debug: DebugOption = False

    @property
    def recordings(self) -> Literal["record", "replay"] | None:
        """What the run does with recorded answers; None where the settings decide."""
        return "record" if self.record else "replay" if self.replay else None

    def check_numbers(self) -> None:
        """
        See that the budget leaves room for something.

        Raises:
            UsageError: A number is zero, negative or none at all.
        """
        for option, what, value in (
            ("--max-cost", "an amount in US dollars", self.max_cost),
            ("--max-calls", "a number of rows", self.max_calls),
            ("--max-minutes", "a time in minutes", self.max_minutes),
        ):
            if value is not None and not value > 0:
                raise UsageError(f"{option} is {what}, more than 0, not {value:g}.")

    def words(self, tasks: Mapping[str, TaskAccount]) -> Iterator[str]:
        """
        The options for a run that goes on where this one ended.

        Args:
            tasks: What became of each task. One of which rows were computed again is not refreshed once more:
                that would pay for the same rows again. `--only-failed` is not said again where
                it left rows out: it would for ever.
        """
        for text in self.parameter or ():
            yield from ("-p", text)
        for text in self.refresh or ():
            if not _has_begun(text, tasks):
                yield from ("--refresh", text)
        if self.only_failed and not any(task.left_out for task in tasks.values()):
            yield "--only-failed"
        for option, value in (
            ("--max-cost", self.max_cost),
            ("--max-calls", self.max_calls),
            ("--max-minutes", self.max_minutes),
        ):
            if value is not None:
                yield from (option, f"{value:g}" if value < 1_000_000 else str(value))
        if self.inconclusive is not None:
            yield from ("--inconclusive", self.inconclusive)
        if (mode := self.recordings) is not None:
            yield f"--{mode}"

    def half_refreshed(self, tasks: Mapping[str, TaskAccount]) -> list[str]:
        """The refreshes that `words` leaves out although not all of their rows were computed again."""
        return [
            text
            for text in self.refresh or ()
            if _has_begun(text, tasks) and tasks[_named(text, tasks)].counts["skipped"]
        ]


def _has_begun(refresh: str, tasks: Mapping[str, TaskAccount]) -> bool:
    account = tasks.get(_named(refresh, tasks))
    return account is not None and bool(account.counts["ok"])


def options_of(workspace: Workspace, flow: str, arguments: RunArguments) -> RunOptions:
    """
    What the arguments mean for a flow of the workspace; its file is imported when they name tasks.

    Raises:
        UsageError: A number makes no sense, the flow has no such task, or has not run yet.
        ExpressionError: A condition cannot be read.
    """
    from latent.prefect.run_options import RunOptions

    arguments.check_numbers()
    refresh: dict[str, str | None] = {}
    if arguments.refresh or arguments.only_failed:
        from latent.flows import READY
        from latent.prefect.discovery import find_flow

        name = find_flow(workspace, flow, READY).name
        refresh = (
            _refresh(arguments.refresh, name, _known_tasks(workspace, name)) if arguments.refresh else {}
        )
        if arguments.only_failed:
            _check_has_run(workspace, name)
    return RunOptions(
        refresh=refresh,
        only_failed=arguments.only_failed,
        plan=arguments.plan,
        max_cost_usd=arguments.max_cost,
        max_calls=arguments.max_calls,
        max_minutes=arguments.max_minutes,
    )


def _refresh(given: Sequence[str], flow: str, known: Sequence[str]) -> dict[str, str | None]:
    """Tasks to compute again with the condition on their rows; None for all of them."""
    from latent.tracking import parse_where

    found: dict[str, str | None] = {}
    for text in given:
        task = _named(text, known)
        if task not in known:
            otherwise = f"it has {', '.join(known) or 'none'}."
            raise UsageError(
                f"--refresh: flow {flow!r} has no task {task!r}: {did_you_mean(task, known, otherwise)}"
            )
        condition = text[len(task) + 1 :] if len(text) > len(task) else None
        if condition is not None:
            condition = parse_where(condition).text
        if task in found:  # named twice: rows that either selects
            before = found[task]
            condition = None if before is None or condition is None else f"({before}) or ({condition})"
        found[task] = condition
    return found


def _named(text: str, known: Mapping[str, object] | Sequence[str]) -> str:
    """The task in `TASK:CONDITION`; its name may hold a colon itself."""
    fitting = [name for name in known if text == name or text.startswith(f"{name}:")]
    return max(fitting, key=len) if fitting else text.partition(":")[0]


def _known_tasks(workspace: Workspace, flow: str) -> list[str]:
    """The tasks that came with a flow's file, and those that its last runs called: not all call the same."""
    from latent.registry import TaskRegistry
    from latent.tracking import list_runs

    called = [task["name"] for run in list_runs(workspace, flow=flow) for task in run.tasks]
    return list(dict.fromkeys([*TaskRegistry.task_names(), *called]))


def _check_has_run(workspace: Workspace, flow: str) -> None:
    from latent.tracking import list_runs

    if not list_runs(workspace, flow=flow, limit=1):
        raise UsageError(
            f"--only-failed: flow {flow!r} has not run yet, so nothing has failed. Run it without the option."
        )
