"""
The same prompts by the official SDKs or by aiohttp alone, 200 at once, in asyncio that remembers nothing.

    python -m benchmarks.subjects.models_sdk openai|anthropic sdk-aiohttp|sdk-default|aiohttp BASE_URL PROMPTS
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.subjects.models_latent import AT_ONCE
from benchmarks.subjects.workload import Stopwatch, report

Ask = Callable[[str], Awaitable[str]]


def openai_sdk(base_url: str, http_client: Any) -> Ask:
    """A chat completion by OpenAI's SDK."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=base_url, api_key="any", max_retries=0, http_client=http_client)

    async def ask(prompt: str) -> str:
        done = await client.chat.completions.create(
            model="gpt-5-mini", max_completion_tokens=64, messages=[{"role": "user", "content": prompt}]
        )
        return done.choices[0].message.content or ""

    return ask


def anthropic_sdk(base_url: str, http_client: Any) -> Ask:
    """A message by Anthropic's SDK."""
    from anthropic import AsyncAnthropic

    client = AsyncAnthropic(base_url=base_url, api_key="any", max_retries=0, http_client=http_client)

    async def ask(prompt: str) -> str:
        done = await client.messages.create(
            model="claude-opus-4-6", max_tokens=64, messages=[{"role": "user", "content": prompt}]
        )
        return done.content[0].text  # type: ignore[union-attr]  # a text is all that the simulator sends

    return ask


def bare(base_url: str) -> Ask:
    """A chat completion by aiohttp, and nothing else."""
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def ask(prompt: str) -> str:
        body = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": prompt}]}
        async with session.post(f"{base_url}/chat/completions", json=body) as response:
            text: str = (await response.json())["choices"][0]["message"]["content"]
        return text

    return ask


def client_of(sdk: str, transport: str, base_url: str) -> Ask:
    """What asks; made inside of the event loop."""
    if transport == "aiohttp":
        return bare(base_url)
    module: Any = __import__(sdk)
    # The SDKs' own clients, with their own limits on connections.
    http_client = module.DefaultAioHttpClient() if transport == "sdk-aiohttp" else None
    return (openai_sdk if sdk == "openai" else anthropic_sdk)(base_url, http_client)


async def main(sdk: str, transport: str, base_url: str, prompts: int) -> float:
    """Requests a second, once all connections are open."""
    ask = client_of(sdk, transport, base_url)

    async def all_of(texts: list[str]) -> None:
        left = iter(texts)

        async def worker() -> None:
            for text in left:
                assert await ask(text) == text

        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))

    await all_of([f"warm {number}" for number in range(AT_ONCE)])
    with Stopwatch() as watch:
        await all_of([f"{transport} {number}" for number in range(prompts)])
    return prompts / watch.seconds


if __name__ == "__main__":
    report(fresh=asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))))
