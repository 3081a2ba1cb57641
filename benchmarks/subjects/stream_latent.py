"""
Rows from an iterator, and the most memory that they took.

    python -m benchmarks.subjects.stream_latent ROWS
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


@task("trivial")
async def trivial(row: int) -> dict[str, Any]:
    """A row that costs nothing, remembered and recorded as any other."""
    return workload.trivial(row)


def numbers(rows: int) -> Iterator[int]:
    """Rows that nobody holds all at once."""
    yield from range(rows)


@flow("stream")
def stream(rows: int) -> int:
    """How many rows came back."""
    return sum(1 for _ in trivial.map_stream(numbers(rows)))


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
    count = int(sys.argv[1])
    with Stopwatch() as watch:
        assert stream(count) == count
    report(row=watch.seconds / count, peak=peak_megabytes())
