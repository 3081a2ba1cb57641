"""Rows in several processes: workers of a task runner, and two runs of the same rows at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from latent.tracking import load_rows, load_run

SETTINGS = """
[tasks]
retry_delay_seconds = 0
[tracking]
enabled = false
[rows]
rows_as_runs = 3
"""

FLOW = """
import os
import sys
import time

from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

from latent.prefect import flow, params, spend, task

away = "away" in sys.argv


@task("scale", retry=False)
def scale(x):
    with open("calls.txt", "a") as file:
        file.write(f"{x} {os.getpid()}\\n")
    time.sleep(float(os.environ.get("ROW_SECONDS", "0")))
    if x == 13:
        raise ValueError("thirteen")
    spend(0.5)
    return x * params.factor


@flow("main", task_runner=ProcessPoolTaskRunner(max_workers=2) if away else ThreadPoolTaskRunner())
def main():
    futures = scale.map(range(params.rows))
    futures.wait()
    print("VALUES", sum(f.result() for f in futures if f.index != 13), flush=True)
    for future in futures:
        if future.state.is_failed():
            try:
                future.result()
            except ValueError as error:
                print("FAILED", error.context["row_index"], error.context["arguments"])


if __name__ == "__main__":
    main()
"""


def make(make_workspace, rows=40):
    return make_workspace(
        {
            "config/latent.toml": SETTINGS,
            "flows/main/flow.py": FLOW,
            "flows/main/parameters.yaml": f"factor: 10\nrows: {rows}\n",
        }
    )


def start(root: Path, *arguments: str, seconds: float = 0.0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "flows/main/flow.py", *arguments],
        cwd=root,
        env={**os.environ, "ROW_SECONDS": str(seconds)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return out


def called(root: Path) -> list[list[str]]:
    return [line.split() for line in (root / "calls.txt").read_text().splitlines()]


def test_rows_on_worker_processes_come_back_with_everything(make_workspace):
    workspace = make(make_workspace)
    out = finish(start(workspace.root, "away"))
    total = 10 * (sum(range(40)) - 13)
    assert f"VALUES {total}\n" in out
    assert "FAILED 13 {'x': 13}" in out
    lines = called(workspace.root)
    assert Counter(int(x) for x, _ in lines) == Counter(range(40))
    assert len({pid for _, pid in lines}) == 2
    (folder,) = workspace.runs_dir.iterdir()
    rows = sorted(load_rows(workspace, folder.name).to_pylist(), key=lambda row: row["index"])
    assert [row["outcome"] for row in rows] == ["failed" if n == 13 else "ok" for n in range(40)]
    assert sum(row["cost_usd"] or 0 for row in rows) == 19.5
    assert load_run(workspace, folder.name).outcomes == {"ok": 39, "failed": 1}
    again = finish(start(workspace.root))
    assert f"VALUES {total}\n" in again
    assert len(called(workspace.root)) == 41, "only the failed row runs again, wherever"


def test_two_processes_share_rows_and_pay_for_none_twice(make_workspace):
    workspace = make(make_workspace, rows=120)
    both = [start(workspace.root, seconds=0.1) for _ in range(2)]
    outputs = [finish(process) for process in both]
    assert outputs[0] == outputs[1]
    paid = Counter(int(x) for x, _ in called(workspace.root))
    assert set(paid) == set(range(120))
    # The row that fails is nobody's to keep: each may try it.
    assert [x for x, times in paid.items() if times > 1 and x != 13] == []
    assert len({pid for _, pid in called(workspace.root)}) == 2, "one process did everything"


def test_interrupted_map_keeps_rows_under_way_and_begins_no_more(make_workspace):
    workspace = make(make_workspace, rows=400)
    process = start(workspace.root, seconds=0.3)
    while not (workspace.root / "calls.txt").exists():
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    begun = {int(x) for x, _ in called(workspace.root)}
    assert len(begun) < 400
    finish(start(workspace.root))
    paid = Counter(int(x) for x, _ in called(workspace.root))
    assert set(paid) == set(range(400))
    assert [x for x, times in paid.items() if times > 1 and x != 13] == []


ODD = """
import os
import sys
import threading

from prefect.task_runners import ProcessPoolTaskRunner

from latent.prefect import flow, task


class PickyError(Exception):
    def __init__(self, text, code):
        super().__init__(text)
        self.code = code


@task("odd", retry=False, cache=False)
def odd(x):
    if x == 3:
        return threading.Lock()
    if x == 5:
        raise PickyError("picky", 7)
    if x == 7:
        raise SystemExit("gone")
    return x


@flow("main", task_runner=ProcessPoolTaskRunner(max_workers=2))
def main():
    results = odd.map(range(12), on_error="collect").result()
    print("OK", [x for x in results if isinstance(x, int)])
    for x in (3, 5, 7):
        print("FAILED", x, type(results[x].original_error).__name__, results[x].original_text)
    print("CODE", results[5].code)


if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("rows_as_runs", [3, 100], ids=["batches", "runs"])
def test_what_cannot_come_back_costs_only_its_row(make_workspace, rows_as_runs):
    settings = SETTINGS.replace("rows_as_runs = 3", f"rows_as_runs = {rows_as_runs}")
    workspace = make_workspace({"config/latent.toml": settings, "flows/main/flow.py": ODD})
    out = finish(start(workspace.root))
    assert f"OK {[x for x in range(12) if x not in (3, 5, 7)]}\n" in out
    assert "FAILED 3 TypeError" in out
    assert "FAILED 5 PickyError picky\n" in out
    assert "FAILED 7 RowEndedError The row was ended by SystemExit: gone\n" in out
    assert "CODE 7\n" in out


BROKEN = """
import os

from prefect.task_runners import ProcessPoolTaskRunner

from latent.errors import FailedRowsError
from latent.prefect import flow, task
from latent.prefect.api import memory_api


@task("broken", retry=False, cache=False)
def broken(x):
    with open("calls.txt", "a") as file:
        file.write(f"{x} {os.getpid()}\\n")
    if x >= 4:
        raise ValueError("wrong key")
    return x


@flow("main", task_runner=ProcessPoolTaskRunner(max_workers=2))
def main():
    try:
        broken.map(range(2_000), max_failures=5, max_workers=4, batch_size=500).result()
    except FailedRowsError as error:
        print(error)
    for artifact in memory_api().artifacts():
        if artifact["type"] == "table":
            print("TABLE", artifact["data"])


if __name__ == "__main__":
    main()
"""


def test_a_broken_map_ends_in_the_middle_of_a_batch_that_is_away(make_workspace):
    workspace = make_workspace({"config/latent.toml": SETTINGS, "flows/main/flow.py": BROKEN})
    out = finish(start(workspace.root))
    assert "Stopped early: more than 5 rows failed (max_failures=5)." in out
    assert len(called(workspace.root)) < 100, "each process ends its batch, and no further one begins"
    tables = [
        json.loads(line.removeprefix("TABLE ")) for line in out.splitlines() if line.startswith("TABLE")
    ]
    failed = [row for table in tables for row in table]
    assert {row["error"] for row in failed} == {"ValueError: wrong key"}
    assert all(row["id"] == str(row["row"]) for row in failed)
