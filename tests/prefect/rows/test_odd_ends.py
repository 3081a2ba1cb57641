"""Rows that end in ways of their own: none of them may hang the map, or take another row along."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import cached_property

import pytest
from prefect.states import Cancelled, Failed, Pending

from latent.errors import RowEndedError, TaskExecutionError, UsageError
from latent.limits import limit
from latent.prefect import flow, task

PATIENCE = 30
"""Seconds after which a map counts as hung."""

AS_RUNS, AS_BATCH = 3, 8
"""Rows of a map; three are task runs of their own in these workspaces."""


class SilentError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def ends_of(mapped):
    """The errors of a map that has ended, None for rows with a result."""
    mapped.wait(PATIENCE)
    assert all(future.state.is_final() for future in mapped)
    return [future.error() for future in mapped]


@pytest.mark.parametrize("rows", [AS_RUNS, AS_BATCH])
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("ending", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
def test_row_that_ends_its_thread_is_a_failed_row(batched, rows, is_async, ending):
    batched()

    if is_async:

        @task("double")
        async def double(x):
            if x == 1:
                raise ending
            return 2 * x

    else:

        @task("double")
        def double(x):
            if x == 1:
                raise ending
            return 2 * x

    @flow("main")
    def main():
        mapped = double.map(range(rows), on_error="collect")
        return ends_of(mapped), mapped.result()

    errors, results = main()
    assert isinstance(errors[1], TaskExecutionError)
    assert isinstance(errors[1].original_error, RowEndedError)
    assert ending.__name__ in str(errors[1])
    assert [x for x in results if not isinstance(x, Exception)] == [2 * x for x in range(rows) if x != 1]


@pytest.mark.parametrize("rows", [AS_RUNS, AS_BATCH])
def test_error_without_words_fails_its_row_alone(batched, rows):
    batched()

    @task("double", retry=False)
    def double(x):
        if x == 1:
            raise SilentError
        return 2 * x

    @flow("main")
    def main():
        return ends_of(double.map(range(rows), on_error="collect"))

    assert [error is not None for error in main()] == [x == 1 for x in range(rows)]


@pytest.mark.parametrize("rows", [AS_RUNS, AS_BATCH])
@pytest.mark.parametrize("state", [Failed, Cancelled, Pending])
def test_state_without_a_result_is_a_failed_row(batched, rows, state):
    batched()

    @task("double", retry=False)
    def double(x):
        return state() if x == 1 else 2 * x

    @flow("main")
    def main():
        mapped = double.map(range(rows), on_error="collect")
        mapped.wait(PATIENCE)
        return mapped.result()

    results = main()
    assert isinstance(results[1], TaskExecutionError)
    assert results[0] == 0
    assert results[2] == 4


def test_row_whose_asyncio_task_was_cancelled_ends(batched):
    batched()

    @task("double", retries=1, retry_delay_seconds=0.01)
    async def double(x):
        if x == 1:
            asyncio.current_task().cancel()
            raise ValueError("cancelled itself")
        return 2 * x

    @flow("main")
    def main():
        return ends_of(double.map(range(AS_BATCH), on_error="collect"))

    assert [error is not None for error in main()] == [x == 1 for x in range(AS_BATCH)]


def test_callback_that_raises_harms_nobody(batched, caplog):
    batched()

    @task("double", cache=False)
    def double(x):
        time.sleep(0.02)
        return 2 * x

    def broken(future):
        raise RuntimeError("broken callback")

    @flow("main")
    def main():
        mapped = double.map(range(AS_BATCH), max_workers=1)
        mapped[0].add_done_callback(broken)
        mapped.wait(PATIENCE)
        return mapped.result()

    assert main() == [2 * x for x in range(AS_BATCH)]
    assert "broken callback" in caplog.text


@pytest.mark.parametrize("fails", [False, True])
def test_row_that_asks_late_for_what_an_earlier_one_asked(batched, calls, fails):
    """Its input comes after the earlier row has ended: it takes what is remembered, or tries itself."""
    batched()

    @task("later", cache=False)
    def later(seconds):
        time.sleep(seconds)
        return 7

    @task("double", retry=False)
    def double(x):
        calls.note(x)
        if fails:
            raise ValueError("no")
        return 2 * x

    @flow("main")
    def main():
        early = later.submit(0.0)
        late = later.submit(1.0)
        return ends_of(double.map([early, late], on_error="collect"))

    assert [error is not None for error in main()] == [fails, fails]
    assert calls.seen == [7] * (2 if fails else 1)


def test_result_of_an_attempt_that_followed_a_changed_argument_is_not_remembered(batched, calls, caplog):
    batched()

    @task("take", retries=1)
    def take(items):
        calls.note(len(items))
        items.append("more")
        if len(items) == 2:
            raise ValueError("again")
        return len(items)

    @flow("main")
    def main(rows):
        return take.map([[index] for index in range(rows)]).result()

    for rows in (AS_RUNS, AS_BATCH):
        assert main(rows) == [3] * rows
    assert "changed its arguments in place" in caplog.text
    assert len(calls.seen) == 2 * (AS_RUNS + AS_BATCH)  # nothing was reused by the second map


def test_retry_of_a_row_whose_cached_property_was_read_is_remembered(batched, calls, caplog):
    batched()

    @dataclass
    class Page:
        text: str

        @cached_property
        def words(self):
            return self.text.split()

    @task("count", retries=1)
    def count(page):
        calls.note(page.text)
        if "words" not in vars(page):
            raise ValueError(page.words)
        return len(page.words)

    @flow("main")
    def main(rows):
        return count.map([Page(f"{index} a") for index in range(rows)]).result()

    for rows in (AS_RUNS, AS_BATCH):
        assert main(rows) == main(rows) == [2] * rows
    assert "changed its arguments" not in caplog.text
    assert len(calls.seen) == 2 * AS_BATCH  # the second map has the first one's rows among its own


def test_unknown_option_is_refused_with_the_nearest(batched):
    batched()

    @task("double")
    def double(x):
        return 2 * x

    @flow("main")
    def main():
        double.map(range(2), max_worker=3)

    with pytest.raises(TypeError, match="did you mean 'max_workers'"):
        main()


def test_frame_with_equal_columns_is_refused(batched):
    import pandas as pd

    batched()

    @task("take")
    def take(row):
        return row

    @flow("main")
    def main():
        take.map(pd.DataFrame([[1, 2]], columns=["a", "a"]))

    with pytest.raises(UsageError, match="more than one column 'a'"):
        main()


def test_one_limit_block_is_entered_by_many_rows(batched, calls):
    batched(settings="[limits.one]\nconcurrency = 2\nadaptive = false\n")
    shared = limit("one")

    @task("double")
    def double(x):
        with shared, calls:
            while not calls.have_been(2):
                time.sleep(0.01)
        return 2 * x

    @flow("main")
    def main():
        return double.map(range(AS_BATCH), max_workers=AS_BATCH).result()

    assert main() == [2 * x for x in range(AS_BATCH)]
    assert calls.peak == 2
