"""One row as a request to the simulated provider, alike for latent and its peers."""

from __future__ import annotations

import asyncio

import httpx

ROWS = 1_500
PER_SECOND = 50
BURST = 10
LATENCY_SECONDS = 0.3
AT_ONCE = 64
"""Rows under way at the same time: four times what the provider can have in work."""

SLOT_CALLS = 2_000
SLOT_SECONDS = 0.12
SLOTS = 20


def ideal_seconds(rows: int) -> float:
    """What so many rows take of a client that makes no mistake and wastes no moment."""
    return (rows - BURST) / PER_SECOND + LATENCY_SECONDS


def request(prompt: str) -> tuple[str, dict[str, object]]:
    """The path and body of a chat completion."""
    return "chat/completions", {"model": "simulated", "messages": [{"role": "user", "content": prompt}]}


class Provider:
    """A client of the simulated provider, with a connection pool for each event loop."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._clients: dict[asyncio.AbstractEventLoop, httpx.AsyncClient] = {}

    async def ask(self, prompt: str) -> httpx.Response:
        """
        Answer one prompt.

        Raises:
            httpx.HTTPStatusError: The provider refused or failed.
        """
        loop = asyncio.get_running_loop()
        if (client := self._clients.get(loop)) is None:
            limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
            client = httpx.AsyncClient(base_url=self._base_url, limits=limits, timeout=60, trust_env=False)
            self._clients[loop] = client
        path, body = request(prompt)
        response = await client.post(path, json=body)
        return response.raise_for_status()


def text_of(response: httpx.Response) -> str:
    """What the model said."""
    text: str = response.json()["choices"][0]["message"]["content"]
    return text
