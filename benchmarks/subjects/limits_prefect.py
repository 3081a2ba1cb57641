"""
Rows and slots with Prefect's `concurrency` round each call, as tutorials show it, on its own local server.

    python -m benchmarks.subjects.limits_prefect ask URL ROWS
    python -m benchmarks.subjects.limits_prefect slots CALLS
"""

from __future__ import annotations

import asyncio
import logging
import sys

from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.concurrency.asyncio import concurrency
from prefect.futures import wait

from benchmarks.subjects.provider import BURST, SLOT_SECONDS, SLOTS, Provider, text_of
from benchmarks.subjects.workload import Stopwatch, report

logging.disable(logging.INFO)

provider = Provider(sys.argv[2])


@task(retries=20, retry_delay_seconds=1)
async def ask(prompt: str) -> str:
    """One answer of the model, in a slot of the limit."""
    async with concurrency("api", occupy=1):
        return text_of(await provider.ask(prompt))


@task
async def hold(call: int) -> int:
    """A call that takes a slot for a while."""
    async with concurrency("slots", occupy=1):
        await asyncio.sleep(SLOT_SECONDS)
    return call


@flow
def limited(rows: int) -> float:
    """Seconds until all rows are answered."""
    with Stopwatch() as watch:
        wait(ask.map([f"prefect: question {row}" for row in range(rows)]))
    return watch.seconds


@flow
def slots(calls: int) -> float:
    """Seconds until all calls have held a slot."""
    with Stopwatch() as watch:
        wait(hold.map(range(calls)))
    return watch.seconds


@flow
async def make_limits() -> None:
    """What `prefect gcl create NAME --limit N` does."""
    async with get_client() as client:
        await client.upsert_global_concurrency_limit_by_name("api", BURST)
        await client.upsert_global_concurrency_limit_by_name("slots", SLOTS)


if __name__ == "__main__":
    asyncio.run(make_limits())
    report(seconds=slots(int(sys.argv[2])) if sys.argv[1] == "slots" else limited(int(sys.argv[3])))
