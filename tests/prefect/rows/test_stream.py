"""Streams: rows from sources larger than memory, results as they finish."""

from __future__ import annotations

import gc
import json
import threading
import time
import weakref
from dataclasses import dataclass

import pytest
from prefect import unmapped
from prefect.context import FlowRunContext

from latent.errors import FailedRowsError, NotInRunError, RunStoppedError, UsageError
from latent.prefect import flow, task
from latent.prefect.rows.ends import RowTable
from latent.tracking import load_rows, load_run


def stream(task_made, source, **options):
    """All results of a stream inside of a flow, in the order of the rows."""

    @flow("main")
    def main():
        return sorted(task_made.map_stream(source, **options), key=lambda result: result.index)

    return main()


def test_results_of_an_iterator_come_with_their_rows(batched, calls):
    workspace = batched()

    @task
    def double(x):
        calls.note(x)
        return 2 * x

    results = stream(double, iter(range(500)), window=200)
    assert [result.value for result in results] == [2 * x for x in range(500)]
    assert {result.outcome for result in results} == {"ok"}
    assert len({result.id for result in results}) == 500
    (folder,) = workspace.runs_dir.iterdir()
    assert load_rows(workspace, folder.name).num_rows == 500
    assert load_run(workspace, folder.name).outcomes == {"ok": 500}
    again = stream(double, iter(range(500)))
    assert {result.outcome for result in again} == {"cached"}
    assert [result.value for result in again] == [2 * x for x in range(500)]
    assert len(calls.seen) == 500


def test_no_more_rows_are_read_than_the_window_holds(batched):
    batched()
    read = taken = 0
    most = 0

    def source():
        nonlocal read, most
        for x in range(300):
            read += 1
            most = max(most, read - taken)
            yield x

    @task(cache=False)
    def same(x):
        return x

    @flow
    def main():
        nonlocal taken
        for _ in same.map_stream(source(), window=20):
            taken += 1

    main()
    assert taken == 300
    # A row counts as handed on once the next one is asked for.
    assert most <= 21


LIVE = weakref.WeakSet()
"""The answers that are still referenced."""


@dataclass(eq=False)
class Answer:
    """What a row returns in the tests of memory."""

    number: int

    def __post_init__(self):
        LIVE.add(self)


def held_during(rows_of_stream, every):
    """Of a stream, the most that was alive at any look: answers, parts of the stream, and threads."""
    answers = parts = threads = 0
    for count, _ in enumerate(rows_of_stream):
        if count % every == 0:
            gc.collect()
            answers = max(answers, len(LIVE))
            parts = max(parts, sum(isinstance(each, RowTable) for each in gc.get_objects()))
            threads = max(threads, threading.active_count())
    return answers, parts, threads


@pytest.mark.parametrize("again", [False, True], ids=["computed", "remembered"])
@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
def test_what_a_stream_holds_does_not_grow_with_its_rows(batched, is_async, cache, again):
    """Forty times the window: answers, parts and threads of rows that were handed on are gone."""
    batched()

    async def answer_async(x):
        return Answer(x)

    def answer(x):
        return Answer(x)

    answering = task("answer", cache=cache)(answer_async if is_async else answer)
    rows, window = 20_000, 500
    before = threading.active_count()

    @flow
    def main():
        if again:
            for _ in answering.map_stream(iter(range(rows)), window=window):
                pass
        return held_during(answering.map_stream(iter(range(rows)), window=window), every=4_000)

    answers, parts, threads = main()
    # Beyond the window, the table of rows is still to be told of some: a fraction of a second of work.
    assert parts <= 50, "of 162"
    assert answers <= 50 * window // 4
    assert threads - before <= 80, "of some 400"


def test_what_a_stream_holds_does_not_grow_when_each_row_is_a_task_run(batched):
    """Prefect keeps the state and an event of each task run until the flow ends."""
    batched()

    @task(cache=False)
    def answer(x):
        return Answer(x)

    @flow
    def main():
        context = FlowRunContext.get()
        for _ in answer.map_stream(iter(range(300)), window=20, row_runs="all"):
            pass
        return len(context.run_results), len(context.task_runner._cancel_events), len(context.task_run_assets)

    assert max(main()) <= 60


def test_rows_of_a_slow_source_begin_and_are_handed_on_while_it_goes_on(batched):
    batched()
    events = []

    def source():
        for n in range(5):
            events.append(("given", n))
            yield n
            time.sleep(0.6)

    @task(cache=False)
    def same(x):
        events.append(("begun", x))
        return x

    @flow
    def main():
        for result in same.map_stream(source()):
            events.append(("taken", result.index))

    main()
    assert events.index(("begun", 0)) < events.index(("given", 2))
    assert events.index(("taken", 0)) < events.index(("given", 3))
    assert events.index(("taken", 2)) < events.index(("given", 4))
    assert {number for what, number in events if what == "taken"} == set(range(5))


def test_rows_of_all_parts_share_the_workers(batched, calls):
    batched(settings="max_workers = 3\n")

    @task(cache=False)
    def slow(x):
        with calls:
            while not calls.have_been(3):
                time.sleep(0.002)

    stream(slow, range(120), window=40)
    assert calls.peak == 3


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
def test_files_are_read_row_by_row(batched, name):
    import pandas as pd

    workspace = batched()
    rows = [{"question": f"q{n}", "answer": n} for n in range(30)]
    path = workspace.root / name
    if name.endswith("jsonl"):
        path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    else:
        pd.DataFrame(rows).to_parquet(path)

    @task
    def score(question, answer, weight=1):
        return f"{question}:{answer * weight}"

    results = stream(score, name, weight=2)
    assert [result.value for result in results] == [f"q{n}:{2 * n}" for n in range(30)]


def test_dataset_of_the_catalog_is_streamed_by_name(batched):
    workspace = batched(
        {"flows/main/catalog.yaml": "questions: data/q.jsonl\n", "data/q.jsonl": '{"a": 1}\n'}
    )
    assert workspace.flow_folder("main") is None or True

    @task
    def a_of(row):
        return row["a"]

    @flow("main")
    def main():
        return [result.value for result in a_of.map_stream("questions")]

    assert main() == [1]


def test_frames_and_arrow_tables_are_streamed(batched):
    import pandas as pd
    import pyarrow as pa

    batched()

    @task
    def n_of(row):
        return row["n"]

    for source in (pd.DataFrame({"n": range(5)}), pa.table({"n": range(5)})):
        assert [result.value for result in stream(n_of, source)] == list(range(5))


def test_failed_rows_are_raised_at_the_end(batched, calls):
    batched()

    @task(retry=False)
    def odd(x):
        if x % 2:
            raise ValueError(f"odd {x}")
        calls.note(x)
        return x

    with pytest.raises(FailedRowsError, match="50 of 100 rows failed"):
        stream(odd, range(100))
    assert len(calls.seen) == 50


def test_collected_failures_are_results_too(batched):
    batched()

    @task(retry=False, on_error="collect")
    def odd(x):
        if x % 2:
            raise ValueError(f"odd {x}")
        return x

    results = stream(odd, range(10))
    assert [result.outcome for result in results] == ["ok", "failed"] * 5
    assert all(isinstance(result.error, ValueError) for result in results[1::2])


def test_source_that_raises_midway_loses_nothing_that_it_gave(batched, calls):
    batched()

    def source():
        yield from range(7)
        raise OSError("disk gone")

    @task
    def row(x):
        calls.note(x)
        return x

    with pytest.raises(OSError, match="disk gone") as caught:
        stream(row, source())
    assert sorted(calls.seen) == list(range(7))
    assert "after 7 rows" in caught.value.__notes__[0]


def test_an_id_that_was_there_long_before_is_told_with_both_rows(batched, calls):
    batched()

    @task(row_id="name")
    def note(row):
        calls.note(row["name"])

    names = [f"n{number}" for number in range(700)] + ["n3"]
    with pytest.raises(UsageError, match="rows 3 and 700 have the same id 'n3'"):
        stream(note, [{"name": name} for name in names], window=200)
    assert set(calls.seen) >= set(names[:300]), "what came before is done and kept"
    assert len(stream(note, [{"name": name} for name in names[:700]], window=200)) == 700


def test_stream_that_nobody_listens_to_any_more_stops(batched, calls):
    batched(settings="max_workers = 1\n")

    @task
    def row(x):
        calls.note(x)
        return x

    @flow
    def main():
        for result in row.map_stream(range(10_000), window=100):
            if result.index >= 5:
                break

    main()
    assert 6 <= len(calls.seen) < 1_000


def test_budget_ends_a_stream(batched):
    batched(settings="[budget]\nmax_calls = 10\n")

    @task
    def row(x):
        return x

    with pytest.raises(RunStoppedError, match="budget of 10 calls"):
        stream(row, range(1_000), window=100)


@pytest.mark.parametrize("row_runs", ["auto", "all"])
def test_row_that_is_stopped_on_its_way_is_skipped(batched, row_runs):
    batched()

    @task(cache=False)
    def ask(x):
        if x == 2:
            raise RunStoppedError("There is no money left.", "a model")
        return x

    @flow
    def main():
        return list(ask.map_stream(range(5), on_error="collect", row_runs=row_runs))

    (stopped,) = [row for row in main() if row.outcome != "ok"]
    assert (stopped.index, stopped.outcome) == (2, "skipped")
    assert isinstance(stopped.error, RunStoppedError)
    assert str(stopped.error) == "Row 2 of task 'ask' was skipped. There is no money left."


@pytest.mark.parametrize("window", [0, -1, True, "many"])
def test_window_without_room_is_refused(batched, window):
    batched()

    @task
    def row(x):
        return x

    with pytest.raises(UsageError, match="`window`"):
        stream(row, [1], window=window)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (7, "not a int"),
        ("nowhere.jsonl", "no file"),
        ("rows.txt", "cannot be read row by row"),
        (["text"], "row 0 is a str"),
        ([{"x": 1}], "row 0 lacks 'y'"),
    ],
)
def test_sources_that_do_not_fit_are_refused_in_a_sentence(batched, source, message):
    batched({"rows.txt": "1"})

    @task
    def add(x, y):
        return x + y

    with pytest.raises(UsageError, match=message):
        stream(add, source)


def test_json_lines_are_read_as_the_catalog_reads_them(batched):
    workspace = batched({"flows/main/catalog.yaml": "numbers: data/numbers.jsonl", "data/.keep": ""})
    file = workspace.root / "data/numbers.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"x": NaN}\n\n{"x": -Infinity}\n')

    @task(cache=False)
    def shown(row):
        return str(row["x"])

    assert [result.value for result in stream(shown, "numbers")] == ["nan", "-inf"]


def test_line_that_is_no_json_is_named(batched):
    batched({"rows.jsonl": '{"n": 1}\n{"n": \n'})

    @task
    def row(x):
        return x

    with pytest.raises(ValueError, match=r"'row': .*line 2: no valid JSON"):
        stream(row, "rows.jsonl")


def test_file_that_is_no_parquet_is_named(batched):
    batched({"rows.parquet": "n\n1\n2\n and this is not Parquet at all\n"})

    @task("read it")
    def row(x):
        return x

    with pytest.raises(
        ValueError, match=r"'read it': .*rows\.parquet: no Parquet that can be read \(Parquet magic"
    ):
        stream(row, "rows.parquet")


def test_misspelled_shared_argument_is_refused_with_the_nearest(batched):
    batched()

    @task
    def row(x, model="small"):
        return x

    with pytest.raises(UsageError, match="did you mean 'model'"):
        stream(row, [1], modle="large")


def test_stream_outside_of_a_flow_says_where_it_works():
    @task
    def row(x):
        return x

    with pytest.raises(NotInRunError, match="inside of a flow"):
        row.map_stream([1])


def test_iterables_by_keyword_are_the_rows_as_for_map(batched):
    batched()

    @task("join")
    def join(left: int, right: str = "-", end: str = "."):
        return f"{left}{right}{end}"

    @flow("joins")
    def joins():
        one = join.map_stream(left=iter([1, 2]), end=unmapped("!"))
        two = join.map_stream(left=iter([1, 2]), right=["a", "b"], window=10)
        three = join.map_stream(range(1, 3), right=unmapped("+"))
        return [sorted(row.value for row in rows) for rows in (one, two, three)]

    assert joins() == [["1-!", "2-!"], ["1a.", "2b."], ["1+.", "2+."]]


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({}, r"needs a source of rows: `map_stream\(rows, ...\)`.*`map_stream\(left=rows, ...\)`"),
        ({"left": 3}, "needs a source of rows"),
        ({"rihgt": [1]}, "no parameter 'rihgt': did you mean 'right'"),
        ({"right": [1]}, "is missing 'left'"),
    ],
)
def test_a_stream_without_rows_says_how_they_are_given(given, match, batched):
    batched()

    @task("join")
    def join(left, right=0):
        return left

    @flow("joins")
    def joins():
        return list(join.map_stream(**given))

    with pytest.raises(UsageError, match=match):
        joins()
