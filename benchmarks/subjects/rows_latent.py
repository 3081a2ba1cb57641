"""
Rows mapped with latent, in the workspace of the current folder.

    python -m benchmarks.subjects.rows_latent fresh|fresh_async|fill|remembered FIRST

FIRST is the first of 20,000 numbers that no other process has: rows of which nothing is remembered.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from benchmarks.subjects import workload
from benchmarks.subjects.workload import REMEMBERED, ROWS, WORKERS, Stopwatch, report
from latent.prefect import flow, task

MODEL_SECONDS = 0.02
"""What a row takes that is not remembered; with no time at all, it would compete for the processor."""

# Prefect writes a line for each task run, also without latent.
logging.disable(logging.INFO)


@task("trivial", max_workers=WORKERS)
def trivial(row: int) -> dict[str, int]:
    """A row that costs nothing."""
    return workload.trivial(row)


@task("trivial_async", max_workers=WORKERS)
async def trivial_async(row: int) -> dict[str, int]:
    """The same as an async function."""
    return workload.trivial(row)


@task("answer", max_workers=WORKERS)
def answer(row: int) -> dict[str, Any]:
    """A row of 1 kB that takes its time."""
    time.sleep(MODEL_SECONDS)
    return workload.answer(row)


@flow("fresh")
def fresh(first: int, rows: int = ROWS, *, is_async: bool = False) -> float:
    """Seconds until all results are there; none was remembered."""
    with Stopwatch() as watch:
        (trivial_async if is_async else trivial).map(range(first, first + rows)).result()
    return watch.seconds


@flow("fill")
def fill() -> None:
    """Remember what `remembered` finds."""
    answer.map(range(REMEMBERED)).result()


@flow("remembered")
def remembered(first: int) -> Stopwatch:
    """The time until the remembered results are there, while the other rows are being computed."""
    rows = [*range(REMEMBERED), *range(first, first + ROWS - REMEMBERED)]
    with Stopwatch() as watch:
        futures = answer.map(rows)
        for future in futures[:REMEMBERED]:
            future.result()
    return watch


def main(kind: str, first: int) -> None:
    """Measure one kind and report its seconds: of a row, and of the run as a whole."""
    fresh(first + ROWS, rows=1)  # the first run of a process starts what the others use
    if kind == "fill":
        report(filled=fill())
    elif kind == "remembered":
        watch = remembered(first)
        report(row=watch.seconds / REMEMBERED, cpu=watch.cpu_seconds / REMEMBERED)
    else:
        with Stopwatch() as run:
            seconds = fresh(first, is_async=kind == "fresh_async")
        report(row=seconds / ROWS, run=run.seconds)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
