"""Runs whose process is gone are marked, and go on in another run; those that live do not stay marked."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import timedelta

import pytest

from latent.prefect.heartbeats import HEARTBEAT
from latent.prefect.late_ends import post_events
from latent.services.crashes import AUTOMATION, RESUMES, install_automation, resume_crashed, resuming
from latent.services.silent_runs import SilentRuns, is_heard
from tests.services import workers
from tests.services.deployed_runs import FILES, Deployed, until

pytestmark = pytest.mark.services


@pytest.fixture
def workspace(make_workspace):
    return make_workspace(FILES)


@pytest.fixture
def client(on_server, workspace) -> Iterator:
    """A client of the shared server, which marks silent runs for as long as the test takes."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        install_automation(client, workspace)
        yield client
        for automation in client.read_automations_by_name(AUTOMATION):
            client.delete_automation(automation.id)


def test_the_automation_is_installed_once_corrected_and_stays_off(client, make_workspace, workspace):
    install_automation(client, workspace)
    (installed,) = client.read_automations_by_name(AUTOMATION)
    assert installed.trigger.within.total_seconds() == 10
    client.pause_automation(installed.id)
    slower = make_workspace({"config/latent.toml": "[services]\nheartbeat_seconds = 30\n"})
    install_automation(client, slower)
    (corrected,) = client.read_automations_by_name(AUTOMATION)
    assert corrected.id == installed.id and not corrected.enabled
    assert corrected.trigger.within.total_seconds() == 180


def test_a_killed_run_is_marked_and_another_goes_on_from_its_rows(client, workspace):
    deployed = Deployed(client, workspace)
    killed = deployed.new_run(name="killed", rows=40)
    with deployed.process(killed) as process:
        until(lambda: len(deployed.calls("killed")) > 8, "some rows", deployed)
        process.kill()
    in_flight = 40  # at most; see the rows computed twice below
    deployed.wait_for(killed, "Crashed")
    (resumed,) = resume_crashed(client, deployments=[deployed.id])
    assert resume_crashed(client, deployments=[deployed.id]) == []
    assert resumed.crashed.id == killed
    with deployed.process(resumed.successor.id):
        deployed.wait_for(resumed.successor.id, "Completed")
    calls = deployed.calls("killed")
    assert set(calls) == {str(row) for row in range(40)}
    assert len(calls) - 40 < in_flight


def test_a_run_is_resumed_three_times_at_most_and_not_where_it_is_not_wanted(client, workspace):
    from prefect.states import Crashed, Running

    deployed, unwanted = Deployed(client, workspace), Deployed(client, workspace, on_crash="nothing")

    def crash(run_id):
        client.set_flow_run_state(run_id, Running())
        client.set_flow_run_state(run_id, Crashed())

    crash(unwanted.new_run())
    run_id = deployed.new_run(rows=3)
    names = []
    for _ in range(RESUMES):
        crash(run_id)
        (resumed,) = resume_crashed(client, deployments=[deployed.id, unwanted.id])
        assert resumed.crashed.id == run_id and resumed.successor.parameters["rows"] == 3
        run_id = resumed.successor.id
        names.append(resumed.successor.name)
    crash(run_id)
    assert resume_crashed(client, deployments=[deployed.id, unwanted.id]) == []
    assert [name.rpartition(" (")[2] for name in names] == ["resumed 1)", "resumed 2)", "resumed 3)"]


def test_a_run_that_was_held_ends_cancelled_when_another_has_taken_its_place(client, workspace):
    deployed = Deployed(client, workspace)
    held = deployed.new_run(name="held", rows=300)
    with deployed.process(held) as process, resuming(workspace, [deployed.id]):
        until(lambda: len(deployed.calls("held")) > 8, "some rows", deployed)
        os.kill(process.pid, signal.SIGSTOP)
        deployed.wait_for(held, "Crashed")
        successor = until(lambda: _successor(client, held), "a successor", deployed)
        with deployed.process(successor):
            deployed.wait_for(successor, "Running")
            os.kill(process.pid, signal.SIGCONT)
            assert deployed.wait_for(held, "Superseded").is_cancelled()
            assert process.wait(60) == 0
            deployed.wait_for(successor, "Completed")
    assert deployed.state(held).name == "Superseded"


def test_a_run_that_lives_takes_back_that_it_crashed(client, workspace):
    from prefect.states import Crashed

    deployed = Deployed(client, workspace)
    alive = deployed.new_run(name="alive")
    with deployed.process(alive):
        until(lambda: deployed.calls("alive"), "some rows", deployed)
        client.set_flow_run_state(alive, Crashed(), force=True)
        deployed.wait_for(alive, "Running", "Completed")
        deployed.wait_for(alive, "Completed")
    assert resume_crashed(client, deployments=[deployed.id]) == []


def test_a_run_that_was_heard_after_it_was_marked_is_not_resumed(client, workspace):
    from prefect.events import Event
    from prefect.states import Crashed, Running

    deployed = Deployed(client, workspace)
    alive = deployed.new_run()
    for state in (Running(), Crashed()):
        client.set_flow_run_state(alive, state)
    beat = Event(event=HEARTBEAT, resource={"prefect.resource.id": f"prefect.flow-run.{alive}"})
    post_events(client, [beat.model_dump(mode="json")])
    run = client.read_flow_run(alive)
    until(lambda: is_heard(client, run, run.state.timestamp), "the heartbeat", deployed)
    assert resume_crashed(client, deployments=[deployed.id]) == []


def test_a_run_that_was_claimed_and_never_began_is_marked_and_resumed(client, workspace):
    """Its worker and its process were killed before the first heartbeat."""
    from prefect.states import Pending

    deployed = Deployed(client, workspace)
    lost = deployed.new_run()
    client.set_flow_run_state(lost, Pending())
    patient, hasty = SilentRuns(0.01), SilentRuns(0.01, claim_lost=timedelta(0))
    assert patient.mark(client) == hasty.mark(client) == []
    until(lambda: lost in [run.id for run in hasty.mark(client)], "a mark", deployed)
    assert lost not in [run.id for run in patient.mark(client)]
    assert deployed.state(lost).is_crashed()
    (resumed,) = resume_crashed(client, deployments=[deployed.id])
    assert resumed.crashed.id == lost


def test_a_worker_has_another_run_go_on_when_the_process_of_one_is_killed(client, workspace, make_workspace):
    settings = FILES["config/latent.toml"] + "[rows]\nmax_workers = 4\n"
    make_workspace(workers.FILES | {"config/latent.toml": settings})
    pool = workers.make_pool(client)
    deployment = workers.deploy(client, workspace, pool, parameters={"rows": 30, "seconds": 0.5})
    run = client.create_flow_run_from_deployment(deployment)
    calls = workspace.root / "calls.txt"
    with workers.background(workspace, "worker", "--pool", pool) as worker:
        workers.until(lambda: calls.exists() and len(calls.read_text().split()) > 4, worker.said)
        pid = client.read_flow_run(run.id).infrastructure_pid
        os.kill(int(pid.rpartition(":")[2]), signal.SIGKILL)
        workers.until(
            lambda: (
                [each.state.name for each in workers.runs_of(client, deployment)] == ["Crashed", "Completed"]
            ),
            worker.said,
        )
    assert len(calls.read_text().split()) < 30 + 20  # those in progress were computed again


def _successor(client, run_id):
    from prefect.client.schemas import filters

    from latent.prefect.late_ends import SUCCESSOR_KEY

    key = filters.FlowRunFilterIdempotencyKey(any_=[SUCCESSOR_KEY.format(run_id)])
    found = client.read_flow_runs(flow_run_filter=filters.FlowRunFilter(idempotency_key=key))
    return found[0].id if found else None
