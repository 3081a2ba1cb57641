"""The right to one call: held while it is under way, and taught by its answer."""

from __future__ import annotations

import time
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING

from latent.limits.controller import Overload, Refusal, Statement
from latent.provider_errors.responses import ProviderAnswer, answer_of

if TYPE_CHECKING:
    from latent.limits.limiter import Limiter
    from latent.limits.waiting import Waiter

_held: ContextVar[tuple[Permit, ...]] = ContextVar("latent_permits", default=())

_SLOW_WINDOW_SECONDS = 90.0
"""Limits stand for a minute; one that takes longer to be whole again stands for an hour or a day."""
_NEARLY_USED = 0.01


class Permit:
    """
    One call's admission; a context manager for `with` and `async with`, that releases it at the end.

    Inside the block, `with limit(...)` of the same name takes no second slot: it would wait for itself.
    """

    __slots__ = (
        "_is_released",
        "_limiter",
        "_token",
        "_waiter",
        "_was_lent",
        "_was_refused",
        "waited_seconds",
    )

    def __init__(self, limiter: Limiter, waiter: Waiter) -> None:
        self._limiter, self._waiter = limiter, waiter
        self._is_released = self._was_refused = self._was_lent = False
        self._token: Token[tuple[Permit, ...]] | None = None
        self.waited_seconds = max(0.0, time.monotonic() - waiter.asked_at)
        """How long the call waited to begin."""

    @property
    def name(self) -> str:
        """The limit's name."""
        return self._limiter.name

    @property
    def is_released(self) -> bool:
        """Whether the call has ended."""
        return self._is_released

    def observe(self, answer: object) -> None:
        """
        Teach the limit by a provider's answer: a response of any client, its headers, or an exception.

        What is none of these is ignored. A refusal counts once, also when it is raised afterwards.
        """
        if self._is_released or not self._limiter.owns(self._waiter):
            return
        if (known := answer_of(answer)) is None:
            return
        if (statement := stated(known)) is not None:
            self._limiter.tell(statement)
        if self._was_refused:
            return
        if known.is_rate_limited:
            self._was_refused = True
            waiter = self._waiter
            self._limiter.tell(Refusal(waiter.began_at, waiter.rate, waiter.in_flight))
        elif known.is_overloaded:
            self._was_refused = True
            self._limiter.tell(Overload(self._waiter.began_at))

    def release(self, *, error: BaseException | None = None, tokens_used: int | None = None) -> None:
        """
        End the call; the next one may begin. A second time does nothing.

        Args:
            error: What the call raised; None when it succeeded.
            tokens_used: What it took; corrects what was booked.
        """
        if self._is_released:
            return
        if error is not None:
            self.observe(error)
        self._is_released = True
        if tokens_used is not None and self._limiter.owns(self._waiter):
            self._limiter.book(tokens_used - self._waiter.tokens)
        self._limiter.give_back(self._waiter, succeeded=error is None and not self._was_refused)

    def __enter__(self) -> Permit:
        self._token = _held.set((*_held.get(), self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _held.reset(self._token)
            self._token = None
        self.release(error=error)

    async def __aenter__(self) -> Permit:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


class BorrowedPermit(Permit):
    """
    The permit of a block around this one: no slot of its own, but tokens of its own.

    The first one is the request that the block around was let in for. Each further one is a request more,
    that later calls wait for: if it waited itself, it would keep a slot from others meanwhile.
    """

    __slots__ = ("_around", "_tokens")

    def __init__(self, around: Permit, tokens: int) -> None:
        self._around, self._tokens = around, tokens
        self._limiter = around._limiter
        self._is_released = False
        self.waited_seconds = 0.0
        self._limiter.book(tokens, requests=int(around._was_lent))
        around._was_lent = True

    def observe(self, answer: object) -> None:
        self._around.observe(answer)

    def release(self, *, error: BaseException | None = None, tokens_used: int | None = None) -> None:
        """Correct what was booked; the slot stays with the block around this one."""
        if self._is_released:
            return
        if error is not None:
            self.observe(error)
        self._is_released = True
        if tokens_used is not None:
            self._limiter.book(tokens_used - self._tokens)

    def __enter__(self) -> Permit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release(error=error)


def observe(answer: object) -> None:
    """Teach the limit of the call that runs here by a provider's answer; without a limit, nothing happens."""
    if (permit := held_permit()) is not None:
        permit.observe(answer)


def held_permit(name: str | None = None) -> Permit | None:
    """
    The innermost permit that this context holds, or its permit of the limit `name`.

    One that was released is held no more, though an asyncio task begun inside of its block still sees it.
    """
    for permit in reversed(_held.get()):
        if not permit.is_released and (name is None or permit.name == name):
            return permit
    return None


def stated(answer: ProviderAnswer) -> Statement | None:
    """
    The limits per second that an answer's headers state; None when they state none.

    A limit whose window is not said stands for a minute, unless it takes longer than that to be whole again;
    then it is a budget for long, which paces nothing before it is nearly used up.
    """
    requests = tokens = None
    for limit in answer.limits:
        if limit.limit is None or limit.limit <= 0:
            continue
        slow = max(limit.reset_seconds or 0.0, limit.window_seconds or 0.0) > _SLOW_WINDOW_SECONDS
        if not slow:
            rate: float | None = limit.limit / (limit.window_seconds or 60.0)
        elif limit.remaining is not None and limit.remaining <= limit.limit * _NEARLY_USED:
            rate = limit.refill_per_second
        else:
            rate = None
        if rate and limit.kind == "requests":
            requests = min(rate, requests or rate)
        elif rate and limit.kind in ("tokens", "input-tokens"):
            tokens = min(rate, tokens or rate)
    return None if requests is None and tokens is None else Statement(requests, tokens)
