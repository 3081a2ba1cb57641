"""What a simulated model answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, get_args

import orjson

from latent.errors import SimulatorError
from latent.testing.provider.calls import ApiError, ModelCall, count_tokens, cut_to_tokens
from latent.testing.provider.schemas import SchemaError, instance_of

FinishReason = Literal["stop", "length", "refusal"]


@dataclass(frozen=True, slots=True)
class Reply:
    """
    An answer with what a text alone does not say.

    Token counts that are None follow from the lengths of the texts: four characters a token.
    """

    text: str
    finish_reason: FinishReason = "stop"
    """In words of our own: each provider spells it differently (`length` is Anthropic's `max_tokens`)."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int = 0
    """Of the input tokens, those that the provider read from its cache."""
    reasoning_tokens: int = 0
    """Of the output tokens, those that went into reasoning; they are added to the count of the text."""

    def __post_init__(self) -> None:
        if self.finish_reason not in get_args(FinishReason):
            known = ", ".join(map(repr, get_args(FinishReason)))
            raise SimulatorError("Reply(finish_reason)", self.finish_reason, f"it must be one of {known}")
        for name in ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"):
            if (getattr(self, name) or 0) < 0:
                raise SimulatorError(f"Reply({name})", getattr(self, name), "it is negative")


class Responder(Protocol):
    """Answers by the whole call: its model, its messages, its parameters."""

    def respond(self, call: ModelCall) -> str | Reply | None:
        """The answer; None for the one that the simulator would give by itself."""


Answers = None | str | Reply | Mapping[str, str | Reply] | Callable[[str], str | Reply | None] | Responder
"""
None repeats the prompt; a text or `Reply` is the answer to everything; a mapping gives the answer to each
prompt; a function takes the prompt; an object with a method `respond` takes the `ModelCall`.
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer, its tokens counted."""

    text: str
    finish_reason: FinishReason
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int


def answer_to(call: ModelCall, answers: Answers) -> Answer:
    """
    The answer to `call`, cut to the tokens that it may have.

    Raises:
        ApiError: There is none: the mapping lacks the prompt, or the user's function raised.
    """
    if call.endpoint == "embeddings":  # their answers are vectors, and follow from the texts
        return Answer("", "stop", call.input_tokens, 0, 0, 0)
    given = _given(call, answers)
    if given is None:
        given = _own_answer(call)
    return _finished(call, given) if isinstance(given, Reply) else _counted(call, given)


def _given(call: ModelCall, answers: Answers) -> str | Reply | None:
    if answers is None or isinstance(answers, str | Reply):
        return answers
    if isinstance(answers, Mapping):
        if call.prompt not in answers:
            text = f"The simulator's mapping has no answer to this prompt: {call.prompt[:200]!r}"
            raise ApiError(400, text)
        return answers[call.prompt]
    try:
        given: Any = answers(call.prompt) if callable(answers) else answers.respond(call)
    except Exception as error:
        text = f"The simulator's answer function raised {type(error).__name__}: {error}"
        raise ApiError(500, text) from error
    if not isinstance(given, str | Reply | None):
        text = f"The simulator's answer function gave {given!r}: a text, a Reply or None is wanted."
        raise ApiError(500, text)
    return given


def _own_answer(call: ModelCall) -> str:
    """The prompt once more; in the shape that is asked for, if one is."""
    if call.schema is None:
        return call.prompt
    try:
        return orjson.dumps(instance_of(call.schema, call.prompt)).decode()
    except SchemaError as error:
        text = f"The simulator cannot make up an answer: {error}. Give it one by `answer`."
        raise ApiError(400, text) from error


def _finished(call: ModelCall, reply: Reply) -> Answer:
    """The answer that a reply makes: the counts it names take the place of those made here."""
    answer = _counted(call, reply.text)
    output_tokens = answer.output_tokens + reply.reasoning_tokens
    return Answer(
        answer.text,
        "length" if answer.finish_reason == "length" else reply.finish_reason,
        answer.input_tokens if reply.input_tokens is None else reply.input_tokens,
        output_tokens if reply.output_tokens is None else reply.output_tokens,
        reply.cached_tokens,
        reply.reasoning_tokens,
    )


def _counted(call: ModelCall, text: str) -> Answer:
    """An answer of this text, cut to the tokens that it may have."""
    tokens = count_tokens(text)
    if call.max_tokens is None or tokens <= call.max_tokens:
        return Answer(text, "stop", call.input_tokens, tokens, 0, 0)
    return Answer(cut_to_tokens(text, call.max_tokens), "length", call.input_tokens, call.max_tokens, 0, 0)


def with_text(answer: Answer, text: str) -> Answer:
    """The same answer with another text."""
    return replace(answer, text=text)
