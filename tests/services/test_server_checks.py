"""`latent doctor` and a real server: its workers, their versions, and limits that are laxer there."""

from __future__ import annotations

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from latent.services import examine
from latent.services.worker_name import Versions, installed_versions, versions_in, worker_name

pytestmark = pytest.mark.services

SETTINGS = """
[limits.ours-held]
concurrency = 2
[limits.ours-laxer]
concurrency = 2
[limits.ours-rate]
requests_per_minute = 60
[limits.ours-tag]
concurrency = 5

[[deployments]]
flow = "squares"
name = "nightly"
work_pool = "pool-without-a-worker"
"""


@pytest.fixture
def server(on_server):
    with httpx.Client(base_url=on_server, timeout=60) as client:
        yield client


def findings(workspace, topic):
    return {each.found: (each.verdict, each.advice) for each in examine(workspace) if each.topic == topic}


def test_limits_that_the_server_does_not_hold_are_named(make_workspace, server):
    workspace = make_workspace({"config/latent.toml": SETTINGS})
    server.post("/v2/concurrency_limits/", json={"name": "ours-held", "limit": 1}).raise_for_status()
    server.post("/v2/concurrency_limits/", json={"name": "ours-laxer", "limit": 9}).raise_for_status()
    rate = {"name": "ours-rate", "limit": 1, "slot_decay_per_second": 7.0}
    server.post("/v2/concurrency_limits/", json=rate).raise_for_status()
    # What `prefect concurrency-limit create ours-tag 5` asks for.
    tag = {"tag": "ours-tag", "concurrency_limit": 5}
    server.post("/concurrency_limits/", json=tag).raise_for_status()

    found = findings(workspace, "limits")
    assert {verdict for verdict, _ in found.values()} == {"warning"}
    assert list(found) == [
        "'ours-laxer' has 9 slots on the server, 2 in latent.toml",
        "'ours-rate' frees 7 slots a second on the server, 1 in latent.toml",
        "'ours-tag' is not on the server: concurrency('ours-tag') runs unlimited there",
        "'ours-tag' limits task runs with that tag there, and concurrency('ours-tag') does not heed it",
    ]

    server.patch("/v2/concurrency_limits/ours-held", json={"active": False}).raise_for_status()
    assert "'ours-held' is switched off on the server" in findings(workspace, "limits")


def test_workers_are_shown_and_other_versions_told(make_workspace, server):
    workspace = make_workspace({"config/latent.toml": SETTINGS})
    server.post("/work_pools/", json={"name": "fleet", "type": "process"}).raise_for_status()
    older = f"host 7 ({Versions('0.0.1', '3.0.0')})"
    for name in (worker_name(), older, "my worker"):
        beat = {"name": name, "heartbeat_interval_seconds": 600}
        server.post("/work_pools/fleet/workers/heartbeat", json=beat).raise_for_status()

    found = findings(workspace, "workers")
    told = {text.partition(", in the pool fleet")[0]: verdict for text, (verdict, _) in found.items()}
    assert told[worker_name()] == told["my worker"] == "ok"
    assert told[older] == "warning"
    unattended = "no worker takes the runs of the pool pool-without-a-worker, which deployments name"
    assert found[unattended] == ("warning", "latent worker --pool pool-without-a-worker, or latent serve")


def test_a_workers_name_says_what_it_runs():
    assert versions_in(worker_name()) == installed_versions()
    assert versions_in("my worker") is None
    assert "/" not in worker_name() and "%" not in worker_name()


def test_a_server_that_does_not_answer_is_a_problem_that_says_so(make_workspace):
    workspace = make_workspace({"config/latent.toml": ""})
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        found = findings(workspace, "server")
    assert any("127.0.0.1:9" in text for text in found), found
