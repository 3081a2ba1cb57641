"""How runs end: values, states, failures, retries, timeouts, hooks."""

from __future__ import annotations

import asyncio
import time

from tests.prefect.scenarios import SCENARIOS, in_flow, outcome, scenario


def _states(p):
    return p.module("states")


@scenario
def flow_that_fails(p):
    @p.flow
    def main():
        raise ValueError("wrong")

    return [outcome(main), main(return_state=True), main(return_state=True).result(raise_on_failure=False)]


@scenario
def task_that_fails(p):
    @p.task(retries=0)
    def broken(x):
        raise ValueError(f"wrong {x}")

    @p.flow
    def main():
        states = [broken(1, return_state=True), broken.submit(2, return_state=True)]
        return [
            *[[state, state.result(raise_on_failure=False)] for state in states],
            outcome(lambda: broken(3)),
        ]

    return main()


@scenario
def failure_that_nobody_catches(p):
    @p.task(retries=0)
    def broken():
        raise KeyError("lost")

    @p.flow
    def main():
        broken()

    return main(return_state=True).type, outcome(main)


@scenario
def task_that_returns_a_state(p):
    states = _states(p)

    @p.task(retries=0)
    def give(kind):
        return {
            "completed": lambda: states.Completed(message="fine", data=3),
            "named": lambda: states.Completed(name="Skipped", message="nothing to do"),
            "failed": lambda: states.Failed(message="not good"),
            "cancelled": lambda: states.Cancelled(message="stopped"),
        }[kind]()

    def work():
        return [
            [give(kind, return_state=True), give.submit(kind, return_state=True)]
            for kind in ("completed", "named", "failed", "cancelled")
        ]

    return in_flow(p, lambda: [[each] for each in work()])


def _flow_returning(make, *, fails=False):
    def run(p):
        @p.task(retries=0)
        def number(x):
            if x < 0:
                raise ValueError("negative")
            return x

        @p.flow
        def main():
            return make(p, number)

        return [outcome(main), main(return_state=True)]

    return run


_RETURNED = {
    "nothing": lambda p, number: None,
    "a_value": lambda p, number: {"a": 1},
    "a_completed_state": lambda p, number: _states(p).Completed(message="fine", data=7),
    "a_named_state": lambda p, number: _states(p).Completed(name="Skipped", message="nothing to do"),
    "a_failed_state": lambda p, number: _states(p).Failed(message="not good"),
    "a_failed_state_with_an_error": lambda p, number: _states(p).Failed(data=ValueError("x"), message="bad"),
    "a_cancelled_state": lambda p, number: _states(p).Cancelled(message="stopped"),
    "a_crashed_state": lambda p, number: _states(p).Crashed(message="crashed"),
    "the_state_of_a_task": lambda p, number: number(3, return_state=True),
    "the_state_of_a_failed_task": lambda p, number: number(-3, return_state=True),
    "states_of_tasks": lambda p, number: [number(1, return_state=True), number(2, return_state=True)],
    "states_of_which_one_failed": lambda p, number: [
        number(1, return_state=True),
        number(-2, return_state=True),
    ],
    "states_in_a_tuple": lambda p, number: (number(1, return_state=True), _states(p).Completed()),
    "states_in_a_dict": lambda p, number: {"a": number(1, return_state=True)},
    "a_quoted_state": lambda p, number: (
        p.module("utilities.annotations").quote(number(1, return_state=True)).unquote().type
    ),
    "a_generator": lambda p, number: (each for each in (1, 2)),
    "mapped_states": lambda p, number: number.map([1, 2], return_state=True),
    "mapped_states_of_which_one_failed": lambda p, number: number.map([1, -2], return_state=True),
}
for _name, _make in _RETURNED.items():
    SCENARIOS[f"flow_that_returns_{_name}"] = _flow_returning(_make)


@scenario
def async_flow_that_returns_a_state(p):
    @p.flow
    async def main():
        return _states(p).Failed(message="not good")

    return asyncio.run(main(return_state=True))


@scenario
def subflow_that_returns_a_state(p):
    @p.flow
    def child():
        return _states(p).Failed(message="not good")

    @p.flow
    def main():
        return [child(return_state=True).name, outcome(child)]

    return main()


@scenario
def subflow_that_fails(p):
    @p.flow
    def child():
        raise ValueError("wrong")

    @p.flow
    def main():
        return [outcome(child), [child(return_state=True)]]

    return main()


@scenario
def retries_of_a_task(p):
    seen = []

    @p.task(retries=2, retry_delay_seconds=0)
    def flaky():
        from prefect.runtime import task_run

        seen.append(task_run.run_count)
        if len(seen) < 3:
            raise ValueError("again")
        return "done"

    return in_flow(p, lambda: [flaky(), seen])


@scenario
def retries_of_a_task_that_are_used_up(p):
    seen = []

    @p.task(retries=1, retry_delay_seconds=0)
    def flaky():
        seen.append(1)
        raise ValueError("again")

    return in_flow(p, lambda: [[flaky(return_state=True)], len(seen)])


@scenario
def retries_of_mapped_tasks(p):
    seen = []

    @p.task(retries=2, retry_delay_seconds=0)
    def flaky(x):
        seen.append(x)
        if seen.count(x) < 3:
            raise ValueError("again")
        return x

    return in_flow(p, lambda: [flaky.map([1, 2]).result(), sorted(seen)])


@scenario
def retry_condition(p):
    asked = []

    def again(task, run, state):
        asked.append((task.name, run.run_count, state.name, state.message))
        return len(asked) < 2

    @p.task(retries=5, retry_delay_seconds=0, retry_condition_fn=again)
    def flaky():
        raise ValueError("again")

    return in_flow(p, lambda: [[flaky(return_state=True)], asked])


@scenario
def retries_of_a_flow(p):
    seen = []

    @p.flow(retries=2)
    def flaky():
        seen.append(1)
        if len(seen) < 3:
            raise ValueError("again")
        return len(seen)

    return flaky()


@scenario
def timeout_of_a_task(p):
    @p.task(timeout_seconds=0.1, retries=0)
    def slow():
        for _ in range(100):
            time.sleep(0.02)

    return in_flow(p, lambda: [[slow(return_state=True)]])


@scenario
def timeout_of_a_flow(p):
    @p.flow(timeout_seconds=0.1)
    def slow():
        for _ in range(100):
            time.sleep(0.02)

    return slow(return_state=True)


@scenario
def timeout_of_an_async_task(p):
    @p.task(timeout_seconds=0.1, retries=0)
    async def slow():
        await asyncio.sleep(5)

    @p.flow
    async def main():
        return [[await slow(return_state=True)]]

    return asyncio.run(main())


@scenario
def hooks_of_tasks(p):
    seen = []

    def note(task, run, state):
        seen.append((task.name, state.type.value, state.name, state.message))

    @p.task(on_completion=[note], on_failure=[note], on_running=[note], retries=0)
    def work(x):
        if x < 0:
            raise ValueError("negative")
        return x

    @work.on_completion
    def later(task, run, state):
        seen.append("later")

    def all_of_it():
        return [work(1), outcome(lambda: work(-1)), work.submit(2).result(), work.map([3, 4]).result()]

    return in_flow(p, all_of_it), sorted(map(str, seen))


@scenario
def hooks_of_flows(p):
    seen = []

    def note(flow, run, state):
        seen.append((flow.name, state.type.value, state.name, state.message, run.parameters))

    @p.flow(on_completion=[note], on_failure=[note], on_running=[note])
    def work(x):
        if x < 0:
            raise ValueError("negative")
        return x

    return work(1), outcome(lambda: work(-1)), seen


@scenario
def commit_and_rollback_hooks(p):
    transaction = p.module("transactions").transaction
    seen = []

    @p.task
    def first(x):
        return 1

    @first.on_rollback
    def undo(txn):
        seen.append("undone")

    @first.on_commit
    def done(txn):
        seen.append("done")

    @p.task(retries=0)
    def second():
        raise ValueError("no")

    @p.flow
    def main(fails):
        with transaction():
            first(fails)
            if fails:
                second()

    return outcome(lambda: main(True)), seen[:], main(False), seen
