"""Maps: many rows in few task runs, each row still retried, remembered and accounted for by itself."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import pandas as pd
import pytest
from prefect.task_runners import ThreadPoolTaskRunner

from latent.errors import (
    FailedRowsError,
    RegistryError,
    RunStoppedError,
    TaskExecutionError,
    UnknownLimitError,
    UsageError,
)
from latent.limits import limit
from latent.prefect import flow, params, spend, task, unmapped
from latent.prefect.api import memory_api
from latent.prefect.budget import Budget
from latent.prefect.futures import as_completed, wait
from latent.prefect.run_options import RunOptions
from latent.prefect.running import run as run_flow
from latent.tracking import list_runs, load_rows, load_run

# -- batches ------------------------------------------------------------------------------------------


def run_folder(workspace):
    (folder,) = workspace.runs_dir.iterdir()
    return load_run(workspace, folder.name)


@pytest.mark.parametrize("is_async", [False, True])
def test_many_rows_make_few_task_runs(batched, is_async):
    workspace = batched()

    if is_async:

        @task
        async def double(x):
            await asyncio.sleep(0)
            return x * 2
    else:

        @task
        def double(x):
            return x * 2

    @flow
    def main():
        return double.map(range(250)).result()

    assert main() == [2 * x for x in range(250)]
    lines = list(run_folder(workspace).task_lines())
    assert sorted(line["row_outcomes"]["ok"] for line in lines) == [50, 100, 100]
    assert len({line["task_run_id"] for line in lines}) == 3
    assert main() == [2 * x for x in range(250)]


def test_hits_make_no_task_run_and_one_record(batched, calls):
    workspace = batched()

    @task
    def double(x):
        calls.note(x)
        return x * 2

    @flow
    def main(n):
        return double.map(range(n)).result()

    main(10)
    before = set(workspace.runs_dir.iterdir())
    assert main(12) == [2 * x for x in range(12)]
    assert sorted(calls.seen) == list(range(12))
    (newest,) = set(workspace.runs_dir.iterdir()) - before
    outcomes = [
        line["row_outcomes"] or line["outcome"] for line in load_run(workspace, newest.name).task_lines()
    ]
    assert outcomes == [{"cached": 10}, "ok", "ok"]


def test_batch_size_row_runs_and_few_rows_decide_how_rows_become_task_runs(batched):
    workspace = batched()

    @task(cache=False)
    def same(x):
        return x

    @flow
    def main():
        same.map(range(3)).result()
        same.map(range(10), batch_size=5).result()
        same.map(range(10), row_runs="all").result()

    main()
    lines = list(run_folder(workspace).task_lines())
    assert [line["row_outcomes"] for line in lines if line["row_outcomes"]] == [{"ok": 5}, {"ok": 5}]
    alone = sorted(line["row_index"] for line in lines if not line["row_outcomes"])
    assert alone == sorted([*range(3), *range(10)])


@pytest.mark.parametrize("is_async", [False, True])
def test_at_most_max_workers_rows_run_at_once(batched, calls, is_async):
    batched(settings="max_workers = 4\n")

    if is_async:

        @task(cache=False)
        async def slow(x):
            with calls:
                while not calls.have_been(4):
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.01)
    else:

        @task(cache=False)
        def slow(x):
            with calls:
                while not calls.have_been(4):
                    time.sleep(0.01)
                time.sleep(0.01)

    @flow
    def main():
        slow.map(range(30), batch_size=7).result()
        slow.map(range(3)).result()

    main()
    assert calls.peak == 4


def test_users_thread_pool_bounds_rows_too(batched, calls):
    batched()

    @task(cache=False)
    def slow(x):
        with calls:
            while not calls.have_been(2):
                time.sleep(0.005)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def main():
        slow.map(range(20)).result()

    main()
    assert calls.peak == 2


@pytest.mark.parametrize("is_async", [False, True])
def test_each_row_of_a_batch_is_retried_by_itself(batched, is_async):
    workspace = batched()
    attempts: dict[int, int] = {}

    def attempt(x):
        attempts[x] = attempts.get(x, 0) + 1
        if x % 2 and attempts[x] < 3:
            raise ConnectionError(f"no answer to {x}")
        return x

    if is_async:

        @task(cache=False)
        async def flaky(x):
            return attempt(x)
    else:

        @task(cache=False)
        def flaky(x):
            return attempt(x)

    @flow
    def main():
        return flaky.map(range(10)).result()

    assert main() == list(range(10))
    assert attempts == {x: 3 if x % 2 else 1 for x in range(10)}
    run = run_folder(workspace)
    rows = load_rows(workspace, run.run_id).to_pylist()
    assert [row["attempts"] for row in sorted(rows, key=lambda row: row["index"])] == [1, 3] * 5


def test_row_that_pauses_gives_its_thread_to_another(batched):
    """With one worker, rows that wait for their retry do not keep the others waiting."""
    batched(settings="max_workers = 1\n")
    order = []
    first = threading.Event()

    @task(cache=False, retries=1, retry_delay_seconds=1)
    def row(x):
        order.append(x)
        if x == 0 and not first.is_set():
            first.set()
            raise ConnectionError
        return x

    @flow
    def main():
        return row.map(range(5)).result()

    assert main() == list(range(5))
    assert order == [0, 1, 2, 3, 4, 0]


def test_rows_that_come_back_from_a_pause_run_side_by_side(batched, calls):
    """They failed at once, on one thread; that they take their time later is seen only then."""
    batched()
    failed = set()

    @task(cache=False, retries=1, retry_delay_seconds=0.1)
    def row(x):
        if x not in failed:
            failed.add(x)
            raise ConnectionError
        with calls:
            while not calls.have_been(16):
                time.sleep(0.001)
        return x

    @flow
    def main():
        return row.map(range(16), max_workers=16).result()

    assert main() == list(range(16))
    assert calls.peak == 16


@pytest.mark.parametrize("is_async", [False, True])
def test_row_of_a_batch_is_timed_out_by_itself(batched, is_async):
    batched()

    if is_async:

        @task(cache=False, retry=False, timeout_seconds=1)
        async def row(x):
            await asyncio.sleep(30 if x == 2 else 0)
            return x
    else:

        @task(cache=False, retry=False, timeout_seconds=1)
        def row(x):
            while x == 2:
                time.sleep(0.01)
            return x

    @flow
    def main():
        futures = row.map(range(5))
        with pytest.raises(TimeoutError):
            futures[2].result()
        return [future.result() for future in futures if future.index != 2]

    assert main() == [0, 1, 3, 4]


def test_row_that_exits_does_not_take_the_others_along(batched):
    batched()

    @task(cache=False, retry=False)
    def row(x):
        if x == 1:
            raise SystemExit("gone")
        return x

    @flow
    def main():
        futures = row.map(range(5))
        with pytest.raises(FailedRowsError, match=r"1 of 5 rows failed.*\n.*SystemExit: gone"):
            futures.result()
        return sum(future.result() for future in futures if future.index != 1)

    assert main() == 9


def test_rows_read_parameters_and_depend_on_them(batched, calls):
    files = {"flows/main/parameters.yaml": "factor: 2\n"}
    batched(files)

    @task
    def scale(x):
        calls.note(x)
        return x * params.factor if x else 0

    @flow("main")
    def main():
        return scale.map(range(5)).result()

    assert main() == [0, 2, 4, 6, 8]
    batched({"flows/main/parameters.yaml": "factor: 3\n"})
    assert main() == [0, 3, 6, 9, 12]
    # The row that never read the parameter is not computed again.
    assert sorted(calls.seen) == [0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_equal_rows_are_paid_once_and_do_not_share_their_value(batched, calls):
    batched()

    @task
    def call(x):
        calls.note(x)
        return [x]

    @flow
    def main():
        return call.map([7, 8, 7, 9, 7]).result()

    results = main()
    assert results == [[7], [8], [7], [9], [7]]
    assert sorted(calls.seen) == [7, 8, 9]
    results[0].append("changed")
    assert results[2] == [7]


def test_equal_rows_fail_together(batched, calls):
    batched()

    @task(retry=False)
    def call(x):
        calls.note(x)
        raise ValueError(f"bad {x}")

    @flow
    def main():
        futures = call.map([7, 7, 8, 7])
        with pytest.raises(ValueError, match="bad 7") as caught:
            futures[3].result()
        return caught.value.context["row_index"], len(futures.result(raise_on_failure=False))

    assert main() == (3, 4)
    assert sorted(calls.seen) == [7, 8]


def test_results_that_cannot_be_stored_are_kept_in_memory(batched, calls, caplog):
    batched()

    @task
    def call(x):
        calls.note(x)
        return threading.Lock()

    @flow
    def main():
        return [type(lock).__name__ for lock in call.map(range(5)).result()]

    assert main() == ["lock"] * 5
    assert main() == ["lock"] * 5
    assert len(calls.seen) == 10
    assert sum("are not remembered" in record.getMessage() for record in caplog.records) == 1


def test_rows_with_unhashable_arguments_run(batched, calls):
    batched()

    @task
    def call(x, lock):
        calls.note(x)
        return x

    @flow
    def main():
        return call.map(range(5), unmapped(threading.Lock())).result()

    assert main() == main() == list(range(5))
    assert len(calls.seen) == 10


# -- futures ------------------------------------------------------------------------------------------


def test_futures_are_prefects_in_input_order(batched):
    batched()

    @task(cache=False)
    def late(x):
        time.sleep(0.05 if x == 0 else 0)
        return x

    @flow
    def main():
        futures = late.map(range(6))
        done, not_done = wait(futures)
        assert (len(done), len(not_done)) == (6, 0)
        assert sorted(future.result() for future in as_completed(futures)) == list(range(6))
        assert {future.state.name for future in futures} == {"Completed"}
        assert len({future.task_run_id for future in futures}) == 1
        return [future.result() for future in futures]

    assert main() == list(range(6))


def test_map_over_futures_of_a_map_begins_as_they_finish(batched):
    batched()
    begun = threading.Event()

    @task(cache=False)
    def first(x):
        # The last row ends only once the first one has been handed on.
        assert x < 5 or begun.wait(60)
        return x

    @task(cache=False, batch_size=2)
    def second(x):
        begun.set()
        return x * 10

    @flow
    def main():
        return second.map(first.map(range(6), batch_size=3)).result()

    assert main() == [0, 10, 20, 30, 40, 50]


@pytest.mark.parametrize("has_ended", [False, True])
def test_row_whose_input_failed_fails_with_the_same_error(batched, caplog, has_ended):
    """Whether the input fails before or after the rows that use it are mapped."""
    batched()

    @task(retry=False)
    def first(x):
        if x == 2:
            raise KeyError("two")
        return x

    @task
    def second(x):
        return x + 1

    @flow
    def main():
        inputs = first.map(range(5))
        if has_ended:
            inputs.wait()
        futures = second.map(inputs)
        with pytest.raises(KeyError, match="two"):
            futures[2].result()
        return [future.result() for future in futures if future.index != 2]

    assert main() == [1, 2, 4, 5]
    assert "not remembered" not in caplog.text


def test_rows_that_are_recalled_late_stand_in_the_records(batched):
    """Their inputs were still computed when they were mapped, and what they ask for was remembered."""
    workspace = batched()
    mapped = threading.Event()

    @task(cache=False)
    def first(x):
        assert mapped.wait(60)
        return x

    @task
    def second(x):
        return x * 10

    @flow
    def main():
        mapped.clear()
        futures = second.map(first.map(range(5)))
        mapped.set()
        return futures.result()

    assert main() == main() == [0, 10, 20, 30, 40]
    run = list_runs(workspace)[0]
    assert run.outcomes == {"ok": 5, "cached": 5}
    assert {task["name"]: task["calls"] for task in run.tasks} == {"first": 5, "second": 5}


def test_done_callbacks_come_once_for_each_row(batched):
    batched()
    seen = []

    @task(cache=False)
    def row(x):
        return x

    @flow
    def main():
        futures = row.map(range(5))
        for future in futures:
            future.add_done_callback(lambda done: seen.append(done.result()))
        futures.wait()

    main()
    assert sorted(seen) == list(range(5))


def test_results_that_take_too_long_are_a_timeout(batched):
    batched()
    go = threading.Event()

    @task(cache=False)
    def row(x):
        go.wait(20)
        return x

    @flow
    def main():
        futures = row.map(range(5))
        with pytest.raises(TimeoutError, match="5 of 5 rows"):
            futures.result(timeout=0.05)
        with pytest.raises(TimeoutError, match="Row 3"):
            futures[3].result(timeout=0.05)
        go.set()
        return futures.result()

    assert main() == list(range(5))


# -- failures ------------------------------------------------------------------------------------------


def test_failures_that_nobody_looked_at_fail_the_flow(batched):
    batched()

    @task(retry=False)
    def odd(x):
        if x % 2:
            raise ValueError(f"odd {x}")
        return x

    @flow
    def main():
        odd.map(range(6))

    with pytest.raises(FailedRowsError, match="3 of 6 rows failed"):
        main()


def test_collect_puts_errors_in_the_place_of_results(batched):
    batched()

    @task(retry=False, on_error="collect")
    def odd(x):
        if x % 2:
            raise ValueError(f"odd {x}")
        return x

    @flow
    def main():
        odd.map(range(6))
        return odd.map(range(6)).result()

    results = main()
    assert results[::2] == [0, 2, 4]
    assert all(
        isinstance(error, ValueError) and isinstance(error, TaskExecutionError) for error in results[1::2]
    )


@pytest.mark.parametrize(("limit", "reason"), [(2, "more than 2 rows failed"), (0.5, "more than 50%")])
def test_too_many_failures_stop_the_map(batched, calls, limit, reason):
    batched(settings="max_workers = 1\n")

    @task(retry=False, cache=False)
    def broken(x):
        calls.note(x)
        raise ValueError("no route to the model")

    @flow
    def main():
        broken.map(range(100), max_failures=limit).result()

    with pytest.raises(FailedRowsError) as caught:
        main()
    text = str(caught.value)
    assert reason in text
    assert "ValueError: no route to the model (first in row 0)" in text
    assert "rows were skipped" in text
    assert len(calls.seen) < 60


def test_exhausted_quota_stops_the_map_and_keeps_what_is_done(batched, calls):
    batched(settings="max_workers = 1\n")

    class QuotaError(Exception):
        status_code = 429

        def __init__(self, message):
            super().__init__(message)
            self.body = {"error": {"code": "insufficient_quota", "message": message}}

    @task
    def call(x):
        calls.note(x)
        if x == 5:
            raise QuotaError("You exceeded your current quota.")
        return x

    @flow
    def main():
        return call.map(range(50)).result()

    with pytest.raises(FailedRowsError, match="44 of 50 rows were skipped"):
        main()
    assert calls.seen == [0, 1, 2, 3, 4, 5]
    with pytest.raises(FailedRowsError):
        main()
    assert calls.seen == [0, 1, 2, 3, 4, 5, 5]


def test_time_of_a_row_ends_with_its_function_and_not_with_prefect(batched):
    workspace = batched()
    told = []

    @task(row_runs="all", retry=False, on_failure=[lambda *_: told.append(time.time())])
    def fail(x):
        raise ValueError("no")

    @flow
    def main():
        fail.map([1], on_error="collect").wait()
        time.sleep(0.05)

    main()
    (row,) = load_rows(workspace, run_folder(workspace).run_id).to_pylist()
    started = row["started_at"]
    started = started.timestamp() if hasattr(started, "timestamp") else started
    assert started + row["duration_seconds"] <= told[0]


@pytest.mark.parametrize("row_runs", ["auto", "all"])
def test_rows_that_ask_for_the_same_are_counted_in_the_run(batched, row_runs):
    workspace = batched()

    @task(row_runs=row_runs)
    def same(x):
        return x

    @flow
    def main():
        return same.map([1, 1, 2, 1, 2]).result()

    assert main() == [1, 1, 2, 1, 2]
    run = load_run(workspace, run_folder(workspace).run_id)
    assert run.outcomes == {"ok": 2, "cached": 3}
    (account,) = run.tasks
    assert (account["calls"], account["hits"]) == (5, 3)


# -- ids and selections ----------------------------------------------------------------------------------


def test_rows_are_known_by_the_users_ids(batched):
    workspace = batched()

    @task(row_id="name")
    def greet(person):
        return person["name"]

    @flow
    def main():
        return greet.map([{"name": "Ada"}, {"name": "Bob"}]).result()

    main()
    rows = load_rows(workspace, run_folder(workspace).run_id).to_pylist()
    assert sorted(row["id"] for row in rows) == ["Ada", "Bob"]


def test_ids_may_be_made_by_a_function_of_the_row(batched):
    workspace = batched()

    @task
    def add(x, y):
        return x + y

    @flow
    def main():
        return add.map([1, 2], [3, 4], row_id=lambda row: f"{row['x']}+{row['y']}").result()

    main()
    rows = load_rows(workspace, run_folder(workspace).run_id).to_pylist()
    assert sorted(row["id"] for row in rows) == ["1+3", "2+4"]


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (["a", "b"], "`row_id` has 2 ids for 3 rows"),
        (["a", "b", "a"], "rows 0 and 2 have the same id 'a'"),
        (["a", None, "c"], "row 1 has no id"),
    ],
)
def test_ids_may_be_given_one_for_each_row(batched, ids, said):
    workspace = batched()

    @task("twice")
    def twice(x):
        return 2 * x

    @flow("named")
    def named(ids):
        return twice.map([1, 2, 3], row_id=ids).result()

    assert named(["a", "b", "c"]) == [2, 4, 6]
    rows = load_rows(workspace, list_runs(workspace)[0].run_id).to_pylist()
    assert sorted(row["id"] for row in rows) == ["a", "b", "c"]
    with pytest.raises(UsageError, match=said):
        named(ids)


@pytest.mark.parametrize("how", [{"row_runs": "all"}, {"batch_size": 2}])
def test_a_map_tells_how_each_row_ended_and_what_it_took(batched, how):
    batched()

    @task("half", retries=1, retry_delay_seconds=0)
    def half(x):
        spend(0.5)
        return 10 / x

    @flow("ending")
    def ending():
        return half.map([1, 0, 2], **how).ends()

    first, failed, last = ending()
    assert [end.outcome for end in (first, failed, last)] == ["ok", "failed", "ok"]
    assert (first.value, failed.value, last.value) == (10, None, 5)
    assert (first.attempts, failed.attempts, first.cost_usd, failed.cost_usd) == (1, 2, 0.5, 1.0)
    assert isinstance(failed.error, ZeroDivisionError)
    again = ending()
    assert [end.outcome for end in again] == ["cached", "failed", "cached"]
    assert (again[0].attempts, again[0].cost_usd) == (0, None)


def test_rows_without_ids_are_known_by_index_and_content(batched):
    workspace = batched()

    @task
    def same(x):
        return x

    @flow
    def main():
        return same.map(["a", "b"]).result()

    main()
    ids = sorted(row["id"] for row in load_rows(workspace, run_folder(workspace).run_id).to_pylist())
    assert [name.partition("-")[0] for name in ids] == ["0", "1"]
    assert all(len(name.partition("-")[2]) == 12 for name in ids)


def test_equal_ids_are_refused_with_both_rows(batched):
    batched()

    @task(row_id="name")
    def greet(person):
        return person

    @flow
    def main():
        return greet.map([{"name": "Ada"}, {"name": "Bob"}, {"name": "Ada"}])

    with pytest.raises(UsageError, match="rows 0 and 2 have the same id 'Ada'"):
        main()


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT])
def test_row_without_an_id_is_refused(batched, missing):
    batched()

    @task(row_id="name")
    def greet(person):
        return person

    @flow
    def main():
        return greet.map([{"name": "Ada"}, {"name": missing}])

    with pytest.raises(UsageError, match="row 1 has no id: `row_id` gives"):
        main()


def test_id_that_no_row_has_is_refused_with_the_nearest(batched):
    batched()

    @task(row_id="nane")
    def greet(person):
        return person

    @flow
    def main():
        return greet.map([{"name": "Ada"}])

    with pytest.raises(UsageError, match="did you mean 'name'"):
        main()


FLOW = """
from pathlib import Path

from latent.prefect import flow, params, spend, task


@task("score", retry=False, row_id="name")
def score(row):
    with open("calls.txt", "a") as file:
        file.write(row["name"] + "\\n")
    if row["name"] in Path("bad.txt").read_text().split():
        raise ValueError("bad row")
    return row["n"]


@flow("main")
def main():
    rows = [{"name": f"r{n}", "n": n} for n in range(params.get("rows", 8))]
    return score.map(rows, on_error="collect").result()
"""


def called(workspace):
    path = workspace.root / "calls.txt"
    names = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return sorted(names)


def test_refresh_computes_the_named_rows_again(batched):
    workspace = batched({"flows/main/flow.py": FLOW, "bad.txt": ""})
    run_flow(workspace, "main")
    assert len(called(workspace)) == 8
    run_flow(workspace, "main", options=RunOptions(refresh={"score": "n < 2 or id == 'r7'"}))
    assert called(workspace) == ["r0", "r1", "r7"]
    run_flow(workspace, "main", options=RunOptions(refresh={"score": "row['n'] < 2 and name == 'r1'"}))
    assert called(workspace) == ["r1"]
    run_flow(workspace, "main", options=RunOptions(refresh={"score": None}))
    assert len(called(workspace)) == 8
    run_flow(workspace, "main")
    assert called(workspace) == []


def test_only_failed_runs_what_failed_before_and_nothing_new(batched):
    workspace = batched({"flows/main/flow.py": FLOW, "bad.txt": "r2 r5"})
    assert run_flow(workspace, "main").counts == {"ok": 6, "failed": 2}
    called(workspace)
    batched({"bad.txt": "r5"})
    result = run_flow(workspace, "main", {"rows": 10}, options=RunOptions(only_failed=True))
    assert called(workspace) == ["r2", "r5"]
    assert result.counts == {"cached": 6, "ok": 1, "failed": 1, "skipped": 2}


# -- budgets ------------------------------------------------------------------------------------------


def test_budget_of_calls_skips_the_rest_and_keeps_what_is_done(batched):
    workspace = batched({"flows/main/flow.py": FLOW, "bad.txt": ""})
    result = run_flow(workspace, "main", options=RunOptions(max_calls=5))
    assert result.counts == {"ok": 5, "skipped": 3}
    assert result.stopped_by == "The budget of 5 calls is used up."
    assert len(called(workspace)) == 5
    assert run_flow(workspace, "main").counts == {"cached": 5, "ok": 3}
    assert len(called(workspace)) == 3


@pytest.mark.parametrize("calls_allowed", [2, 6])
def test_budget_counts_rows_that_are_task_runs_once(batched, calls_allowed):
    workspace = batched({"flows/main/flow.py": FLOW, "bad.txt": ""})
    options = RunOptions(max_calls=calls_allowed)
    result = run_flow(workspace, "main", {"rows": 3}, options=options)
    left = max(3 - calls_allowed, 0)
    assert result.counts == {"ok": 3 - left, **({"skipped": left} if left else {})}


def test_refresh_of_a_task_that_is_called_once_counts_too(batched, calls):
    workspace = batched(
        {
            "flows/main/flow.py": FLOW.replace(
                'score.map(rows, on_error="collect").result()', "score(rows[0])"
            ),
            "bad.txt": "",
        }
    )
    run_flow(workspace, "main")
    run_flow(workspace, "main")
    assert called(workspace) == ["r0"]
    run_flow(workspace, "main", options=RunOptions(refresh={"score": None}))
    assert called(workspace) == ["r0"]


def test_skipped_rows_raise_unless_they_are_collected(batched):
    workspace = batched(
        {"flows/main/flow.py": FLOW.replace(', on_error="collect"', ""), "bad.txt": ""},
        settings="[budget]\nmax_calls = 5\n",
    )
    result = run_flow(workspace, "main")
    assert isinstance(result.error, RunStoppedError)
    assert "3 of 8 rows were skipped, all others are kept" in str(result.error)


def test_cost_is_booked_on_rows_and_ends_the_budget(batched):
    workspace = batched(settings="max_workers = 1\n[budget]\nmax_cost_usd = 0.25\n")

    @task(cache=False, on_error="collect")
    def pay(x):
        spend(0.1)
        return x

    @flow
    def main():
        return pay.map(range(10)).result()

    assert main()[:3] == [0, 1, 2]
    run = run_folder(workspace)
    rows = sorted(load_rows(workspace, run.run_id).to_pylist(), key=lambda row: row["index"])
    assert [row["cost_usd"] for row in rows] == [0.1] * 3 + [None] * 7
    assert [row["outcome"] for row in rows] == ["ok"] * 3 + ["skipped"] * 7


def test_budget_of_time_ends_with_its_deadline(batched):
    batched()
    budget = Budget(max_minutes=1e-9)

    @task
    def row(x):
        return x

    time.sleep(0.001)
    assert budget.admit(row) == 0
    assert "minutes is used up" in (budget.reached or "")


@pytest.mark.parametrize("wrong", [-1, float("nan")])
def test_cost_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="US dollars"):
        spend(wrong)


# -- wrong input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("batch_size", 0),
        ("batch_size", True),
        ("max_workers", -1),
        ("row_runs", "some"),
        ("on_error", "ignore"),
        ("max_failures", -1),
        ("max_failures", 1.5),
        ("row_id", 3),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(option, value):
    with pytest.raises(UsageError, match=f"Task 'row'.*`{option}`"):

        @task("row", **{option: value})
        def row(x):
            return x


def test_argument_named_like_an_option_is_the_argument(batched):
    batched()

    @task
    def cut(text, batch_size):
        return text[:batch_size]

    @flow
    def main():
        return cut.map(["abc", "def"], batch_size=2).result()

    # Prefect maps every iterable; a number is shared by all rows.
    assert main() == ["ab", "de"]


def test_iterable_that_raises_midway_starts_nothing_and_says_where(batched, calls):
    batched()

    @task
    def row(x):
        calls.note(x)

    def rows():
        yield 1
        yield 2
        raise OSError("disk gone")

    @flow
    def main():
        row.map(rows())

    with pytest.raises(OSError, match="disk gone") as caught:
        main()
    assert "raised this after 2 rows" in caught.value.__notes__[0]
    assert calls.seen == []


def test_no_rows_are_no_work(batched):
    batched()

    @task
    def row(x):
        return x

    @flow
    def main():
        return row.map([]).result()

    assert main() == []


def test_arrow_tables_are_mapped_by_rows(batched):
    import pyarrow as pa

    batched()

    @task
    def name_of(row):
        return row["name"]

    @flow
    def main():
        return name_of.map(pa.table({"name": list("abcde")})).result()

    assert main() == list("abcde")


def test_mapped_output_is_saved_once_with_all_results(batched):
    workspace = batched({"flows/main/catalog.yaml": "doubled: data/doubled.json\n"})

    @task(output="doubled")
    def double(x):
        return 2 * x

    @flow("main")
    def main():
        double.map(range(5))

    main()
    assert json.loads((workspace.root / "data/doubled.json").read_text()) == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("rows", [2, 10])
def test_limit_that_is_not_defined_is_told_before_anything_begins(batched, calls, rows):
    batched(settings="[limits.openai]\nconcurrency = 2\n")

    @task(limit="openia")
    def row(x):
        calls.note(x)

    @flow
    def main():
        row.map(range(rows))

    with pytest.raises(UnknownLimitError, match="openai"):
        main()
    assert calls.seen == []


@pytest.mark.parametrize("is_async", [False, True])
def test_rows_keep_to_the_tasks_limit_and_a_block_inside_takes_no_second_slot(batched, calls, is_async):
    batched(settings="[limits.openai]\nconcurrency = 1\n")

    if is_async:

        @task(limit="openai", cache=False)
        async def row(x):
            with calls:
                async with limit("openai"):
                    await asyncio.sleep(0.005)
            return x
    else:

        @task(limit="openai", cache=False)
        def row(x):
            with calls, limit("openai"):
                time.sleep(0.005)
            return x

    @flow
    def main():
        return row.map(range(10)).result(), row.map(range(2)).result()

    assert main() == (list(range(10)), [0, 1])
    assert calls.peak == 1


def test_artifacts_show_a_batchs_progress_and_its_failures(batched):
    batched()

    def shown():
        """Those of this map: the process may have others, of other tests."""
        artifacts = memory_api().artifacts()
        return {each["type"]: each for each in artifacts if (each["description"] or "").startswith("odd")}

    @task("odd {one}", retry=False, on_error="collect")
    def odd(x):
        deadline = time.monotonic() + 60
        while x == 4 and "progress" not in shown() and time.monotonic() < deadline:
            time.sleep(0.05)
        if x % 2:
            raise ValueError(f"odd {x}")
        return x

    @flow
    def main():
        odd.map(range(5))

    main()
    kinds = shown()
    assert "odd {one}, rows 0 to 4: 3 ok, 2 failed" in kinds["progress"]["description"]
    assert [row["row"] for row in json.loads(kinds["table"]["data"])] == [1, 3]


def test_a_row_that_was_tried_is_not_skipped_where_the_map_stopped_before_its_next_try(batched):
    batched()

    @task(cache=False, retries=3, retry_delay_seconds=0.3)
    def fail(x):
        if x == 0:
            raise ConnectionError("away")
        time.sleep(0.1)
        raise RegistryError("wrong for good")

    @flow
    def main():
        return fail.map(range(20), max_failures=0, max_workers=2, batch_size=20, on_error="collect").result()

    first, *others = main()
    assert isinstance(first, TaskExecutionError)
    assert isinstance(first.original_error, ConnectionError)
    assert isinstance(others[-1], RunStoppedError)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_rows_begin_in_the_order_in_which_they_were_mapped(batched, kind):
    batched(settings="[budget]\nmax_calls = 150\n")

    @task(cache=False)
    def nap(x):
        time.sleep(0.005)

    @task(cache=False)
    async def nap_async(x):
        await asyncio.sleep(0.005)

    @flow
    def main():
        mapped = nap if kind == "sync" else nap_async
        return mapped.map(range(400), batch_size=100, max_workers=4, on_error="collect").result()

    done = [index for index, found in enumerate(main()) if found is None]
    assert len(done) == 150
    # Four batches begin at once: each may have begun some rows before the first one came.
    assert sum(index < 150 for index in done) > 100


def test_budget_of_calls_counts_only_tasks_under_a_limit_when_there_are_any(batched):
    batched(settings="[limits.api]\nconcurrency = 4\n[budget]\nmax_calls = 3\n")

    @task(cache=False)
    def clean(x):
        return x

    @task(cache=False, limit="api", on_error="collect")
    def ask(x):
        return x

    @flow
    def main():
        return ask.map(clean.map(range(6)).result()).result()

    results = main()
    assert sum(isinstance(result, RunStoppedError) for result in results) == 3


def test_async_rows_that_wait_for_a_limit_stop_with_the_map(batched, calls):
    """At two requests a minute, five rows would wait for minutes; the first failure ends the map."""
    batched(settings="[limits.slow]\nrequests_per_minute = 2\nburst = 2\n")

    @task(limit="slow", retry=False, max_failures=0)
    async def row(x):
        calls.note(x)
        raise ValueError("refused")

    @flow
    def main():
        row.map(range(6)).result()

    with pytest.raises(FailedRowsError, match="rows were skipped"):
        main()
    assert len(calls.seen) <= 2


@pytest.mark.parametrize("how", [{"row_runs": "all"}, {"batch_size": 2}])
def test_rows_that_are_free_begin_though_the_budget_is_used_up(batched, how):
    """What they ask of models is held to the budget all the same: see `latent.llm`."""
    batched(settings="[budget]\nmax_cost_usd = 2\n")

    @task("paid")
    def paid(x):
        spend(1.0)
        return x

    free = task("free", free=True)(lambda x: x)

    @flow("spending")
    def spending():
        ends = paid.map(range(6), max_workers=1, on_error="collect", **how).ends()
        return ends, free.map([1, 2, 3], on_error="collect", **how).ends()

    first, second = spending()
    assert [end.outcome for end in first] == ["ok", "ok", *["skipped"] * 4]
    assert [end.outcome for end in second] == ["ok"] * 3
