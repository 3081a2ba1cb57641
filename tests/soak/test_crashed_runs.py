"""Crashes over and over: each killed run goes on once, and none that lives is marked."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median

import pytest

from latent.services.crashes import AUTOMATION, install_automation, resuming
from latent.services.deployments.record import TAG
from tests.prefect_server import prefect_server
from tests.services.deployed_runs import FILES, Deployed, until

pytestmark = pytest.mark.soak

ROWS = 60
AT_ONCE = 4
HEALTHY = """
import asyncio
import sys

from latent.prefect import flow

@flow("healthy")
async def healthy():
    await asyncio.sleep(float(sys.argv[2]))

async def begun_after(seconds):
    await asyncio.sleep(seconds)  # a server on SQLite refuses runs that all begin in the same moment
    await healthy()

async def main():
    await asyncio.gather(*(begun_after(0.3 * number) for number in range(int(sys.argv[1]))))

asyncio.run(main())
"""


@pytest.fixture
def workspace(make_workspace):
    return make_workspace(FILES | {"healthy.py": HEALTHY})


@pytest.fixture
def client(tmp_path_factory, prefect_database, workspace, monkeypatch) -> Iterator:
    """A client of a server of its own, on which silent runs are marked."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    services = ("TRIGGERS", "EVENT_PERSISTER", "TASK_RUN_RECORDER")
    with prefect_server(tmp_path_factory.mktemp("server"), *services, database=prefect_database) as server:
        url = server.ready()
        monkeypatch.setenv("PREFECT_API_URL", url)
        with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
            install_automation(client, workspace)
            assert client.read_automations_by_name(AUTOMATION)
            yield client


@contextmanager
def worker(deployed: Deployed, stop_first: list[int]) -> Iterator[None]:
    """Starts the successors of crashed runs, as a worker would, until `stop_first` holds something."""
    with ThreadPoolExecutor(AT_ONCE * 2) as pool:

        def run(run_id):
            with deployed.process(run_id) as process:
                process.wait(300)

        def poll():
            started = set()
            while not stop_first:
                for each in _runs(deployed):
                    if each.state.name == "Resuming" and each.id not in started:
                        started.add(each.id)
                        pool.submit(run, each.id)
                time.sleep(0.5)

        polling = pool.submit(poll)
        try:
            yield
        finally:
            stop_first.append(1)
            polling.result()


def test_twenty_runs_that_are_killed_go_on_from_their_rows(client, workspace):
    deployed = Deployed(client, workspace)
    with resuming(workspace, [deployed.id]), worker(deployed, []), ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda number: _killed(deployed, f"run{number}"), range(20)))
    twice = [len(deployed.calls(f"run{number}")) - ROWS for number in range(20)]
    marked, resumed = [each[0] for each in found], [each[1] for each in found]
    print(f"\nmarked after {median(marked):.1f} s (at most {max(marked):.1f})")
    print(f"a new run {median(resumed):.1f} s later (at most {max(resumed):.1f})")
    print(f"rows computed twice: {median(twice):.0f} (at most {max(twice)})")
    assert Counter(run.state.name for run in _runs(deployed)) == {"Crashed": 20, "Completed": 20}
    assert max(twice) <= 32  # rows in flight


def _killed(deployed: Deployed, name: str) -> tuple[float, float]:
    """Seconds from the kill to the mark, and from there to the run that goes on."""
    run_id = deployed.new_run(name=name, rows=ROWS)
    with deployed.process(run_id) as process:
        until(lambda: len(deployed.calls(name)) > random.randrange(4, ROWS // 2), "some rows", deployed)
        process.kill()
        killed_at = time.monotonic()
    deployed.wait_for(run_id, "Crashed")
    marked_at = time.monotonic()
    successor = until(lambda: _successor(deployed, run_id), "a successor", deployed)
    resumed_at = time.monotonic()
    deployed.wait_for(successor, "Completed")
    return marked_at - killed_at, resumed_at - marked_at


def test_runs_that_are_held_end_cancelled_and_one_of_each_pair_is_completed(client, workspace):
    deployed = Deployed(client, workspace)
    with resuming(workspace, [deployed.id]), worker(deployed, []), ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda number: _held(deployed, f"run{number}"), range(8)))
    assert Counter(run.state.name for run in _runs(deployed)) == {"Superseded": 8, "Completed": 8}


def _held(deployed: Deployed, name: str) -> None:
    run_id = deployed.new_run(name=name, rows=ROWS)
    with deployed.process(run_id) as process:
        until(lambda: len(deployed.calls(name)) > 4, "some rows", deployed)
        os.kill(process.pid, signal.SIGSTOP)
        deployed.wait_for(run_id, "Crashed")
        successor = until(lambda: _successor(deployed, run_id), "a successor", deployed)
        if random.random() < 0.5:  # it wakes before or while the other one runs
            until(lambda: deployed.state(successor).name in ("Running", "Completed"), "a start", deployed)
        os.kill(process.pid, signal.SIGCONT)
        deployed.wait_for(run_id, "Superseded")
        deployed.wait_for(successor, "Completed")
        process.wait(60)


def test_of_two_hundred_runs_that_live_none_is_marked(client, workspace, make_workspace):
    """Runs of 100 s, in proportion to the usual time between heartbeats; longer than a run may be silent."""
    workspace = make_workspace(
        {"config/latent.toml": "[services]\nheartbeat_seconds = 2\n[tracking]\nenabled = false\n"}
    )
    install_automation(client, workspace)
    seconds = 2 * 100 / 15 + 2
    for _ in range(10):
        command = [sys.executable, "healthy.py", "10", str(seconds)]
        processes = [subprocess.Popen(command, cwd=workspace.root) for _ in range(2)]
        assert [process.wait(600) for process in processes] == [0, 0]
    runs = client.read_flow_runs(limit=200)
    names = Counter(state.name for run in runs for state in client.read_flow_run_states(run.id))
    print(f"\nstates of {len(runs)} runs: {dict(names)}")
    assert names["Completed"] == 200 and names["Crashed"] == 0


def _runs(deployed: Deployed) -> list:
    from prefect.client.schemas import filters

    ours = filters.FlowRunFilterDeploymentId(any_=[deployed.id])
    wanted = filters.FlowRunFilter(deployment_id=ours, tags=filters.FlowRunFilterTags(all_=[TAG]))
    return deployed.client.read_flow_runs(flow_run_filter=wanted, limit=200)


def _successor(deployed: Deployed, run_id) -> object:
    return next(
        (run.id for run in _runs(deployed) if run.labels.get("latent.crashed-run") == str(run_id)), None
    )
