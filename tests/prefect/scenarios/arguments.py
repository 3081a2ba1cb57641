"""What flows and tasks are called with."""

from __future__ import annotations

import datetime
import pathlib

from pydantic import BaseModel

from tests.prefect.scenarios import in_flow, outcome, scenario


class Order(BaseModel):
    number: int
    day: datetime.date = datetime.date(2026, 1, 1)


@scenario
def arguments_of_flows_are_converted(p):
    @p.flow
    def main(
        count: int, path: pathlib.Path, order: Order, day: datetime.date, names: list[str], more: float = 1
    ):
        return [
            count,
            path,
            order,
            day,
            names,
            more,
            [type(each).__name__ for each in (count, path, order, day)],
        ]

    return main("3", "a/b", {"number": "7", "day": "2026-02-03"}, "2026-05-06", ["x"], more="2.5")


@scenario
def arguments_of_flows_that_do_not_fit(p):
    @p.flow
    def main(count: int, order: Order | None = None):
        return count

    return [
        outcome(lambda: main("x")),
        outcome(lambda: main(1, order={"number": "x"})),
        outcome(lambda: main("x", return_state=True)),
    ]


@scenario
def arguments_without_validation(p):
    @p.flow(validate_parameters=False)
    def main(count: int):
        return count

    return main("3")


@scenario
def none_as_an_argument(p):
    @p.flow
    def main(value=10, other: int | None = 5):
        return value, other

    @p.task
    def keep(value=10):
        return value

    return [
        main(None), main(value=None), main(None, None), main(other=None), main(),
        in_flow(p, lambda: [keep(None), keep(value=None), keep.submit(None).result(), main(None), keep()]),
        in_flow(p, lambda: keep.map([None, 1]).result()),
    ]  # fmt: skip


@scenario
def kinds_of_parameters(p):
    @p.flow
    def main(a, /, b, *args, c, d=4, **more):
        return a, b, args, c, d, more

    @p.task
    def keep(a, /, b, *args, c, d=4, **more):
        return a, b, args, c, d, more

    return [
        main(1, 2, c=3), main(1, 2, 3, 4, c=5, d=6, e=7), main(1, b=2, c=3),
        in_flow(p, lambda: [keep(1, 2, c=3), keep(1, 2, 3, 4, c=5, d=6, e=7)]),
        in_flow(p, lambda: keep.submit(1, b=2, c=3).result()),
    ]  # fmt: skip


@scenario
def calls_that_do_not_fit(p):
    @p.flow
    def main(a):
        return a

    @p.task
    def keep(a):
        return a

    return [
        type(outcome(main)).__name__,
        type(outcome(lambda: main(1, 2))).__name__,
        type(outcome(lambda: main(b=1))).__name__,
        in_flow(p, lambda: [type(outcome(keep)).__name__, type(outcome(lambda: keep(1, 2))).__name__]),
        in_flow(p, lambda: [type(outcome(keep.submit)).__name__, type(outcome(lambda: keep(b=2))).__name__]),
    ]


@scenario
def maps_that_do_not_fit(p):
    @p.task
    def keep(a, b=1):
        return a

    def work():
        return [
            type(outcome(lambda: keep.map(1))).__name__,
            type(outcome(lambda: keep.map([1, 2], [1]))).__name__,
            keep.map([]).result(),
            keep.map([1, 2], b=[3, 4]).result(),
            keep.map(range(3)).result(),
            keep.map({1: 2, 3: 4}).result(),
            keep.map(each for each in (1, 2)).result(),
        ]

    return in_flow(p, work)


@scenario
def mapped_with_more_arguments(p):
    @p.task
    def keep(a, *args, b=1, **more):
        return a, args, b, more

    def work():
        return [
            keep.map([1, 2], b=p.unmapped([3])).result(),
            keep.map([1, 2], c=[3, 4]).result(),
            keep.map(a=[1, 2], d=p.unmapped({"x": 1})).result(),
        ]

    return in_flow(p, work)
