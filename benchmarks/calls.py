"""What a call of a task costs beside the task's own work."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Figure, environment, paired
from latent.config import find_workspace
from latent.testing import write_files
from latent.tracking import stop_writer

UNCACHED_CALLS = 200
REMEMBERED_CALLS = 2_000

# One process measures both, on the same in-memory API: what differs is latent's own work.
SCRIPT = f"""
import json, logging, sys, time
import prefect
from prefect.cache_policies import INPUTS
from latent.prefect import flow, task
from latent.prefect.api import prefect_api

logging.disable(logging.INFO)

@task("ours", cache=False)
def ours(x):
    return x

@prefect.task(name="bare", cache_policy=prefect.cache_policies.NO_CACHE)
def bare(x):
    return x

@task("remembered")
def remembered(x):
    return {{"x": x, "text": "y" * 200}}

@prefect.task(name="persisted", cache_policy=INPUTS, persist_result=True)
def persisted(x):
    return {{"x": x, "text": "y" * 200}}

def timed(call, n):
    started = time.perf_counter()
    for i in range(n):
        call(i)
    return (time.perf_counter() - started) / n

@flow("bench")
def ours_flow():
    timed(ours, 20)
    uncached = timed(ours, {UNCACHED_CALLS})
    timed(remembered, 100)
    hits = timed(lambda i: remembered(i % 100), {REMEMBERED_CALLS})
    return {{"uncached": uncached, "hits": hits}}

@prefect.flow(name="bench-bare")
def bare_flow():
    timed(bare, 20)
    uncached = timed(bare, {UNCACHED_CALLS})
    timed(persisted, 20)
    hits = timed(lambda i: persisted(i % 20), 100)
    return {{"uncached": uncached, "hits": hits}}

with prefect_api():
    peers = bare_flow()
print(json.dumps({{"ours": ours_flow(), "peer": peers}}))
"""


def figures() -> Iterator[Figure]:
    """Uncached calls against bare Prefect; remembered ones against persisted results and 0.2 ms."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write_files(folder, {"config/latent.toml": "", "bench.py": SCRIPT})
        rounds = [_measure(folder) for _ in range(6)][1:]
        stop_writer(find_workspace(folder))

    def taken(who: str, kind: str) -> list[float]:
        return [round_[who][kind] * 1e3 for round_ in rounds]

    yield paired(
        "a task call, not remembered, tracked",
        taken("ours", "uncached"),
        taken("peer", "uncached"),
        peer="bare Prefect, same API",
        reach=1.5,
    )
    hits = taken("ours", "hits")
    yield paired("a remembered task call", hits, taken("peer", "hits"), peer="Prefect's persisted result")
    yield paired("a remembered task call", hits, 0.2, peer="0.2 ms", reach=1.0)


def _measure(folder: Path) -> dict[str, dict[str, float]]:
    """Seconds a call, ours and the peer's, from one process."""
    variables = {"PREFECT_HOME": str(folder / "prefect"), "LATENT_WORKSPACE": str(folder)}
    done = subprocess.run(
        [sys.executable, "bench.py"],
        cwd=folder,
        env=environment(variables),
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return found
