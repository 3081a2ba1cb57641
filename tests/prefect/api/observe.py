"""What a scenario saw, in a form that is equal whenever the same happened."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.states import State


def outcome(function: Any, *args: Any, **kwargs: Any) -> Any:
    """What a call returned, or which error it raised."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return type(error).__name__, str(error)


def story(flow_run_id: UUID) -> dict[str, Any]:
    """All that an API remembers of a flow run, less ids and times of day."""
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(flow_run_id)
        states = client.read_flow_run_states(flow_run_id)
        runs = client.read_flow_runs(flow_run_filter=_children_of(flow_run_id))
    return {
        "state": (run.state_type, run.state_name, run.state and run.state.message),
        "states": [(state.type, state.name) for state in sorted(states, key=lambda state: state.timestamp)],
        "stamps_grow": len({state.timestamp for state in states}) == len(states),
        "run_count": run.run_count,
        "parameters": run.parameters,
        "tags": sorted(run.tags),
        "labels": sorted(run.labels),
        "policy": (run.empirical_policy.retries, run.empirical_policy.retry_delay),
        "retry_type": run.empirical_policy.retry_type,
        "flow_version": run.flow_version is not None,
        "children": sorted(child.state_name or "" for child in runs),
        **_times(run),
    }


def _children_of(flow_run_id: UUID) -> FlowRunFilter:
    return FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[flow_run_id]))


def _times(run: FlowRun) -> dict[str, Any]:
    started, ended = run.start_time, run.end_time
    return {
        "started": started is not None,
        "ended": ended is not None,
        "ended_after_start": bool(started and ended and started <= ended),
        "expected_before_start": bool(
            started and run.expected_start_time and run.expected_start_time <= started
        ),
        "ran": run.total_run_time.total_seconds() > 0,
        "scheduled": run.next_scheduled_start_time is not None,
        "estimate_is_total": run.estimated_run_time == run.total_run_time,
    }


def ending(state: State[Any]) -> tuple[Any, ...]:
    """What a state says, and the result or error that it carries."""
    result = state.result(raise_on_failure=False)
    if isinstance(result, BaseException):
        result = type(result).__name__, str(result)
    return state.type, state.name, state.message, result
