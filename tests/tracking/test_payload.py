"""What lines mean to MLflow: keys, steps, times and ids that are the same each time they are asked for."""

from __future__ import annotations

import math

import pytest

from latent.tracking.payload import batch_of, cut, flatten, key_of, span_id, trace_id

RUN = {
    "run_id": "r1",
    "flow": "hello",
    "started_at": 100.0,
    "parameters": {},
    "environment": "production",
    "command": [],
    "tags": {},
}


def task_line(**changes):
    line = {
        "index": 0, "name": "load", "outcome": "ok", "started_at": 101.0, "duration_seconds": 2.0,
        "attempts": 1, "task_run_id": None, "cache": "miss", "span_type": "TOOL", "span_id": None,
        "parent_span_id": None, "inputs": {"a": 1}, "output": "x", "rows_in": None, "rows_out": None,
        "error": None, "row_index": None, "row_outcomes": None, "attributes": {}, "span": True, "step": 0,
    }  # fmt: skip
    return line | changes


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("load_data", "load_data"),
        ("a/b:c", "a_b_c"),
        ("naïve (v2)!", "naïve _v2__"),
        ("..", "__"),
        ("", "_"),
        ("x" * 500, "x" * 200),
    ],
)
def test_names_become_keys_that_mlflow_takes(name, key):
    assert key_of(name) == key


def test_parameters_are_flattened_and_long_ones_marked():
    flat = flatten({"model": {"name": "m", "stops": ["a"]}, "prompt": "x" * 600, "empty": {}, "none": None})
    assert flat["model.name"] == "m"
    assert flat["model.stops"] == '["a"]'
    assert flat["empty"] == "{}"
    assert flat["none"] == "null"
    assert len(flat["prompt"]) == 500
    assert flat["prompt"].endswith("x... [600 characters]")


def test_a_text_that_fits_is_not_cut():
    assert cut("abc", 3) == "abc"


def test_a_task_becomes_metrics_and_a_span_with_its_times():
    batch = batch_of(RUN, [], [task_line()])
    values = {metric.key: (metric.value, metric.timestamp_ms, metric.step) for metric in batch.metrics}
    assert values == {"task.load.duration": (2.0, 103_000, 0), "task.load.status": (1, 103_000, 0)}
    (span,) = batch.spans
    assert (span.start_ns, span.end_ns) == (101_000_000_000, 103_000_000_000)
    assert span.span_type == "TOOL"
    assert span.parent_id == span_id("r1", "flow")
    assert span.trace_id == trace_id("r1")


def test_a_failed_task_has_status_zero_and_keeps_its_error():
    batch = batch_of(RUN, [], [task_line(outcome="failed", error={"type": "E", "message": "m"})])
    assert [metric.value for metric in batch.metrics if metric.key == "task.load.status"] == [0]
    assert batch.spans[0].error == {"type": "E", "message": "m"}


def test_a_named_span_is_the_parent_that_others_name():
    outer, inner = batch_of(RUN, [], [task_line(span_id="s"), task_line(index=1, parent_span_id="s")]).spans
    assert inner.parent_id == outer.span_id


def test_rows_beyond_the_bounds_are_only_counted():
    batch = batch_of(RUN, [], [task_line(index=5_000, step=None, span=False)])
    assert batch.metrics == []
    assert batch.spans == []


def test_a_task_that_ran_often_closes_with_the_status_of_all_its_calls():
    task = {"name": "load", "calls": 3, "hits": 1, "rows_in": None, "rows_out": 6, "duration_seconds": 3.0}
    task |= {"max_seconds": 2.0, "status": 0}
    line = {"event": "finish", "outcome": "ok", "finished_at": 110.0, "error": None, "tasks": [task]}
    values = {m.key: (m.value, m.step) for m in batch_of(RUN, [line], []).metrics}
    assert values == {
        "run.duration": (10.0, 0),
        "task.load.hits": (1, 0),
        "task.load.rows_out": (6, 0),
        "task.load.calls": (3, 0),
        "task.load.duration.total": (3.0, 0),
        "task.load.duration.mean": (1.0, 0),
        "task.load.duration.max": (2.0, 0),
        "task.load.status": (0, 3),
    }


def test_numbers_that_json_lacks_come_back_as_themselves():
    lines = [
        {"event": "metric", "name": "loss", "value": v, "step": 0, "at": 1.0} for v in ("nan", "inf", 0.5)
    ]
    nan, infinite, half = (metric.value for metric in batch_of(RUN, lines, []).metrics)
    assert math.isnan(nan)
    assert infinite == math.inf
    assert half == 0.5


def test_the_same_lines_say_the_same_twice():
    lines = [task_line(index=i, step=i) for i in range(3)]
    assert batch_of(RUN, [], lines) == batch_of(RUN, [], lines)
