"""A budget for a day holds across the runs of a deployment, wherever they run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from uuid import UUID

import pytest
from prefect.client.schemas.objects import FlowRun

from latent.prefect.budget import Budget, SharedBudget, Spent

NIGHTLY = """
[tracking]
enabled = false
[[deployments]]
flow = "squares"
name = "nightly"
budget = { %s, per = "day" }
"""


@pytest.mark.parametrize(
    ("shared", "others", "reason"),
    [
        (SharedBudget(max_cost_usd=5), Spent(cost_usd=4.99), None),
        (
            SharedBudget(max_cost_usd=5),
            Spent(cost_usd=5),
            r"\$5.00 a day is used up \(\$5.00 were spent, \$5.00",
        ),
        (SharedBudget(max_minutes=10), Spent(seconds=599), None),
        (SharedBudget(max_minutes=10), Spent(seconds=600), "The budget of 10 minutes a day is used up"),
    ],
)
def test_what_others_have_spent_counts(shared, others, reason):
    shared.others = others
    budget = Budget(shared=shared)
    assert budget.admit(None) == (1 if reason is None else 0)
    if reason is not None:
        assert re.search(reason, budget.reached)


def test_calls_of_others_count_also_while_this_run_is_under_way():
    shared = SharedBudget(max_calls=10, others=Spent(calls=4))
    budget = Budget(max_calls=8, shared=shared)
    assert budget.admit(None, 5) == 5
    shared.others = Spent(calls=6)
    assert budget.admit(None, 5) == 0
    assert budget.reached == "The budget of 10 calls a day is used up."


def test_budget_of_one_run_holds_beside_that_of_the_day():
    budget = Budget(max_calls=3, shared=SharedBudget(max_calls=10))
    assert budget.admit(None, 5) == 3
    assert budget.reached == "The budget of 3 calls is used up."


@pytest.mark.services
def test_later_run_of_a_day_gets_what_the_first_has_left(deploy, latent, client):
    deploy(NIGHTLY % "max_calls = 5")
    code, first = run_and_wait(client)
    assert (code, first.state.name) == (0, "Completed")
    assert first.labels["latent.calls"] == 3
    assert first.labels["latent.cost_usd"] == pytest.approx(0.03)

    # Three of its rows are remembered, and two of the five calls are left.
    code, second = run_and_wait(client, "-p", "count=9")
    assert (code, second.state.name) == (3, "Failed")
    assert second.labels["latent.calls"] == 2
    assert second.labels["latent.stopped_by"] == "The budget of 5 calls a day is used up."

    shown = latent("deployments", "history", "nightly").out
    assert shown.count("Completed") == 1 and "$0.0300" in shown and "of 9 rows were skipped" in shown
    listed = latent("deployments", "list").out
    assert "on demand" in listed and "Failed" in listed


def run_and_wait(client, *words: str) -> tuple[int, FlowRun]:
    """The exit code of `latent deployments run nightly --wait`, and the run, done as a worker does it."""
    command = [sys.executable, "-m", "latent", "deployments", "run", "nightly", "--wait", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as waiting:
        run_id = waiting.stdout.readline().split()[1]
        work = [sys.executable, "-m", "prefect.engine"]
        subprocess.run(work, env={**os.environ, "PREFECT__FLOW_RUN_ID": run_id}, check=False, timeout=120)
        try:
            code = waiting.wait(timeout=60)
        finally:
            waiting.kill()
    return code, client.read_flow_run(UUID(run_id))
