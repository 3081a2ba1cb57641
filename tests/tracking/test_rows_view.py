"""Rows of past runs: read together, and failures grouped by their cause."""

from __future__ import annotations

import time

import pytest

from latent.errors import RunNotFoundError
from latent.errors.text import cause_of
from latent.tracking import RowRecord, failed_rows, failure_groups, load_rows
from latent.tracking.rows import COLUMNS


def failed(index, message, kind="RateLimitError", task="ask"):
    return RowRecord(task, index, f"q-{index}", "failed", error={"type": kind, "message": message})


def test_rows_are_read_by_the_beginning_of_the_runs_id(start, workspace):
    run = start()
    run.rows([RowRecord("ask", 0, "a", "ok"), RowRecord("ask", 1, "b", "cached")])
    run.finish("ok")
    assert run.flush(60)
    table = load_rows(workspace, run.info.run_id[:12])
    assert table.column_names == list(COLUMNS)
    assert table.column("id").to_pylist() == ["a", "b"]
    with pytest.raises(RunNotFoundError):
        load_rows(workspace, "nothing")


def test_run_without_rows_has_an_empty_table(start, workspace):
    run = start()
    assert run.flush(60)
    assert load_rows(workspace, run.info.run_id).column_names == list(COLUMNS)
    assert load_rows(workspace, run.info.run_id).num_rows == 0


def test_damaged_part_is_said_and_left_out(start, workspace, caplog):
    run = start()
    run.rows([RowRecord("ask", 0, "a", "ok")])
    run.finish("ok")
    assert run.flush(60)
    (run.folder.rows_dir / "part-00001.parquet").write_bytes(b"PAR1 and then nothing")
    assert load_rows(workspace, run.info.run_id).num_rows == 1
    assert "part-00001.parquet cannot be read and is left out" in caplog.text


@pytest.mark.parametrize(
    ("one", "other", "cause"),
    [
        ("row 3 is refused", "row 14 is refused", "row # is refused"),
        ("took 1.25 s", "took 31 s", "took # s"),
        (
            "request req_011CSHoEeqs5C35K failed",
            "request req_9kLmN0pQ2rStUvWx failed",
            "request # failed",
        ),
        (
            "no 123e4567-e89b-12d3-a456-426614174000",
            "no 00000000-e89b-12d3-a456-426614174111",
            "no #",
        ),
        ("<object at 0x7f12ab>", "<object at 0x1>", "<object at #>"),
        ("two\n  lines 1", "two lines 2", "two lines #"),
        ("", "", ""),
    ],
)
def test_messages_that_differ_by_numbers_and_ids_have_one_cause(one, other, cause):
    assert cause_of(one) == cause_of(other) == cause


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Error code: 429 - slow down", "Error code: 500 - slow down"),
        ("HTTP 429", "HTTP 503"),
        ("Client error '404 Not Found'", "Client error '429 Too Many Requests'"),
        ("temperature", "precondition"),
        ("time-limited", "well-established"),
    ],
)
def test_different_answers_are_different_causes(one, other):
    assert cause_of(one) != cause_of(other)


def test_long_words_without_digits_stay():
    assert cause_of("ModuleNotFoundError in well-established_names") == (
        "ModuleNotFoundError in well-established_names"
    )


def test_failures_are_grouped_with_the_first_row_of_each(start, workspace):
    run = start()
    run.rows([failed(9, "Error code: 429, wait 3 s"), failed(4, "Error code: 429, wait 1 s")])
    run.rows([RowRecord("ask", 1, "q-1", "ok"), failed(2, "bad row 2", "ValueError")])
    run.rows([failed(5, "Error code: 429, wait 1 s", task="score"), RowRecord("ask", 3, "q-3", "failed")])
    run.finish("failed")
    assert run.flush(60)
    groups = failure_groups(load_rows(workspace, run.info.run_id))
    assert [(group.task, group.error_type, group.cause, group.rows) for group in groups] == [
        ("ask", "RateLimitError", "Error code: 429, wait # s", 2),
        ("ask", "ValueError", "bad row #", 1),
        ("ask", "unknown", "", 1),
        ("score", "RateLimitError", "Error code: 429, wait # s", 1),
    ]
    assert groups[0].first["id"] == "q-4"
    assert groups[0].first["error"] == "Error code: 429, wait 1 s"


def test_rows_that_failed_are_those_that_failed_when_they_last_ran(start, workspace):
    """A run that stopped early says nothing about the rows that it did not get to."""

    def ran(outcomes: dict[str, str], state: str = "ok", **about: object) -> str:
        run = start("asking", started_at=time.time() + len(list(workspace.runs_dir.glob("*"))), **about)
        run.rows(
            [RowRecord("ask", n, row_id, outcome) for n, (row_id, outcome) in enumerate(outcomes.items())]
        )
        run.finish(state)
        assert run.flush(60)
        return run.info.run_id

    assert failed_rows(workspace, "asking", "ask") == set()
    ran({"old": "failed"})
    ran({"a": "failed", "b": "failed", "c": "failed", "d": "ok"}, "failed")
    assert failed_rows(workspace, "asking", "ask") == {"a", "b", "c"}
    ran({"a": "ok", "b": "skipped"}, "interrupted")
    assert failed_rows(workspace, "asking", "ask") == {"b", "c"}
    last = ran({"a": "failed", "d": "cached"}, "interrupted")
    assert failed_rows(workspace, "asking", "ask") == {"a", "b", "c"}
    assert failed_rows(workspace, "asking", "ask", without=last) == {"b", "c"}
    assert failed_rows(workspace, "asking", "rank") == set()
    ran({"a": "ok", "b": "failed", "c": "ok", "d": "ok"})
    assert failed_rows(workspace, "asking", "ask") == {"b"}
