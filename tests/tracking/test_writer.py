"""The writer as a process of its own: one for a workspace, outliving runs, dying without loss."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from latent.files import is_locked, read_json
from latent.testing.workspace import temporary_workspace
from latent.tracking import TaskRecord, ensure_writer, load_run, stop_writer, wait_for_tracking
from latent.tracking.folders import default_tracking_uri, destination
from latent.tracking.writer_process import _started

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")

_LONG = 90.0
"""Far more than a cold writer needs: a busy machine must not fail a test."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """One workspace for all, so that MLflow is imported by few writers."""
    with temporary_workspace({}, root=tmp_path_factory.mktemp("workspace")) as workspace:
        yield workspace
        assert stop_writer(workspace)


def record(index):
    return TaskRecord(
        name="row", outcome="ok", started_at=10.0 + index, duration_seconds=1.0, row_index=index
    )


def writer_of(target):
    return (read_json(target.state_file) or {}).get("pid")


def sent_bytes(run):
    return (read_json(run.folder.tracking_file) or {}).get("sent", {}).get("tasks", 0)


def wait_until(condition, seconds=_LONG):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_writer_killed_again_and_again_loses_nothing_and_sends_nothing_twice(start, workspace):
    """kill -9 while it starts and while it sends: in the end MLflow knows each row once."""
    target = destination(workspace)
    run = start("killed", tracked=True)
    killed = None
    for batch, wait_for_progress in enumerate([False, True]):
        for index in range(100 * batch, 100 * batch + 100):
            run.task(record(index))
        assert run.flush(5)
        assert ensure_writer(workspace, now=True)
        wait_until(lambda: writer_of(target) not in (None, killed))  # noqa: B023
        if wait_for_progress:
            sent = sent_bytes(run)
            wait_until(lambda: sent_bytes(run) > sent)  # noqa: B023
        killed = writer_of(target)
        os.kill(killed, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    run.finish("ok")
    assert run.flush(5)
    assert wait_for_tracking(workspace, run.info.run_id, _LONG)

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=default_tracking_uri(workspace))
    found = client.get_run(load_run(workspace, run.info.run_id).tracking["mlflow_run_id"])
    assert found.data.metrics["task.row.calls"] == 200
    steps = [metric.step for metric in client.get_metric_history(found.info.run_id, "task.row.duration")]
    assert sorted(steps) == list(range(200))
    assert len(client.search_runs([found.info.experiment_id])) == 1


def test_one_writer_serves_all_runs_and_outlives_their_process(start, workspace):
    target = destination(workspace)
    script = """
import sys, time
from latent.config import find_workspace
from latent.tracking import RunInfo, RunRecorder
info = RunInfo(run_id=sys.argv[1], flow_name="short", started_at=time.time())
run = RunRecorder.start(find_workspace(), info, tracked=True)
run.finish("ok")
"""
    names = [f"short-{number}" for number in range(3)]
    processes = [subprocess.Popen([sys.executable, "-c", script, name]) for name in names]
    for process in processes:
        assert process.wait(timeout=30) == 0
    assert all(wait_for_tracking(workspace, name, _LONG) for name in names)
    first = writer_of(target)
    run = start("later", tracked=True)
    run.finish("ok")
    assert wait_for_tracking(workspace, run.info.run_id, _LONG)
    assert writer_of(target) == first
    second = subprocess.run(
        [sys.executable, "-P", "-m", "latent.tracking.writer", str(workspace.root)], timeout=60, check=False
    )
    assert second.returncode == 0  # there is one already
    assert writer_of(target) == first


def test_a_database_moved_away_under_a_warm_writer_is_replaced_by_a_new_one(start, workspace):
    """What was not acknowledged goes to the new database, whole; the old one is left as it was."""
    before = start("moved", tracked=True)
    before.task(record(0))
    before.flush()
    wait_until(lambda: sent_bytes(before) > 0)
    old = workspace.mlflow_db.rename(workspace.mlflow_db.with_suffix(".old"))
    before.task(record(1))
    before.finish("ok")
    assert wait_for_tracking(workspace, before.info.run_id, _LONG)
    assert workspace.mlflow_db.exists()
    assert old.exists()

    with closing(sqlite3.connect(workspace.mlflow_db)) as connection:  # this process may know the old file
        rows = connection.execute("SELECT step FROM metrics WHERE key = 'task.row.duration'").fetchall()
    assert sorted(rows) == [(0,), (1,)]


def test_a_writer_leaves_with_its_workspace(tmp_path):
    gone = tmp_path / "gone"
    with temporary_workspace({}, root=gone) as workspace:
        target = destination(workspace)
        assert ensure_writer(workspace, now=True)
        wait_until(lambda: writer_of(target) is not None)
        process = _started[target.folder].process
        shutil.rmtree(gone / ".latent")
        assert process.wait(timeout=30) == 0
        assert not (gone / ".latent" / "mlflow.db").exists()


def test_a_writer_ends_when_it_has_been_idle_for_long_enough(make_workspace):
    idle = make_workspace({"config/latent.toml": "[tracking]\nidle_minutes = 0.001\n"})
    done = subprocess.run(
        [sys.executable, "-P", "-m", "latent.tracking.writer", str(idle.root)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert "The writer ends." in done.stderr
    assert not is_locked(destination(idle).lock_file)


def test_settings_that_cannot_be_read_end_the_writer_with_a_word(make_workspace):
    broken = make_workspace({"config/latent.toml": "[tracking]\nidel_minutes = 1\n"})
    done = subprocess.run(
        [sys.executable, "-P", "-m", "latent.tracking.writer", str(broken.root)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "idle_minutes" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_call_says_how_to_call_it():
    done = subprocess.run(
        [sys.executable, "-m", "latent.tracking.writer"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "usage" in done.stderr


def test_a_writer_that_cannot_work_is_not_started_again_and_again(make_workspace):
    broken = make_workspace({"config/latent.toml": "[tracking]\nidel_minutes = 1\n"})
    log = broken.logs_dir / "writer.log"
    assert ensure_writer(broken, now=True)
    wait_until(lambda: log.exists() and b"idle_minutes" in log.read_bytes())
    assert stop_writer(broken)
    for _ in range(3):
        assert ensure_writer(broken, now=True)
    assert stop_writer(broken)
    assert log.read_bytes().count(b"idle_minutes") == 1
