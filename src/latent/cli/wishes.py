"""What the options of `latent run` ask of a run, checked before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from latent.error_text import did_you_mean
from latent.errors import UsageError

if TYPE_CHECKING:
    from latent.config import Workspace
    from latent.prefect.outcomes import TaskAccount
    from latent.prefect.run_options import RunOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The options as they were given on the command line."""

    parameters: Sequence[str] = ()
    """`-p KEY=VALUE`."""
    refresh: Sequence[str] = ()
    """`--refresh TASK` or `--refresh TASK:CONDITION`."""
    only_failed: bool = False
    plan: bool = False
    max_cost: float | None = None
    max_calls: int | None = None
    max_minutes: float | None = None
    inconclusive: str | None = None
    """What inconclusive gates are taken for; see `gates_code`."""
    recordings: str | None = None
    """`record` or `replay`; see `recorded_answers`."""

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
            tasks: What became of each task. One of which rows were computed anew is not refreshed once more:
                that would pay for the same rows again. `--only-failed` is not said again where
                it left rows out: it would for ever.
        """
        for text in self.parameters:
            yield from ("-p", text)
        for text in self.refresh:
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
        if self.recordings is not None:
            yield f"--{self.recordings}"

    def half_refreshed(self, tasks: Mapping[str, TaskAccount]) -> list[str]:
        """The refreshes that `words` leaves out although not all of their rows were computed anew."""
        return [
            text
            for text in self.refresh
            if _has_begun(text, tasks) and tasks[_named(text, tasks)].counts["skipped"]
        ]


def _has_begun(refresh: str, tasks: Mapping[str, TaskAccount]) -> bool:
    account = tasks.get(_named(refresh, tasks))
    return account is not None and bool(account.counts["ok"])


def options_of(workspace: Workspace, flow: str, wishes: Wishes) -> RunOptions:
    """
    What the wishes mean for a flow of the workspace; its file is imported when they name tasks.

    Raises:
        UsageError: A number makes no sense, the flow has no such task, or has not run yet.
        ExpressionError: A condition cannot be read.
    """
    from latent.prefect.run_options import RunOptions

    wishes.check_numbers()
    refresh: dict[str, str | None] = {}
    if wishes.refresh or wishes.only_failed:
        from latent.flows import READY
        from latent.prefect.discovery import find_flow

        name = find_flow(workspace, flow, READY).name
        refresh = _refresh(wishes.refresh, name, _known_tasks(workspace, name)) if wishes.refresh else {}
        if wishes.only_failed:
            _check_has_run(workspace, name)
    return RunOptions(
        refresh=refresh,
        only_failed=wishes.only_failed,
        plan=wishes.plan,
        max_cost_usd=wishes.max_cost,
        max_calls=wishes.max_calls,
        max_minutes=wishes.max_minutes,
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
