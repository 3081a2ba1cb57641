"""Workers that are away, and workers that are stopped, over and over: nothing is lost or ended early."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.prefect_server import prefect_server
from tests.services.workers import FILES, background, deploy, make_pool, missed, runs_of, until

pytestmark = pytest.mark.soak

ROWS = 300
STOPS = 20


@pytest.fixture(scope="module")
def server(tmp_path_factory, prefect_database):
    home = tmp_path_factory.mktemp("server")
    services = ("SCHEDULER", "TRIGGERS", "EVENT_PERSISTER", "TASK_RUN_RECORDER")
    with prefect_server(home, *services, database=prefect_database) as started:
        yield started.ready()


@pytest.fixture
def client(server, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", server)
    with temporary_settings({PREFECT_API_URL: server}), get_client(sync_client=True) as made:
        yield made


def test_worker_that_was_away_for_twenty_due_times_makes_up_for_the_newest(client, make_workspace):
    workspace = make_workspace(FILES)
    pool = make_pool(client)
    deployment = deploy(client, workspace, pool, parameters={"rows": 1})
    missed(client, deployment, 20, every=timedelta(seconds=5))
    began = time.monotonic()
    with background(workspace, "worker", "--pool", pool) as worker:
        until(lambda: all(run.state.is_final() for run in runs_of(client, deployment)), worker.said)
    print(
        f"twenty due times: {time.monotonic() - began:.1f} s from the worker's start to the newest run's end"
    )
    runs = runs_of(client, deployment)
    assert [run.state.name for run in runs] == ["Skipped"] * 19 + ["Completed"]
    assert all(run.state.timestamp >= run.expected_start_time for run in runs)


def test_run_survives_twenty_workers_that_are_stopped(client, make_workspace):
    """Each worker gets SIGTERM in the middle of the map; the last one finishes the run."""
    workspace = make_workspace(FILES)
    pool = make_pool(client)
    deployment = deploy(client, workspace, pool, parameters={"rows": ROWS, "seconds": 0.4})
    run = client.create_flow_run_from_deployment(deployment)
    calls, seconds = workspace.root / "calls.txt", []
    for stop in range(STOPS):
        before = len(calls.read_text().split()) if calls.exists() else 0
        with background(workspace, "worker", "--pool", pool, "--drain", "4s") as worker:
            until(lambda b=before: calls.exists() and len(calls.read_text().split()) > b, worker.said)
            told = time.monotonic()
            worker.tell()
            assert worker.wait() == 0, worker.said()
            seconds.append(time.monotonic() - told)
        state = client.read_flow_run(run.id).state
        assert state.name in ("HandedOver", "Completed"), (stop, state, worker.said())
        if state.is_completed():
            break
    with background(workspace, "worker", "--pool", pool) as worker:
        until(lambda: client.read_flow_run(run.id).state.is_final(), worker.said)
    assert client.read_flow_run(run.id).state.is_completed()
    rows = calls.read_text().split()
    assert set(rows) == set(map(str, range(ROWS)))
    print(f"{len(seconds)} stops, {max(seconds):.1f} s at most to end; {len(rows) - ROWS} rows done twice")
    assert len(rows) - ROWS <= 2 * len(seconds)  # two rows are in progress at a time
