"""How a call waits: blocking its thread, or leaving the event loop to others. What is done is the same."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from latent.limits.block import limit
from latent.llm.transport import Reply, post, post_now
from latent.prefect.leases import acquire_lease, acquire_lease_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping
    from contextlib import AbstractAsyncContextManager

    from latent.cache import Lease, Memory
    from latent.limits import Permit
    from latent.llm.endpoints import Endpoint

R = TypeVar("R")


class IO(Protocol):
    """The things that a call waits for."""

    async def post(
        self, endpoint: Endpoint, path: str, payload: Mapping[str, Any], *, timeout_seconds: float
    ) -> Reply:
        """One request and its answer."""

    async def sleep(self, seconds: float) -> None:
        """A pause before another attempt."""

    async def acquire_lease(self, memory: Memory, key: str) -> Lease:
        """The right to work on a key, once nobody else does."""

    def admitted(self, name: str, tokens: int) -> AbstractAsyncContextManager[Permit]:
        """A block under a limit."""


class AsyncIO:
    """For coroutines: others run meanwhile."""

    async def post(
        self, endpoint: Endpoint, path: str, payload: Mapping[str, Any], *, timeout_seconds: float
    ) -> Reply:
        return await post(endpoint, path, payload, timeout_seconds=timeout_seconds)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def acquire_lease(self, memory: Memory, key: str) -> Lease:
        return await acquire_lease_async(memory, key)

    def admitted(self, name: str, tokens: int) -> AbstractAsyncContextManager[Permit]:
        return limit(name, tokens)


class SyncIO:
    """For plain functions: nothing here ever suspends, so that `finished` can drive it without a loop."""

    async def post(
        self, endpoint: Endpoint, path: str, payload: Mapping[str, Any], *, timeout_seconds: float
    ) -> Reply:
        return post_now(endpoint, path, payload, timeout_seconds=timeout_seconds)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def acquire_lease(self, memory: Memory, key: str) -> Lease:
        return acquire_lease(memory, key)

    @asynccontextmanager
    async def admitted(self, name: str, tokens: int) -> AsyncIterator[Permit]:
        with limit(name, tokens) as permit:
            yield permit


def finished(work: Coroutine[Any, Any, R]) -> R:
    """What a coroutine returns that never suspends."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # typed by the coroutine
    work.close()
    raise RuntimeError("a blocking call was about to be suspended")
