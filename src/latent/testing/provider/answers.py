"""What a simulated model answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil, floor, inf
from typing import Any, Literal, Protocol, get_args

import orjson

from latent.errors import LatentError, SimulatorError
from latent.testing.provider.calls import ApiError, ModelCall, count_tokens, cut_to_tokens
from latent.testing.provider.draws import draw

Schema = Mapping[str, Any]

FULL_DEPTH = 4
"""Below this depth only what is required is filled in: schemas may contain themselves."""
MAX_DEPTH = 40

_FORMATS = {
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "date-time": "2026-01-31T12:00:00Z",
    "duration": "PT1H",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_CANDIDATES = ["a", "A", "0", "1", "1.0", "aa", "abc", "ABC", "Abc", "000", "12345", "a1", "A1", "A-1", ""]
"""Tried in turn for a `pattern` that the prompt does not match."""


class SchemaError(LatentError):
    """No value can be made up for this schema."""


def instance_of(schema: Schema, text: str) -> Any:
    """
    A value that fits `schema`; texts in it repeat `text`, and choices and numbers depend on it.

    The same schema and text always give the same value.

    Raises:
        SchemaError: The schema asks for what cannot be made up, such as an intricate `pattern`.
    """
    return _Maker(schema, text).value(schema, "$", 0)


class _Maker:
    def __init__(self, root: Schema, text: str) -> None:
        self._root, self._text = root, text

    def value(self, schema: Any, path: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise SchemaError(f"{path} contains itself without end")
        if schema is True or not isinstance(schema, Mapping):
            return self._text
        if "$ref" in schema:
            rest = {name: value for name, value in schema.items() if name != "$ref"}
            return self.value({**self._resolve(schema["$ref"], path), **rest}, path, depth + 1)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._choose(schema["enum"], path)
        if "allOf" in schema:
            return self.value(self._merged(schema, path), path, depth + 1)
        for several in ("anyOf", "oneOf"):
            if several in schema:
                return self._any_of(schema, several, path, depth)
        return self._typed(schema, path, depth)

    def _typed(self, schema: Schema, path: str, depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), "null")
        if kind == "object" or (kind is None and "properties" in schema):
            return self._object(schema, path, depth)
        if kind == "array" or (kind is None and "items" in schema):
            return self._array(schema, path, depth)
        if kind in ("integer", "number"):
            return self._number(schema, path, whole=kind == "integer")
        if kind == "boolean":
            return self._choose([False, True], path)
        if kind == "null":
            return None
        return self._string(schema, path) if kind == "string" else {"answer": self._text}

    def _object(self, schema: Schema, path: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        wanted = [name for name in properties if name in required or depth < FULL_DEPTH]
        wanted += [name for name in required if name not in properties]
        return {name: self.value(properties.get(name, True), f"{path}.{name}", depth + 1) for name in wanted}

    def _array(self, schema: Schema, path: str, depth: int) -> list[Any]:
        fixed = list(schema.get("prefixItems", []))
        count = max(schema.get("minItems", 0), len(fixed), 1 if depth < FULL_DEPTH else 0)
        count = min(count, schema.get("maxItems", count))
        if schema.get("items") is False:
            count = min(count, len(fixed))
        kinds = (fixed + [schema.get("items", True)] * count)[:count]
        return [self.value(kind, f"{path}[{index}]", depth + 1) for index, kind in enumerate(kinds)]

    def _number(self, schema: Schema, path: str, *, whole: bool) -> float:
        step = schema.get("multipleOf", 1 if whole else None)
        above, below = schema.get("exclusiveMinimum", -inf), schema.get("exclusiveMaximum", inf)
        low, high = max(schema.get("minimum", -inf), above), min(schema.get("maximum", inf), below)
        if low == -inf:
            low = 0 if high > 0 else high - 10 * (step or 1)
        if high == inf:
            high = low + 100 * (step or 1)
        if step is None:
            # A share from 0.01 to 0.99 of the way keeps clear of both borders.
            number = low + (high - low) * (1 + floor(self._draw(path) * 99)) / 100
            if low > high or number in (above, below):
                raise SchemaError(f"{path} leaves no number between {low} and {high}")
            return float(number)
        first = floor(above / step) + 1 if low == above else ceil(low / step)
        last = ceil(below / step) - 1 if high == below else floor(high / step)
        if first > last:
            raise SchemaError(f"{path} leaves no multiple of {step} between {low} and {high}")
        number = (first + floor(self._draw(path) * (last - first + 1))) * step
        return int(number) if whole else float(number)

    def _string(self, schema: Schema, path: str) -> str:
        if (known := _FORMATS.get(schema.get("format", ""))) is not None:
            return known
        low, high = schema.get("minLength", 0), schema.get("maxLength")
        pattern = schema.get("pattern")
        for candidate in [self._text, *(_CANDIDATES if pattern is not None else [])]:
            fitted = candidate.ljust(low, ".")[:high]
            if pattern is None or re.search(pattern, fitted):
                return fitted
        raise SchemaError(f"{path} must match the pattern {pattern!r}")

    def _any_of(self, schema: Schema, several: str, path: str, depth: int) -> Any:
        rest = {name: value for name, value in schema.items() if name != several}
        options = sorted(schema[several], key=lambda option: option == {"type": "null"})
        # Deep down, what contains nothing else ends a schema that contains itself.
        if depth >= FULL_DEPTH:
            options.sort(
                key=lambda option: any(key in str(option) for key in ("$ref", "properties", "items"))
            )
        reasons = []
        for option in options:
            try:
                return self.value(
                    {**rest, **option} if isinstance(option, Mapping) else option, path, depth + 1
                )
            except SchemaError as error:
                reasons.append(str(error))
        raise SchemaError("; ".join(reasons) or f"{path} offers nothing to choose from")

    def _merged(self, schema: Schema, path: str) -> dict[str, Any]:
        parts = [{name: value for name, value in schema.items() if name != "allOf"}, *schema["allOf"]]
        merged: dict[str, Any] = {}
        for part in parts:
            whole = self._resolve(part["$ref"], path) if "$ref" in part else part
            merged |= whole | {
                "properties": {**merged.get("properties", {}), **whole.get("properties", {})},
                "required": [*merged.get("required", []), *whole.get("required", [])],
            }
        return {
            name: value for name, value in merged.items() if value or name not in ("properties", "required")
        }

    def _resolve(self, reference: str, path: str) -> dict[str, Any]:
        found: Any = self._root
        for name in reference.removeprefix("#").strip("/").split("/"):
            if name:
                found = (
                    found.get(name.replace("~1", "/").replace("~0", "~"))
                    if isinstance(found, Mapping)
                    else None
                )
        if not isinstance(found, Mapping) or not reference.startswith("#"):
            raise SchemaError(f"{path} refers to {reference!r}, which the schema does not have")
        return dict(found)

    def _choose(self, options: list[Any], path: str) -> Any:
        if not options:
            raise SchemaError(f"{path} offers nothing to choose from")
        return options[floor(self._draw(path) * len(options))]

    def _draw(self, path: str) -> float:
        return draw(0, self._text, 0, path)


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
