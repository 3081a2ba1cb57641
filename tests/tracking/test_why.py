"""Why results were reused or not, told from what runs recorded and what is remembered."""

from __future__ import annotations

import time

import pytest

from latent.cache import open_memory
from latent.errors import UsageError
from latent.tracking import RowRecord, TaskRecord
from latent.tracking.why import why


@pytest.fixture
def ran(start, workspace):
    """A function that records a run of flow `asking`: rows of `ask` and calls of `load`."""
    count = 0

    def run(*rows: RowRecord, calls: tuple[TaskRecord, ...] = ()) -> None:
        nonlocal count
        count += 1
        recorder = start("asking", run_id=f"run{count}", started_at=time.time() + count)
        recorder.rows(rows)
        for call in calls:
            recorder.task(call)
        if rows:
            outcomes = {row.outcome: 1 for row in rows}
            recorder.task(call_of("ask", "ok", None, row_outcomes=outcomes))
        recorder.finish("ok")
        assert recorder.flush(60)

    return run


def call_of(task, outcome, key, **about):
    return TaskRecord(
        name=task,
        outcome=outcome,
        started_at=1.0,
        duration_seconds=0.0,
        **{"cache": "miss", "key": key} | about,
    )


def row(index, key, outcome="ok", row_id=None, **about):
    return RowRecord("ask", index, row_id or f"{index}-{key}", outcome, key=key, **about)


def reasons(workspace, task="ask", row=None):
    return [(answer.result.index, answer.reason) for answer in why(workspace, "asking", task, row).answers]


def test_reason_that_the_run_recorded_is_told(ran, workspace):
    ran(row(0, "a", "cached"), row(1, "b", reason="expired"), row(2, "c", reason="parameter 'model'"))
    found = why(workspace, "asking", "ask")
    assert [answer.reason for answer in found.answers] == [None, "expired", "parameter 'model'"]
    assert (found.reused, found.earlier) == (1, None)


def test_changed_arguments_and_datasets_are_found_by_the_row_of_the_run_before(
    ran, make_workspace, workspace
):
    make_workspace({"flows/asking/catalog.yaml": "corpus: data/corpus.txt"})
    memory = open_memory(workspace)
    memory.remember(
        "a1", 1, task="ask", key_parts={"text": "t1", "corpus": "c1", "rag.index": "i1", "k": "k1"}
    )
    memory.remember(
        "a2", 2, task="ask", key_parts={"text": "t2", "corpus": "c1", "rag.index": "i1", "k": "k1"}
    )
    memory.remember("b1", 1, task="ask", key_parts={"text": "t1", "corpus": "c1", "rag.index": "i1"})
    memory.remember("b2", 1, task="ask", key_parts={"text": "t1", "corpus": "c2", "rag.index": "i2"})
    ran(row(0, "a1"), row(1, "b1", row_id="bee"))
    ran()
    ran(row(0, "a2"), row(7, "b2", row_id="bee"), row(9, "z9"))
    found = why(workspace, "asking", "ask")
    assert found.earlier.run_id == "run1", "the run between them did not map the task"
    assert [answer.reason for answer in found.answers] == [
        "argument 'text'",
        "dataset 'corpus', dataset 'rag.index'",
        "the row is new",
    ]


def test_key_that_is_the_same_was_not_remembered_before(ran, workspace):
    open_memory(workspace).remember("d", 1, task="ask")
    ran(row(0, "a", "failed"), row(1, "b", "skipped"), row(2, "c"), row(3, "x1"))
    ran(row(1, "a"), row(0, "b"), row(2, "c"), row(3, "x2"))
    assert reasons(workspace) == [
        (0, "it was skipped in the run before"),
        (1, "it failed in the run before"),
        (2, "its remembered result was forgotten"),
        (3, "an argument or dataset"),
    ]


def test_results_that_cannot_be_reused_say_so(ran, workspace):
    skip = {"type": "RunStopped", "message": "The budget of 3 calls is used up."}
    ran(row(0, None), row(1, "b", "skipped", error=skip), calls=(call_of("load", "ok", None, cache="off"),))
    assert reasons(workspace) == [
        (0, "it has no key: an argument without a fingerprint, or a task that is not remembered"),
        (1, "skipped: The budget of 3 calls is used up."),
    ]
    assert reasons(workspace, "load") == [(0, "the task is not remembered")]


def test_first_run_says_that_it_is_the_first(ran, workspace):
    ran(row(0, "a"))
    assert reasons(workspace) == [(0, "it is the first run of the task that is recorded")]


def test_calls_outside_of_maps_are_explained_too(ran, workspace):
    memory = open_memory(workspace)
    memory.remember("l1", 1, task="load", key_parts={"path": "1"})
    memory.remember("l2", 1, task="load", key_parts={"path": "2"})
    ran(calls=(call_of("load", "ok", "l1"),))
    ran(calls=(call_of("load", "cached", "l1"), call_of("load", "ok", "l2", reason="parameter 'n'")))
    assert reasons(workspace, "load") == [(0, None), (1, "parameter 'n'")]
    ran(calls=(call_of("load", "ok", "l2"),))
    ran(calls=(call_of("load", "ok", "l1"),))
    assert reasons(workspace, "load") == [(0, "argument 'path'")]


def test_one_row_is_meant_by_its_id_or_its_index(ran, workspace):
    open_memory(workspace).remember("a", 1, task="ask")
    ran(row(0, "a", "cached", row_id="3"), row(3, "b", row_id="q", reason="expired"))
    (answer,) = why(workspace, "asking", "ask", "3").answers
    assert answer.result.index == 0, "an id comes first"
    assert answer.computed_at == pytest.approx(time.time(), abs=60)
    assert reasons(workspace, row="q") == [(3, "expired")]


def test_reasons_are_counted_with_the_first_row_of_each(ran, workspace):
    ran(row(0, "a", "cached"), row(1, "b", reason="expired"), row(2, "c", reason="parameter 'm'"),
        row(3, "d", reason="parameter 'm'"))  # fmt: skip
    found = why(workspace, "asking", "ask").reasons()
    assert [(reason, count, first.index) for reason, count, first in found] == [
        ("parameter 'm'", 2, 2),
        ("expired", 1, 1),
    ]


def test_values_are_not_read_to_explain_ten_thousand_rows(ran, workspace):
    ran(*(row(index, f"a{index}") for index in range(10_000)))
    ran(*(row(index, f"b{index}") for index in range(10_000)))
    ((reason, count, _),) = why(workspace, "asking", "ask").reasons()
    assert (reason, count) == ("an argument or dataset", 10_000)


@pytest.mark.parametrize(
    ("flow", "task", "row", "message"),
    [
        (
            "askin",
            "ask",
            None,
            "No run of a flow 'askin' is recorded in .latent/runs: did you mean 'asking'?",
        ),
        ("asking", "aks", None, "The last run of flow 'asking' called no task 'aks': did you mean 'ask'?"),
        ("asking", "zzz", None, "called no task 'zzz': it called ask."),
        ("asking", "ask", "9", "had no row '9': there are 1, by index from 0, or by id."),
        ("asking", "ask", "q-11", "had no row 'q-11': did you mean 'q-1'?"),
    ],
)
def test_wrong_questions_are_answered_with_what_there_is(ran, workspace, flow, task, row, message):
    ran(RowRecord("ask", 0, "q-1", "cached"))
    with pytest.raises(UsageError) as caught:
        why(workspace, flow, task, row)
    assert message in str(caught.value)
