"""What a row costs beside its own work."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.measure import PREFECT_SERVER, UNTRACKED, Figure, measure, paired
from benchmarks.subjects.workload import REMEMBERED, ROWS
from latent.config import find_workspace
from latent.testing import write_files
from latent.tracking import stop_writer

ROUNDS = 3
PREFECT_ROWS = 300
"""Prefect is asked for fewer rows and its time taken for each: ten thousand would take it minutes."""
PREFECT_MAP = f"Prefect's `.map` of {PREFECT_ROWS} rows"

NOTE = """\
Where the time of a remembered row goes, in microseconds of the processor, of 11 in all: SQLite's look-up
and reading 3.5 (10,000 keys, of which 2,500 are not there), checking and unpacking what it gave 1.0,
choosing the version and decoding the JSON 2.1, the keys of 10,000 rows 0.8, the ends of the rows that are
remembered and the jobs of the 2,500 that are not 3.1, their futures 0.2, the run's account 0.4. Between the
processor's time and the clock's lies what else the machine does.
"""

Latent = Callable[..., dict[str, Any]]


def figures() -> Iterator[Figure]:
    """Remembered rows, new rows of sync and async functions, and what tracking adds to them."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write_files(folder, {"config/latent.toml": ""})
        latent = partial(_latent, folder, count(step=2 * ROWS))
        try:
            # Once, since a server must be started for it, and how much longer it takes is no close call.
            prefect = measure("rows_prefect", PREFECT_ROWS, folder=folder, **PREFECT_SERVER)
            yield from _remembered(folder, latent, prefect["remembered"])
            yield from _fresh(folder, latent, prefect["fresh"])
        finally:
            stop_writer(find_workspace(folder))


def _remembered(folder: Path, latent: Latent, prefect: float) -> Iterator[Figure]:
    latent("fill")
    measure("rows_stores", "fill", folder=folder)
    rounds = [latent("remembered") | measure("rows_stores", "read", folder=folder) for _ in range(ROUNDS)]
    figure = partial(paired, f"a remembered row of 1 kB, {REMEMBERED:,} of {ROWS:,}", unit="us")
    ours = [microseconds(found["row"]) for found in rounds]
    yield figure(ours, 20.0, peer="20 us", reach=1.0)
    yield figure(ours, microseconds(prefect), peer=f"{PREFECT_MAP}, cached", reach=1 / 300)
    for key, peer in {
        "joblib": "joblib.Memory",
        "one": "diskcache",
        "bulk": "diskcache's file in bulk",
    }.items():
        yield figure(ours, [microseconds(found[key]) for found in rounds], peer=peer)
    # On a machine with other work, the time of the processor says more than that of the clock.
    figure = partial(paired, "the same, in time of the processor", unit="us")
    ours = [microseconds(found["cpu"]) for found in rounds]
    yield figure(ours, 20.0, peer="20 us", reach=1.0)
    bulk = [microseconds(found["bulk_cpu"]) for found in rounds]
    yield figure(ours, bulk, peer="diskcache's file in bulk", reach=2.5)


def _fresh(folder: Path, latent: Latent, prefect: float) -> Iterator[Figure]:
    """New rows; of Ray and Prefect, one measurement stands beside all rounds."""
    ray = microseconds(measure("rows_ray", folder=folder)["fresh"])
    rounds = [
        {
            "sync": latent("fresh"),
            "pool": measure("rows_pool", folder=folder),
            "untracked": latent("fresh", **UNTRACKED),
            "dask": measure("rows_dask", folder=folder),
            "async": latent("fresh_async"),
        }
        for _ in range(ROUNDS)
    ]

    def taken(who: str, key: str = "row") -> list[float]:
        return [microseconds(found[who][key]) for found in rounds]

    for kind, promise in {"sync": 250.0, "async": 200.0}.items():
        figure = partial(paired, f"a new trivial row, {kind}, remembered and tracked", taken(kind), unit="us")
        yield figure(promise, peer=f"{promise:.0f} us", reach=1.0)
        yield figure(microseconds(prefect), peer=f"{PREFECT_MAP}, persisted", reach=1 / 30)
        yield figure(taken("dask", "fresh"), peer="Dask delayed", reach=1.0)
        yield figure(ray, peer="Ray", reach=1.0)
        yield figure(taken("pool", "fresh"), peer="thread pool with diskcache")
    tracked, untracked = ([found[who]["run"] * 1e3 for found in rounds] for who in ("sync", "untracked"))
    yield paired(f"a run of {ROWS:,} rows, tracked", tracked, untracked, peer="untracked", reach=1.15)


def _latent(folder: Path, numbers: Iterator[int], kind: str, **variables: str) -> dict[str, Any]:
    """One process of latent's, with rows that no other had."""
    return measure("rows_latent", kind, next(numbers), folder=folder, **variables)


def microseconds(seconds: float) -> float:
    """Rows are too quick for the table's milliseconds."""
    return seconds * 1e6
