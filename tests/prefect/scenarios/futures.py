"""Futures, and tasks and flows inside of each other."""

from __future__ import annotations

import asyncio

from tests.prefect.scenarios import in_flow, outcome, scenario


@scenario
def waiting_for_futures(p):
    futures = p.module("futures")

    @p.task
    def work(x):
        return x

    def all_of_it():
        made = [work.submit(each) for each in (1, 2)]
        done, left = futures.wait(made)
        mapped = work.map([3, 4])
        return [
            sorted(each.result() for each in done), len(left),
            sorted(each.result() for each in futures.as_completed(mapped)), mapped.result(),
            [each.state.name for each in made], len(futures.wait(mapped).done),
            made[0].result(timeout=5), work.submit(5).result(raise_on_failure=False),
        ]  # fmt: skip

    return in_flow(p, all_of_it)


@scenario
def callbacks_of_futures(p):
    seen = []

    @p.task
    def work(x):
        return x

    def all_of_it():
        one, mapped = work.submit(1), work.map([2, 3])
        one.wait()
        mapped.wait()
        for each in (one, *mapped):
            each.add_done_callback(lambda future: seen.append(future.result()))
        return sorted(seen)

    return in_flow(p, all_of_it)


@scenario
def chain_of_futures(p):
    @p.task
    def add(x, y):
        return x + y

    def all_of_it():
        first = add.submit(1, 2)
        second = add.submit(first, y=first)
        third = add.map([first, second], y=p.unmapped(second))
        return [second.result(), third.result(), add(third[0], third[1]), add.map(third, third).result()]

    return in_flow(p, all_of_it)


@scenario
def fan_in_of_many(p):
    @p.task
    def square(x):
        return x * x

    @p.task
    def total(numbers):
        return sum(numbers)

    @p.flow
    def subtotal(numbers: list[int]):
        return sum(numbers)

    def all_of_it():
        return [
            total(square.map(range(50))), total.submit(square.map(range(20))).result(),
            subtotal(square.map(range(30))),
        ]  # fmt: skip

    return in_flow(p, all_of_it)


@scenario
def async_flow_with_gathered_tasks(p):
    @p.task
    async def work(x):
        await asyncio.sleep(0)
        return x * 2

    @p.flow
    async def child(x):
        return await work(x)

    @p.flow
    async def main():
        return [
            await asyncio.gather(*[work(each) for each in range(3)]),
            await child(9),
            work.map([1, 2]).result(),
        ]

    return asyncio.run(main())


@scenario
def sync_task_in_an_async_flow(p):
    @p.task
    def work(x):
        return x * 2

    @p.flow
    async def main():
        return [work(1), work.submit(2).result(), work.map([3]).result()]

    return asyncio.run(main())


@scenario
def tasks_outside_of_flows(p):
    @p.task
    def work(x):
        return x * 2

    @p.task(retries=0)
    def broken():
        raise ValueError("no")

    @p.task
    async def later(x):
        return x

    return [work(1), [work(2, return_state=True)], outcome(broken), asyncio.run(later(3)), work.fn(4)]


@scenario
def tasks_in_tasks(p):
    @p.task
    def inner(x):
        return x + 1

    @p.task
    def outer(x):
        return inner(x) + inner.submit(x).result() + sum(inner.map([x, x + 5]).result())

    return in_flow(p, lambda: [outer(1), outer.submit(2).result()])


@scenario
def flows_in_tasks(p):
    @p.flow
    def child(x):
        return x + 1

    @p.task
    def outer(x):
        return child(x)

    return in_flow(p, lambda: [outer(1), outer.submit(2).result()])


@scenario
def edges_of_the_graph(p):
    context = p.module("context")

    @p.task
    def number(x):
        return x + 1_000

    @p.task
    def numbers(n):
        return [n, n + 1]

    @p.task
    def edges(x, other=None):
        inputs = context.TaskRunContext.get().task_run.task_inputs
        return {name: len(runs) for name, runs in inputs.items() if runs}

    def all_of_it():
        ended = number.submit(7)
        ended.wait()
        mapped = number.map([1, 2])
        return [
            edges(number.submit(3)), edges.submit(ended, other=[ended, number.submit(4)]).result(),
            edges.map(mapped).result(), edges.map(numbers.submit(5), other=p.unmapped(ended)).result(),
            edges(1, wait_for=[ended]), edges(list(mapped)),
        ]  # fmt: skip

    return in_flow(p, all_of_it)
