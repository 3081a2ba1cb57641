"""`[limits.NAME]` as Prefect's global concurrency limits: in memory, and on a real server."""

from __future__ import annotations

import asyncio
import contextvars
import os
import socket
import threading
import time
import warnings
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency, rate_limit
from prefect.settings import Settings, temporary_settings

from latent.config import find_workspace
from latent.config.settings import LimitSettings
from latent.limits import limit, limiter_for
from latent.prefect import flow, task
from latent.prefect.api import GlobalLimit, memory_api
from latent.prefect.global_limits import _bindings, global_limits, shared_limits
from latent.prefect.run import surroundings
from latent.prefect.server_slots import ServerSlots
from tests.prefect.api.on_server import on_the_server


class Crowd:
    """Counts how many are in at the same time."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.lock = threading.Lock()

    def __enter__(self) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.now -= 1


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"concurrency": 20}, GlobalLimit("x", 20)),
        ({"concurrency": 20, "requests_per_minute": 600}, GlobalLimit("x", 20)),
        ({"requests_per_minute": 600}, GlobalLimit("x", 10, 10.0)),
        ({"requests_per_minute": 600, "burst": 3}, GlobalLimit("x", 3, 10.0)),
        ({"requests_per_minute": 1}, GlobalLimit("x", 1, 1 / 60)),
        ({"tokens_per_minute": 6_000}, GlobalLimit("x", 6_000, 100.0)),
        ({}, None),
    ],
)
def test_settings_are_said_in_prefects_terms(given, made):
    assert global_limits({"x": LimitSettings(**given)}) == (() if made is None else (made,))


def test_prefects_concurrency_and_rate_limit_work_beside_our_own_limits(make):
    make(
        {
            "config/latent.toml": """
            [tracking]
            enabled = false
            [limits.api]
            concurrency = 2
            [limits.calls]
            requests_per_minute = 300
            burst = 1
            """
        }
    )
    prefects, ours = Crowd(), Crowd()

    @task(cache=False)
    def ask(row):
        with concurrency("api", occupy=1), prefects:
            time.sleep(0.05)
        with limit("api"), ours:
            time.sleep(0.05)
        return row

    @task(cache=False)
    def call():
        rate_limit("calls")
        return time.monotonic()

    @flow
    def main():
        asked = [ask.submit(row) for row in range(6)]
        called = [call() for _ in range(3)]
        return [each.result() for each in asked], called

    rows, called = main()
    assert rows == list(range(6))
    # Never more than two; whether two ever meet is for the machine to say.
    assert prefects.most in (1, 2)
    assert ours.most in (1, 2)
    assert called[2] - called[0] >= 0.3  # five in a second, one at once
    api = memory_api()
    assert api is not None
    assert {each["name"]: each["active_slots"] for each in api.limits()}["api"] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_forked_worker_takes_slots_of_the_server_too(make):
    """The child of a process whose limits are bound lets go of the parent's pools, and binds its own."""
    make({"config/latent.toml": "[limits.api]\nconcurrency = 3\n"})
    workspace, limits = find_workspace(), (GlobalLimit("api", 3),)
    limiter = limiter_for(workspace, "api")

    def binds_its_own() -> bool:
        parents = limiter._pool
        _bindings.join(workspace, limits)
        return parents is None and limiter._pool is not None

    with _bindings.during(workspace, limits):
        assert limiter._pool is not None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # other threads run: that is what is tested
            child = os.fork()
        if child == 0:
            is_well = False
            try:
                is_well = binds_its_own()
            finally:
                os._exit(0 if is_well else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert limiter._pool is not None
    assert limiter._pool is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_child_that_was_forked_in_the_middle_of_a_run_ends_it_well(make):
    make({"config/latent.toml": "[limits.api]\nconcurrency = 3\n"})
    is_well, child = False, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            with _bindings.during(find_workspace(), (GlobalLimit("api", 3),)):
                child = os.fork()
            is_well = True
        finally:
            if child == 0:
                os._exit(0 if is_well else 1)
    assert child is not None
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# -- on a real server ---------------------------------------------------------------------------------------


@pytest.fixture
def name() -> str:
    return f"api-{uuid4().hex[:8]}"


@pytest.fixture
def on_a_server(make, name, server_settings: Settings):
    make(
        {
            "config/latent.toml": f"""
            [tracking]
            enabled = false
            [limits.{name}]
            concurrency = 3
            """
        }
    )
    with on_the_server(server_settings):
        yield


def on_server(name: str) -> Any:
    with get_client(sync_client=True) as client:
        return client.read_global_concurrency_limit_by_name(name)


def taken(name: str) -> int:
    return int(on_server(name).active_slots)


def until_taken(name: str, slots: int) -> bool:
    end = time.monotonic() + 15
    while taken(name) != slots:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_a_run_makes_its_limits_on_the_server_and_settings_win(on_a_server, name, caplog):
    run = surroundings(None)
    with shared_limits(run):
        assert run.shares_limits
        assert (on_server(name).limit, on_server(name).slot_decay_per_second) == (3, 0.0)
    workspace = find_workspace()
    file = workspace.root / "config/latent.toml"
    file.write_text(file.read_text().replace("= 3", "= 5"))
    with shared_limits(surroundings(None)), shared_limits(surroundings(None)):
        assert on_server(name).limit == 5
    told = [record.message for record in caplog.records if "Changed the global" in record.message]
    assert len(told) == 1 and "it was 3 slots" in told[0]


def test_our_calls_hold_the_servers_slots_and_give_them_back(on_a_server, name):
    """Another process's `concurrency(...)` and our own calls never hold more than the limit together."""
    limiter = limiter_for(find_workspace(), name)
    with shared_limits(surroundings(None)):
        permits = [limiter.acquire() for _ in range(2)]
        assert taken(name) == 2
        with concurrency(name, occupy=1):
            waiting = threading.Thread(target=lambda: permits.append(limiter.acquire()))
            waiting.start()
            time.sleep(0.3)
            assert (waiting.is_alive(), taken(name)) == (True, 3)
        waiting.join(timeout=15)
        assert len(permits) == 3
        for permit in permits:
            permit.release()
        assert until_taken(name, 0)
    assert taken(name) == 0


def test_freed_slots_are_handed_over_without_the_server(on_a_server, name):
    """60 calls over 3 slots; how seldom the upstream is asked is counted in the tests of limits."""
    limiter = limiter_for(find_workspace(), name)
    crowd = Crowd()

    async def call() -> None:
        async with await limiter.acquire_async():
            with crowd:
                await asyncio.sleep(0.02)

    async def main() -> None:
        async with await limiter.acquire_async():
            pass  # the first slot is there
        await asyncio.gather(*(call() for _ in range(60)))

    with shared_limits(surroundings(None)):
        asyncio.run(main())
    assert crowd.most == 3
    assert taken(name) == 0


def test_a_mapped_task_shares_its_limit_with_the_server(on_a_server, name):
    crowd, seen = Crowd(), []

    @task(cache=False, limit=name)
    def ask(row):
        with crowd:
            time.sleep(0.1)
            seen.append(taken(name))
        return row

    @flow
    def main():
        return ask.map(range(9)).result()

    assert main() == list(range(9))
    assert crowd.most <= 3 and 1 <= max(seen) <= 3
    assert until_taken(name, 0)


def test_a_server_that_does_not_answer_stops_nobody(fresh_settings):
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/api"
    with temporary_settings({"api.url": nobody}):
        slots = ServerSlots(GlobalLimit("api", 16), contextvars.copy_context())
    assert slots.take(2) == 2
    assert slots.take(2) == 2
    slots.give_back(4)
    slots.renew()
    slots.close()
