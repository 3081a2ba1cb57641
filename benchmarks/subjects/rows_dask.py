"""Trivial rows as Dask delayed calls, on Dask's default scheduler, which is its quickest for them."""

from __future__ import annotations

import dask

from benchmarks.subjects.workload import ROWS, Stopwatch, report, trivial

if __name__ == "__main__":
    call = dask.delayed(trivial, pure=False)
    dask.compute([call(row) for row in range(100)])
    with Stopwatch() as watch:
        dask.compute([call(row) for row in range(ROWS)])
    report(fresh=watch.seconds / ROWS)
