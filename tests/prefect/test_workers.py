"""Tasks on other processes: memory, parameters, logs and outputs work there as at home."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from latent.tracking import load_run

FLOW = """
import os

from prefect.task_runners import ProcessPoolTaskRunner

from latent.prefect import flow, logger, params, task, unmapped


@task("scale", retry=False)
def scale(x, home):
    logger.info(f"scaling {x}")
    if x < 0:
        raise ValueError("negative")
    with open("calls.txt", "a") as file:
        file.write(f"{x}\\n")
    return {"value": x * params.factor, "elsewhere": os.getpid() != home}


@task("collect", output="collected")
def collect(rows):
    return [row["value"] for row in rows]


@flow("main", task_runner=ProcessPoolTaskRunner(max_workers=2))
def main():
    rows = scale.map([1, 2, 3], home=unmapped(0)).result()
    assert all(row["elsewhere"] for row in rows), "the rows ran at home"
    failed = scale.submit(-1, home=0)
    failed.wait()
    try:
        failed.result()
    except ValueError as error:
        print("FAILED", error.context["arguments"]["x"], error.context["attempts"])
    return collect.submit(rows).result()


if __name__ == "__main__":
    print("RESULT", main())
"""

FILES = {
    "config/latent.toml": "[tasks]\nretry_delay_seconds = 0\n[tracking]\nenabled = false\n",
    "flows/main/flow.py": FLOW,
    "flows/main/parameters.yaml": "factor: 10\n",
    "flows/main/catalog.yaml": "collected: data/collected.json\n",
}


def run(root: Path) -> str:
    done = subprocess.run(
        [sys.executable, "flows/main/flow.py"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_process_pool_remembers_reads_parameters_and_saves(make_workspace):
    workspace = make_workspace(FILES)
    first = run(workspace.root)
    assert "RESULT [10, 20, 30]" in first
    assert "FAILED -1 1" in first
    assert json.loads((workspace.root / "data/collected.json").read_text()) == [10, 20, 30]
    calls = workspace.root / "calls.txt"
    assert sorted(calls.read_text().split()) == ["1", "2", "3"]

    assert "RESULT [10, 20, 30]" in run(workspace.root)
    assert sorted(calls.read_text().split()) == ["1", "2", "3"]  # all remembered

    (workspace.root / "flows/main/parameters.yaml").write_text("factor: 5\n")
    assert "RESULT [5, 10, 15]" in run(workspace.root)
    assert len(calls.read_text().split()) == 6  # the parameter that the workers read has changed

    records = [load_run(workspace, folder.name) for folder in workspace.runs_dir.iterdir()]
    assert {record.state for record in records} == {"ok"}
