"""Functions that change what they are given: a second run comes to the same as the first."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
from prefect import unmapped

from latent.prefect import flow, task
from tests.prefect.conftest import QUICK

calls: list[object] = []


@pytest.fixture(autouse=True)
def clean(make):
    calls.clear()
    return make({"config/latent.toml": QUICK + "[rows]\nrows_as_runs = 3\n"})


def twice(do):
    """What a flow gives in a first and in a second run, each with fresh data."""

    @flow
    def main():
        return do()

    return copy.deepcopy(main()), main()


@dataclass
class Document:
    text: str
    tags: list[str] = field(default_factory=list)


def add_key(row):
    row["score"] = len(row["text"])


def append(items):
    items.append(len(items))


def add_to_set(items):
    items.add("new")


def add_deep(row):
    row["meta"]["tags"].append("x")


def set_field(document):
    document.tags.append("x")


def set_cell(frame):
    frame.loc[0, "a"] = 7


def set_element(array):
    array[0] = 7


CHANGES = {
    "a dict": (add_key, lambda: {"text": "abc"}),
    "a list": (append, lambda: [1, 2]),
    "a set": (add_to_set, lambda: {1, 2}),
    "something inside": (add_deep, lambda: {"meta": {"tags": []}}),
    "an object": (set_field, lambda: Document("abc")),
    "a cell of a frame": (set_cell, lambda: pd.DataFrame({"a": [1, 2]})),
    "an array": (set_element, lambda: np.array([1, 2])),
}


def shown(value):
    return (
        value.to_dict()
        if isinstance(value, pd.DataFrame)
        else value.tolist()
        if isinstance(value, np.ndarray)
        else value
    )


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("way", ["called", "submitted", "rows", "batches"])
def test_a_change_is_made_again_and_told_once(what, way, caplog):
    change, make_value = CHANGES[what]

    @task(name=f"change {what} {way}")
    def changing(value, number=0):
        calls.append(number)
        change(value)

    def do():
        values = [make_value() for _ in range({"rows": 2, "batches": 6}.get(way, 1))]
        if way == "called":
            changing(values[0])
        elif way == "submitted":
            changing.submit(values[0]).result()
        else:
            changing.map(values, number=list(range(len(values)))).result()
        return [shown(value) for value in values]

    first, second = twice(do)
    assert first == second != [shown(make_value())] * len(first)
    assert (
        caplog.text.count("changes its argument 'value' in place, so what it returns is not remembered") == 1
    )


@pytest.mark.parametrize("way", ["called", "rows", "batches"])
@pytest.mark.parametrize("kind", [dict, list])
def test_what_is_changed_and_returned_is_remembered_and_changed_again(kind, way, caplog):
    @task(name=f"annotate {kind.__name__} {way}")
    def annotate(row):
        calls.append(1)
        row.update(score=1) if isinstance(row, dict) else row.append(1)
        return row

    def do():
        rows = [
            {"text": str(n)} if kind is dict else [n] for n in range({"rows": 2, "batches": 6}.get(way, 1))
        ]
        rows += rows[:1] if way == "called" else [copy.deepcopy(rows[0])]  # one asks for the same
        results = [annotate(rows[0])] if way == "called" else annotate.map(rows).result()
        assert all(result is row for result, row in zip(results, rows, strict=False))
        return rows

    first, second = twice(do)
    assert first == second
    assert all(row["score"] == 1 if kind is dict else row[-1] == 1 for row in second)
    assert len(calls) == {"called": 1, "rows": 2, "batches": 6}[way]
    assert "in place" not in caplog.text


def test_what_all_rows_share_is_watched(caplog):
    @task
    def collect(n, seen, table):
        calls.append(n)
        seen.append(n)
        return len(seen)

    def do(rows):
        def inside():
            seen = []
            table = unmapped(pd.DataFrame({"a": range(9)}))
            collect.map(range(rows), seen=unmapped(seen), table=table, max_workers=1).result()
            collect.map([100], seen=unmapped(seen), table=unmapped(None)).result()
            return sorted(seen)

        return inside

    for rows in (2, 50):
        first, second = twice(do(rows))
        assert first == second == [*range(rows), 100]
    assert "changes its argument 'seen' in place" in caplog.text


def test_functions_that_leave_their_arguments_alone_are_remembered(caplog):
    @task
    def count(frame, row, document, words=("a",)):
        calls.append(1)
        return len(frame) + len(row)

    def do():
        frame = pd.DataFrame({"a": [1, 2]})
        rows = [{"n": n} for n in range(6)]
        count(frame, {}, Document("x"))
        return count.map(unmapped(frame), rows, unmapped(Document("y"))).result()

    first, second = twice(do)
    assert first == second == [3] * 6
    assert len(calls) == 7
    assert "in place" not in caplog.text


def test_rows_of_a_frame_are_nobody_elses(caplog):
    @task
    def score(row):
        calls.append(1)
        row["score"] = row["n"] * 2
        return row["score"]

    def do():
        frame = pd.DataFrame({"n": range(6)})
        return [score.map(frame).result(), list(frame.columns), sum(r.value for r in score.map_stream(frame))]

    first, second = twice(do)
    assert first == second == [[0, 2, 4, 6, 8, 10], ["n"], 30]
    assert len(calls) == 6
    assert "in place" not in caplog.text


def test_a_value_in_the_place_of_a_dataset_is_watched_too(make):
    make({"flows/main/catalog.yaml": "rows: data/rows.json\n", "data/rows.json": "[1]"})

    @task(input="rows")
    def grow(rows):
        rows.append(len(rows))

    @flow("main")
    def main():
        mine = [5]
        grow(mine)
        return mine

    assert main() == main() == [5, 1]


def test_the_output_of_a_changed_and_returned_argument_is_saved(make):
    workspace = make({"flows/main/catalog.yaml": "scored: data/scored.json\n"})

    @task(output="scored")
    def score(row):
        calls.append(1)
        row["score"] = 3
        return row

    @flow("main")
    def main():
        row = {"text": "abc"}
        score(row)
        return row

    first = main()
    (workspace.root / "data/scored.json").unlink()
    assert main() == first == {"text": "abc", "score": 3}
    assert (workspace.root / "data/scored.json").exists()
    assert calls == [1]
