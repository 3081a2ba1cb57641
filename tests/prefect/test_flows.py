"""Flows: configuration, datasets in and out, subflows, and what Prefect gets to see."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from pydantic import BaseModel

from latent.errors import (
    DatasetNotFoundError,
    FailedRowsError,
    NotInRunError,
    OutputMismatchError,
    RegistryError,
)
from latent.prefect import flow, params, task
from latent.prefect.api import memory_api

OUTPUTS = "a: data/a.json\nb: data/b.json\n"


def read(workspace, name):
    return json.loads((workspace.root / name).read_text())


@pytest.mark.parametrize("returned", [([1], [2]), {"b": [2], "a": [1]}])
def test_several_outputs_are_saved_in_order_or_by_name(make, returned):
    workspace = make({"flows/main/catalog.yaml": OUTPUTS})

    @flow("main", output=["a", "b"])
    def main():
        return returned

    main()
    assert (read(workspace, "data/a.json"), read(workspace, "data/b.json")) == ([1], [2])


def test_one_output_is_the_value_even_when_it_is_a_mapping(make):
    workspace = make({"flows/main/catalog.yaml": OUTPUTS})

    @flow("main", output="a")
    def main():
        return {"a": 1, "b": 2}

    main()
    assert read(workspace, "data/a.json") == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "returned None"),
        (([1],), "a tuple of 1"),
        ([[1], [2]], "returned one list"),
        ({"a": [1]}, "lacks 'b'"),
        ({"a": [1], "b": [2], "c": [3]}, "'c' is not declared"),
        (([1], None), "None for its output 'b'"),
    ],
)
def test_outputs_that_do_not_fit_are_refused_before_anything_is_saved(make, returned, message):
    workspace = make({"flows/main/catalog.yaml": OUTPUTS})

    @flow("main", output=["a", "b"])
    def main():
        return returned

    with pytest.raises(OutputMismatchError, match=message):
        main()
    assert not (workspace.root / "data").exists()


def test_unknown_output_dataset_is_refused_with_the_nearest_name(make):
    make({"flows/main/catalog.yaml": "results: data/a.json\n"})

    @flow("main", output="result")
    def main():
        return [1]

    with pytest.raises(DatasetNotFoundError, match="results"):
        main()


def test_datasets_match_parameters_by_name_before_order(make):
    make({"flows/main/catalog.yaml": OUTPUTS, "data/a.json": '"A"', "data/b.json": '"B"'})

    @flow("main", input=["a", "b"])
    def main(b, other):
        return b, other

    assert main() == ("B", "A")


def test_passed_value_replaces_the_dataset(make):
    make({"flows/main/catalog.yaml": OUTPUTS, "data/a.json": '"A"'})

    @flow("main", input=["a", "b"])
    def main(a, b):
        return a, b

    assert main(b="mine") == ("A", "mine")
    assert main("x", "y") == ("x", "y")


def test_flow_function_without_parameters_receives_nothing(make):
    make({"flows/main/catalog.yaml": OUTPUTS})

    @flow("main", input=["a"])
    def main():
        return "ran"

    assert main() == "ran"


def test_more_datasets_than_parameters_is_an_error_at_decoration():
    with pytest.raises(RegistryError, match="'b'"):

        @flow("main", input=["a", "b"])
        def main(a):
            return a


def test_prefect_sees_neither_datasets_nor_large_arguments(make):
    """An 8 MB frame as a flow parameter costs seconds, and a server refuses more than 512 kB."""
    make({"flows/main/catalog.yaml": OUTPUTS, "data/a.json": "[1]"})

    @flow("main", input=["a"])
    def main(a, frame, limit: int = 3):
        return len(frame)

    frame = pd.DataFrame({"x": range(100_000)})
    assert list(main.parameters.properties) == ["frame", "limit"]
    assert main(frame=frame) == 100_000
    sent = memory_api().flow_runs()[-1]["parameters"]
    assert sent["limit"] == 3
    assert sent["frame"].startswith("<DataFrame ")
    assert len(sent["frame"]) < 100


def test_annotations_are_validated_also_for_large_arguments(make):
    make({})

    @flow
    def total(values: list[int]):
        return sum(values)

    assert total([str(n) for n in range(5_000)]) == sum(range(5_000))
    with pytest.raises(Exception, match="valid integer"):
        total(["x"] * 5_000)


def test_futures_in_the_return_value_are_resolved(make):
    make({})

    @task
    def double(x):
        return x * 2

    @flow
    def main():
        return {"one": double.submit(1), "many": double.map([1, 2, 3]), "nested": [(double.submit(5), "x")]}

    assert main() == {"one": 2, "many": [2, 4, 6], "nested": [(10, "x")]}


async def test_async_flow_with_async_tasks(make):
    make({"flows/main/parameters.yaml": "factor: 3\n"})

    @task
    async def scale(x):
        return x * params.factor

    @flow("main")
    async def main():
        futures = scale.map([1, 2])
        return await scale(10), [future.result() for future in futures]

    assert await main() == (30, [3, 6])


def test_return_state_gives_prefects_state(make):
    make({})

    @task(retry=False)
    def fail():
        raise KeyError("k")

    @flow
    def good():
        return 1

    @flow
    def bad():
        fail()

    assert good(return_state=True).result() == 1
    state = bad(return_state=True)
    assert state.is_failed()
    with pytest.raises(KeyError):
        state.result()


class Schema(BaseModel):
    temperature: float = 0.7


def test_flow_without_a_folder_has_global_parameters_and_schema_defaults(make):
    make({"config/global.yaml": "region: eu\n"})

    @flow("homeless", config_schema=Schema)
    def homeless():
        return params.region, params.temperature

    assert homeless() == ("eu", 0.7)


def test_subflow_without_a_folder_inherits_parameters_and_catalog(make):
    make(
        {
            "flows/main/parameters.yaml": "batch_size: 8\n",
            "flows/main/catalog.yaml": "a: data/a.json\n",
            "data/a.json": "[1]",
        }
    )

    @flow("helper", input="a", config_schema=Schema)
    def helper(a):
        return a, params.batch_size, params.temperature

    @flow("main")
    def main():
        return helper()

    assert main() == ([1], 8, 0.7)


def test_subflow_with_a_folder_has_its_own(make):
    make(
        {
            "flows/main/parameters.yaml": "size: 1\n",
            "flows/other/parameters.yaml": "size: 2\n",
            "flows/other/flow.py": "",
        }
    )

    @flow("other")
    def other():
        return params.size

    @flow("main")
    def main():
        return params.size, other(), params.size

    assert main() == (1, 2, 1)


def test_bare_function_stays_within_reach(make):
    make({"flows/main/catalog.yaml": OUTPUTS})

    @flow("main", input="a")
    def main(a):
        return a + 1

    assert main.fn(1) == 2


def test_options_changed_later_keep_the_flow_latent(make):
    make({"flows/main/catalog.yaml": OUTPUTS, "data/a.json": "[1]"})

    @flow("main", input="a")
    def main(a):
        return a

    again = main.with_options(retries=2, description="changed")
    assert type(again) is type(main)
    assert (again.retries, again.description, again()) == (2, "changed", [1])


def test_flow_retries_start_the_run_over(make):
    make({})
    attempts = []

    @flow(retries=2)
    def flaky():
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError("not yet")
        return "at last"

    assert flaky() == "at last"


def test_flow_waits_for_its_rows_and_fails_for_failures_nobody_looked_at(make):
    make({})

    @task(retry=False)
    def odd(n):
        if n % 2:
            raise ValueError(f"odd {n}")
        return n

    @flow
    def careless():
        odd.map(range(4))
        return "done"

    with pytest.raises(FailedRowsError, match="2 of 4 rows failed") as caught:
        careless()
    assert [str(e.original_error) for e in caught.value.exceptions] == ["odd 1", "odd 3"]


def test_flow_that_looked_at_its_failures_succeeds(make):
    make({})

    @task(retry=False)
    def odd(n):
        if n % 2:
            raise ValueError(f"odd {n}")
        return n

    @flow
    def careful():
        futures = odd.map(range(4))
        return [f.result() if f.state.is_completed() else None for f in futures if f.wait() is None]

    assert careful() == [0, None, 2, None]


def test_flow_methods_run(make):
    make({})

    class Pipeline:
        def __init__(self, factor):
            self.factor = factor

        @flow
        def run(self, x):
            return x * self.factor

    assert Pipeline(3).run(2) == 6


def test_params_outside_of_a_run_say_what_to_do(make):
    make({})
    with pytest.raises(NotInRunError, match="latent run"):
        params.anything  # noqa: B018  # reading is the test


def test_two_runs_in_threads_keep_their_parameters_apart(make):
    from concurrent.futures import ThreadPoolExecutor

    make(
        {
            "flows/one/parameters.yaml": "n: 1\n",
            "flows/one/flow.py": "",
            "flows/two/parameters.yaml": "n: 2\n",
            "flows/two/flow.py": "",
        }
    )

    @flow("one")
    def one():
        return [params.n for _ in range(200)]

    @flow("two")
    def two():
        return [params.n for _ in range(200)]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(one), pool.submit(two)
        assert (set(first.result()), set(second.result())) == ({1}, {2})


def test_any_number_of_arguments_reaches_the_flow(make):
    make({})

    @flow
    def anything(*args, **named):
        return args, named

    assert anything(1, 2, a=3) == ((1, 2), {"a": 3})


def test_flow_waits_for_what_it_submitted(make):
    import time

    make({})
    done = []

    @task(cache=False)
    def slow(n):
        time.sleep(0.1)
        done.append(n)

    @flow
    def careless():
        for n in range(3):
            slow.submit(n)

    careless()
    assert sorted(done) == [0, 1, 2]


def test_generator_flows_have_parameters_and_need_no_server(make, monkeypatch):
    make({"flows/main/parameters.yaml": "factor: 3\n"})
    monkeypatch.setenv("PREFECT_SERVER_EPHEMERAL_ENABLED", "false")

    @task
    def scale(x):
        return x * params.factor

    @flow("main")
    def main():
        for n in range(3):
            yield scale(n)

    assert list(main()) == [0, 3, 6]


async def test_async_generator_flows_run(make):
    make({"flows/main/parameters.yaml": "factor: 3\n"})

    @flow("main")
    async def main():
        for n in range(3):
            yield n * params.factor

    assert [value async for value in main()] == [0, 3, 6]


class Options(BaseModel):
    names: list[str] = ["a"]


class Nested(BaseModel):
    options: Options = Options()


def test_parameters_cannot_be_changed_for_others(make):
    make({"config/global.yaml": "sizes: [1]\n"})

    @flow("main", config_schema=Nested)
    def main():
        params.options.names.append("b")
        params.as_model(Nested).options.names.append("c")
        params.sizes.append(2)
        return params.options.names, params.as_model(Nested).options.names, params.sizes

    assert main() == (["a"], ["a"], [1])


def test_other_flows_parameters_stay_as_they_were_when_the_run_began_to_read(make):
    """A file edited during a run must not be remembered under its old fingerprint."""
    files = {"flows/other/flow.py": "", "flows/other/parameters.yaml": "k: 1\n"}
    make(files)

    @task("read")
    def read(n):
        return params.get("other.k")

    @flow("main")
    def main(edit):
        first = read(1)
        if edit:
            make(files | {"flows/other/parameters.yaml": "k: 2\n"})
        return first, read(2)

    assert main(edit=True) == (1, 1)
    assert main(edit=False) == (2, 2)
    make(files)
    assert main(edit=False) == (1, 1)


def test_class_methods_with_other_options_belong_to_the_class_they_were_taken_from(make):
    make({})

    class Base:
        @flow
        @classmethod
        def named(cls):
            return cls.__name__

    class Other(Base):
        pass

    again = Other.named.with_options(name="again")
    assert (again(), Base.named(), Other.named()) == ("Other", "Base", "Other")
