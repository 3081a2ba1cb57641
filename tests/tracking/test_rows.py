"""The table of rows: parts that are whole, few, masked, and readable by any Parquet reader."""

from __future__ import annotations

import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from latent.config import Masker
from latent.files import read_json
from latent.tracking import RowRecord, RunInfo, RunRecorder, TaskRecord, load_run
from latent.tracking.folders import run_folder
from latent.tracking.payload import batch_of
from latent.tracking.rows import COLUMNS, PART_ROWS, RowParts, table_of


def row(index, outcome="ok", task="ask", **about):
    return RowRecord(task, index, str(about.pop("id", index)), outcome, **about)


def parts_of(run):
    return sorted(path.name for path in run.folder.rows_dir.iterdir())


def test_rows_are_on_disk_once_the_run_has_finished(start):
    run = start()
    error = {"type": "ValueError", "message": "three is refused", "traceback": "..."}
    run.rows([row(0, duration_seconds=0.5, key="k0", cost_usd=0.01), row(1, "cached", attempts=0)])
    run.rows([row(2, "failed", attempts=4, error=error, reason="expired", started_at=7.0)])
    run.finish("ok")
    assert run.flush(60)
    assert parts_of(run) == ["part-00000.parquet"]
    table = pq.read_table(run.folder.rows_dir)
    assert table.column_names == list(COLUMNS)
    assert table.column("outcome").to_pylist() == ["ok", "cached", "failed"]
    assert table.to_pylist()[2] == {
        "task": "ask", "index": 2, "id": "2", "outcome": "failed", "attempts": 4, "started_at": 7.0,
        "duration_seconds": 0.0, "queue_seconds": 0.0, "key": None, "error_type": "ValueError",
        "error": "three is refused", "reason": "expired", "cost_usd": None,
    }  # fmt: skip


def test_rows_of_a_run_that_goes_on_are_on_disk_within_seconds(start):
    run = start()
    run.rows([row(0)])
    deadline = time.monotonic() + 10
    while not list(run.folder.rows_dir.glob("part-*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert pq.read_table(run.folder.rows_dir).num_rows == 1


def test_a_part_grows_until_it_is_full_so_that_there_are_few(workspace):
    parts = RowParts(run_folder(workspace, "r1"), Masker)
    for start_at in range(0, PART_ROWS + 10_000, 10_000):
        parts.add([row(index) for index in range(start_at, start_at + 10_000)])
        parts.save(now=True)
        names = sorted(path.name for path in run_folder(workspace, "r1").rows_dir.iterdir())
        assert names == ["part-00000.parquet", "part-00001.parquet"][: 1 + (start_at >= PART_ROWS)]
    parts.add([row(index) for index in range(PART_ROWS + 10_000, 2 * PART_ROWS + 1)])
    parts.save(now=True)
    table = pq.read_table(run_folder(workspace, "r1").rows_dir)
    assert table.column("index").to_pylist() == list(range(2 * PART_ROWS + 1))
    assert not parts.has_unsaved


def test_long_messages_fill_a_part_sooner(workspace):
    parts = RowParts(run_folder(workspace, "r1"), Masker)
    for number in range(3):
        error = {"type": "E", "message": str(number) * 2_000}
        parts.add([row(index, "failed", error=error) for index in range(9_000)])
        parts.save(now=True)
    assert len(list(run_folder(workspace, "r1").rows_dir.iterdir())) == 3


def test_a_run_that_is_begun_again_goes_on_behind_its_parts(start):
    for _ in range(2):
        run = start(run_id="again")
        run.rows([row(0)])
        run.finish("ok")
        assert run.flush(60)
    assert parts_of(run) == ["part-00000.parquet", "part-00001.parquet"]


def test_full_disk_loses_no_row(start, workspace):
    run = start()
    assert run.flush(60)
    run.folder.rows_dir.write_text("in the way")  # stands for a disk that takes nothing
    run.rows([row(0)])
    run.task(TaskRecord(name="load", outcome="ok", started_at=1.0, duration_seconds=0.0))
    assert not run.flush(5)
    assert run.folder.tasks_file.exists(), "the other files are written all the same"
    run.folder.rows_dir.unlink()
    run.rows([row(1)])
    assert run.flush(60)
    assert pq.read_table(run.folder.rows_dir).column("index").to_pylist() == [0, 1]


def test_secrets_in_ids_errors_and_reasons_are_masked(make_workspace):
    secret = "hunter2-and-more"
    workspace = make_workspace({"config/credentials.yaml": f"db:\n  password: {secret}\n"})
    info = RunInfo(run_id="r1", flow_name="hello", started_at=time.time())
    run = RunRecorder.start(workspace, info, tracked=False)
    error = {"type": "ValueError", "message": f"bad {secret}"}
    run.rows([row(0), row(1, "failed", id=secret, error=error, reason=f"parameter '{secret}'")])
    run.finish("ok")
    assert run.flush(60)
    rows = pq.read_table(run.folder.rows_dir).to_pylist()
    assert rows[1]["id"] == "***"
    assert rows[1]["error"] == "bad ***"
    assert secret not in str(rows)
    assert rows[0]["id"] == "0"


def test_text_that_is_no_unicode_is_kept_readable():
    table = table_of([row(0, id="caf\udce9"), row(1, id="b")], Masker())
    assert table.column("id").to_pylist() == ["caf\\udce9", "b"]
    assert table.schema.field("id").type == pa.string()


def test_telling_of_rows_does_not_import_pyarrow_in_the_thread_that_tells(workspace):
    script = f"""
import sys, threading, time
from latent.config import find_workspace
from latent.tracking import RowRecord, RunInfo, RunRecorder

importers = []

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "pyarrow":
            importers.append(threading.current_thread())

sys.meta_path.insert(0, Watch())
run = RunRecorder.start(find_workspace({str(workspace.root)!r}), RunInfo(run_id="r", flow_name="f",
    started_at=time.time()), tracked=False)
run.rows([RowRecord("ask", index, str(index), "ok") for index in range(10_000)])
run.finish("ok")
assert run.flush(60)
print(len(importers), threading.main_thread() in importers)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["1", "False"]


# Counts


@pytest.fixture
def batches(start):
    """A map of ten rows as the engine tells it: a record for all hits, and one for a batch."""
    run = start()
    run.task(TaskRecord(name="ask", outcome="cached", started_at=1.0, duration_seconds=0.0, attempts=0,
                        cache="hit", row_outcomes={"cached": 6}))  # fmt: skip
    run.task(TaskRecord(name="ask", outcome="failed", started_at=1.0, duration_seconds=2.0, attempts=5,
                        row_outcomes={"ok": 3, "failed": 1}, row_seconds=(0.5, 2.0, 4.5),
                        cost_usd=0.25))  # fmt: skip
    run.finish("ok")
    assert run.flush(60)
    return run


def test_rows_of_a_bulk_are_counted_as_calls(batches):
    story = read_json(batches.folder.run_file)
    assert story["outcomes"] == {"cached": 6, "ok": 3, "failed": 1}
    (task,) = story["tasks"]
    assert (task["calls"], task["lines"], task["hits"], task["attempts"]) == (10, 2, 6, 5)
    assert (task["duration_seconds"], task["max_seconds"], task["elapsed_seconds"]) == (4.5, 2.0, 2.0)
    assert (task["status"], task["cost_usd"]) == (0, 0.25)
    assert load_run(batches.workspace, batches.info.run_id).outcomes == story["outcomes"]


def test_mlflow_is_told_how_many_rows_ended_how(batches):
    view = load_run(batches.workspace, batches.info.run_id)
    events = [{"event": "finish", "outcome": "ok", "finished_at": 4.0, "error": None, "tasks": view.tasks}]
    batch = batch_of(view.record, events, view.task_lines())
    last = {metric.key: metric.value for metric in batch.metrics}
    assert {key: value for key, value in last.items() if key.startswith("task.ask.")} == {
        "task.ask.duration": 2.0, "task.ask.status": 0, "task.ask.hits": 6, "task.ask.cost_usd": 0.25,
        "task.ask.calls": 10, "task.ask.duration.total": 4.5, "task.ask.duration.mean": 0.45,
        "task.ask.duration.max": 2.0, "task.ask.failed": 1,
    }  # fmt: skip
    assert [span.attributes["latent.row_outcomes"] for span in batch.spans] == [
        {"cached": 6},
        {"ok": 3, "failed": 1},
    ]


def test_batch_in_which_a_row_failed_keeps_its_span_beyond_the_bound(start, monkeypatch):
    monkeypatch.setattr("latent.tracking.journal.MAX_SPANS", 10)
    run = start()
    for _ in range(10):
        run.task(TaskRecord(name="ask", outcome="ok", started_at=1.0, duration_seconds=0.0))
    # The batch itself is done; what counts is what became of its rows.
    run.task(TaskRecord(name="ask", outcome="ok", started_at=1.0, duration_seconds=0.0,
                        row_outcomes={"ok": 9, "failed": 1}))  # fmt: skip
    run.task(TaskRecord(name="ask", outcome="ok", started_at=1.0, duration_seconds=0.0,
                        row_outcomes={"ok": 10}))  # fmt: skip
    run.finish("ok")
    assert run.flush(60)
    spans = [line["span"] for line in load_run(run.workspace, run.info.run_id).task_lines()]
    assert spans[-2:] == [True, False]
