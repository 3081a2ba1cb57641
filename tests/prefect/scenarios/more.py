"""Prefect's cache, artifacts, variables, limits and task runners."""

from __future__ import annotations

from tests.prefect.scenarios import SCENARIOS, in_flow, scenario


def _cached(**options):
    def run(p):
        seen = []

        @p.task(**{name: make(p) for name, make in options.items()})
        def work(x, y=0):
            seen.append(x)
            return x * 2

        @p.flow
        def main():
            return [work(1), work(1), work(1, y=1), work.submit(2).result(), work.submit(2).result()]

        return main(), len(seen)

    return run


def _policies(p):
    return p.module("cache_policies")


_POLICIES = {
    "inputs": {"cache_policy": lambda p: _policies(p).INPUTS},
    "inputs_but_one": {"cache_policy": lambda p: _policies(p).INPUTS - "y"},
    "source": {"cache_policy": lambda p: _policies(p).TASK_SOURCE},
    "run": {"cache_policy": lambda p: _policies(p).RUN_ID},
    "none": {"cache_policy": lambda p: _policies(p).NO_CACHE},
    "several": {"cache_policy": lambda p: _policies(p).INPUTS + _policies(p).TASK_SOURCE},
    "key_fn": {"cache_key_fn": lambda p: lambda context, parameters: f"key-{parameters['x']}"},
    "hash": {"cache_key_fn": lambda p: p.module("tasks").task_input_hash},
    "no_key": {"cache_key_fn": lambda p: lambda context, parameters: None},
    "broken_key": {"cache_key_fn": lambda p: lambda context, parameters: parameters["missing"]},
    "refreshed": {
        "cache_policy": lambda p: _policies(p).INPUTS, "refresh_cache": lambda p: True,
    },
}  # fmt: skip
for _name, _options in _POLICIES.items():
    SCENARIOS[f"cache_with_{_name}"] = _cached(**_options)


@scenario
def artifacts_and_variables(p):
    artifacts, variables = p.module("artifacts"), p.module("variables")

    @p.task
    def work():
        return type(artifacts.create_markdown_artifact("# x", key="x")).__name__

    def all_of_it():
        variables.Variable.set("a_name", {"a": 1}, overwrite=True)
        return [work(), variables.Variable.get("a_name"), variables.Variable.get("missing", default=3)]

    return in_flow(p, all_of_it)


@scenario
def concurrency_slots(p):
    concurrency = p.module("concurrency.sync").concurrency

    @p.task
    def work(x):
        with concurrency("slots-of-nobody", occupy=1):
            return x

    return in_flow(p, lambda: work.map([1, 2]).result())


@scenario
def task_runners(p):
    runner = p.module("task_runners").ThreadPoolTaskRunner

    @p.task
    def work(x):
        return x

    results = []
    for given in (runner(max_workers=2), runner):

        @p.flow(task_runner=given)
        def main():
            return work.map([1, 2, 3]).result()

        results.append((main(), type(main.task_runner).__name__))
    return results


@scenario
def visualized(p):
    @p.task(viz_return_value=4)
    def work(x):
        return x

    return work.viz_return_value


@scenario
def flow_called_with_large_values(p):
    @p.flow
    def main(values: list, text: str):
        return len(values), len(text)

    @p.task
    def count(values):
        return len(values)

    return main(list(range(2000)), "x" * 20_000), in_flow(p, lambda: count(list(range(3000))))


@scenario
def result_of_a_subflow_as_an_argument(p):
    @p.flow
    def child(x):
        return {"value": x}

    @p.task
    def keep(x):
        return x

    return in_flow(p, lambda: [keep(child(1)), keep(child(2, return_state=True)), child(keep.submit(3))])


@scenario
def wait_for_the_failed(p):
    @p.task(retries=0)
    def broken():
        raise ValueError("no")

    @p.task
    def after():
        return 1

    def all_of_it():
        allow_failure = p.allow_failure
        return [
            after.submit(wait_for=[allow_failure(broken.submit())]).result(),
            [after.submit(wait_for=[broken.submit()], return_state=True)],
        ]  # fmt: skip

    return in_flow(p, all_of_it)


@scenario
def exceptions_of_all_kinds(p):
    class OwnError(Exception):
        def __init__(self, code, *, detail):
            super().__init__(code)
            self.code, self.detail = code, detail

    raised = {
        "own": lambda: OwnError(3, detail="x"), "key": lambda: KeyError("k"),
        "os": lambda: OSError(2, "gone", "f"),
        "stop": lambda: StopIteration(1), "group": lambda: ExceptionGroup("many", [ValueError(1)]),
        "unicode": lambda: UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"),
    }  # fmt: skip

    @p.task(retries=0)
    def broken(kind):
        raise raised[kind]()

    def caught(kind):
        try:
            broken(kind)
        except Exception as error:
            kinds = [each.__name__ for each in type(error).__mro__]
            return (
                type(raised[kind]()).__name__ in kinds,
                getattr(error, "code", None),
                getattr(error, "args", None),
            )

    return in_flow(p, lambda: [caught(kind) for kind in raised])
