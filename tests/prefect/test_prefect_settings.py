"""Prefect's own settings for tasks come before ours, and after what the decorator says."""

from __future__ import annotations

import threading

import pytest
from prefect.settings import temporary_settings

from latent.prefect import flow, task
from latent.prefect.cache_policies import INPUTS


@pytest.fixture(autouse=True)
def _workspace(make):
    make({})


def attempts(**options):
    tried = []

    @task(cache=False, **options)
    def flaky():
        tried.append(1)
        raise ValueError("again")

    @flow
    def main():
        flaky(return_state=True)

    main()
    return len(tried)


@pytest.mark.parametrize(
    ("options", "expected"), [({}, 2), ({"retries": 2}, 3), ({"retries": 0}, 1), ({"retry": False}, 1)]
)
def test_default_retries(options, expected):
    with temporary_settings({"tasks.default_retries": 1}):
        assert attempts(**options) == expected


def test_default_retries_of_none_turn_them_off():
    with temporary_settings({"tasks.default_retries": 0}):
        assert attempts() == 1


def test_default_retries_hold_for_rows_that_share_a_task_run():
    tried = []

    @task(cache=False)
    def flaky(x):
        tried.append(x)
        raise ValueError("again")

    @flow
    def main():
        flaky.map([1, 2], batch_size=2, on_error="collect").wait()

    with temporary_settings({"tasks.default_retries": 1}):
        main()
    assert sorted(tried) == [1, 1, 2, 2]


def calls(**options):
    called = []

    @task(**options)
    def count(x):
        called.append(x)
        return x

    @flow
    def main():
        count(1)
        count(1)
        count.submit(1).wait()
        count.map([1], batch_size=1).wait()

    main()
    return len(called)


@pytest.mark.parametrize(
    ("settings", "options", "expected"),
    [
        ({}, {}, 1),
        ({"tasks.refresh_cache": True}, {}, 4),
        ({"tasks.refresh_cache": True}, {"refresh_cache": False}, 1),
        ({"tasks.disable_caching": True}, {}, 4),
        ({"tasks.disable_caching": True}, {"cache_policy": INPUTS}, 4),
        ({"tasks.default_no_cache": True}, {}, 4),
        ({"tasks.default_no_cache": True}, {"cache_policy": INPUTS}, 1),
    ],
)
def test_settings_of_the_cache(settings, options, expected):
    with temporary_settings(settings):
        assert calls(**options) == expected


def test_log_prints_of_the_settings_holds_for_flows_and_tasks(caplog):
    @task
    def say(word):
        print(f"the task says {word}")

    @flow
    def main():
        print("the flow says hello")
        say("called")
        say.map(["in a batch"], batch_size=1).wait()

    with temporary_settings({"logging.log_prints": True}):
        main()
    said = [record.getMessage() for record in caplog.records if " says " in record.getMessage()]
    assert said == ["the flow says hello", "the task says called", "the task says in a batch"]


@pytest.mark.parametrize("how", ["call", "submit", "map"])
@pytest.mark.parametrize("policy", [{"cache_policy": INPUTS}, {"cache_key_fn": lambda _, given: given["no"]}])
def test_a_key_that_cannot_be_made_is_told_once_and_the_task_runs(how, policy, caplog):
    name = f"fetch-{how}-{next(iter(policy))}"  # what was told of a name is told once in a process

    @task(name, **policy)
    def fetch(client, page):
        return page * 10

    ways = {
        "call": lambda lock: fetch(lock, 1),
        "submit": lambda lock: fetch.submit(lock, 1).result(),
        "map": lambda lock: fetch.map([lock], [1], batch_size=1).result()[0],
    }

    @flow
    def main():
        return [ways[how](threading.Lock()), ways[how](threading.Lock())]

    assert main() == [10, 10]
    told = [record for record in caplog.records if "cannot make a key" in record.getMessage()]
    assert len(told) == 1
    assert name in told[0].getMessage()
