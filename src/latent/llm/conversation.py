"""One answer from a provider: asked for, read, validated, and sent back where it is not valid."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from latent.errors import ModelCallError, ModelConnectionError
from latent.llm.answer import Answer, Usage
from latent.llm.dialects import speaker_of
from latent.llm.messages import Message, messages_of
from latent.llm.prices import cost_usd
from latent.llm.schemas import brief, mending
from latent.prefect.budget import use

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from latent.llm.messages import Turns
    from latent.llm.request import Reading, Request
    from latent.llm.ways import Way

CHARACTERS_PER_TOKEN = 4
"""
A rule of thumb (https://help.openai.com, "What are tokens and how to count them"): what a call is booked with
at a limit on tokens before its answer says what it took.
"""


@dataclass(slots=True)
class _Account:
    """What the requests for one answer have come to so far."""

    usage: Usage = field(default_factory=Usage)
    cost_usd: float | None = 0.0
    requests: int = 0


async def converse(request: Request, turns: Turns, way: Way, *, failed_before: int = 0) -> Answer:
    """
    One answer, repairs included.

    An answer that was paid for is never lost: when a repair fails, what came before it is the answer.

    Args:
        failed_before: Attempts at the same answer that had none, for its account.

    Raises:
        ModelCallError: The first request has no answer.
    """
    account = _Account()
    reading, seconds = await _ask(request, turns, way, account)
    text, problem, invalid = _judged(request, reading)
    said = turns
    for _ in range(request.repairs if invalid is not None else 0):
        assert request.output is not None and invalid is not None
        said = (
            *messages_of(said),
            Message("assistant", (text or "(nothing)",)),
            Message("user", (mending(request.output, invalid),)),
        )
        try:
            reading, seconds = await _ask(request, said, way, account)
        except ModelCallError as error:
            problem = f"{problem} Asking again failed: {error}"
            break
        text, problem, invalid = _judged(request, reading)
        if invalid is None:
            break
    return Answer(
        text=text,
        output_type=None if request.output is None else request.output.reference,
        usage=account.usage,
        cost_usd=account.cost_usd,
        finish_reason=reading.finish_reason,
        problem=problem,
        model=reading.model or request.endpoint.model,
        latency_seconds=seconds,
        attempts=account.requests + failed_before,
        request_id=reading.request_id,
        tool_calls=reading.tool_calls if request.output is None else (),
    )


def booked_tokens(request: Request, turns: Turns) -> int:
    """The tokens of a prompt, roughly: text by its length; attachments are not counted."""
    texts = [request.system or "", *(message.text for message in messages_of(turns))]
    return -(-sum(map(len, texts)) // CHARACTERS_PER_TOKEN)


async def _ask(request: Request, turns: Turns, way: Way, account: _Account) -> tuple[Reading, float]:
    """One request; what it took is booked, whatever becomes of its answer."""
    speaker, endpoint = speaker_of(request.endpoint.dialect), request.endpoint
    payload = speaker.payload(request, turns)

    async def send() -> tuple[Reading, float]:
        began = time.perf_counter()
        reply = await way.post(endpoint, speaker.PATH, payload, timeout_seconds=request.timeout_seconds)
        seconds = time.perf_counter() - began
        return _read(request, speaker.reading, reply.document), seconds

    account.requests += 1
    if request.limit is None:
        reading, seconds = await send()
    else:
        reading, seconds = await _under_limit(request.limit, booked_tokens(request, turns), way, send)
    cost = cost_usd(endpoint.provider, endpoint.model, reading.usage)
    account.usage += reading.usage
    account.cost_usd = None if cost is None or account.cost_usd is None else account.cost_usd + cost
    use(endpoint.spec, _amounts(reading.usage), cost)
    return reading, seconds


async def _under_limit(
    name: str, tokens: int, way: Way, send: Callable[[], Coroutine[object, object, tuple[Reading, float]]]
) -> tuple[Reading, float]:
    async with way.admitted(name, tokens) as permit:
        reading, seconds = await send()
        permit.release(tokens_used=reading.usage.input_tokens + reading.usage.output_tokens)
    return reading, seconds


def _read(
    request: Request, reading: Callable[[dict[str, object]], Reading], document: dict[str, object]
) -> Reading:
    try:
        return reading(document)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        endpoint = request.endpoint
        reason = f"what it sent is no answer: {error}."
        raise ModelConnectionError(endpoint.spec, endpoint.place, reason) from error


def _judged(request: Request, reading: Reading) -> tuple[str, str | None, ValueError | None]:
    """The answer's text, why it cannot be used, and the error that the model may mend."""
    output = request.output
    if output is None:
        return reading.text, None, None
    called = next((call for call in reading.tool_calls if call.get("name") == output.name), None)
    text = reading.text if called is None else str(called.get("arguments") or "")
    if reading.finish_reason == "refusal":
        return text, "The model refused to answer.", None
    try:
        output.validated(text)
    except ValueError as error:
        if reading.finish_reason == "length":
            return text, "The answer was cut before it was complete: raise max_tokens.", None
        problem = f"The answer is no valid {output.name}: {'; '.join(brief(error).splitlines())}."
        return text, problem, error
    return text, None, None


def _amounts(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }
