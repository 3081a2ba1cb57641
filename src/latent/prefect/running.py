"""Start a flow by its name, and tell how it went: what `latent run` stands on."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from contextvars import copy_context
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from latent.errors import UsageError
from latent.errors.text import nearest
from latent.prefect.discovery import FlowIndex, FoundFlow, discover, find_flow
from latent.prefect.run_options import RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from latent.config import Workspace
    from latent.prefect.cost_plan import CostPlan
    from latent.prefect.flows import Launch
    from latent.prefect.outcomes import Outcomes, TaskAccount
    from latent.prefect.usage import ServiceAccount

__all__ = ["FlowIndex", "FoundFlow", "RunResult", "discover", "find_flow", "run", "run_flow"]


@dataclass(frozen=True)
class RunResult:
    """How a run ended."""

    run_id: str | None
    """None when the run ended before it began: its parameters were refused, say."""
    flow_name: str
    state: Literal["ok", "failed", "interrupted"]
    value: Any
    """What the flow returned; None unless `state` is "ok"."""
    error: BaseException | None
    seconds: float
    """Time in the flow, imports not included."""
    counts: Counter[str] = field(default_factory=Counter)
    """Calls of tasks by outcome, subflows included."""
    tasks: Mapping[str, TaskAccount] = field(default_factory=dict)
    """The same by task."""
    services: Mapping[str, ServiceAccount] = field(default_factory=dict)
    """What was used of paid services, by name: models above all."""
    cost_plan: CostPlan | None = None
    """What the run would pay for, when it was only planned."""
    unkept: int = 0
    """Results that could not be remembered, though they should have been: they are computed again."""
    stopped_by: str | None = None
    """The part of the budget that was used up, as a sentence; None when rows were not left out for it."""

    @property
    def reused(self) -> int:
        """Calls whose result was remembered."""
        return self.counts["cached"]

    @property
    def executed(self) -> int:
        """Calls that ran."""
        return self.counts.total() - self.reused


def run(
    workspace: Workspace,
    name: str,
    overrides: Mapping[str, Any] | None = None,
    *,
    tracebacks: bool = True,
    options: RunOptions | None = None,
    watch: Callable[[Outcomes], AbstractContextManager[object]] | None = None,
    ready: Mapping[str, str] = MappingProxyType({}),
) -> RunResult:
    """
    Run a flow of the workspace; a failure or an interruption is returned, not raised.

    Args:
        overrides: Run-time parameters, nested. One that is named like a parameter of the flow's function is
            also passed to it.
        tracebacks: Whether Prefect's log lines about failures bring their tracebacks to the terminal.
        options: What to compute again, and where to stop.
        watch: Entered with the run's account while the run is under way: a live view, say.
        ready: Flows that need no file in the workspace: their modules by name.

    Raises:
        FlowNotFoundError: The workspace has no such flow.
        FlowImportError: Its file cannot be loaded.
    """
    found = find_flow(workspace, name, ready)
    from latent.prefect.brief_logs import brief_logs
    from latent.prefect.flows import Launch, launch
    from latent.prefect.unreachable import unreachable_server

    started = time.perf_counter()
    launched = Launch(dict(overrides or {}), options or RunOptions(), watch)

    def start() -> Any:
        launch.set(launched)
        arguments = flow_arguments(workspace, found, launched.overrides)
        return asyncio.run(found.flow(**arguments)) if found.flow.isasync else found.flow(**arguments)

    state: Literal["ok", "failed", "interrupted"] = "ok"
    value: Any = None
    error: BaseException | None = None
    try:
        with nullcontext() if tracebacks else brief_logs():
            value = copy_context().run(start)
    except Exception as failure:
        has_begun = launched.run is not None
        refused = None if has_begun else refused_arguments(failure, found.name)
        state, error = "failed", refused or unreachable_server(failure, has_begun=has_begun) or failure
    except BaseException as interruption:
        if not _is_interruption(interruption):
            raise
        state, error = "interrupted", interruption
    return _result(found, launched, state, value, error, time.perf_counter() - started)


run_flow = run
"""Its name in `latent.prefect`, where `run` is a module."""


def _result(
    found: FoundFlow,
    launched: Launch,
    state: Literal["ok", "failed", "interrupted"],
    value: Any,
    error: BaseException | None,
    seconds: float,
) -> RunResult:
    run = launched.run
    outcomes = run.outcomes if run else None
    return RunResult(
        run_id=run.run_id if run else None,
        flow_name=found.name,
        state=state,
        value=value,
        error=error,
        seconds=seconds,
        counts=outcomes.counts if outcomes else Counter(),
        tasks=dict(outcomes.tasks) if outcomes else {},
        services=dict(outcomes.services) if outcomes else {},
        cost_plan=run.cost_plan if run else None,
        unkept=outcomes.unkept if outcomes else 0,
        stopped_by=run.budget.reached if run and run.budget else None,
    )


def flow_arguments(workspace: Workspace, found: FoundFlow, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """
    The arguments of the flow's function that the configuration holds; the catalog fills the others.

    Raises:
        UsageError: An override is none that the flow has, and looks like a misspelled one.
    """
    from latent.prefect.run import configuration

    names = [
        name
        for name, parameter in inspect.signature(found.flow.fn).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    if overrides and found.flow.config_schema is None:  # else the schema says what there is
        without, _ = configuration(workspace, flow_name=found.name)
        _check_names(found.name, overrides, {*names, *map(str, without.values)})
    if not names:
        return {}
    # The schema decides, when the flow starts, whether a string may take the place of a list.
    parameters, _ = configuration(
        workspace,
        flow_name=found.name,
        overrides=overrides,
        keeps_lists=found.flow.config_schema is None,
    )
    return {name: parameters.values[name] for name in names if name in parameters.values}


def _check_names(flow_name: str, overrides: Iterable[str], known: set[str]) -> None:
    for name in overrides:
        if name not in known and (near := nearest(name, known)) is not None:
            raise UsageError(
                f"Flow {flow_name!r} has no parameter {name!r}: did you mean {near!r}? If not, put {name!r} "
                "into its parameters.yaml: only its code names it so far."
            )


def refused_arguments(error: BaseException, flow_name: str) -> UsageError | None:
    """What to tell of arguments that are not of the types which the flow's function names."""
    from prefect.exceptions import ParameterTypeError

    if not isinstance(error, ParameterTypeError):
        return None
    hint = " A list is written as [a, b]." if "valid list" in str(error) else ""
    return UsageError(f"Flow {flow_name!r} cannot run with these parameters. {error}{hint}")


def _is_interruption(error: BaseException) -> bool:
    from prefect.exceptions import TerminationSignal

    return isinstance(error, (KeyboardInterrupt, TerminationSignal, asyncio.CancelledError))
