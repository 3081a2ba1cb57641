"""Every kind of argument, handed to tasks and subflows in every way: scenarios made from two lists."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel

from tests.prefect.same_as_prefect import Names, Scenario


@dataclasses.dataclass
class Pair:
    left: Any
    right: Any = 2


class Order(BaseModel):
    number: Any
    note: str = "none"


class Tasks:
    """The tasks and flows that the scenarios use, made with the decorators under test."""

    def __init__(self, names: Names, *, is_async: bool) -> None:
        self.names = names

        @names.task(retries=0)
        def square(x):
            if x < 0:
                raise ValueError(f"{x} is negative")
            return x * x

        @names.task
        def numbers(n):
            return list(range(n))

        self.square, self.numbers = square, numbers
        self.tell, self.tell_flow = self._async_consumers() if is_async else self._consumers()

    def _consumers(self) -> tuple[Any, Any]:
        @self.names.task(retries=0)
        def tell(value, other=None):
            return describe(value, other)

        @self.names.flow
        def tell_flow(value, other=None):
            return describe(value, other)

        return tell, tell_flow

    def _async_consumers(self) -> tuple[Any, Any]:
        @self.names.task(retries=0)
        async def tell(value, other=None):
            return describe(value, other)

        @self.names.flow
        async def tell_flow(value, other=None):
            return describe(value, other)

        return tell, tell_flow


def describe(value: Any, other: Any) -> str:
    if isinstance(value, list):
        value = list(value)  # Prefect hands on a list of its own class
    return f"{type(value).__name__} {value!r} {other!r}"


def annotation(names: Names, name: str) -> Any:
    return getattr(names.module("utilities.annotations"), name)


ARGUMENTS: dict[str, Callable[[Tasks], Any]] = {
    "number": lambda t: 5,
    "none": lambda t: None,
    "text": lambda t: "text",
    "list": lambda t: [1, 2],
    "nested": lambda t: {"a": [1, {"b": (2, 3)}]},
    "path": lambda t: pathlib.Path("a/b"),
    "date": lambda t: datetime.date(2026, 1, 2),
    "dataclass": lambda t: Pair(1),
    "model": lambda t: Order(number=1),
    "future": lambda t: t.square.submit(3),
    "done_future": lambda t: done(t.square.submit(3)),
    "state": lambda t: t.square(3, return_state=True),
    "submitted_state": lambda t: t.square.submit(3, return_state=True),
    "futures": lambda t: [t.square.submit(3), 7, t.square.submit(4)],
    "futures_in_a_dict": lambda t: {"a": t.square.submit(3), "b": [t.square.submit(4)]},
    "futures_in_a_tuple": lambda t: (t.square.submit(3), 1),
    "future_in_a_dataclass": lambda t: Pair(t.square.submit(3)),
    "future_in_a_model": lambda t: Order(number=t.square.submit(3)),
    "mapped": lambda t: t.square.map([1, 2, 3]),
    "mapped_in_a_dict": lambda t: {"squares": t.square.map([1, 2, 3])},
    "mapped_in_a_list": lambda t: [t.square.map([1, 2]), t.square.map([3])],
    "mapped_sliced": lambda t: t.square.map([1, 2, 3])[1:],
    "one_mapped": lambda t: t.square.map([1, 2, 3])[1],
    "states": lambda t: t.square.map([1, 2], return_state=True),
    "future_of_a_list": lambda t: t.numbers.submit(3),
    "failed_future": lambda t: t.square.submit(-1),
    "failed_in_a_list": lambda t: [t.square.submit(2), t.square.submit(-1)],
    "failed_state": lambda t: t.square(-1, return_state=True),
    "allowed_future": lambda t: annotation(t.names, "allow_failure")(t.square.submit(3)),
    "allowed_failed_future": lambda t: annotation(t.names, "allow_failure")(t.square.submit(-1)),
    "allowed_list": lambda t: annotation(t.names, "allow_failure")([t.square.submit(2), t.square.submit(-1)]),
    "allowed_in_a_list": lambda t: [annotation(t.names, "allow_failure")(t.square.submit(-1)), 2],
    "allowed_failed_state": lambda t: annotation(t.names, "allow_failure")(t.square(-1, return_state=True)),
    "quoted": lambda t: annotation(t.names, "quote")([1, 2]),
    "quoted_number": lambda t: annotation(t.names, "quote")(3),
    "opaque_future": lambda t: annotation(t.names, "opaque")(t.square.submit(3)),
    "opaque_value": lambda t: annotation(t.names, "opaque")({"a": 1}),
    "unmapped": lambda t: annotation(t.names, "unmapped")([1, 2]),
    "unmapped_future": lambda t: annotation(t.names, "unmapped")(t.square.submit(3)),
}


def done(future: Any) -> Any:
    future.wait()
    return future


CALLS: dict[str, Callable[[Tasks, Any], Any]] = {
    "call": lambda t, value: t.tell(value),
    "call_for_the_state": lambda t, value: t.tell(value, return_state=True),
    "submit": lambda t, value: t.tell.submit(value).result(),
    "map_over_it": lambda t, value: [each.result() for each in t.tell.map(value, other="o")],
    "map_with_it_in_a_list": lambda t, value: [each.result() for each in t.tell.map([value, 1])],
    "map_beside_it": lambda t, value: [
        each.result() for each in t.tell.map([1, 2], other=t.names.unmapped(value))
    ],
    "map_for_the_states": lambda t, value: t.tell.map([value], return_state=True),
    "subflow": lambda t, value: t.tell_flow(value),
    "submitted_and_waited_for": lambda t, value: t.tell.submit(1, wait_for=[value]).result(),
}


PLAIN = ("number", "none", "text", "list", "nested", "path", "date", "dataclass", "model")
FAILED = ("failed_future", "failed_in_a_list", "failed_state")
"""Arguments that are not there, since what was to make them failed."""

NOT_ROWS = ("futures_in_a_dict", "mapped_in_a_dict", "allowed_failed_state", "one_mapped")
"""What is not to be mapped over, or is a race in Prefect: it cancels what nobody waits for."""

_ALSO_ASYNC = ("call", "submit")


def scenarios() -> Iterator[tuple[str, Scenario]]:
    """Each argument with each call, sync and async, by name; of plain values, the calls that differ."""
    for argument, make in ARGUMENTS.items():
        for call, use in CALLS.items():
            if argument in PLAIN and call not in ("call", "map_with_it_in_a_list", "subflow"):
                continue
            if argument in NOT_ROWS and call == "map_over_it":
                continue
            yield f"{argument}-{call}-sync", scenario(make, use)
            if call in _ALSO_ASYNC:
                yield f"{argument}-{call}-async", scenario(make, use, is_async=True)


def scenario(
    make: Callable[[Tasks], Any], use: Callable[[Tasks, Any], Any], *, is_async: bool = False
) -> Scenario:
    def run(names: Names) -> Any:
        tasks = Tasks(names, is_async=is_async)
        if not is_async:

            @names.flow
            def main():
                return outcome(lambda: use(tasks, make(tasks)))

            return main()

        @names.flow
        async def later():
            try:
                value = use(tasks, make(tasks))
                return [await value if asyncio.iscoroutine(value) else value]
            except Exception as error:
                return [error]

        return asyncio.run(later())

    return run


def outcome(call: Callable[[], Any]) -> list[Any]:
    """The value or the error, in a list: a flow that returns a state would end as it did."""
    try:
        return [call()]
    except Exception as error:
        return [error]
