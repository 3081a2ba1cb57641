"""`with limit("openai-api", tokens=1200):` around a call, in flows and in plain scripts."""

from __future__ import annotations

from contextvars import ContextVar
from types import TracebackType

from latent.config.workspace import find_workspace
from latent.limits.limiter import Limiter
from latent.limits.lookup import limit_name, limiter_for
from latent.limits.permit import BorrowedPermit, Permit, held_permit

asking_run: ContextVar[str] = ContextVar("latent_asking_run", default="")
"""The id of the run that the calling code belongs to; calls outside of runs share one share."""


_entered: ContextVar[tuple[tuple[LimitBlock, Permit], ...]] = ContextVar("latent_limit_blocks", default=())
"""Blocks that this context is in: several threads and asyncio tasks may enter the same object."""


class LimitBlock:
    """What `limit` returns: `with` and `async with` wait for admission, and yield the permit."""

    __slots__ = ("name", "tokens")

    def __init__(self, name: str, tokens: int) -> None:
        self.name, self.tokens = name, tokens

    def __enter__(self) -> Permit:
        permit = self._around() or self._limiter().acquire(tokens=self.tokens, run_id=asking_run.get())
        return self._enter(permit)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        blocks = _entered.get()
        place = max(index for index, (block, _) in enumerate(blocks) if block is self)
        _entered.set(blocks[:place] + blocks[place + 1 :])
        blocks[place][1].__exit__(kind, error, trace)

    async def __aenter__(self) -> Permit:
        permit = self._around()
        if permit is None:
            permit = await self._limiter().acquire_async(tokens=self.tokens, run_id=asking_run.get())
        return self._enter(permit)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _enter(self, permit: Permit) -> Permit:
        _entered.set((*_entered.get(), (self, permit)))
        return permit.__enter__()

    def _around(self) -> Permit | None:
        """The permit that a block or task around this one holds: waiting for another could wait for ever."""
        outer = held_permit(self.name)
        return None if outer is None else BorrowedPermit(outer, self.tokens)

    def _limiter(self) -> Limiter:
        return limiter_for(find_workspace(), self.name)


def limit(name: str, tokens: int = 0) -> LimitBlock:
    """
    Wait for admission to the limit `name` of the current workspace, and hold it for the length of a block.

    Inside a block or a task that holds the same limit, no second slot is taken. The first block inside is
    the request that the outer one was let in for; further ones are requests more. `tokens` always count.

    Args:
        name: A table `[limits.NAME]` of the settings.
        tokens: What the call will take, as far as one can say. `permit.release(tokens_used=...)` corrects it.

    Raises:
        UsageError: The name is not a string.
        UnknownLimitError: On entering the block, when the settings have no such limit.
    """
    return LimitBlock(limit_name(name), tokens)
