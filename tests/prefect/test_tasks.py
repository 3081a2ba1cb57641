"""Tasks: calls, retries, failures, memory, and what they save."""

from __future__ import annotations

import json
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from prefect.exceptions import MappingLengthMismatch, MappingMissingIterable
from pydantic import BaseModel

from latent.errors import DatasetNotFoundError, FailedRowsError, RegistryError, TaskExecutionError
from latent.prefect import flow, logger, params, task, unmapped
from latent.prefect.cache_policies import INPUTS, NO_CACHE
from latent.prefect.futures import as_completed, wait
from latent.prefect.tasks import task_input_hash
from latent.registry import TaskRegistry

calls: list[object] = []
"""What the tasks of a test ran with."""


@pytest.fixture(autouse=True)
def _no_calls():
    calls.clear()


def note(value):
    """Count a call from outside of the task's own code."""
    globals()["calls"].append(value)


def test_direct_call_submit_and_map_share_one_memory(make):
    make({})

    @task
    def double(x):
        note(x)
        return x * 2

    @flow
    def main():
        return double(1), double.submit(1).result(), double.map([1, 2]).result()

    assert main() == (2, 2, [2, 4])
    assert calls == [1, 2]


def test_hit_makes_no_task_run(make):
    make({})
    runs = []

    @task(on_completion=[lambda task, run, state: runs.append(run.name)])
    def double(x):
        return x * 2

    @flow
    def main():
        state = double(1, return_state=True)
        return state.name, double.submit(1).state.name, double.map([1]).result()

    assert main() == ("Completed", "Cached", [2])
    assert len(runs) == 1


def test_failed_task_is_retried_three_times_by_default(make):
    make({})

    @task
    def fail():
        note(1)
        raise ValueError("always")

    @flow
    def main():
        fail()

    with pytest.raises(ValueError, match="always"):
        main()
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("options", "attempts"),
    [
        ({"retry": False}, 1),
        ({"retries": 1}, 2),
        ({"retry": False, "retries": 2}, 3),
        ({"retries": 2, "retry_delay_seconds": [0, 0]}, 3),
        ({"retry_condition_fn": lambda task, run, state: False}, 1),
    ],
)
def test_prefects_retry_options_win(make, options, attempts):
    make({})

    @task(**options)
    def fail():
        note(1)
        raise ValueError("always")

    @flow
    def main():
        fail()

    with pytest.raises(ValueError, match="always"):
        main()
    assert len(calls) == attempts


def test_conditions_hooks_and_states_see_the_original_error(make):
    make({})
    seen = []

    def condition(task, run, state):
        seen.append(type(state.data))
        return True

    @task(
        retries=1,
        retry_condition_fn=condition,
        on_failure=[lambda task, run, state: seen.append(type(state.result(raise_on_failure=False)))],
    )
    def fail():
        raise ZeroDivisionError("original")

    @flow
    def main():
        state = fail(return_state=True)
        seen.append(type(state.result(raise_on_failure=False)))

    main()
    assert seen == [ZeroDivisionError] * 3


def test_failure_carries_its_context_and_survives_pickling(make):
    make({"flows/main/catalog.yaml": "data: data/d.json\n", "data/d.json": "[1]"})

    @task("process", input="data", retry=False, span_type="TOOL")
    def process(data, api_key, text):
        raise OSError(28, "No space left on device", "out.txt")

    @flow("main")
    def main():
        process(api_key="sk-123456789012345678901234", text="x" * 100_000)

    with pytest.raises(OSError, match="No space left") as caught:
        main()
    error = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(error, TaskExecutionError)
    assert isinstance(error, OSError)
    assert (error.errno, error.filename) == (28, "out.txt")
    assert error.context["attempts"] == 1
    assert error.context["span"]["type"] == "TOOL"
    assert "sk-1234" not in str(error)
    assert len(str(error)) < 5_000


def test_failure_of_a_submitted_task_is_the_same(make):
    make({})

    @task(retry=False)
    def fail(x):
        raise KeyError(x)

    @flow
    def main():
        fail.submit("k").result()

    with pytest.raises(KeyError) as caught:
        main()
    assert isinstance(caught.value, TaskExecutionError)


def test_rows_fail_each_for_themselves(make):
    make({})

    @task(retry=False)
    def odd(n):
        if n % 2:
            raise ValueError(f"odd {n}")
        return n

    @flow
    def main():
        futures = odd.map(range(4))
        with pytest.raises(ValueError, match="odd 1") as caught:
            futures[1].result()
        assert caught.value.context["row_index"] == 1
        with pytest.raises(FailedRowsError, match="2 of 4"):
            futures.result()
        return [f.result() for f in futures if f.state.is_completed()]

    assert main() == [0, 2]


def test_map_takes_shared_values_frames_and_futures(make):
    import pandas as pd

    make({})

    @task
    def numbers():
        return [1, 2]

    @task
    def add(x, y, z=0):
        return x + y + z

    @task
    def name_of(row):
        return row["name"]

    @flow
    def main():
        future = numbers.submit()
        return (
            add.map(future, unmapped(10)).result(),
            add.map([1, 2], y=5).result(),
            name_of.map(pd.DataFrame({"name": ["a", "b"]})).result(),
            add.map([numbers.submit()][:0], 1).result(),
        )

    assert main() == ([11, 12], [6, 7], ["a", "b"], [])


def test_map_refuses_unequal_lengths_and_no_rows(make):
    make({})

    @task
    def add(x, y):
        return x + y

    @flow
    def main():
        with pytest.raises(MappingLengthMismatch, match="x has 2, y has 3"):
            add.map([1, 2], [1, 2, 3])
        with pytest.raises(MappingMissingIterable, match="at least one"):
            add.map(1, 2)

    main()


def test_output_of_a_mapped_task_is_the_list_of_its_results(make):
    workspace = make({"flows/main/catalog.yaml": "doubled: data/doubled.json\n"})

    @task("double", output="doubled")
    def double(x):
        return x * 2

    @task("read", input="doubled")
    def read(doubled):
        return sum(doubled)

    @flow("main")
    def main():
        double.map([1, 2, 3])
        return read()

    assert main() == 12
    assert json.loads((workspace.root / "data/doubled.json").read_text()) == [2, 4, 6]


def test_reader_waits_for_a_submitted_writer(make):
    make({"flows/main/catalog.yaml": "numbers: data/numbers.json\n"})
    started = threading.Event()

    @task("write", output="numbers", cache=False)
    def write():
        started.wait(1)
        return [1, 2]

    @task("read", input="numbers", cache=False)
    def read(numbers):
        return sum(numbers)

    @flow("main")
    def main():
        write.submit()
        future = read.submit
        started.set()
        return future().result()

    assert main() == 3


def test_futures_pass_between_tasks_and_prefects_helpers(make):
    make({})

    @task
    def one():
        return 1

    @task
    def add(x, y):
        return x + y

    @flow
    def main():
        first = one.submit()
        second = add.submit(first, y=first)
        _, not_done = wait([first, second])
        assert not not_done
        assert {f.result() for f in as_completed([first, second])} == {1, 2}
        return add(second, 10)

    assert main() == 12


def test_failed_upstream_keeps_downstream_from_running(make):
    make({})

    @task(retry=False)
    def fail():
        raise ValueError("upstream")

    @task
    def after(x):
        note(x)

    @flow
    def main():
        future = after.submit(fail.submit())
        future.wait()
        return future.state.name

    assert main() == "NotReady"
    assert calls == []


def test_changed_parameter_recomputes_exactly_what_read_it(make):
    make({"flows/main/parameters.yaml": "model: a\nother: 1\n"})

    @task
    def answer(row):
        note(row)
        return f"{row} by {params.model}" if row < 2 else str(row)

    @flow("main")
    def main():
        return answer.map(range(4)).result()

    main()
    calls.clear()
    make({"flows/main/parameters.yaml": "model: a\nother: 2\n"})
    main()
    assert calls == []
    make({"flows/main/parameters.yaml": "model: b\nother: 2\n"})
    assert main() == ["0 by b", "1 by b", "2", "3"]
    assert sorted(calls) == [0, 1]
    calls.clear()
    make({"flows/main/parameters.yaml": "model: a\nother: 2\n"})
    assert main() == ["0 by a", "1 by a", "2", "3"]  # both versions stand under one key
    assert calls == []


def test_nested_tasks_depend_on_what_the_inner_one_read(make):
    make({"flows/main/parameters.yaml": "model: a\n"})

    @task
    def inner(x):
        return f"{x}{params.model}"

    @task
    def outer(x):
        note(x)
        return inner(x)

    @flow("main")
    def main():
        return outer(1)

    assert (main(), main()) == ("1a", "1a")
    make({"flows/main/parameters.yaml": "model: b\n"})
    assert main() == "1b"
    make({"flows/main/parameters.yaml": "model: a\n"})
    assert main() == "1a"


def test_reads_in_threads_of_the_users_own_count(make):
    make({"flows/main/parameters.yaml": "model: a\n"})

    @task
    def answer():
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: params.model).result()

    @flow("main")
    def main():
        return answer()

    assert main() == "a"
    make({"flows/main/parameters.yaml": "model: b\n"})
    assert main() == "b"


def test_users_cache_key_fn_supplies_the_key(make):
    make({})

    @task(cache_key_fn=lambda context, arguments: f"{context.task.name}-{arguments['x'] % 2}")
    def parity(x):
        note(x)
        return x

    @task(cache_key_fn=task_input_hash)
    def by_inputs(x):
        note(x)
        return x

    @flow
    def main():
        return parity(1), parity(3), parity(2), by_inputs(1), by_inputs(1)

    assert main() == (1, 1, 2, 1, 1)
    assert calls == [1, 2, 1]


def test_users_cache_policy_supplies_the_key(make):
    make({})

    @task(cache_policy=INPUTS - "noise")
    def first(x, noise):
        note(x)
        return x

    @task(cache_policy=NO_CACHE)
    def never(x):
        note(x)
        return x

    @task(persist_result=False)
    def not_kept(x):
        note(x)
        return x

    @flow
    def main():
        return first(1, noise=1), first(1, noise=2), never(5), never(5), not_kept(6), not_kept(6)

    assert main() == (1, 1, 5, 5, 6, 6)
    assert calls == [1, 5, 5, 6, 6]


def test_refresh_cache_runs_again_and_remembers(make):
    make({})

    @task
    def double(x):
        note(x)
        return x * 2

    @flow
    def main():
        return double(1), double.with_options(refresh_cache=True)(1), double(1)

    assert main() == (2, 2, 2)
    assert calls == [1, 1]


def test_remembered_none_is_a_value(make):
    make({})

    @task
    def nothing():
        note(1)

    @flow
    def main():
        return nothing(), nothing.submit().result(), nothing(return_state=True).result()

    assert main() == (None, None, None)
    assert len(calls) == 1


def test_argument_without_a_fingerprint_is_told_once_and_not_remembered(make, caplog):
    make({})
    lock = threading.Lock()

    @task("locked")
    def locked(the_lock):
        note(1)
        return 1

    @flow
    def main():
        return locked(lock), locked(lock)

    assert main() == (1, 1)
    assert len(calls) == 2
    told = [r.getMessage() for r in caplog.records if "the_lock" in r.getMessage()]
    assert len(told) == 1


def test_deleted_output_is_saved_again_on_a_hit(make):
    workspace = make({"flows/main/catalog.yaml": "out: data/out.json\n"})
    out = workspace.root / "data/out.json"

    @task("write", output="out")
    def write():
        note(1)
        return {"x": 1}

    @flow("main")
    def main():
        write()

    main()
    untouched = out.stat().st_mtime_ns
    main()
    assert out.stat().st_mtime_ns == untouched
    out.unlink()
    main()
    assert json.loads(out.read_text()) == {"x": 1}
    out.write_text("[]")
    main()
    assert json.loads(out.read_text()) == {"x": 1}
    assert len(calls) == 1


def test_value_in_a_datasets_place_has_its_own_key(make):
    make({"flows/main/catalog.yaml": "numbers: data/n.json\n", "data/n.json": "[1, 2]"})

    @task("total", input="numbers")
    def total(numbers, factor=1):
        note(tuple(numbers))
        return sum(numbers) * factor

    @flow("main")
    def main():
        return total(), total([5]), total([5]), total(factor=2)

    assert main() == (3, 5, 5, 6)
    assert calls == [(1, 2), (5,), (1, 2)]


def test_missing_argument_says_that_a_value_replaced_the_dataset():
    @task("total", input="numbers")
    def total(numbers, factor):
        return sum(numbers) * factor

    with pytest.raises(TypeError, match="replaced its dataset 'numbers'"):
        total(2)


def test_task_called_outside_of_a_flow_uses_the_workspace(make):
    make({"config/global.yaml": "factor: 3\n"})

    @task
    def scale(x):
        note(x)
        return x * params.factor

    assert (scale(2), scale(2)) == (6, 6)
    assert calls == [2]
    assert scale.fn.__name__ == "scale"


async def test_async_task_is_remembered_and_explained(make):
    make({})

    @task(retry=False)
    async def double(x):
        note(x)
        if x < 0:
            raise ValueError("negative")
        return x * 2

    @flow
    async def main():
        first, again = await double(2), await double(2)
        with pytest.raises(ValueError, match="negative") as caught:
            await double(-1)
        assert isinstance(caught.value, TaskExecutionError)
        return first, again

    assert await main() == (4, 4)
    assert calls == [2, -1]


def test_options_changed_later_keep_the_task_latent(make):
    make({})

    @task("double")
    def double(x):
        note(x)
        return x * 2

    again = double.with_options(retries=1, cache=False)
    assert type(again) is type(double)
    assert again.name == "double"

    @flow
    def main():
        return again(1), again(1)

    assert main() == (2, 2)
    assert calls == [1, 1]


def test_two_tasks_of_one_name_in_one_place_are_refused():
    @task("same")
    def one():
        return 1

    with pytest.raises(RegistryError, match="'same'"):

        @task("same")
        def two():
            return 2


def test_methods_can_be_tasks(make):
    make({})

    class Model:
        def __init__(self, factor):
            self.factor = factor

        @task
        def run(self, x):
            return x * self.factor

    @flow
    def main():
        return Model(2).run(3), Model(5).run(3)

    assert main() == (6, 15)


def test_generators_run_as_prefect_runs_them(make):
    make({})

    @task
    def count():
        yield from range(3)

    @flow
    def main():
        return list(count())

    assert main() == [0, 1, 2]


def test_timeout_is_prefects_and_fails_the_task(make):

    make({})

    @task(timeout_seconds=0.1, retry=False)
    def slow():
        time.sleep(1)

    @flow
    def main():
        slow()

    with pytest.raises(TimeoutError) as caught:
        main()
    assert isinstance(caught.value, TaskExecutionError)


def test_logger_works_in_threads_plain_functions_and_outside(make, caplog):
    workspace = make({})

    def helper(text):
        logger.info(text)

    @task(cache=False)
    def work():
        helper("from a helper")
        thread = threading.Thread(target=helper, args=("from a thread",))
        thread.start()
        thread.join()

    @flow
    def main():
        work()

    main()
    (log,) = workspace.logs_dir.glob("*.log")
    assert "from a helper" in log.read_text()
    assert "from a thread" in log.read_text()
    helper("outside")
    assert ("latent", "outside") in [(record.name, record.getMessage()) for record in caplog.records]


def test_rows_share_one_loaded_dataset(make):
    """A hundred rows that read a large table must not hold a hundred copies of it."""
    make({"flows/main/catalog.yaml": "numbers: data/n.json\n", "data/n.json": "[1, 2]"})
    seen = []

    @task("position", input="numbers", cache=False)
    def position(numbers, n):
        seen.append(numbers)
        return numbers.index(n)

    @flow("main")
    def main():
        return position.map(n=[1, 2, 1]).result()

    assert main() == [0, 1, 0]
    assert all(numbers is seen[0] for numbers in seen)


def test_waiting_for_a_thread_is_not_the_tasks_time(make):
    from latent.prefect.task_runners import ThreadPoolTaskRunner
    from latent.tracking import load_run

    workspace = make({})

    @task("nap", cache=False)
    def nap(n):
        time.sleep(0.05)

    @flow("main", task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        nap.map(range(10)).wait()

    main()
    (folder,) = workspace.runs_dir.iterdir()
    lines = load_run(workspace, folder.name).task_lines()
    spans = sorted((line["started_at"], line["duration_seconds"]) for line in lines)
    assert len(spans) == 10
    assert all(seconds >= 0.05 for _, seconds in spans)
    # One thread works on one row at a time: with the waits in it, the rows would overlap.
    ends = [began + seconds for began, seconds in spans]
    assert all(began >= end - 0.01 for (began, _), end in zip(spans[1:], ends[:-1], strict=True))


def test_limit_is_the_name_of_one():
    with pytest.raises(RegistryError, match="limit"):

        @task("call", limit=5)
        def call():
            return 1


def test_output_that_no_catalog_defines_is_refused_before_the_work(make):
    make({"flows/main/catalog.yaml": "results: data/r.json\n"})

    @task("pay", output="result")
    def pay():
        note(1)
        return [1]

    @flow("main")
    def main():
        pay()

    with pytest.raises(DatasetNotFoundError, match="results"):
        main()
    assert calls == []


def test_runs_log_file_keeps_the_traceback_of_what_ended_the_flow(make):
    workspace = make({})

    @flow("main")
    def main():
        return 1 / 0

    with pytest.raises(ZeroDivisionError):
        main()
    (log,) = workspace.logs_dir.glob("*.log")
    assert "Traceback" in log.read_text()
    assert "ZeroDivisionError" in log.read_text()


def test_function_among_the_arguments_counts_by_its_code(make):
    make({})

    def exact(answer):
        return answer == "yes"

    def lenient(answer):
        return answer.startswith("y")

    @task("score")
    def score(answer, scorer):
        note(scorer.__name__)
        return scorer(answer)

    @flow("main")
    def main():
        return score("yeah", exact), score("yeah", lenient), score("yeah", exact), score("yeah", str.isalpha)

    assert main() == (False, True, False, True)
    assert calls == ["exact", "lenient", "isalpha"]


def test_secret_in_an_error_reaches_neither_terminal_nor_log(make, capfd):
    workspace = make({})
    secret = "sk-abcdefghijklmnopqrstuvwx"

    @task("leak", retry=False)
    def leak():
        raise ValueError(f"refused {secret}")

    @flow("main")
    def main():
        leak()

    with pytest.raises(ValueError) as caught:
        main()
    assert secret not in str(caught.value)
    assert secret not in repr(caught.value)
    (log,) = workspace.logs_dir.glob("*.log")
    printed = capfd.readouterr()
    assert secret not in log.read_text() + printed.out + printed.err


@pytest.mark.parametrize("attempt", range(5))
def test_every_failed_row_stands_in_the_records(make, attempt):
    from latent.tracking import load_run

    workspace = make({})

    @task("odd", cache=False, retry=False)
    def odd(n):
        if n == 2:
            raise ValueError("two")
        return n

    @flow("main")
    def main():
        return odd.map(range(4)).result()

    with pytest.raises(FailedRowsError):
        main()
    (folder,) = workspace.runs_dir.iterdir()
    assert load_run(workspace, folder.name).outcomes == {"ok": 3, "failed": 1}


def test_task_outside_of_a_flow_follows_edited_files(make):
    """As in a notebook: the process lives on while the files change."""
    make(
        {"config/global.yaml": "k: 1\n", "flows/other/flow.py": "", "flows/other/parameters.yaml": "k: 10\n"}
    )

    @task
    def read():
        return params.k, params.get("other.k")

    assert read() == (1, 10)
    make({"config/global.yaml": "k: 2\n"})
    assert read() == (2, 10)
    make({"flows/other/parameters.yaml": "k: 20\n"})
    assert read() == (2, 20)


def test_dataset_replaced_while_it_is_loaded_is_not_remembered(make, monkeypatch):
    """The key would name the old content, and the value come from the new one."""
    from latent.catalog import Catalog

    files = {"flows/main/catalog.yaml": "numbers: data/n.json\n", "data/n.json": "[1]"}
    make(files)
    load = Catalog.load_data
    swaps = ["[2]"]

    def load_swapped(catalog, name):
        if swaps:  # another process writes between our look and our reading
            make({"data/n.json": swaps.pop()})
        return load(catalog, name)

    monkeypatch.setattr(Catalog, "load_data", load_swapped)

    @task("total", input="numbers")
    def total(numbers):
        return sum(numbers)

    @flow("main")
    def main():
        return total()

    assert main() == 2
    make(files)
    assert main() == 1


class Model(BaseModel):
    a: int


def test_failure_of_a_final_class_is_still_the_rows_own(make):
    """A malformed answer's ValidationError cannot be subclassed; it must not take the other rows with it."""
    make({})

    @task("row", retry=False, cache=False)
    def row(n):
        if n == 2:
            Model(a="x")
        return n

    @flow("main")
    def main():
        futures = row.map(range(4))
        futures.wait()
        with pytest.raises(TaskExecutionError):
            futures[2].result()
        return [f.result() for f in futures if f.state.is_completed()]

    assert main() == [0, 1, 3]


def test_outer_task_depends_on_the_datasets_of_inner_ones(make):
    make({"flows/main/catalog.yaml": "d: data/d.json\n", "data/d.json": "1"})

    @task("inner", input="d")
    def inner(d):
        return d

    @flow("sub", input="d")
    def sub(d):
        return d

    @task("outer")
    def outer(how):
        note(how)
        return inner() if how == "task" else sub()

    @flow("main")
    def main():
        return outer("task"), outer("flow")

    assert (main(), main()) == ((1, 1), (1, 1))
    assert len(calls) == 2
    make({"data/d.json": "2"})
    assert main() == (2, 2)
    make({"data/d.json": "1"})
    assert main() == (1, 1)
    assert len(calls) == 4


@pytest.mark.parametrize(
    "look",
    [
        lambda: sorted(params),
        lambda: len(params),
        lambda: hasattr(params, "added"),
        lambda: "added" in params,
        lambda: sorted(params.keys()),
    ],
)
def test_whether_a_parameter_exists_is_a_dependency(make, look):
    make({"flows/main/parameters.yaml": "a: 1\n"})

    @task("look")
    def look_at():
        return look()

    @flow("main")
    def main():
        return look_at()

    before = main()
    make({"flows/main/parameters.yaml": "a: 1\nadded: 2\n"})
    assert main() != before


def test_secret_parameter_is_masked_by_its_value_too(make, capfd):
    parameters = "db:\n  password: hidden-zq6-value\napi_keys: [second-zq7-value]\n"
    workspace = make({"flows/main/parameters.yaml": parameters})

    @task("leak", retry=False)
    def leak(text):
        logger.info(f"connecting with {text}")
        raise ValueError(f"refused {text}")

    @flow("main")
    def main():
        leak(f"{params.db.password} {params.api_keys[0]}")

    with pytest.raises(ValueError, match=r"refused \*\*\*"):
        main()
    kept = [file for file in workspace.state_dir.rglob("*") if file.suffix in (".log", ".json", ".jsonl")]
    written = "".join(file.read_text() for file in kept)
    printed = capfd.readouterr()
    for secret in ("hidden-zq6", "second-zq7"):
        assert secret not in written + printed.out + printed.err


def test_graph_leaves_objects_that_answer_for_any_attribute_alone(make):
    make({})

    @flow("main")
    def main():
        return params.anything

    assert TaskRegistry.to_dict()["main"]["tasks"] == []


@pytest.mark.parametrize("is_mapped", [False, True])
def test_registry_learns_of_a_task_that_the_flows_function_does_not_show(make, is_mapped):
    make({})

    @task("hidden", cache=False)
    def hidden(x):
        return x

    tasks = {"by name": lambda: hidden}

    @flow("main")
    def main(name="by name"):
        found = tasks[name]()
        return found.map([1, 2]).result() if is_mapped else found(1)

    main()
    assert [each["name"] for each in TaskRegistry.to_dict("main")["main"]["tasks"]] == ["hidden"]
