"""Rows on the workers of Dask and Ray: the same values, errors, records and memory as at home."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

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

DASK = """
from prefect_dask import DaskTaskRunner

cluster = {"n_workers": 2, "threads_per_worker": 2, "processes": True, "dashboard_address": None}
runner = DaskTaskRunner(cluster_kwargs=cluster)
"""

RAY = """
from prefect_ray import RayTaskRunner

runner = RayTaskRunner(init_kwargs={"num_cpus": 2, "include_dashboard": False})
"""

FLOW = """
import os

from latent.prefect import flow, params, spend, task


@task("scale", retry=False)
def scale(x):
    with open(params.calls, "a") as file:
        file.write(f"{x} {os.getpid()}\\n")
    if x == 13:
        raise ValueError("thirteen")
    spend(0.5)
    return x * params.factor


@flow("main", task_runner=runner)
def main():
    many, few = scale.map(range(40), on_error="collect"), scale.map([100, 101])
    values = many.result()
    print("ERROR", type(values.pop(13).original_error).__name__)
    print("VALUES", sum(values), few.result())


if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize(
    ("library", "runner"), [("prefect_dask", DASK), ("prefect_ray", RAY)], ids=["dask", "ray"]
)
def test_rows_on_a_cluster_come_back_with_everything(make_workspace, library, runner):
    pytest.importorskip(library)
    workspace = make_workspace(
        {
            "config/latent.toml": SETTINGS,
            "flows/main/flow.py": runner + FLOW,
            "flows/main/parameters.yaml": "factor: 10\n",
        }
    )
    calls = workspace.root / "calls.txt"
    (workspace.root / "flows/main/parameters.yaml").write_text(f"factor: 10\ncalls: {calls}\n")

    def run() -> str:
        done = subprocess.run(
            [sys.executable, "flows/main/flow.py"],
            cwd=workspace.root,
            env=os.environ | {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_USAGE_STATS_ENABLED": "0"},
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    out = run()
    assert "ERROR ValueError\n" in out
    assert f"VALUES {10 * (sum(range(40)) - 13)} [1000, 1010]\n" in out
    lines = [line.split() for line in calls.read_text().splitlines()]
    assert Counter(int(x) for x, _ in lines) == Counter([*range(40), 100, 101])
    (folder,) = workspace.runs_dir.iterdir()
    rows = load_rows(workspace, folder.name).to_pylist()
    assert Counter(row["outcome"] for row in rows) == {"ok": 41, "failed": 1}
    assert sum(row["cost_usd"] or 0 for row in rows) == 20.5
    assert load_run(workspace, folder.name).outcomes == {"ok": 41, "failed": 1}

    assert f"VALUES {10 * (sum(range(40)) - 13)} [1000, 1010]\n" in run()
    again = [line.split()[0] for line in calls.read_text().splitlines()[len(lines) :]]
    assert again == ["13"], "only the failed row runs again"


LETHAL = """
import os
import sys
import time

from latent.prefect import flow, task

LETHAL = {int(x) for x in os.environ["LETHAL_ROWS"].split()}


@task("scale", retry=False, cache=os.environ["REMEMBERS"] == "yes")
def scale(x):
    with open(os.environ["CALLS"], "a") as file:
        file.write(f"{x}\\n")
    if x in LETHAL:
        time.sleep(0.3)
        os._exit(3)
    return x * 10


def said(rows, done):
    failed = {row: result for row, result in zip(rows, done) if isinstance(result, Exception)}
    print("FAILED", sorted(failed), {type(error.original_error).__name__ for error in failed.values()})
    print("SAID", all("Its worker process died" in str(error) for error in failed.values()))
    print("SUM", sum(result for result in done if isinstance(result, int)))


@flow("main", task_runner=runner)
def main():
    rows = range(int(os.environ["ROWS"]))
    if os.environ["HOW"] == "stream":
        stream = scale.map_stream(rows, on_error="collect", window=20, batch_size=10)
        results = sorted(stream, key=lambda row: row.index)
        return said(rows, [row.error or row.value for row in results])
    said(rows, scale.map(rows, on_error="collect", batch_size=10, row_runs=os.environ["HOW"]).result())


if __name__ == "__main__":
    main()
"""


def lethal(make_workspace, rows, lethal_rows, *, remembers=True, how="auto"):
    """The values that come home, what is said of the others, and how often each row was begun."""
    pytest.importorskip("prefect_dask")
    workspace = make_workspace({"config/latent.toml": SETTINGS, "flows/main/flow.py": DASK + LETHAL})
    calls = workspace.root / "calls.txt"
    done = subprocess.run(
        [sys.executable, "flows/main/flow.py"],
        cwd=workspace.root,
        env={
            **os.environ,
            # Dask itself would give a batch to three more workers first.
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
            "LETHAL_ROWS": " ".join(map(str, lethal_rows)),
            "REMEMBERS": "yes" if remembers else "no",
            "ROWS": str(rows),
            "CALLS": str(calls),
            "HOW": how,
        },
        capture_output=True,
        text=True,
        timeout=480,
        stdin=subprocess.DEVNULL,
    )
    (folder,) = workspace.runs_dir.iterdir()
    counts = load_run(workspace, folder.name).outcomes
    return done.stdout, done.stdout + done.stderr, Counter(map(int, calls.read_text().split())), counts


@pytest.mark.parametrize(
    ("lethal_rows", "remembers", "how"),
    [
        ([13, 27], True, "auto"),
        ([13, 14], False, "auto"),
        ([13], True, "all"),
        ([13], True, "stream"),
    ],
    ids=["two", "two of a batch, not remembered", "rows that are task runs", "stream"],
)
def test_a_row_that_kills_its_worker_takes_no_other_row_along(make_workspace, lethal_rows, remembers, how):
    out, all_said, begun, counts = lethal(make_workspace, 30, lethal_rows, remembers=remembers, how=how)
    assert f"FAILED {lethal_rows} {{'RowEndedError'}}\nSAID True\n" in out, all_said
    assert f"SUM {10 * (sum(range(30)) - sum(lethal_rows))}\n" in out
    assert all(begun[row] >= 2 for row in lethal_rows), "one death may be a neighbour's"
    # A neighbour may have been committed when its worker died before it could say so: then it is found there.
    found = counts.pop("cached", 0) if remembers else 0
    assert counts == {"ok": 30 - len(lethal_rows) - found, "failed": len(lethal_rows)}
