"""
Remembered results without a flow: joblib.Memory and diskcache, read one by one and in bulk.

    python -m benchmarks.subjects.rows_stores fill|read
"""

from __future__ import annotations

import pickle
import sqlite3
import sys
from contextlib import closing

import diskcache
import joblib

from benchmarks.subjects.workload import REMEMBERED, Stopwatch, answer, report

KEYS_PER_QUERY = 1_000

remembered_answer = joblib.Memory("joblib", verbose=0).cache(answer)


def fill() -> None:
    """Remember what `read` reads."""
    for row in range(REMEMBERED):
        remembered_answer(row)
    with diskcache.Cache("diskcache") as cache, cache.transact():
        for row in range(REMEMBERED):
            cache[row] = answer(row)


def read() -> dict[str, float]:
    """Seconds a row by joblib, by diskcache one by one, and by one query for a thousand rows of its file."""
    with Stopwatch() as by_joblib:
        found = [remembered_answer(row) for row in range(REMEMBERED)]
    with diskcache.Cache("diskcache") as cache, Stopwatch() as one_by_one:
        assert [cache[row] for row in range(REMEMBERED)] == found
    with closing(sqlite3.connect("diskcache/cache.db")) as database, Stopwatch() as in_bulk:
        assert in_one_go(database, range(REMEMBERED)) == found
    watches = {"joblib": by_joblib, "one": one_by_one, "bulk": in_bulk}
    rows = {name: watch.seconds / REMEMBERED for name, watch in watches.items()}
    return rows | {"bulk_cpu": in_bulk.cpu_seconds / REMEMBERED}


def in_one_go(database: sqlite3.Connection, keys: range) -> list[object]:
    """The values under integer keys; diskcache itself has no such call."""
    found: dict[int, object] = {}
    for first in range(0, len(keys), KEYS_PER_QUERY):
        some = keys[first : first + KEYS_PER_QUERY]
        query = f"SELECT key, value FROM Cache WHERE raw = 1 AND key IN ({','.join('?' * len(some))})"
        found |= {key: pickle.loads(value) for key, value in database.execute(query, some)}
    return [found[key] for key in keys]


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        report(filled=fill())
    else:
        report(**read())
