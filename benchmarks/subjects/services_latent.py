"""
A run of many rows, and how long Prefect's server takes after it until it knows all of it.

    python -m benchmarks.subjects.services_latent ROWS [batches]

Each row is a task run of its own; with `batches`, as many of them as latent chooses.
"""

from __future__ import annotations

import logging
import sys
import time

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.runtime import flow_run

from benchmarks.subjects import workload
from benchmarks.subjects.workload import WORKERS, Stopwatch, report
from latent.prefect import flow, task
from latent.prefect.api import is_in_memory, prefect_api

PATIENCE_SECONDS = 400.0
SETTLED_SECONDS = 3.0
"""After so long without news, a server knows the run: how many batches it had is not known here."""

# A line for each task run.
logging.disable(logging.INFO)


@task("trivial", cache=False, max_workers=WORKERS)
def trivial(row: int) -> dict[str, int]:
    """A row that costs nothing."""
    return workload.trivial(row)


@flow("many")
def many(rows: int, row_runs: str) -> str:
    """The run's id."""
    trivial.map(range(rows), row_runs=row_runs).result()
    return str(flow_run.id)


def behind(client: SyncPrefectClient, run_id: str, task_runs: int) -> float:
    """Seconds until the server knew the last of the run's finished task runs, `task_runs` of them or more."""
    finished = {
        "flow_runs": {"id": {"any_": [run_id]}},
        "task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
    }
    began = changed = time.monotonic()
    known = 0
    while known < task_runs or time.monotonic() - changed < SETTLED_SECONDS:
        now = int(client.request("POST", "/task_runs/count", json=finished).json())
        if now != known:
            known, changed = now, time.monotonic()
        elif time.monotonic() - changed > PATIENCE_SECONDS:
            raise RuntimeError(f"The server knows {known:,} task runs of {task_runs:,}.")
        time.sleep(0.1)
    return changed - began


def main(rows: int, row_runs: str) -> None:
    """Report the run's seconds and, with a server, those until it knew all of the run."""
    with prefect_api():
        many(1, "auto")  # the first run of a process starts what the others use
        with Stopwatch() as run:
            run_id = many(rows, row_runs)
        if is_in_memory():
            report(run=run.seconds)
            return
        with get_client(sync_client=True) as client:
            late = behind(client, run_id, rows if row_runs == "all" else 1)
    report(run=run.seconds, behind=late)


if __name__ == "__main__":
    main(int(sys.argv[1]), "auto" if "batches" in sys.argv[2:] else "all")
