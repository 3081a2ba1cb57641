"""What a recorder leaves in the run's folder, and that nothing there can reach the run."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from uuid import uuid4

import pytest

from latent.files import read_json
from latent.tracking import RunInfo, RunRecorder, SpanRecord, TaskRecord, describe_error, load_run
from latent.tracking.folders import run_folder
from latent.tracking.journal import MAX_SPANS, MAX_STEPS
from latent.tracking.jsonable import read_lines


def record(name="load", **changes):
    return TaskRecord(
        **({"name": name, "outcome": "ok", "started_at": 1.0, "duration_seconds": 0.5} | changes)
    )


def lines(recorder, file="tasks_file"):
    assert recorder.flush(5)
    return read_lines(getattr(recorder.folder, file).read_bytes())


def test_a_run_leaves_its_story_and_a_table_of_tasks(start):
    run = start(parameters={"batch_size": 3}, environment="dev", command=("latent", "run", "hello"))
    run.task(record(rows_in=2, rows_out=1, inputs={"path": "a"}, output="done"))
    run.task(record("score", outcome="cached", cache="hit", attempts=0))
    run.finish("ok", result_preview=[1])
    (first, second) = lines(run)
    assert (first["name"], first["outcome"], first["duration_seconds"], first["attempts"]) == (
        "load",
        "ok",
        0.5,
        1,
    )
    assert (second["cache"], second["index"]) == ("hit", 1)
    story = read_json(run.folder.run_file)
    assert story["state"] == "ok"
    assert story["parameters"] == {"batch_size": 3}
    assert story["environment"] == "dev"
    assert story["command"] == ["latent", "run", "hello"]
    assert story["outcomes"] == {"ok": 1, "cached": 1}
    assert story["result_preview"] == [1]
    assert [(task["name"], task["hits"], task["rows_in"]) for task in story["tasks"]] == [
        ("load", 0, 2),
        ("score", 1, None),
    ]
    assert story["duration_seconds"] >= 0


def test_the_folder_is_private_and_ignored_by_git(start, workspace):
    run = start()
    run.flush()
    assert (workspace.state_dir / ".gitignore").read_text() == "*\n"
    if sys.platform != "win32":
        assert run.folder.path.stat().st_mode & 0o077 == 0
        assert run.folder.run_file.stat().st_mode & 0o077 == 0


def test_a_failed_run_keeps_its_error(start):
    run = start()
    try:
        {}["missing"]
    except KeyError as error:
        run.finish("failed", describe_error(error))
    run.flush()
    error = read_json(run.folder.run_file)["error"]
    assert error["type"] == "KeyError"
    assert "test_recorder.py" in error["traceback"]


def test_an_error_that_cannot_be_printed_is_described_all_the_same():
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    described = describe_error(MuteError())
    assert "RuntimeError" in described["message"]
    assert len(describe_error(ValueError("x" * 10**6))["message"]) < 2_100


def test_secrets_are_masked_everywhere(make_workspace, monkeypatch):
    secret = "hunter2-and-more"
    workspace = make_workspace({"config/credentials.yaml": f"db:\n  password: {secret}\n"})
    info = RunInfo(
        run_id="r1",
        flow_name="hello",
        started_at=time.time(),
        parameters={"url": f"postgres://me:{secret}@host/db", "api_key": "abc"},
        configuration={"parameters": {"note": secret}},
        command=("latent", "run", "-p", f"x={secret}"),
        tags={"note": secret},
    )
    run = RunRecorder.start(workspace, info, tracked=False)
    run.task(record(inputs={"q": secret}, output=secret, error={"message": secret}, attributes={"a": secret}))
    run.span(SpanRecord(name="call", started_at=1.0, duration_seconds=1.0, inputs={"q": [secret]}))
    run.dataset("raw", "input", path=f"s3://me:{secret}@bucket/key")
    run.finish("failed", describe_error(ValueError(f"bad {secret}")), result_preview=run.preview(secret))
    assert run.flush(5)
    for file in run.folder.path.iterdir():
        assert secret not in file.read_text(), file.name
        assert "abc" not in file.read_text(), file.name


def test_rows_beyond_the_bounds_are_counted_but_not_shown(start):
    """A map over many rows leaves a bounded number of spans and steps; a late failure still gets a span."""
    run = start()
    rows = MAX_SPANS + 200
    for index in range(rows):
        run.task(record(inputs={"i": index}, row_index=index))
    run.task(record(outcome="failed", error={"type": "E", "message": "m"}, row_index=rows))
    run.finish("ok")
    table = lines(run)
    assert sum(line["span"] for line in table) == MAX_SPANS + 1
    assert sum(line["step"] is not None for line in table) == MAX_STEPS
    assert table[rows]["error"] == {"type": "E", "message": "m"}
    assert table[MAX_SPANS]["inputs"] is None
    assert read_json(run.folder.run_file)["outcomes"] == {"ok": rows, "failed": 1}


def test_a_record_may_stand_for_many_rows(start):
    run = start()
    run.task(record(row_outcomes={"cached": 7_500, "failed": 2}))
    run.finish("ok")
    run.flush()
    (task,) = read_json(run.folder.run_file)["tasks"]
    assert (task["calls"], task["hits"], task["outcomes"]) == (7_502, 7_500, {"cached": 7_500, "failed": 2})
    assert task["status"] == 0


def test_values_that_json_lacks_do_not_lose_a_line(start):
    run = start(parameters={"big": 2**80, "none": float("nan"), 3: {"a", "b"}})
    run.task(record(inputs={"text": "\ud800", "big": 2**80}, attributes={"x": object()}))
    run.finish("ok")
    assert len(lines(run)) == 1
    assert read_json(run.folder.run_file)["parameters"]["big"] == hex(2**80)


def test_calls_from_many_threads_are_all_recorded(start):
    run = start()
    threads = [threading.Thread(target=lambda: [run.task(record()) for _ in range(200)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.finish("ok")
    assert sorted(line["index"] for line in lines(run)) == list(range(1_600))


def test_several_runs_at_once_keep_to_their_folders(start):
    runs = [start(f"flow_{n}") for n in range(5)]
    for n, run in enumerate(runs):
        for _ in range(n):
            run.task(record(f"task_{n}"))
    for run in runs:
        run.finish("ok")
    assert runs[0].flush(5)
    for n, run in enumerate(runs):
        assert [task["calls"] for task in load_run(run.workspace, run.info.run_id).tasks] == (
            [n] if n else []
        )


def test_the_same_run_again_goes_on_in_its_folder(start):
    """A flow that Prefect retries keeps its run id: the second try continues the table."""
    run_id = uuid4().hex
    first = start(run_id=run_id)
    first.task(record())
    first.finish("failed")
    first.flush()
    second = start(run_id=run_id)
    second.task(record())
    second.finish("ok")
    assert [line["index"] for line in lines(second)] == [0, 1]
    story = read_json(second.folder.run_file)
    assert (story["state"], story["outcomes"]) == ("ok", {"ok": 2})


@pytest.mark.parametrize("run_id", ["../up", "", "a/b", ".hidden", "x" * 300, "a\nb"])
def test_a_run_id_cannot_lead_out_of_the_folder(workspace, run_id):
    with pytest.raises(ValueError, match="run id"):
        run_folder(workspace, run_id)


def test_a_folder_that_cannot_be_written_is_said_once_and_stops_nothing(start, workspace, caplog):
    workspace.state_dir.mkdir()
    workspace.runs_dir.write_text("a file in the way")
    run = start()
    for _ in range(3):
        run.task(record())
        assert not run.flush(5)
    assert [entry.levelname for entry in caplog.records if "cannot be written" in entry.message] == [
        "WARNING"
    ]
    workspace.runs_dir.unlink()
    run.finish("ok")
    assert run.flush(5)
    assert len(lines(run)) == 3


def test_git_and_package_versions_are_recorded(start, workspace):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(workspace.root)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    (workspace.root / "new.py").write_text("pass")
    run = start()
    deadline = time.monotonic() + 10
    while (found := (read_json(run.folder.run_file) or {}).get("provenance")) is None:
        assert time.monotonic() < deadline
        run.flush()
        time.sleep(0.02)
    assert len(found["git"]["commit"]) == 40
    assert found["git"]["dirty"] is True
    assert {"latent-flows", "mlflow", "prefect"} <= found["packages"].keys()


def test_tracking_loads_nothing_heavy(workspace):
    """A process whose user never imports MLflow does not pay for it."""
    script = """
import sys, time
from pathlib import Path
from latent.config import Workspace
from latent.tracking import RunInfo, RunRecorder, TaskRecord, list_runs, load_run, shorten, wait_for_tracking
workspace = Workspace(Path(sys.argv[1]))
run = RunRecorder.start(workspace, RunInfo(run_id="r", flow_name="f", started_at=time.time()), tracked=False)
inputs = run.preview({"a": 1})
run.task(TaskRecord(name="t", outcome="ok", started_at=1.0, duration_seconds=1.0, inputs=inputs))
run.finish("ok")
assert run.flush(5) and list_runs(workspace)
print(*sorted({"mlflow", "pandas", "prefect", "kedro", "pyarrow", "numpy"} & sys.modules.keys()))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(workspace.root)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.strip() == ""
    assert done.stderr == ""


def test_what_was_recorded_is_written_when_the_process_ends_without_flushing(workspace):
    script = """
import sys, time
from pathlib import Path
from latent.config import Workspace
from latent.tracking import RunInfo, RunRecorder, TaskRecord
run = RunRecorder.start(
    Workspace(Path(sys.argv[1])), RunInfo(run_id="r", flow_name="f", started_at=time.time()), tracked=False
)
for _ in range(500):
    run.task(TaskRecord(name="t", outcome="ok", started_at=1.0, duration_seconds=1.0))
run.finish("ok")
"""
    subprocess.run([sys.executable, "-c", script, str(workspace.root)], timeout=30, check=True)
    run = load_run(workspace, "r")
    assert run.state == "ok"
    assert run.outcomes == {"ok": 500}


def test_the_lines_of_a_run_are_json(start):
    run = start()
    run.metric("loss", float("nan"), step=2)
    run.span(SpanRecord(name="call", started_at=1.0, duration_seconds=1.0, span_type="LLM"))
    run.dataset("raw", "input", fingerprint="ab", path=run.folder.path, rows=3)
    run.finish("ok")
    run.flush()
    events = [json.loads(line) for line in run.folder.events_file.read_text().splitlines()]
    assert {"start", "metric", "span", "dataset", "finish"} <= {event["event"] for event in events}


def test_spans_of_a_million_calls_are_not_a_million_lines(start):
    run = start()
    for _ in range(MAX_SPANS + 50):
        run.span(SpanRecord(name="call", started_at=1.0, duration_seconds=1.0, span_type="LLM"))
    run.finish("ok")
    assert run.flush(10)
    assert sum(line["event"] == "span" for line in lines(run, "events_file")) == MAX_SPANS


def test_call_that_ends_behind_the_run_is_counted_all_the_same(start):
    run = start()
    run.task(record())
    run.finish("ok")
    assert run.flush(5)
    run.task(record(row_outcomes={"ok": 9, "failed": 1}))  # a batch that was still under way
    assert run.flush(5)
    story = read_json(run.folder.run_file)
    assert (story["state"], story["outcomes"]) == ("ok", {"ok": 10, "failed": 1})
    ends = [line for line in lines(run, "events_file") if line["event"] == "finish"]
    assert [end["tasks"][0]["calls"] for end in ends] == [1, 11]
