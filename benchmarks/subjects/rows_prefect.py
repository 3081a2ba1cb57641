"""
Rows mapped with Prefect alone, as its documentation shows it: persisted results, and its own local server.

    python -m benchmarks.subjects.rows_prefect ROWS

Prefect takes the same time for each row, and minutes for ten thousand: fewer rows stand for all.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from prefect import flow, task
from prefect.cache_policies import INPUTS

from benchmarks.subjects import workload
from benchmarks.subjects.workload import Stopwatch, report

# Ten thousand lines of log would be measured as well.
logging.disable(logging.INFO)


@task(cache_policy=INPUTS, persist_result=True)
def answer(row: int) -> dict[str, Any]:
    """A row of 1 kB."""
    return workload.answer(row)


@task(cache_policy=INPUTS, persist_result=True)
def trivial(row: int) -> dict[str, int]:
    """A row that costs nothing."""
    return workload.trivial(row)


@flow
def fresh(rows: int) -> float:
    """Seconds a row of which nothing is remembered."""
    with Stopwatch() as watch:
        trivial.map(range(rows)).result()
    return watch.seconds / rows


@flow
def remembered(rows: int) -> float:
    """Seconds a row when all are remembered."""
    answer.map(range(rows)).result()
    with Stopwatch() as watch:
        answer.map(range(rows)).result()
    return watch.seconds / rows


if __name__ == "__main__":
    count = int(sys.argv[1])
    fresh(1)  # starts the server
    report(remembered=remembered(count), fresh=fresh(count))
