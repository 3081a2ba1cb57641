"""Trivial rows as Ray tasks, on a local Ray with a worker process for each core."""

from __future__ import annotations

import logging

import ray

from benchmarks.subjects.workload import ROWS, Stopwatch, report, trivial

if __name__ == "__main__":
    ray.init(include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    call = ray.remote(trivial)
    ray.get([call.remote(row) for row in range(100)])
    with Stopwatch() as watch:
        ray.get([call.remote(row) for row in range(ROWS)])
    ray.shutdown()
    report(fresh=watch.seconds / ROWS)
