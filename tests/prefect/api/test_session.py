"""Who gets the in-memory API, what it leaves untouched, and what it refuses."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect import flow, get_client, pause_flow_run, suspend_flow_run, task
from prefect.artifacts import create_markdown_artifact
from prefect.concurrency.sync import concurrency
from prefect.context import root_settings_context
from prefect.events.clients import NullEventsClient
from prefect.events.worker import EventsWorker
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import get_current_settings, temporary_settings
from prefect.task_runners import ProcessPoolTaskRunner

from latent.prefect.api import GlobalLimit, MemoryApi, memory_api, prefect_api
from tests.prefect.api.pool import report_from_child


@flow
def hello() -> str:
    return "hello"


def used_api() -> MemoryApi:
    api = memory_api()
    assert api is not None
    return api


def test_a_server_that_settings_name_is_left_alone() -> None:
    with temporary_settings({"api.url": "http://example.org/api"}), prefect_api() as url:
        assert url is None
        assert get_current_settings().api.url == "http://example.org/api"
        assert EventsWorker._client_override is None


@pytest.mark.parametrize("named_by", ["environment", "profile"])
def test_environment_and_profile_can_name_a_server(
    named_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if named_by == "environment":
        monkeypatch.setenv("PREFECT_API_URL", "http://example.org/api")
    else:
        profiles = tmp_path / "profiles.toml"
        profiles.write_text(
            'active = "mine"\n\n[profiles.mine]\nPREFECT_API_URL = "http://example.org/api"\n'
        )
        monkeypatch.setenv("PREFECT_PROFILES_PATH", str(profiles))
    with root_settings_context(), prefect_api() as url:
        assert url is None
        assert get_current_settings().api.url == "http://example.org/api"


def test_the_address_stands_in_the_settings_context_only() -> None:
    environment = dict(os.environ)
    with prefect_api() as url:
        settings = get_current_settings()
        assert settings.api.url == url
        assert settings.flows.heartbeat_frequency is None
        assert not settings.logging.to_api.enabled
        assert not settings.server.ephemeral.enabled
        assert not settings.server.analytics_enabled
        assert EventsWorker._client_override == (NullEventsClient, ())
        assert hello() == "hello"
        assert dict(os.environ) == environment
    assert get_current_settings().api.url is None
    assert EventsWorker._client_override is None


def test_the_api_lives_on_for_the_next_run() -> None:
    with prefect_api() as first:
        hello()
    with prefect_api() as second, prefect_api() as nested:
        assert first == second == nested
    assert memory_api() is used_api()


def test_users_may_overlap_in_threads() -> None:
    both_inside, one_left = threading.Barrier(2), threading.Event()
    found: list[Any] = []

    def stays() -> None:
        with prefect_api():
            both_inside.wait(5)
            one_left.wait(5)
            found.append(hello())

    thread = threading.Thread(target=stays)
    thread.start()
    with prefect_api():
        both_inside.wait(5)
    assert EventsWorker._client_override is not None
    one_left.set()
    thread.join()
    assert found == ["hello"]
    assert EventsWorker._client_override is None


def test_limits_of_the_settings_are_there_from_the_start() -> None:
    name = f"preset-{uuid4().hex}"
    with prefect_api(limits=[GlobalLimit(name, 3)]), concurrency(name, occupy=2, strict=True):
        found = [limit for limit in used_api().limits() if limit["name"] == name]
    assert [(limit["limit"], limit["active_slots"]) for limit in found] == [(3, 2)]


def test_tests_can_look_inside() -> None:
    @flow(name=f"looked-at-{uuid4().hex}")
    def child() -> None:
        create_markdown_artifact("# here", key="seen")

    @flow
    def parent() -> None:
        child()

    with prefect_api():
        parent()
    api = used_api()
    run = next(run for run in reversed(api.flow_runs()) if run["parent_task_run_id"])
    assert [state["type"] for state in api.states(run["id"])] == ["PENDING", "RUNNING", "COMPLETED"]
    assert api.artifacts()[-1]["data"] == "# here"
    assert api.artifacts()[-1]["flow_run_id"] == run["id"]
    assert api.task_runs()[-1]["state_name"] == "Completed"
    assert any(found["id"] == run["flow_id"] for found in api.flows())
    assert api.requests["POST flow_runs/{id}/set_state"] >= 4


def test_process_pool_tasks_reach_the_api() -> None:
    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def in_processes() -> list[tuple[int, str | None]]:
        return report_from_child.map(range(2)).result()

    with prefect_api() as url:
        found = in_processes()
    assert {reached for _, reached in found} == {url}
    assert os.getpid() not in {pid for pid, _ in found}
    assert "PREFECT_API_URL" not in os.environ
    written = [artifact["data"] for artifact in used_api().artifacts() if artifact["key"] == "from-a-child"]
    assert sorted(written) == ["# 0", "# 1"]


def test_threads_without_a_context_reach_the_api() -> None:
    name = f"raw-{uuid4().hex}"
    seen: list[Any] = []

    def work() -> None:
        with concurrency(name, strict=True):
            seen.append(get_current_settings().api.url)

    @flow
    def starts_a_thread() -> None:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    with prefect_api(limits=[GlobalLimit(name, 1)]) as url:
        starts_a_thread()
    assert seen == [url]


def test_threads_of_async_code_reach_the_api() -> None:
    @task
    def where() -> str | None:
        return get_current_settings().api.url

    @flow
    async def asks() -> list[str | None]:
        return [await asyncio.to_thread(where), where.submit().result()]

    with prefect_api() as url:
        assert asyncio.run(asks()) == [url, url]


def test_runs_of_one_process_are_bounded() -> None:
    from latent.prefect.api.messages import Request

    api = MemoryApi()
    flow_id = api.answer(Request("POST", "flows", body=b'{"name": "many"}')).content["id"]
    for _ in range(10_050):
        body = f'{{"flow_id": "{flow_id}", "state": {{"type": "COMPLETED"}}}}'.encode()
        api.answer(Request("POST", "flow_runs", body=body))
    assert len(api.flow_runs()) == 10_000


UNSUPPORTED: dict[str, Callable[[], Any]] = {
    "deployments": lambda: get_client(sync_client=True).read_deployment_by_name("a/b"),
    "deploying": lambda: hello.to_deployment("here").apply(),
    "work pools": lambda: get_client(sync_client=True).read_work_pools(),
    "blocks": lambda: get_client(sync_client=True).read_block_type_by_slug("secret"),
    "logs": lambda: get_client(sync_client=True).read_logs(),
    "task run lists": lambda: get_client(sync_client=True).read_task_runs(),
}


@pytest.mark.parametrize("what", UNSUPPORTED)
def test_the_rest_of_the_api_names_the_server_it_needs(what: str) -> None:
    with (
        prefect_api(),
        pytest.raises(PrefectHTTPStatusError, match="needs a Prefect server: start one with `latent up`"),
    ):
        UNSUPPORTED[what]()


@pytest.mark.parametrize("stop", [pause_flow_run, suspend_flow_run])
def test_pausing_fails_at_once_with_what_to_do(stop: Callable[[], Any]) -> None:
    @flow
    def pauses() -> None:
        stop()

    with (
        prefect_api(),
        pytest.raises(RuntimeError, match="needs a Prefect server: start one with `latent up`"),
    ):
        pauses()


GUARDED = """
import sys
def watch(event, arguments):
    if event in {"subprocess.Popen", "os.fork", "os.posix_spawn", "sqlite3.connect"}:
        print("BROKEN", event, arguments, flush=True)
    if event == "socket.connect" and str(arguments[1][0]) != "127.0.0.1":
        print("BROKEN", event, arguments, flush=True)
    if event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", None):
        print("BROKEN", event, arguments, flush=True)
sys.addaudithook(watch)
from latent.prefect.api import keep_telemetry_off, prefect_api
keep_telemetry_off()
import threading
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
@task
def one(): return 1
@flow
def run():
    create_markdown_artifact("x", key="x")
    return one() + one.submit().result()
with prefect_api():
    print("result", run())
print("threads", [t.name for t in threading.enumerate() if not t.daemon])
"""


def test_no_process_no_database_and_no_network_but_loopback(tmp_path: Path) -> None:
    """Also in a terminal, where Prefect reports the first import, flow and run of an installation."""
    script = tmp_path / "script.py"
    script.write_text(GUARDED)
    said = run_in_terminal([sys.executable, str(script)], fresh_environment(tmp_path))
    assert "result 2" in said
    assert "BROKEN" not in said
    assert "anonymous usage data" not in said
    assert not list(tmp_path.glob("**/*.db"))


def run_in_terminal(command: list[str], environment: dict[str, str]) -> str:
    """What a command says in a terminal of its own; through a pipe where there are no pseudo terminals."""
    if sys.platform == "win32":
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout + done.stderr
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 65536):
            said += part
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(ours)
        assert process.wait(60) == 0, said.decode()
    return said.decode()


def fresh_environment(home: Path) -> dict[str, str]:
    """This environment without anything that speaks to Prefect or its telemetry, and with a new home."""
    unwanted = {"DO_NOT_TRACK", "CI", "GITHUB_ACTIONS"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PREFECT_") and name not in unwanted
    }
    return {**kept, "PREFECT_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
