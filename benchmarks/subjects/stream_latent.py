"""
Rows from an iterator, and the most memory that they took.

    python -m benchmarks.subjects.stream_latent sync|async off|on ROWS

The second argument says whether results are remembered. What is remembered already is only read.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.subjects import workload
from benchmarks.subjects.workload import Stopwatch, report
from latent.prefect import flow, task

logging.disable(logging.INFO)

CACHE = "on" in sys.argv


@task("trivial", cache=CACHE)
def trivial(row: int) -> dict[str, Any]:
    """A row that costs nothing."""
    return workload.trivial(row)


@task("trivial_async", cache=CACHE)
async def trivial_async(row: int) -> dict[str, Any]:
    """The same as an async function."""
    return workload.trivial(row)


def numbers(rows: int) -> Iterator[int]:
    """Rows that nobody holds all at once."""
    yield from range(rows)


@flow("stream")
def stream(rows: int, *, is_async: bool) -> float:
    """The most memory that was taken by the time that half of the rows had come back, in MB."""
    half = 0.0
    rows_left = rows
    for _ in (trivial_async if is_async else trivial).map_stream(numbers(rows)):
        rows_left -= 1
        if rows_left == rows // 2:
            half = peak_megabytes()
    assert rows_left == 0
    return half


def peak_megabytes() -> float:
    """The most memory that this process had; `getrusage` would count the parent that it was forked from."""
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) / 1024
    import resource

    unit = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    kind, _, count = sys.argv[1:]
    with Stopwatch() as watch:
        at_half = stream(int(count), is_async=kind == "async")
    report(row=watch.seconds / int(count), peak=peak_megabytes(), half=at_half)
