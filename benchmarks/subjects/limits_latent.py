"""
Rows under a limit of latent's, in the workspace of the current folder.

    python -m benchmarks.subjects.limits_latent ask URL NAME ROWS
    python -m benchmarks.subjects.limits_latent slots

NAME begins each prompt. Where there is a file `wait`, the process makes `ready-NAME`, and begins with its
rows once `wait` is taken away.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from pathlib import Path

from benchmarks.subjects.provider import AT_ONCE, SLOT_CALLS, SLOT_SECONDS, Provider, text_of
from benchmarks.subjects.workload import Stopwatch, report
from latent.limits import observe
from latent.prefect import flow, task

logging.disable(logging.INFO)

provider = Provider(sys.argv[2] if len(sys.argv) > 2 else "")


@task("ask", limit="api", retries=20, max_workers=AT_ONCE)
async def ask(prompt: str) -> str:
    """One answer of the model; its headers teach the limit."""
    response = await provider.ask(prompt)
    observe(response)
    return text_of(response)


@task("hold", limit="slots", max_workers=AT_ONCE)
async def hold(call: int) -> int:
    """A call that takes a slot for a while."""
    await asyncio.sleep(SLOT_SECONDS)
    return call


@flow("limited")
def limited(name: str, rows: int) -> float:
    """Seconds until all rows are answered."""
    wait_for_the_others(name)
    with Stopwatch() as watch:
        ask.map([f"{name}: question {row}" for row in range(rows)]).result()
    return watch.seconds


@flow("slots")
def slots() -> float:
    """Seconds until all calls have held a slot."""
    with Stopwatch() as watch:
        hold.map(range(SLOT_CALLS)).result()
    return watch.seconds


@flow("warm up")
def warm_up() -> None:
    """The first run of a process starts what the others use."""


def wait_for_the_others(name: str) -> None:
    """Say that this process is ready, and begin when all are."""
    Path(f"ready-{name}").touch()
    while Path("wait").exists():
        time.sleep(0.005)


if __name__ == "__main__":
    warm_up()
    if sys.argv[1] == "slots":
        report(seconds=slots())
    else:
        report(seconds=limited(sys.argv[3], int(sys.argv[4])))
