"""What Prefect shows of rows: attempts, states, and the edges of a run's graph."""

from __future__ import annotations

import pytest
from prefect.context import TaskRunContext
from prefect.results import ResultStore
from prefect.runtime import task_run
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from latent.prefect import flow, task, unmapped


@pytest.fixture(autouse=True)
def _workspace(make):
    make({})


@pytest.mark.parametrize("is_async", [False, True])
def test_each_attempt_of_a_row_in_a_batch_knows_its_number(is_async):
    seen = []

    def attempt(x):
        seen.append((x, task_run.run_count))
        if x == 1 and task_run.run_count < 3:
            raise ValueError("again")
        return x

    async def attempt_async(x):
        return attempt(x)

    tried = task(attempt_async if is_async else attempt, name="tried", retries=2, cache=False)

    @flow
    def main():
        return tried.map(range(3), batch_size=3).result()

    assert main() == [0, 1, 2]
    assert sorted(seen) == [(0, 1), (1, 1), (1, 2), (1, 3), (2, 1)]


@pytest.mark.parametrize("options", [{"batch_size": 2}, {"row_runs": "all"}])
def test_a_failed_row_has_the_state_of_a_failed_task_run(options):
    @task(retries=0)
    def check(x):
        if x:
            raise ValueError(f"{x} is wrong")

    @flow
    def main():
        futures = check.map([0, 1], on_error="collect", **options)
        futures.wait()
        return [(state.name, state.message, state.data) for state in (future.state for future in futures)]

    (good, *_), (name, message, data) = main()
    error = data if isinstance(data, BaseException) else data.result
    assert (good, name) == ("Completed", "Failed")
    assert message == "Task run encountered an exception ValueError: 1 is wrong"
    assert type(error) is ValueError


@task
def number(x):
    return x + 1_000


@task
def edges(x, other=None):
    """How many task runs stand behind each argument, as Prefect's graph draws them."""
    inputs = TaskRunContext.get().task_run.task_inputs
    return {name: len(runs) for name, runs in inputs.items() if runs}


def in_flow(work):
    return flow(work, name="main")()


def test_rows_are_joined_to_the_rows_that_they_come_from():
    assert in_flow(lambda: edges.map(number.map([1, 2])).result()) == [{"x": 1}, {"x": 1}]


def test_rows_are_joined_to_what_all_of_them_share_and_to_the_list_that_they_come_from():
    numbers = task(lambda n: [n, n + 1], name="numbers")

    def work():
        return edges.map(numbers.submit(5), other=unmapped(number.submit(3))).result()

    assert in_flow(work) == [{"x": 1, "other": 1}] * 2


def test_a_submitted_task_is_joined_to_futures_that_have_ended():
    def work():
        first, second = number.submit(1), number.submit(2)
        first.wait()
        second.wait()
        return edges.submit([first, second], other=first).result()

    assert in_flow(work) == {"x": 2, "other": 1}


def test_a_batch_is_joined_to_the_batches_that_its_rows_come_from():
    def work():
        numbers = number.map(range(6), batch_size=3)
        return edges.map(numbers, batch_size=6).result()

    assert in_flow(work) == [{"wait_for": 2}] * 6


def test_remembered_rows_have_no_task_run_to_be_joined_to():
    def work():
        number.map([1, 2]).wait()
        return edges.map(number.map([1, 2])).result()

    assert in_flow(work) == [{}, {}]


@pytest.mark.parametrize("call", ["call", "submit", "map"])
def test_a_result_storage_key_leaves_the_result_to_prefects_store(call, tmp_path):
    called = []

    @task(result_storage_key="kept-{parameters[x]}", persist_result=True)
    def keep(x):
        called.append(x)
        return x * 2

    calls = {
        "call": lambda: keep(3),
        "submit": lambda: keep.submit(3).result(),
        "map": lambda: keep.map([3], batch_size=1).result()[0],
    }

    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: str(tmp_path)}):
        assert in_flow(lambda: [calls[call](), calls[call]()]) == [6, 6]
    assert called == [3]
    assert (tmp_path / "kept-3").is_file()


@pytest.mark.parametrize("call", ["call", "submit", "map", "flow"])
def test_a_persisted_result_is_found_by_the_state_of_its_task_run(call, tmp_path):
    @task(cache=False, persist_result=None if call == "flow" else True)
    def keep(x):
        return x * 2

    calls = {
        "call": lambda x: keep(x, return_state=True),
        "submit": lambda x: keep.submit(x, return_state=True),
        "map": lambda x: keep.map([x], batch_size=1, return_state=True)[0],
        "flow": lambda x: keep(x, return_state=True),
    }

    @flow(persist_result=call == "flow")
    def main():
        states = [calls[call](3), calls[call](3), calls[call](4)]
        return {"paths": [state.data.metadata.storage_key for state in states]}

    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: str(tmp_path)}):
        paths = main()["paths"]
    assert len(set(paths)) == 3
    assert all((tmp_path / path).is_file() for path in paths)


@pytest.mark.parametrize("options", [{"batch_size": 2}, {"row_runs": "all"}])
def test_the_record_of_a_result_stands_for_the_result(options):
    @task
    def give(x):
        return ResultStore().create_result_record(x * 2)

    def work():
        return [give(1), give(1), give.submit(2).result(), give.map([3, 4], **options).result()]

    assert in_flow(work) == [2, 2, 4, [6, 8]]
