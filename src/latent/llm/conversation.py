"""One answer from a provider: asked for, read, validated, and sent back where it is not valid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from latent.errors import LatentError, ModelAnswerError, ModelRefusedError
from latent.llm.answer import Answer, Usage
from latent.llm.attempts import persistently, policy_for
from latent.llm.dialects import speaker_of
from latent.llm.messages import Message, messages_of
from latent.llm.schemas import judged, mending
from latent.llm.sending import send
from latent.llm.tokens import booked_tokens
from latent.prefect.run import current_run, surroundings

if TYPE_CHECKING:
    from latent.llm.io import IO
    from latent.llm.messages import Turns
    from latent.llm.request import Reading, Request

_REFUSES_THE_CONVERSATION = (400, 413, 422)
"""Statuses that say that what was sent will not be answered, whenever it is sent."""


@dataclass(slots=True)
class _Account:
    """What the requests for one answer have come to so far."""

    usage: Usage | None = field(default_factory=Usage)
    """None: of some, nobody said what they took."""
    cost_usd: float | None = 0.0
    requests: int = 0

    def add(self, usage: Usage | None, cost: float | None) -> None:
        """Take in what one request took."""
        self.usage = None if usage is None or self.usage is None else self.usage + usage
        self.cost_usd = None if cost is None or self.cost_usd is None else self.cost_usd + cost


async def converse(request: Request, turns: Turns, io: IO, *, failed_before: int = 0) -> tuple[Answer, bool]:
    """
    One answer, repairs included.

    An answer that was paid for is never lost: when a repair fails, what came before it is the answer.

    Args:
        failed_before: Attempts at the same answer that had none, for its account.

    Returns:
        The answer, and whether it is to be remembered: not when a repair may succeed another time.

    Raises:
        ModelCallError: The first request has no answer.
    """
    account, is_final = _Account(), True
    reading, seconds = await _ask(request, turns, io, account)
    text, problem, invalid = _judged(request, reading)
    said, failed_repair = turns, ""
    for _ in range(request.repairs if invalid is not None else 0):
        assert request.output is not None and invalid is not None
        sent_back = (
            *messages_of(said),
            Message("assistant", (text or "(nothing)",)),
            Message("user", (mending(request.output, invalid),)),
        )
        try:
            newer, seconds = await _ask_again(request, sent_back, io, account)
        except LatentError as error:
            failed_repair = f" Asking again failed: {error}"
            is_final = isinstance(error, ModelRefusedError) and error.status in _REFUSES_THE_CONVERSATION
            break
        newer_text, newer_problem, newer_invalid = _judged(request, newer)
        if newer_problem is not None and (why := _is_worse(newer, newer_text)):
            failed_repair = f" Asked to mend it, {why}"
            if newer_invalid is None:  # refused or cut, as it would be once more
                break
            continue
        reading, text, problem, invalid = newer, newer_text, newer_problem, newer_invalid
        said, failed_repair = sent_back, ""
        if invalid is None:
            break
    answer = Answer(
        text=text,
        reasoning=reading.reasoning,
        output_type=None if request.output is None else request.output.reference,
        usage=account.usage,
        cost_usd=account.cost_usd,
        finish_reason=reading.finish_reason,
        first_problem=problem and problem + failed_repair,
        model=reading.model or request.endpoint.model,
        latency_seconds=seconds,
        attempts=account.requests + failed_before,
        request_id=reading.request_id,
        tool_calls=reading.tool_calls if request.output is None else (),
    )
    return answer, is_final


async def _ask_again(request: Request, turns: Turns, io: IO, account: _Account) -> tuple[Reading, float]:
    """A repair, tried again by itself: with the whole call, what it mends would be paid for again."""
    run = current_run() or surroundings(None)

    async def attempt(failed: int) -> tuple[Reading, float]:
        return await _ask(request, turns, io, account)

    return await persistently(attempt, io, policy_for(request.retries, run.workspace.settings))


async def _ask(request: Request, turns: Turns, io: IO, account: _Account) -> tuple[Reading, float]:
    """One request; what it took is booked, whatever becomes of its answer."""
    speaker, endpoint = speaker_of(request.endpoint.dialect), request.endpoint
    account.requests += 1
    sent = await send(
        request, speaker.PATH, speaker.payload(request, turns), io,
        tokens=booked_tokens(request, turns), usage_in=speaker.usage,
    )  # fmt: skip
    account.add(sent.usage, sent.cost_usd)
    try:
        return speaker.reading(sent.document), sent.seconds
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelAnswerError(
            endpoint.spec, endpoint.place, f"what it sent is not an answer: {error}."
        ) from error


def _judged(request: Request, reading: Reading) -> tuple[str, str | None, ValueError | None]:
    """The answer's text, why it cannot be used, and the error that the model may mend."""
    output = request.output
    if output is None:
        return reading.text, None, None
    calls = reading.tool_calls
    called = next((call for call in calls if call.get("name") == output.name), calls[0] if calls else None)
    text = reading.text if called is None else str(called["arguments"])
    if reading.finish_reason == "refusal":
        return text, "The model refused to answer.", None
    verdict = judged(output, text)
    if verdict.invalid is not None and reading.finish_reason == "length":
        return text, "The answer was cut before it was complete: raise max_tokens.", None
    return text, verdict.problem, verdict.invalid


def _is_worse(repair: Reading, text: str) -> str:
    """Why what a repair says without being valid cannot stand for what came before it; empty where it can."""
    if repair.finish_reason == "refusal":
        return "the model refused."
    if repair.finish_reason == "length":
        return "its answer was cut before it was complete: raise max_tokens."
    return "" if text.strip() else "it said nothing."
