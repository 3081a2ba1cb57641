"""What flows and tasks may be made of, and what they say of themselves."""

from __future__ import annotations

import asyncio
import datetime
import functools
import pathlib

from pydantic import BaseModel

from tests.prefect.scenarios import in_flow, outcome, scenario


def load(x):
    """Loads."""
    return x + 1


@scenario
def names_of_flows_and_tasks(p):
    @p.flow
    def my_flow():
        """Documented."""

    @p.task
    def my_task():
        """Described."""

    made = [
        my_flow, my_task, p.flow(name="Named")(load), p.task(name="Named")(load), p.flow(load, name="Given"),
        p.task(load, name="Given"), p.flow(lambda: 1), p.task(lambda: 1), my_flow.with_options(name="Again"),
        my_task.with_options(name="Again"),
    ]  # fmt: skip
    return [(each.name, each.description, each.__name__, each.isasync) for each in made]


@scenario
def options_of_a_flow(p):
    made = p.flow(
        load, name="x", version="7", retries=2, retry_delay_seconds=0.5, timeout_seconds=3, description="d",
        log_prints=True, persist_result=True, flow_run_name="r",
    )  # fmt: skip
    shown = (
        "version retries retry_delay_seconds timeout_seconds description log_prints persist_result "
        "flow_run_name"
    )
    return [[getattr(each, name) for name in shown.split()] for each in (made, made.with_options(retries=1))]


@scenario
def options_of_a_task(p):
    made = p.task(
        load, name="x", version="7", retries=2, retry_delay_seconds=[0.5, 1], timeout_seconds=3,
        description="d", log_prints=True, persist_result=True, task_run_name="r", tags=["a", "b"],
        retry_jitter_factor=0.5, refresh_cache=True, cache_expiration=datetime.timedelta(1),
    )  # fmt: skip
    shown = (
        "version retries retry_delay_seconds timeout_seconds description log_prints persist_result "
        "task_run_name tags retry_jitter_factor refresh_cache cache_expiration"
    )
    return [[getattr(each, name) for name in shown.split()] for each in (made, made.with_options(tags=["c"]))]


@scenario
def version_of_a_flow_is_of_its_file(p):
    return (
        p.flow(load).version,
        p.flow(load, version="1").version,
        p.flow(load).with_options(name="x").version,
    )


@scenario
def entrypoint_of_a_flow_is_its_file(p):
    return p.flow(load)._entrypoint


class Order(BaseModel):
    number: int
    day: datetime.date = datetime.date(2026, 1, 1)


@scenario
def parameters_of_a_flow(p):
    @p.flow
    def main(a: int, b: list[str], c: Order, d: pathlib.Path = pathlib.Path("x"), *, e: float | None = None):
        """
        Takes much.

        Args:
            a: A number.
        """

    return main.parameters.model_dump()


@scenario
def version_of_prefect(p):
    return p.__version__


@scenario
def from_source_is_there(p):
    return callable(p.flow.from_source), callable(p.Flow.from_source)


@scenario
def kinds_of_submodules_are_one(p):
    import prefect.client.schemas.objects as objects
    import prefect.utilities.annotations as annotations

    return (
        p.module("utilities.annotations").quote is annotations.quote,
        p.module("client.schemas.objects").State is objects.State,
        p.module("futures").PrefectFuture.__name__,
        p.module("tasks").task_input_hash.__name__,
        p.module("flows").load_flow_from_entrypoint.__name__,
    )


@scenario
def wrong_options(p):
    def count():
        return 1

    return [
        outcome(lambda: p.flow(name=3)(count)),
        outcome(lambda: p.flow(flow_run_name=3)(count)),
        outcome(lambda: p.task(task_run_name=3)(count)),
        outcome(lambda: p.task(on_completion=3)(count)),
        outcome(lambda: p.flow(on_failure=["x"])(count)),
        outcome(lambda: p.task(retry_jitter_factor=-1)(count)),
        outcome(lambda: p.task(retry_condition_fn="x")(count)),
        outcome(lambda: p.flow(lambda return_state: 1)),
        outcome(lambda: p.task(lambda wait_for: 1)),
    ]


class Scaler:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return x * self.factor


@scenario
def partial_as_a_task(p):
    made = p.task(functools.partial(divmod, 17), name="divided")
    return in_flow(p, lambda: [made(5), made.submit(3).result(), made.map([2, 4]).result()])


@scenario
def partial_of_a_function_as_a_task(p):
    def power(base, exponent):
        return base**exponent

    made = p.task(functools.partial(power, exponent=3), name="cube")
    return in_flow(p, lambda: [made(2), made.submit(base=3).result(), made.map([1, 2]).result()])


@scenario
def callable_object_as_a_task(p):
    made = p.task(Scaler(3))
    return made.name, in_flow(p, lambda: [made(2), made.submit(3).result(), made.map([4, 5]).result()])


@scenario
def builtin_as_a_task(p):
    made = p.task(sum)
    return made.name, in_flow(p, lambda: [made([1, 2]), made.submit([3]).result()])


@scenario
def lambda_as_a_task(p):
    made = p.task(lambda x: x * 2)
    return made.name, in_flow(p, lambda: made(2))


@scenario
def flow_as_a_task(p):
    @p.flow
    def child(x):
        return x * 2

    made = p.task(child)
    return made.name, in_flow(p, lambda: [made(1), made.submit(4).result(), made.map([5, 6]).result()])


@scenario
def methods_as_tasks(p):
    class Work:
        factor = 3

        @p.task
        def times(self, x):
            return x * self.factor

        @p.task
        @classmethod
        def of_class(cls, x):
            return x + cls.factor

        @p.task
        @staticmethod
        def of_nobody(x):
            return x - 1

    def work():
        one = Work()
        return [
            one.times(1), one.times.submit(2).result(), one.times.map([3, 4]).result(), one.of_class(1),
            Work.of_class(2), Work.of_class.submit(3).result(), Work.of_nobody(4), Work.of_nobody(5),
            Work.of_nobody.submit(6).result(), Work.of_nobody.map([7, 8]).result(),
        ]  # fmt: skip

    return in_flow(p, work)


@scenario
def methods_as_flows(p):
    class Work:
        factor = 3

        @p.flow
        def times(self, x):
            return x * self.factor

        @p.flow
        @classmethod
        def of_class(cls, x):
            return x + cls.factor

        @p.flow
        @staticmethod
        def of_nobody(x=1):
            return x - 1

    one = Work()
    return [
        one.times(1),
        one.times(x=2),
        one.of_class(1),
        Work.of_class(2),
        Work.of_nobody(4),
        Work.of_nobody(),
    ]


@scenario
def class_methods_of_subclasses_with_other_options(p):
    class Base:
        @p.flow
        @classmethod
        def flow(cls, x):
            return cls.__name__, x

        @p.task
        @classmethod
        def task(cls, x):
            return cls.__name__, x

    class Other(Base):
        pass

    tasks = Other.task.with_options(name="again")
    return Other.flow(1), Base.flow(2), in_flow(p, lambda: [tasks(2), tasks.submit(4).result(), Base.task(3)])


@scenario
def async_methods(p):
    class Work:
        @p.task
        async def task(self, x):
            return x + 1

        @p.flow
        async def flow(self, x):
            return await self.task(x)

    return asyncio.run(Work().flow(1))


@scenario
def generator_task(p):
    @p.task
    def count(n):
        yield from range(n)

    return in_flow(p, lambda: [list(count(3)), next(iter(count(2)))])


@scenario
def generator_task_that_fails(p):
    began = []

    @p.task
    def count():
        began.append(1)
        yield 1
        raise ValueError("no more")

    def work():
        got = []
        try:
            for each in count():
                got.append(each)
        except ValueError as error:
            return got, error, len(began)

    return in_flow(p, work)


@scenario
def generator_flow(p):
    @p.flow
    def count(n):
        yield from range(n)

    return list(count(3))


@scenario
def async_generator_task(p):
    @p.task
    async def count(n):
        for each in range(n):
            yield each

    @p.flow
    async def main():
        return [each async for each in count(3)]

    return asyncio.run(main())
