"""A store that is damaged, missing, refusing or slow: the run ends well, and everything is sent later."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing

import pytest

from latent.errors import TrackingError
from latent.files import FileLock
from latent.testing.workspace import temporary_workspace
from latent.tracking import TaskRecord, has_unsent_runs, load_run, stop_writer, sync_runs
from latent.tracking.folders import default_tracking_uri, destination
from latent.tracking.mlflow_database import ensure_database
from latent.tracking.payload import trace_id
from latent.tracking.writer import Writer

# MLflow's own use of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")


def finish_one(start):
    run = start(tracked=True)
    run.task(TaskRecord(name="t", outcome="ok", started_at=1.0, duration_seconds=1.0))
    run.finish("ok")
    assert run.flush(5)
    return run


def work(writer, rounds=20):
    while writer.round() and rounds:
        rounds -= 1


@pytest.mark.parametrize("damage", [b"this is not a database" * 100, b"SQLite format 3\0" + b"\xff" * 4_000])
def test_a_damaged_database_is_left_alone_and_told(writer, start, workspace, damage):
    workspace.mlflow_db.parent.mkdir(exist_ok=True)
    workspace.mlflow_db.write_bytes(damage)
    run = finish_one(start)
    work(writer)
    text = load_run(workspace, run.info.run_id).tracking_text
    assert "is damaged" in text
    assert "move it away" in text
    assert workspace.mlflow_db.read_bytes() == damage
    workspace.mlflow_db.rename(workspace.mlflow_db.with_suffix(".damaged"))
    from mlflow.tracking._tracking_service.utils import _tracking_store_registry

    _tracking_store_registry._get_store_with_resolved_uri.cache_clear()
    waiting = writer._waiting[run.info.run_id]
    waiting.retry_at = 0.0
    work(writer)
    assert load_run(workspace, run.info.run_id).tracking_complete


def test_an_empty_database_file_is_filled(writer, start, workspace):
    workspace.state_dir.mkdir(exist_ok=True)
    workspace.mlflow_db.touch()
    run = finish_one(start)
    work(writer)
    assert load_run(workspace, run.info.run_id).tracking_complete
    with sqlite3.connect(workspace.mlflow_db) as connection:
        places = connection.execute("SELECT artifact_location FROM experiments").fetchall()
    connection.close()
    assert all((workspace.state_dir / "mlartifacts").as_uri() in place for (place,) in places)


def test_a_server_that_does_not_answer_costs_a_run_nothing(start, workspace, monkeypatch):
    """The run is as quick as ever, its records wait, and its view says why; the password is nowhere."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2-secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    target = destination(workspace)
    target.pending_dir.mkdir(parents=True)
    with FileLock(target.lock_file):
        run = finish_one(start)
        other = finish_one(start)
        writer = Writer(workspace, target, idle_seconds=600.0)
        writer.round()
        assert writer.failing_since is not None
        assert not writer._is_done(1.0)  # patient for a while
        writer.failing_since -= 1_000.0
        assert writer._is_done(1.0)  # no run is alive that could need it
    text = load_run(workspace, run.info.run_id).tracking_text
    assert text.startswith("incomplete: ")
    assert "127.0.0.1" in text
    assert {path.name for path in target.pending_dir.iterdir()} == {run.info.run_id, other.info.run_id}
    for path in workspace.state_dir.rglob("*"):
        assert path.is_dir() or b"hunter2" not in path.read_bytes(), path


def test_a_writer_waits_longer_after_each_failure_in_a_row(start, workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    target = destination(workspace)
    target.pending_dir.mkdir(parents=True)
    with FileLock(target.lock_file):
        run = finish_one(start)
        writer = Writer(workspace, target, idle_seconds=600.0)
        pauses = []
        for _ in range(8):
            writer.round()
            waiting = writer._waiting[run.info.run_id]
            pauses.append(waiting.pause_seconds)
            waiting.retry_at = 0.0
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_a_path_that_mlflow_misreads_is_refused_with_advice(tmp_path):
    with (
        temporary_workspace({}, root=tmp_path / "50%20off") as odd,
        pytest.raises(TrackingError, match="rename"),
    ):
        ensure_database(odd)


def test_a_database_that_is_being_made_by_another_process_is_waited_for(workspace):
    """Two processes that need the database at once make one."""
    script = "from latent.config import find_workspace\n"
    script += "from latent.tracking.mlflow_database import ensure_database\nensure_database(find_workspace())"
    processes = [subprocess.Popen([sys.executable, "-W", "ignore", "-c", script]) for _ in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    with closing(sqlite3.connect(workspace.mlflow_db)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert [path.name for path in workspace.state_dir.glob(".mlflow-*")] == []


def test_a_real_server_receives_runs(start, workspace, monkeypatch, tmp_path):
    """
    Runs through `mlflow server` on loopback: spans, metrics, artifacts and inputs over HTTP.

    One is recorded before the server is there: `sync_runs` says so, and sends it once the server answers.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    early = finish_one(start)
    synced = sync_runs(workspace, timeout_seconds=1.0)
    assert synced.sent == [] and early.info.run_id in synced.waiting
    ensure_database(workspace)  # a database with its tables: the server need not replay every migration
    arguments = {
        "--host": "127.0.0.1",
        "--port": str(port),
        "--workers": "1",
        "--backend-store-uri": default_tracking_uri(workspace),
        "--artifacts-destination": str(tmp_path / "artifacts"),
    }
    command = [sys.executable, "-W", "ignore", "-m", "mlflow", "server"]
    command += [part for pair in arguments.items() for part in pair]
    quiet = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=tmp_path, env=quiet, start_new_session=True
        )
    try:
        _wait_for_answer(uri, server)
        synced = sync_runs(workspace, timeout_seconds=120.0)
        assert (synced.sent, synced.waiting) == ([early.info.run_id], {})
        assert load_run(workspace, early.info.run_id).tracking_complete
        assert not has_unsent_runs(workspace) and stop_writer(workspace)
        target = destination(workspace)
        with FileLock(target.lock_file):
            run = start(tracked=True, parameters={"a": 1})
            run.dataset("raw", "input", fingerprint="ab" * 16, path="data/raw.csv")
            run.task(
                TaskRecord(name="t", outcome="ok", started_at=1.0, duration_seconds=1.0, inputs={"x": 1})
            )
            run.finish("ok")
            assert run.flush(5)
            writer = Writer(workspace, target, idle_seconds=0.0)
            work(writer)
        view = load_run(workspace, run.info.run_id)
        assert view.tracking_text == "complete"
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        found = client.get_run(view.tracking["mlflow_run_id"])
        assert found.data.params == {"a": "1"}
        assert found.data.metrics["task.t.duration"] == 1.0
        assert found.inputs.dataset_inputs[0].dataset.digest == "ab" * 16
        assert [artifact.path for artifact in client.list_artifacts(found.info.run_id)] == [
            "configuration.json"
        ]
        trace = client.get_trace(trace_id(run.info.run_id))
        assert {span.name for span in trace.data.spans} == {"hello", "t"}
        assert trace.info.trace_metadata["mlflow.sourceRun"] == found.info.run_id
    finally:
        _stop_group(server)


def _wait_for_answer(uri, server):
    deadline = time.monotonic() + 240
    while True:
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=5) as answer:
                assert answer.status == 200
                return
        except OSError:
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)


def _stop_group(server):
    """`mlflow server` starts workers of its own; they end with it."""
    if hasattr(os, "killpg"):
        os.killpg(server.pid, signal.SIGTERM)
    else:
        server.terminate()
    try:
        server.wait(timeout=20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
