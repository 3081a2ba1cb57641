"""Transactions: what one of the user's undoes is done again; what a task's failure leaves behind is not."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from latent.prefect import checkpoint, flow, task
from latent.prefect.transactions import transaction

written: list[object] = []
undone: list[object] = []


@pytest.fixture(autouse=True)
def clean(make):
    written.clear()
    undone.clear()
    return make({"config/latent.toml": 'environment = "dev"\n[tracking]\nenabled = false\n'})


@task(retry=False)
def write(n):
    written.append(n)
    return n


@task(retry=False)
async def write_async(n):
    written.append(n)
    return n


@task(retry=False)
def write_inside(n):
    return write(n) + write(n + 1)


@checkpoint
def noted(n):
    written.append(n)
    return n


@task(retry=False, cache=False)
def with_checkpoint(n):
    return noted(n)


WAYS = {
    "called": (lambda: write(1), [1]),
    "submitted": (lambda: write.submit(1).result(), [1]),
    "mapped": (lambda: write.map([1, 2]).result(), [1, 2]),
    "mapped in batches": (lambda: write.map(range(60), max_workers=1).result(), list(range(60))),
    "mapped in batches of an async task": (
        lambda: write_async.map(range(60), max_workers=1).result(),
        list(range(60)),
    ),
    "called by a task": (lambda: write_inside(1), [1, 2]),
    "called by rows in batches": (
        lambda: write_inside.map([2 * n for n in range(60)]).result(),
        list(range(120)),
    ),
    "a checkpoint": (lambda: with_checkpoint(1), [1]),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_rolled_back_is_done_again(way):
    do, expected = WAYS[way]

    @flow
    def inside(fails):
        with transaction():
            do()
            if fails:
                raise ValueError("not good enough")

    for _ in range(2):
        with pytest.raises(ValueError, match="not good enough"):
            inside(True)
        assert sorted(written) == expected
        written.clear()
    inside(False)
    assert sorted(written) == expected
    inside(False)  # committed: remembered from now on
    assert sorted(written) == expected


def test_hooks_run_and_their_task_is_done_again():
    hooked = write.with_options(name="hooked")
    hooked.on_rollback(lambda _: undone.append("undone"))

    @flow
    def inside():
        with transaction():
            hooked(1)
            raise ValueError("not good enough")

    for _ in range(2):
        with pytest.raises(ValueError, match="not good enough"):
            inside()
    assert (written, undone) == ([1, 1], ["undone", "undone"])


def test_what_was_remembered_before_the_transaction_stays():
    @flow
    def inside():
        write(1)
        with transaction():
            write(1)
            raise ValueError("not good enough")

    for _ in range(2):
        with pytest.raises(ValueError, match="not good enough"):
            inside()
    assert written == [1]


def test_a_transaction_inside_of_a_task_undoes_what_it_holds():
    @task(retry=False, cache=False)
    def outer():
        write(1)
        with transaction():
            write(2)
            raise ValueError("not good enough")

    @flow
    def inside():
        outer()

    for _ in range(2):
        with pytest.raises(ValueError, match="not good enough"):
            inside()
    assert written == [1, 2, 2]


def test_an_inner_transaction_undoes_the_outer_one_as_in_prefect():
    @flow
    def inside():
        with transaction():
            write(1)
            try:
                with transaction():
                    write(2)
                    raise ValueError("not good enough")
            except ValueError:
                pass

    inside()
    inside()
    assert written == [1, 2, 1, 2]


def test_what_a_failed_task_has_finished_stays_remembered():
    @task(retry=False, cache=False)
    def outer():
        write.map(range(60)).result()
        write(100)
        raise ValueError("at the very end")

    @flow
    def main():
        outer()

    for _ in range(2):
        with pytest.raises(ValueError, match="at the very end"):
            main()
    assert sorted(written) == [*range(60), 100]


def test_asynchronous_transactions_are_undone_too():
    from latent.prefect.transactions import atransaction

    @flow
    async def inside():
        async with atransaction():
            await write_async(1)
            raise ValueError("not good enough")

    for _ in range(2):
        with pytest.raises(ValueError, match="not good enough"):
            asyncio.run(inside())
    assert written == [1, 1]


@task(retry=False)
def note_process(n):
    with Path("ran.txt").open("a") as file:
        file.write(f"{n}\n")
    return os.getpid()


def test_rows_in_other_processes_are_done_again(clean, monkeypatch):
    from prefect.task_runners import ProcessPoolTaskRunner

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def inside():
        with transaction():
            note_process.map(range(3)).result()
            note_process.submit(7).result()
            raise ValueError("not good enough")

    monkeypatch.chdir(clean.root)
    for _ in range(2):
        with pytest.raises(ValueError, match="not good enough"):
            inside()
    assert sorted((clean.root / "ran.txt").read_text().split()) == sorted("01270127")
