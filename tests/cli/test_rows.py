"""`latent runs rows` and `latent runs failures`: what became of each row of a run."""

from __future__ import annotations

import json
import time

import pytest

from latent.config import Workspace
from latent.testing.plugin import MakeWorkspace
from latent.tracking import RowRecord, RunInfo, RunRecorder, TaskRecord
from tests.cli.conftest import Cli


def told(workspace: Workspace, rows: list[RowRecord], calls: list[TaskRecord], run_id: str = "r1") -> None:
    """A run that maps these rows and makes these calls."""
    info = RunInfo(run_id=run_id, flow_name="asking", started_at=time.time())
    run = RunRecorder.start(workspace, info, tracked=False)
    run.rows(rows)
    for call in calls:
        run.task(call)
    run.finish("ok")
    assert run.flush(60)


def error(message: str, kind: str = "RateLimitError") -> dict[str, str]:
    return {"type": kind, "message": message}


ROWS = [
    RowRecord("ask", 2, "q-2", "failed", 4, 5.0, 1.5, 0.25, "k2", error("Error code: 429, wait 3 s")),
    RowRecord("ask", 1, "q-1", "failed", 4, 5.0, 2.5, 0.0, "k1", error("Error code: 429,\n wait 12 s")),
    RowRecord("ask", 0, "q-0", "cached", 0, key="k0"),
    RowRecord("ask", 3, "q-3", "ok", 1, 6.0, 0.5, 0.0, "k3", reason="expired", cost_usd=0.01),
    RowRecord("score", 0, "q-0", "skipped", 0),
]
CALL = TaskRecord(
    name="load", outcome="failed", started_at=1.0, duration_seconds=1.0, error=error("no file", "OSError")
)
BATCH = TaskRecord(
    name="ask", outcome="failed", started_at=1.0, duration_seconds=1.0, row_outcomes={"ok": 1, "failed": 2}
)


@pytest.fixture
def workspace(make: MakeWorkspace) -> Workspace:
    workspace = make({})
    told(workspace, ROWS, [CALL, BATCH])
    return workspace


def test_rows_are_shown_in_order_with_what_became_of_them(latent: Cli, workspace: Workspace) -> None:
    ended = latent("runs", "rows", "r1")
    assert ended.code == 0
    header, *lines = ended.out.splitlines()
    assert header.split() == ["TASK", "ROW", "ID", "OUTCOME", "TRIES", "TIME", "WAITED", "WHY"]
    assert [line.split()[:4] for line in lines] == [
        ["ask", "0", "q-0", "cached"],
        ["ask", "1", "q-1", "failed"],
        ["ask", "2", "q-2", "failed"],
        ["ask", "3", "q-3", "ok"],
        ["score", "0", "q-0", "skipped"],
    ]
    assert lines[1].endswith("4      2.5 s   0 ms    RateLimitError: Error code: 429, wait 12 s")
    assert lines[3].endswith("1      500 ms  0 ms    expired")
    assert lines[0].endswith("0      -       -       -")


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (["--where", "outcome == 'failed'"], ["q-1", "q-2"]),
        (["--where", "'429' in error and duration_seconds > 2"], ["q-1"]),
        (["--task", "score"], ["q-0"]),
        (["--task", "ask", "--limit", "2"], ["q-0", "q-1"]),
        (["--where", "cost_usd > 0"], ["q-3"]),
    ],
)
def test_rows_are_chosen_by_conditions(
    latent: Cli, workspace: Workspace, options: list[str], ids: list[str]
) -> None:
    lines = latent("runs", "rows", "r1", "--json", *options).out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids


def test_rows_that_are_left_out_are_counted(latent: Cli, workspace: Workspace) -> None:
    assert latent("runs", "rows", "r1", "--limit", "2").out.endswith("\n2 of 5 rows.\n")
    assert latent("runs", "rows", "r1", "--where", "attempts > 9").out == "No such rows.\n"


def test_failures_are_shown_by_their_cause(latent: Cli, workspace: Workspace) -> None:
    ended = latent("runs", "failures", "r1")
    assert ended.code == 0
    assert [line.split("  ")[0].strip() for line in ended.out.splitlines()] == ["FAILED", "2", "1"]
    _, first, second = ended.out.splitlines()
    assert first.split(maxsplit=2)[1:] == [
        "ask",
        "RateLimitError: Error code: 429, wait 12 s  1    q-1",
    ]
    assert second.split() == ["1", "load", "OSError:", "no", "file", "-", "-"]


def test_run_without_rows_says_so(latent: Cli, make: MakeWorkspace) -> None:
    told(make({}), [], [])
    assert latent("runs", "rows", "r1").out == "No such rows.\n"
    assert latent("runs", "failures", "r1").out == "Nothing failed.\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["rows", "r9"], "There is no run 'r9'"),
        (["failures", "r9"], "There is no run 'r9'"),
        (["rows", "r1", "--task", "aks"], "The run mapped no task 'aks': did you mean 'ask'?"),
        (["rows", "r1", "--task", "'x"], 'The run mapped no task "\'x": it mapped ask, score.'),
        (["rows", "r1", "--where", "outcome = 1"], "The condition 'outcome = 1' cannot be used: "),
        (["rows", "r1", "--where", "outcom == 'ok'"], "did you mean 'outcome'?"),
        (["rows", "r1", "--limit", "0"], "--limit"),
    ],
)
def test_wrong_use(latent: Cli, workspace: Workspace, args: list[str], message: str) -> None:
    ended = latent("runs", *args)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
