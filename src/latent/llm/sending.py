"""One request to a provider: let in by the budget and the limit, and booked before its answer is read."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latent.errors import ModelRefusedError, RunStoppedError
from latent.llm.failures import failure_in
from latent.llm.prices import cost_usd, stated_cost_usd
from latent.prefect.budget import use
from latent.prefect.retry_policy import why_everything_stops
from latent.prefect.scope import current_scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from latent.llm.answer import Usage
    from latent.llm.embedding import EmbeddingRequest
    from latent.llm.io import IO
    from latent.llm.request import Request
    from latent.prefect.run import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request that was answered, and what it took."""

    document: dict[str, Any]
    usage: Usage | None
    """None: the provider does not say."""
    cost_usd: float | None
    seconds: float


def admit(run: Run, service: str) -> None:
    """
    Count a call in the run's budget; one inside of a row that counts itself belongs to that.

    One inside of a row that the budget did not hold back is held back itself.

    Raises:
        RunStoppedError: The budget is used up; for a task that is under way, only that of calls ends it.
    """
    budget, scope = run.budget, current_scope()
    if budget is None or (scope is not None and scope.is_counted):
        return
    begins = scope is None or scope.is_free
    if not (budget.admit(None) if begins else budget.admit_inside()):
        raise RunStoppedError(budget.reached or "The run was stopped.", service)


async def send(
    request: Request | EmbeddingRequest,
    path: str,
    payload: Mapping[str, Any],
    io: IO,
    *,
    tokens: int,
    usage_in: Callable[[dict[str, Any]], Usage | None],
) -> Sent:
    """
    One request, under the limit that it has.

    Args:
        tokens: What it is booked with at the limit, until its answer says what it took.
        usage_in: What an answer says that it took.

    Raises:
        ModelCallError: There is no answer, or it says that there is none.
    """
    if request.limit is None:
        try:
            return await _sent(request, path, payload, io, usage_in)
        except ModelRefusedError as error:
            raise _with_advice(error) from None
    async with io.admitted(request.limit, tokens) as permit:
        sent = await _sent(request, path, payload, io, usage_in)
        if sent.usage is not None:
            permit.release(tokens_used=sent.usage.input_tokens + sent.usage.output_tokens)
    return sent


def _with_advice(error: ModelRefusedError) -> ModelRefusedError:
    """What helps a call without a limit that the provider finds too quick."""
    if error.status != 429 or error.hint or why_everything_stops(error) is not None:
        return error
    return error.with_hint(
        'Calls wait for their turn with limit="NAME", and [limits.NAME] in config/latent.toml.'
    )


async def _sent(
    request: Request | EmbeddingRequest,
    path: str,
    payload: Mapping[str, Any],
    io: IO,
    usage_in: Callable[[dict[str, Any]], Usage | None],
) -> Sent:
    endpoint, began = request.endpoint, time.perf_counter()
    reply = await io.post(endpoint, path, payload, timeout_seconds=request.timeout_seconds)
    seconds = time.perf_counter() - began
    usage, failure = usage_in(reply.document), failure_in(endpoint, reply)
    cost = stated_cost_usd(reply.document)
    if cost is None:
        cost = cost_usd(endpoint.provider, endpoint.model, usage)
    # A failure that says nothing of tokens took none, as one with a status of its own.
    if failure is None or usage is not None:
        use(endpoint.spec, {} if usage is None else usage.amounts(), cost)
    if failure is not None:
        raise failure
    return Sent(document=reply.document, usage=usage, cost_usd=cost, seconds=seconds)
