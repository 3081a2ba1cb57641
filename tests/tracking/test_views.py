"""Runs as people look at them."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from latent.errors import RunNotFoundError
from latent.tracking import TaskRecord, list_runs, load_run, wait_for_tracking

DIE = """
import os, signal, sys, time
from pathlib import Path
from latent.config import Workspace
from latent.tracking import RunInfo, RunRecorder, TaskRecord
info = RunInfo(run_id="dead", flow_name="f", started_at=time.time())
run = RunRecorder.start(Workspace(Path(sys.argv[1])), info, tracked=False)
run.task(TaskRecord(name="t", outcome="ok", started_at=1.0, duration_seconds=1.0))
assert run.flush(5)
print("ready", flush=True)
time.sleep(60)
"""


def record(**changes):
    return TaskRecord(
        **({"name": "t", "outcome": "ok", "started_at": 1.0, "duration_seconds": 0.5} | changes)
    )


def test_runs_are_listed_newest_first(start, workspace):
    for number in range(3):
        start(f"flow_{number % 2}", run_id=f"run-{number}", started_at=1_000.0 + number).finish("ok")
    last = start("flow_0", run_id="run-3", started_at=2_000.0)
    assert last.flush(5)
    assert [run.run_id for run in list_runs(workspace)] == ["run-3", "run-2", "run-1", "run-0"]
    assert [run.state for run in list_runs(workspace)] == ["running", "ok", "ok", "ok"]
    assert [run.run_id for run in list_runs(workspace, flow="flow_1")] == ["run-1"]
    assert [run.run_id for run in list_runs(workspace, limit=1)] == ["run-3"]


def test_a_workspace_without_runs_has_an_empty_list(workspace):
    assert list_runs(workspace) == []


def test_a_run_that_goes_on_shows_what_it_did_so_far(start, workspace):
    run = start(run_id="r1", started_at=time.time() - 5)
    run.task(record())
    run.task(record(outcome="failed"))
    run.flush()
    view = load_run(workspace, "r1")
    assert view.state == "running"
    assert view.outcomes == {"ok": 1, "failed": 1}
    assert view.tasks[0]["calls"] == 2
    assert view.duration_seconds >= 5
    assert view.finished_at is None
    assert [line["outcome"] for line in view.task_lines()] == ["ok", "failed"]


def test_a_run_is_found_by_the_beginning_of_its_id(start, workspace):
    start(run_id="abc-1").finish("ok")
    last = start(run_id="abd-2")
    last.flush()
    assert load_run(workspace, "abc").run_id == "abc-1"
    with pytest.raises(RunNotFoundError, match="beginning of 2 runs"):
        load_run(workspace, "ab")
    with pytest.raises(RunNotFoundError, match=r"no run 'zzz' in \.latent/runs"):
        load_run(workspace, "zzz")
    with pytest.raises(RunNotFoundError):
        load_run(workspace, "../../etc")


def test_a_run_whose_process_died_is_crashed(workspace):
    process = subprocess.Popen([sys.executable, "-c", DIE, str(workspace.root)], stdout=subprocess.PIPE)
    with process:
        assert process.stdout.readline() == b"ready\n"
        assert load_run(workspace, "dead").state == "running"
        process.kill()
        process.wait()
    view = load_run(workspace, "dead")
    assert view.state == "crashed"
    assert view.outcomes == {"ok": 1}
    assert view.error == {"type": "Crashed", "message": "The process died before the run ended."}
    assert view.finished_at == pytest.approx(time.time(), abs=30)


def test_damaged_run_files_are_left_out(start, workspace):
    run = start(run_id="good")
    run.flush()
    for name, content in {"empty": "", "text": "hello", "list": "[]", "half": '{"flow": "f"'}.items():
        (workspace.runs_dir / name).mkdir()
        (workspace.runs_dir / name / "run.json").write_text(content)
    (workspace.runs_dir / "a file").write_text("")
    assert [view.run_id for view in list_runs(workspace)] == ["good"]


def test_an_untracked_run_says_so(start, workspace):
    run = start(run_id="r1")
    run.finish("ok")
    run.flush()
    view = load_run(workspace, "r1")
    assert not view.tracked
    assert view.tracking_text == "off"
    assert wait_for_tracking(workspace, "r1", 5) is False


def test_last_is_the_newest_run(start, workspace):
    with pytest.raises(RunNotFoundError, match="Nothing has run yet"):
        load_run(workspace, "last")
    for started_at in (1.0, 3.0, 2.0):
        run = start(run_id=f"run{started_at}", started_at=started_at)
        assert run.flush(60)
    assert load_run(workspace, "last").run_id == "run3.0"
