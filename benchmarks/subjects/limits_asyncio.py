"""
Rows by plain asyncio, which remembers nothing: a semaphore with tenacity's retries, or a loop told its limit.

    python -m benchmarks.subjects.limits_asyncio semaphore|paced URL ROWS
"""

from __future__ import annotations

import asyncio
import sys

import httpx
from tenacity import retry, retry_if_exception_type, wait_random_exponential

from benchmarks.subjects.provider import BURST, LATENCY_SECONDS, PER_SECOND, Provider, text_of
from benchmarks.subjects.workload import Stopwatch, report

provider = Provider(sys.argv[2])

retried = retry(wait=wait_random_exponential(max=60), retry=retry_if_exception_type(httpx.HTTPStatusError))


async def semaphore(prompts: list[str]) -> list[str]:
    """As many requests at once as the limit's rate has in work on average."""
    places = asyncio.Semaphore(round(PER_SECOND * LATENCY_SECONDS) + 1)

    @retried
    async def ask(prompt: str) -> str:
        async with places:
            return text_of(await provider.ask(prompt))

    return await asyncio.gather(*map(ask, prompts))


async def paced(prompts: list[str]) -> list[str]:
    """Half of the burst at once, then a request every 20 ms: for a client that knows the limit."""

    @retried
    async def ask(prompt: str) -> str:
        return text_of(await provider.ask(prompt))

    loop = asyncio.get_running_loop()
    due, tasks = loop.time() - BURST / 2 / PER_SECOND, []
    for prompt in prompts:
        due += 1 / PER_SECOND
        await asyncio.sleep(max(0.0, due - loop.time()))
        tasks.append(asyncio.create_task(ask(prompt)))
    return await asyncio.gather(*tasks)


if __name__ == "__main__":
    how = {"semaphore": semaphore, "paced": paced}[sys.argv[1]]
    with Stopwatch() as watch:
        asyncio.run(how([f"{sys.argv[1]}: question {row}" for row in range(int(sys.argv[3]))]))
    report(seconds=watch.seconds)
