"""
What becomes of a proposed state: Prefect's core policy for flow runs, as pure functions.

The rules and their order follow `CoreFlowPolicy` and `MinimalFlowPolicy` of Prefect's server, less
those about deployments, which the in-memory API does not have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

from latent.prefect.api.messages import HOW_TO_START_ONE
from latent.prefect.api.records import Record, parse_time

State = dict[str, Any]

TERMINAL = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer to a proposed state."""

    status: Literal["ACCEPT", "REJECT", "ABORT", "WAIT"]
    state: State | None = None
    """The state to write; None leaves the run as it is."""
    reason: str | None = None
    delay_seconds: int = 0
    policy: Mapping[str, Any] = field(default_factory=dict)
    """What changes in the run's `empirical_policy`."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A run, the state it is in (None for a new run), and the state that is proposed for it."""

    run: Record
    initial: State | None
    proposed: State
    at: datetime


def new_state(type_: str, at: datetime, **fields: Any) -> State:
    """Return a state with its own id and time stamp, named after its type unless named."""
    details = dict(fields.pop("state_details", None) or {})
    name = fields.pop("name", None) or type_.capitalize()
    if type_ == "SCHEDULED":
        details["scheduled_time"] = parse_time(details.get("scheduled_time")) or at
    return {
        "id": str(uuid4()),
        "type": type_,
        "name": name,
        "timestamp": at,
        "message": fields.get("message"),
        "data": fields.get("data"),
        "state_details": details,
    }


def decide(proposal: Proposal, *, force: bool) -> Decision:
    """Return what becomes of a proposed state; `force` leaves out most rules, as on the server."""
    policy: dict[str, Any] = {}
    if proposal.initial is not None:
        for rule in _FORCED_RULES if force else _RULES:
            decision = rule(proposal, proposal.initial)
            if decision is not None and decision.status != "ACCEPT":
                return decision
            policy.update(decision.policy if decision is not None else {})
    return Decision(status="ACCEPT", state=proposal.proposed, policy=policy)


def _reject(reason: str, state: State | None = None, **policy: Any) -> Decision:
    return Decision(status="REJECT", state=state, reason=reason, policy=policy)


def _accept(**policy: Any) -> Decision:
    """Let the state pass as far as this rule goes, with a change to the run's policy."""
    return Decision(status="ACCEPT", policy=policy)


def _abort(reason: str) -> Decision:
    return Decision(status="ABORT", reason=reason)


def _same_transition(proposal: Proposal, initial: State) -> Decision | None:
    """A client that lost the answer to its request may send it again."""
    before = initial["state_details"].get("transition_id")
    if before is not None and before == proposal.proposed["state_details"].get("transition_id"):
        return _reject("This run has already made this state transition.")
    return None


def _leave_terminal_state(proposal: Proposal, initial: State) -> Decision | None:
    proposed = proposal.proposed
    if initial["type"] not in TERMINAL:
        return None
    if proposed["type"] in {"CANCELLING", "PAUSED", "CRASHED"}:
        return _abort(f"Run is already in terminal state {initial['type']}.")
    if initial["type"] == "COMPLETED" and _is_persisted(initial["data"]):
        if proposed["type"] not in TERMINAL:
            return _reject("Run is already COMPLETED.")
        if lost := _keep_result(proposal, initial):
            return lost
    if proposed["type"] == "SCHEDULED":
        return _abort("Cannot reschedule a run without an associated deployment.")
    if proposed["type"] in TERMINAL:
        return None
    return _accept(resuming=False, pause_keys=[], retry_type=None)


def _keep_result(proposal: Proposal, initial: State) -> Decision | None:
    proposed = proposal.proposed
    both_completed = initial["type"] == proposed["type"] == "COMPLETED"
    if both_completed and _is_persisted(initial["data"]) and not _is_persisted(proposed["data"]):
        return _reject(
            "Cannot overwrite a COMPLETED state that carries persisted result data with one that does not."
        )
    return None


def _is_persisted(data: object) -> bool:
    return isinstance(data, dict) and bool(data) and data.get("type") != "unpersisted"


def _only_cancelled_after_cancelling(proposal: Proposal, initial: State) -> Decision | None:
    if initial["type"] == "CANCELLING" and proposal.proposed["type"] != "CANCELLED":
        return _reject("Cannot transition flows that are cancelling to a state other than Cancelled.")
    return None


def _cancel_what_is_not_running(proposal: Proposal, initial: State) -> Decision | None:
    if proposal.proposed["type"] != "CANCELLING" or initial["type"] != "SCHEDULED":
        return None
    if proposal.run["infrastructure_pid"] and initial["name"] != "Resuming":
        return None
    cancelled = new_state("CANCELLED", proposal.at)
    return _reject("Scheduled flow run has no infrastructure to terminate.", cancelled)


def _no_way_back_to_pending(proposal: Proposal, initial: State) -> Decision | None:
    proposed = proposal.proposed
    if proposed["type"] != "PENDING" or initial["type"] not in {
        "PENDING",
        "CANCELLING",
        "RUNNING",
        "CANCELLED",
    }:
        return None
    if initial["type"] == "PENDING" and proposed["name"] not in {initial["name"], "Pending"}:
        proposed["state_details"]["scheduled_time"] = initial["state_details"].get("scheduled_time")
        return None
    return _abort(f"This run is in a {initial['type']} state and cannot transition to a PENDING state.")


def _no_pause(proposal: Proposal, initial: State) -> Decision | None:
    """Nobody outside this process could resume the run, and it would wait for its timeout."""
    if proposal.proposed["type"] == "PAUSED":
        verb = "Suspending" if proposal.proposed["name"] == "Suspended" else "Pausing"
        return _abort(f"{verb} a flow run needs a Prefect server: {HOW_TO_START_ONE}")
    return None


def _copy_scheduled_time(proposal: Proposal, initial: State) -> Decision | None:
    details = proposal.proposed["state_details"]
    if initial["type"] == "SCHEDULED" and proposal.proposed["type"] == "PENDING":
        details["scheduled_time"] = details.get("scheduled_time") or initial["state_details"].get(
            "scheduled_time"
        )
    return None


def _wait_for_scheduled_time(proposal: Proposal, initial: State) -> Decision | None:
    if initial["type"] not in {"SCHEDULED", "PENDING"} or proposal.proposed["type"] != "RUNNING":
        return None
    scheduled = parse_time(initial["state_details"].get("scheduled_time"))
    if scheduled is None:
        return None
    # Prefect's wait instruction holds whole seconds, rounded.
    delay_seconds = math.floor((scheduled - proposal.at).total_seconds() + 0.5)
    if delay_seconds <= 0:
        return None
    return Decision(status="WAIT", reason="Scheduled time is in the future", delay_seconds=delay_seconds)


def _retry_failed_flow(proposal: Proposal, initial: State) -> Decision | None:
    if initial["type"] != "RUNNING" or proposal.proposed["type"] != "FAILED":
        return None
    policy = proposal.run["empirical_policy"]
    retries = policy.get("retries")
    if retries is None or proposal.run["run_count"] > retries:
        return _accept(retry_type=None)
    retry = new_state(
        "SCHEDULED",
        proposal.at,
        name="AwaitingRetry",
        message=proposal.proposed["message"],
        data=proposal.proposed["data"],
        state_details={"scheduled_time": proposal.at + timedelta(seconds=policy.get("retry_delay") or 0)},
    )
    return _reject("Retrying", retry, resuming=False, pause_keys=[], retry_type="in_process")


Rule = Callable[[Proposal, State], Decision | None]
"""None: the rule does not apply. The first decision that is not ACCEPT ends the matter."""

_RULES: tuple[Rule, ...] = (
    _same_transition,
    _leave_terminal_state,
    _only_cancelled_after_cancelling,
    _cancel_what_is_not_running,
    _no_way_back_to_pending,
    _no_pause,
    _copy_scheduled_time,
    _wait_for_scheduled_time,
    _retry_failed_flow,
)
_FORCED_RULES: tuple[Rule, ...] = (_keep_result, _cancel_what_is_not_running, _no_pause)


def new_run_columns() -> Record:
    """Return the columns that `enter_state` keeps, for a run without a state."""
    return {
        "state": None,
        "state_id": None,
        "state_type": None,
        "state_name": None,
        "run_count": 0,
        "expected_start_time": None,
        "next_scheduled_start_time": None,
        "start_time": None,
        "end_time": None,
        "total_run_time": 0.0,
    }


def enter_state(run: Record, state: State) -> None:
    """
    Write a decided state to a flow run or task run, with the times and counts that follow from it.

    The same book-keeping as the server's `GlobalFlowPolicy`. The state's time stamp is moved past
    that of the state before, so that a history never holds two states of one time.
    """
    before: State | None = run["state"]
    if before is not None and state["timestamp"] <= before["timestamp"]:
        state["timestamp"] = before["timestamp"] + timedelta(microseconds=1)
    at = state["timestamp"]
    scheduled = state["state_details"].get("scheduled_time") if state["type"] == "SCHEDULED" else None
    if before is not None and before["type"] == "RUNNING":
        run["total_run_time"] += (at - before["timestamp"]).total_seconds()
    if state["type"] == "RUNNING":
        run["run_count"] += 1
        run["start_time"] = run["start_time"] or at
    if state["type"] in TERMINAL:
        run["start_time"] = run["start_time"] or at
        run["end_time"] = run["end_time"] or at
    else:
        run["end_time"] = None
    run["expected_start_time"] = run["expected_start_time"] or scheduled or at
    run["next_scheduled_start_time"] = scheduled
    run["state"] = state
    run["state_id"] = state["id"]
    run["state_type"] = state["type"]
    run["state_name"] = state["name"]
    run["updated"] = at
