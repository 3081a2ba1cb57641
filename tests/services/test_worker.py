"""A worker as a process, on a real server: which runs it takes, and how it ends."""

from __future__ import annotations

import shutil
import socket
import urllib.request
from uuid import uuid4

import prefect
import pytest
from prefect.client.orchestration import get_client

from latent.config import find_workspace
from tests.services.workers import FILES, background, deploy, make_pool, missed, runs_of, until

pytestmark = pytest.mark.services


@pytest.fixture
def client(on_server):
    with get_client(sync_client=True) as made:
        yield made


@pytest.fixture
def workspace(make_workspace):
    return make_workspace(FILES)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def states(client, deployment):
    return [run.state.name for run in runs_of(client, deployment)]


def rows_begun(workspace):
    calls = workspace.root / "calls.txt"
    return calls.read_text().split() if calls.exists() else []


def test_after_a_pause_the_newest_run_happens_and_nothing_new_begins_after_sigterm(client, workspace):
    pool = make_pool(client)
    deployment = deploy(client, workspace, pool, parameters={"rows": 2})
    missed(client, deployment, 6)
    with background(workspace, "worker", "--pool", pool) as worker:
        until(lambda: states(client, deployment)[-1] == "Completed", worker.said)
        assert states(client, deployment)[:-1] == ["Skipped"] * 5
        newest = runs_of(client, deployment)[-1]
        assert all(f"{newest.name!r}" in run.state.message for run in runs_of(client, deployment)[:-1])
        assert all(run.state.timestamp > run.expected_start_time for run in runs_of(client, deployment))
        assert sorted(rows_begun(workspace)) == ["0", "1"]
        # Where those of `latent run` do: below the workspace, and nowhere else.
        assert [folder.name for folder in workspace.runs_dir.iterdir()] == [str(newest.id)]
        worker.tell()
        assert worker.wait() == 0
    assert "has ended" in worker.said()


def test_a_stopped_worker_hands_its_run_over_and_the_next_one_finishes_it(client, workspace):
    pool = make_pool(client)
    deployment = deploy(client, workspace, pool, parameters={"rows": 24, "seconds": 0.5})
    run = client.create_flow_run_from_deployment(deployment)
    with background(workspace, "worker", "--pool", pool, "--drain", "4s") as worker:
        until(lambda: rows_begun(workspace), worker.said)
        worker.tell()
        assert worker.wait() == 0, worker.said()
    assert states(client, deployment) == ["HandedOver"], worker.said()
    with background(workspace, "worker", "--pool", pool) as second:
        until(lambda: states(client, deployment) == ["Completed"], second.said)
        assert client.read_flow_run(run.id).run_count == 2
        second.tell()
        second.wait()
    rows = rows_begun(workspace)
    assert set(rows) == {str(row) for row in range(24)}
    assert len(rows) <= 26  # what was finished is reused: at most the two in progress are done again


def test_a_worker_with_other_code_refuses_the_run_with_both_digests(client, workspace, tmp_path_factory):
    pool = make_pool(client)
    deployment = deploy(client, workspace, pool)
    copy = tmp_path_factory.mktemp("other") / "workspace"
    shutil.copytree(workspace.root, copy)
    (workspace.root / "flows/squares/flow.py").write_text("# another\n")
    (copy / "flows/squares/parameters.yaml").write_text("rows: 5\n")
    run = client.create_flow_run_from_deployment(deployment)
    with background(find_workspace(copy), "worker", "--pool", pool) as worker:
        until(lambda: client.read_flow_run(run.id).state.is_final(), worker.said)
    state = client.read_flow_run(run.id).state
    assert state.name == "Failed"
    assert "was deployed" in state.message and "digest" in state.message


def test_a_worker_without_a_workspace_or_a_server_says_what_it_needs(make_workspace, tmp_path_factory):
    nowhere = find_workspace(tmp_path_factory.mktemp("nowhere"))
    with background(nowhere, "worker") as worker:
        assert worker.wait() == 2
    assert "There is no workspace" in worker.said() and "LATENT_WORKSPACE" in worker.said()
    with background(make_workspace(FILES), "worker") as worker:
        assert worker.wait() == 1
    assert "`latent worker` needs one" in worker.said() and "`latent up` starts it" in worker.said()


def test_a_pool_that_is_not_there_is_said_with_the_next_step(on_server, workspace):
    with background(workspace, "worker", "--pool", "nowhere") as worker:
        assert worker.wait() == 1
    assert "it has no work pool 'nowhere': `latent deploy` makes" in worker.said()


def test_serve_deploys_and_runs_without_a_pool_of_its_own(client, make_workspace):
    name = f"served-{uuid4()}"
    pool = f"pool-{uuid4()}"
    settings = f'[[deployments]]\nflow = "squares"\nname = "{name}"\ninterval = "1d"\nwork_pool = "{pool}"\n'
    files = FILES | {"config/latent.toml": FILES["config/latent.toml"] + settings}
    workspace = make_workspace(files)
    with background(workspace, "serve", name) as serving:
        until(lambda: "started!" in serving.said(), serving.said)
        deployment = client.read_deployment_by_name(f"squares/{name}")
        run = client.create_flow_run_from_deployment(deployment.id, parameters={"rows": 1})
        until(lambda: client.read_flow_run(run.id).state.is_completed(), serving.said)
        serving.tell()
        assert serving.wait() == 0
    assert rows_begun(workspace) == ["0"]
    # Prefect's own `serve` pauses schedules when it ends.
    assert all(each.active for each in client.read_deployment(deployment.id).schedules)


def test_under_prefects_own_worker_the_newest_run_goes_as_well(client, workspace):
    pool = make_pool(client)
    deployment = deploy(client, workspace, pool, parameters={"rows": 1})
    missed(client, deployment, 3)
    words = ("worker", "start", "--pool", pool)
    with background(workspace, *words, module="prefect") as worker:
        until(lambda: states(client, deployment) == ["Skipped", "Skipped", "Completed"], worker.said)
    assert rows_begun(workspace) == ["0"]
    assert len(list(workspace.runs_dir.iterdir())) == 1  # in the workspace, not in the worker's folder


def test_flows_that_prefect_itself_deployed_run_in_the_workspace_of_their_code(client, workspace):
    pool = make_pool(client)
    flow = prefect.flow.from_source(str(workspace.root), "flows/squares/flow.py:squares")
    deployment = flow.deploy(
        "prefects-own", work_pool_name=pool, parameters={"rows": 1}, print_next_steps=False
    )
    run = client.create_flow_run_from_deployment(deployment)
    with background(workspace, "worker", "--pool", pool, "--health", str(free_port())) as worker:
        until(lambda: client.read_flow_run(run.id).state.is_final(), worker.said)
    assert client.read_flow_run(run.id).state.is_completed(), worker.said()
    assert [folder.name for folder in workspace.runs_dir.iterdir()] == [str(run.id)]


def test_a_worker_answers_on_its_health_port_and_a_second_signal_ends_it_at_once(client, workspace):
    pool, port = make_pool(client), free_port()
    deployment = deploy(client, workspace, pool, parameters={"rows": 1, "seconds": 600})
    client.create_flow_run_from_deployment(deployment)
    with background(
        workspace, "worker", "--pool", pool, "--drain", "1h", LATENT_WORKER_HEALTH=str(port)
    ) as worker:
        until(lambda: rows_begun(workspace), worker.said)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
            assert answer.status == 200
        worker.tell()
        until(lambda: "SIGTERM" in worker.said(), worker.said)
        worker.tell()
        worker.wait()  # the row takes ten minutes, and the time to end in is an hour
    assert states(client, deployment) == ["HandedOver"]
