"""User code that imports MLflow reaches the run of its flow, in every thread."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest

from latent.testing.workspace import temporary_workspace

HEAD = """
import contextvars, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from latent.config import find_workspace
from latent.tracking import RunInfo, RunRecorder, stop_writer
from latent.files import read_json
from latent.tracking.folders import destination
from latent.files import FileLock

workspace = find_workspace()
target = destination(workspace)
target.pending_dir.mkdir(parents=True, exist_ok=True)
no_writer = FileLock(target.lock_file)
assert no_writer.acquire(5)

def start(name, **about):
    info = RunInfo(run_id=f"{name}-{time.time_ns()}", flow_name=name, started_at=time.time(), **about)
    return RunRecorder.start(workspace, info, tracked=True)

def mlflow_id(run):
    return read_json(run.folder.mlflow_file)["run_id"]

def in_thread(call):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with temporary_workspace({}, root=tmp_path_factory.mktemp("workspace")) as workspace:
        yield workspace


@pytest.fixture
def run_script(shared):
    def run(script: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", HEAD + dedent(script)],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=shared.root,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    return run


def test_every_thread_logs_to_the_run_of_the_flow(run_script, shared):
    run_script("""
    import os
    run = start("threads")
    before = dict(os.environ)
    with run.active():
        import mlflow  # in the middle of the flow, as a task may do
        mlflow.log_metric("here", 1.0)
        in_thread(lambda: mlflow.log_metric("thread", 2.0))
        assert mlflow.active_run().info.run_id == mlflow_id(run)
        assert in_thread(lambda: mlflow.active_run().info.run_id) == mlflow_id(run)
        with mlflow.start_run(run_name="child") as child:
            mlflow.log_metric("inner", 3.0)
            assert child.data.tags["mlflow.parentRunId"] == mlflow_id(run)
        assert mlflow.active_run().info.run_id == mlflow_id(run)
    metrics = mlflow.get_run(mlflow_id(run)).data.metrics
    assert metrics == {"here": 1.0, "thread": 2.0}, metrics
    assert mlflow.get_run(mlflow_id(run)).info.status == "RUNNING"
    run.finish("ok")
    assert mlflow.active_run() is None
    assert in_thread(mlflow.active_run) is None
    # What other programs inherit from this process is as it was.
    assert {name for name in os.environ.keys() - before.keys() if name.startswith("MLFLOW")} == set()
    """)
    assert not (shared.root / "mlruns").exists()
    assert not (shared.root / "mlflow.db").exists()


def test_each_run_has_its_own_and_nobody_else_is_touched(run_script):
    stderr = run_script("""
    import mlflow
    from mlflow import start_run  # before any flow runs
    outer = start("outer")
    with outer.active():
        inner = start("inner", parent_run_id=outer.info.run_id)
        with inner.active():
            assert mlflow.active_run().info.run_id == mlflow_id(inner)
            # A plain thread has no context: the innermost run is meant.
            assert in_thread(lambda: mlflow.active_run().info.run_id) == mlflow_id(inner)
        inner.finish("ok")
        assert mlflow.active_run().info.run_id == mlflow_id(outer)
        with start_run():
            pass

    # Two independent runs at once.
    other = start("other")
    seen = {}
    def work(run):
        with run.active():
            mlflow.log_metric("mine", 1.0)
            seen[run.info.run_id] = mlflow.active_run().info.run_id
    threads = [threading.Thread(target=work, args=(run,)) for run in (outer, other)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert seen == {run.info.run_id: mlflow_id(run) for run in (outer, other)}
    assert in_thread(mlflow.active_run) is None  # nobody can tell which one

    # A run that is not tracked binds nothing, also beside others that are.
    info = RunInfo(run_id="u", flow_name="u", started_at=1.0)
    untracked = RunRecorder.start(workspace, info, tracked=False)
    with untracked.active():
        assert mlflow.active_run() is None

    # A user who sends MLflow elsewhere is left alone.
    with outer.active():
        mlflow.set_tracking_uri("http://127.0.0.1:9")
        assert mlflow.active_run() is None
    for run in (untracked, outer, other):
        run.finish("ok")
    named = start("named")
    assert named.target.uri == "http://127.0.0.1:9" and not named.target.is_default
    named.finish("ok")
    """)
    assert stderr.count("it cannot be told which run is meant") == 1


def test_a_users_own_run_gets_everything_whatever_the_thread(run_script):
    run_script("""
    import mlflow
    workspace_uri = target.uri
    mlflow.set_tracking_uri(workspace_uri)

    def with_context(call):
        return in_thread(lambda: contextvars_here.run(call))

    def active():
        return mlflow.active_run().info.run_id

    # Around the flow: plain threads, threads with the context, and the flow's own.
    with mlflow.start_run(run_name="around") as around:
        run = start("inside")
        with run.active():
            contextvars_here = contextvars.copy_context()
            assert {active(), in_thread(active), with_context(active)} == {around.info.run_id}
            with mlflow.start_run(run_name="nested", nested=True) as nested:
                contextvars_here = contextvars.copy_context()
                assert {active(), with_context(active)} == {nested.info.run_id}
            contextvars_here = contextvars.copy_context()
            assert {active(), with_context(active)} == {around.info.run_id}
            # A plain `start_run` in a task's thread nests under the user's run.
            def fold():
                with mlflow.start_run(run_name="fold") as child:
                    return child.data.tags["mlflow.parentRunId"]
            assert in_thread(fold) == around.info.run_id
        run.finish("ok")
        assert active() == around.info.run_id
        assert in_thread(mlflow.active_run) is None  # no flow: as MLflow has it
    assert mlflow.active_run() is None

    # Begun inside the flow: it holds for what is submitted while it is open, and not afterwards.
    run = start("outside")
    with run.active():
        with mlflow.start_run(run_name="mine") as mine:
            contextvars_here = contextvars.copy_context()
            assert {active(), with_context(active)} == {mine.info.run_id}
        contextvars_here = contextvars.copy_context()
        assert {active(), in_thread(active), with_context(active)} == {mlflow_id(run)}
    run.finish("ok")
    assert mlflow.active_run() is None
    """)


def test_a_users_run_in_another_store_is_kept_to_in_the_flows_threads(run_script, tmp_path):
    run_script(f"""
    import mlflow
    mlflow.set_tracking_uri("sqlite:///{tmp_path}/elsewhere.db")
    with mlflow.start_run() as mine:
        run = start("here")
        with run.active():
            assert in_thread(lambda: mlflow.active_run().info.run_id) == mine.info.run_id
            in_thread(lambda: mlflow.log_metric("found", 1.0))
        run.finish("ok")
    assert mlflow.get_run(mine.info.run_id).data.metrics == {{"found": 1.0}}
    """)
