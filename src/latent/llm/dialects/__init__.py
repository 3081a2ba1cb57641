"""How providers are spoken to: for each API, the request it takes and the answer it gives."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

import orjson

from latent.errors import ModelSpecError
from latent.llm.messages import MarkedText

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from latent.llm.answer import FinishReason, Usage
    from latent.llm.messages import Message, Part, Turns
    from latent.llm.request import Reading, Request


class Speaker(Protocol):
    """One API: pure functions on JSON."""

    PATH: str
    """Below the endpoint's `base_url`."""

    def payload(self, request: Request, turns: Turns) -> dict[str, Any]:
        """The body of a request."""

    def max_tokens(self, sampling: Mapping[str, Any]) -> int | None:
        """Where an answer is cut, thoughts included; None: where the provider does."""

    def reading(self, document: dict[str, Any]) -> Reading:
        """
        What an answer's body says.

        Raises:
            ValueError: It has another shape.
        """

    def usage(self, document: dict[str, Any]) -> Usage | None:
        """What an answer's body says that it took, whatever else it says; None where it does not say."""

    def check(self, spec: str, sampling: dict[str, Any]) -> None:
        """Raise `ModelSpecError` for a sampling parameter of ours that the API does not have."""


def told(document: object, *names: str) -> int | None:
    """A number of tokens in what a provider says, below these names; None where there is none."""
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    if isinstance(document, float) and document.is_integer():
        return int(document) if document >= 0 else None
    return document if isinstance(document, int) and type(document) is not bool and document >= 0 else None


def count(document: object, *names: str) -> int:
    """As `told`, for what is a part of other counts: 0 where nothing is said of it."""
    return told(document, *names) or 0


def output_counts(given: int, made: int, total: int | None, reasoning: int) -> tuple[int, int]:
    """
    All tokens that a model made, and those of them that it thought with.

    Most providers count thoughts among the output. xAI and Gemini count them beside it, and only the total
    has them: they are paid for all the same.

    Args:
        made: The output as the provider counts it.
        total: What it counts altogether; None where it does not say.
        reasoning: The thoughts as it counts them; 0 where it does not say.
    """
    if total is None:  # more thoughts than output are not part of it
        total = given + made + (reasoning if reasoning > made else 0)
    beside = max(0, total - given - made)
    return made + beside, min(max(reasoning, beside), made + beside)


_ENDS: dict[FinishReason, str] = {
    "stop": "stop eos eos_token end_turn stop_sequence stop_token end complete completed",
    "length": "length max_tokens max_new_tokens max_output_tokens max_length model_length "
    "model_context_window_exceeded context_length_exceeded",
    "refusal": "content_filter content_filtered refusal safety recitation blocklist sensitive "
    "prohibited_content spii guardrail_intervened",
    "tool": "tool_calls tool_call tool_use function_call",
}
"""
What servers call the end of an answer, in lower case: OpenAI and Anthropic, text-generation-inference and
Together (`eos`, `eos_token`), Mistral (`model_length`), Gemini (`MAX_TOKENS`, `SAFETY`), Bedrock.
"""
_FINISH = {word: reason for reason, words in _ENDS.items() for word in words.split()}


def finish_reason(said: object, *, has_text: bool, has_calls: bool) -> FinishReason:
    """
    Why an answer ended, by what the server calls it; some gateways say nothing of it.

    Args:
        has_text: Whether the model said something.
        has_calls: Whether it called a tool.
    """
    if said is None or said == "":
        return "tool" if has_calls else "stop" if has_text else "other"
    # Gemini's own reason stands behind a colon: `content_filter: SAFETY`.
    return _FINISH.get(str(said).lower().partition(":")[0].strip(), "other")


def as_text(arguments: object) -> str:
    """The arguments of a tool as JSON: some servers send an object in place of its text."""
    if isinstance(arguments, str):
        return arguments
    return "{}" if arguments is None else orjson.dumps(arguments).decode()


def spoken(message: Message, part: Callable[[Part], dict[str, Any]]) -> dict[str, Any]:
    """
    A message as all APIs take it: one text, or its parts.

    Args:
        part: A part as the API at hand takes it.
    """
    if all(isinstance(each, str) for each in message.parts) and not message.is_marked:
        return {"role": message.role, "content": message.text}
    return {"role": message.role, "content": [part(each) for each in message.parts]}


def system_prompt(texts: Sequence[str], part: Callable[[Part], dict[str, Any]]) -> str | list[dict[str, Any]]:
    """The system prompt as APIs take it: one text; its parts where one of them is marked for the cache."""
    if any(isinstance(text, MarkedText) for text in texts):
        return [part(text) for text in texts]
    return "\n\n".join(texts)


def check_unmarked(spec: str, system: Sequence[str], messages: Sequence[Message]) -> None:
    """Raise `ModelSpecError` for `cache_control` where the API does not know it."""
    if any(isinstance(text, MarkedText) for text in system) or any(each.is_marked for each in messages):
        reason = "OpenAI's API has no `cache_control`, and caches long prompts by itself: leave it out."
        raise ModelSpecError(spec, reason)


def text_part(text: str) -> dict[str, Any]:
    """A text as a part of a message, with its mark."""
    found: dict[str, Any] = {"type": "text", "text": text}
    return found | {"cache_control": text.cache_control} if isinstance(text, MarkedText) else found


_MODULES = {"anthropic": "anthropic", "openai": "openai_chat", "openai-responses": "openai_responses"}


@lru_cache
def speaker_of(dialect: str) -> Speaker:
    """The module that speaks a dialect."""
    return cast("Speaker", import_module(f"{__name__}.{_MODULES[dialect]}"))
