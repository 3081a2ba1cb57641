"""Trivial rows in a thread pool that writes each into diskcache, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import diskcache

from benchmarks.subjects.workload import ROWS, WORKERS, Stopwatch, report, trivial

if __name__ == "__main__":
    with diskcache.Cache("pool") as cache:
        cache.clear()

        def remember(row: int) -> None:
            """The row's result, kept under the row."""
            cache[row] = trivial(row)

        with ThreadPoolExecutor(WORKERS) as pool, Stopwatch() as watch:
            list(pool.map(remember, range(ROWS)))
    report(fresh=watch.seconds / ROWS)
