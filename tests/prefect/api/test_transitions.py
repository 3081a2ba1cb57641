"""The rules for states, beyond what the comparison with a real server covers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from latent.prefect.api.transitions import Proposal, decide, enter_state, new_run_columns, new_state

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def a_run(**columns: Any) -> dict[str, Any]:
    return {**new_run_columns(), "empirical_policy": {}, "infrastructure_pid": None, **columns}


def proposal(run: dict[str, Any], proposed: str, at: datetime = NOW, **fields: Any) -> Proposal:
    return Proposal(run, run["state"], new_state(proposed, at, **fields), at)


def in_state(type_: str, **columns: Any) -> dict[str, Any]:
    run = a_run(**columns)
    enter_state(run, new_state(type_, NOW))
    return run


@pytest.mark.parametrize(
    ("retries", "run_count", "status"),
    [(None, 0, "ACCEPT"), (0, 1, "ACCEPT"), (1, 1, "REJECT"), (1, 2, "ACCEPT"), (3, 3, "REJECT")],
)
def test_a_failed_run_is_retried_while_its_count_allows(
    retries: int | None, run_count: int, status: str
) -> None:
    run = in_state("RUNNING", empirical_policy={"retries": retries, "retry_delay": 30})
    run["run_count"] = run_count
    decision = decide(proposal(run, "FAILED", message="no"), force=False)
    assert decision.status == status
    if decision.state is not None and status == "REJECT":
        assert decision.state["name"] == "AwaitingRetry"
        assert decision.state["message"] == "no"
        assert decision.state["state_details"]["scheduled_time"] == NOW + timedelta(seconds=30)


def test_a_forced_failure_is_not_retried() -> None:
    run = in_state("RUNNING", empirical_policy={"retries": 5})
    assert decide(proposal(run, "FAILED"), force=True).status == "ACCEPT"


@pytest.mark.parametrize(
    ("early_by", "delay_seconds"), [(0.0, 0), (0.4, 0), (0.6, 1), (1.0, 1), (59.7, 60), (-5.0, 0)]
)
def test_a_scheduled_run_waits_in_whole_seconds(early_by: float, delay_seconds: int) -> None:
    run = a_run()
    due = (NOW + timedelta(seconds=early_by)).isoformat()
    enter_state(run, new_state("SCHEDULED", NOW, state_details={"scheduled_time": due}))
    decision = decide(proposal(run, "RUNNING"), force=False)
    assert (decision.status, decision.delay_seconds) == ("WAIT" if delay_seconds else "ACCEPT", delay_seconds)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(("name", "verb"), [("Paused", "Pausing"), ("Suspended", "Suspending")])
def test_pausing_says_that_it_needs_a_server(name: str, verb: str, force: bool) -> None:
    decision = decide(proposal(in_state("RUNNING"), "PAUSED", name=name), force=force)
    assert decision.status == "ABORT"
    assert decision.reason.startswith(f"{verb} a flow run needs a Prefect server: start one with `latent up")


def test_times_and_counts_follow_from_the_states() -> None:
    run = a_run()
    for second, type_ in enumerate(["PENDING", "RUNNING", "SCHEDULED", "RUNNING", "COMPLETED"]):
        enter_state(run, new_state(type_, NOW + timedelta(seconds=second)))
    assert run["run_count"] == 2
    assert run["total_run_time"] == 2.0
    assert run["expected_start_time"] == NOW
    assert run["start_time"] == NOW + timedelta(seconds=1)
    assert run["end_time"] == NOW + timedelta(seconds=4)
    assert run["next_scheduled_start_time"] is None
    enter_state(run, new_state("RUNNING", NOW + timedelta(seconds=9)))
    assert run["end_time"] is None


def test_two_states_never_share_a_time_stamp() -> None:
    run = a_run()
    stamps = []
    for type_ in ("PENDING", "RUNNING", "FAILED"):
        enter_state(run, new_state(type_, NOW))
        stamps.append(run["state"]["timestamp"])
    assert len(set(stamps)) == 3
    assert stamps == sorted(stamps)


def test_a_run_that_never_ran_starts_when_it_ends() -> None:
    run = in_state("PENDING")
    enter_state(run, new_state("CANCELLED", NOW + timedelta(seconds=3)))
    assert run["start_time"] == run["end_time"] == NOW + timedelta(seconds=3)
