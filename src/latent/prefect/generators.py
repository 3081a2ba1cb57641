"""Generator flows and tasks: the context stays as long as values are taken from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator
    from contextlib import AbstractContextManager

    Surroundings = Callable[[], AbstractContextManager[Any]]


def generated(call: Callable[[], Any], surroundings: Surroundings) -> Generator[Any, Any, Any]:
    """What a generator yields and returns, inside the surroundings."""
    with surroundings():
        return (yield from call())


async def generated_async(call: Callable[[], Any], surroundings: Surroundings) -> AsyncIterator[Any]:
    """What an async generator yields, inside the surroundings."""
    with surroundings():
        async for value in call():
            yield value
