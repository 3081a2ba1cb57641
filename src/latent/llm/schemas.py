"""Output types: pydantic models as the JSON schemas that providers take, and answers as their instances."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from latent.cache.classes import class_name, find_class
from latent.cache.hashing import stable_hash
from latent.errors import ModelSpecError

if TYPE_CHECKING:
    from pydantic import BaseModel

_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_IDLE = frozenset({"default", "title", "examples"})
"""Keywords that say nothing about what is valid, and that strict schema modes refuse or waste tokens on."""
_LENGTHS = frozenset({"minLength", "maxLength", "uniqueItems"})
_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
UNSUPPORTED = {
    "openai": _LENGTHS,
    "openai-responses": _LENGTHS,
    "anthropic": _LENGTHS | _NUMBERS | {"minItems", "maxItems", "pattern"},
}
"""
Keywords that a dialect's schema mode refuses; they are told in words, and hold when answers are validated.

Sources: OpenAI's guide to structured outputs ("Supported schemas"); `lib/_parse/_transform.py` of
anthropic 2.12.
"""
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
FORMATS = {"openai": _FORMATS, "openai-responses": _FORMATS, "anthropic": _FORMATS | {"uri"}}
"""Values of `format` that a dialect's schema mode takes, by the same sources; others are told in words."""


@dataclass(frozen=True, slots=True)
class OutputType:
    """The pydantic model that an answer is to be an instance of."""

    cls: type[BaseModel]

    @property
    def name(self) -> str:
        """As providers allow names: letters, digits, dashes, 64 at most."""
        return _NAME.sub("_", self.cls.__name__)[:64] or "output"

    @property
    def schema(self) -> dict[str, Any]:
        """Its JSON schema; not to be changed."""
        return _schema(self.cls)

    @property
    def schema_text(self) -> str:
        """Its schema as JSON, as it is sent: providers count it as a part of the prompt."""
        return _schema_text(self.cls)

    def strict_schema(self, dialect: str) -> tuple[dict[str, Any], bool]:
        """
        The schema as a schema mode takes it, not to be changed; and whether it can be held strictly.

        It cannot with open mappings, whose keys no strict mode knows.
        """
        return _strict_schema(self.cls, dialect)

    @property
    def identity(self) -> dict[str, Any]:
        """
        What of it can change an answer: the name and the schema, with all descriptions.

        The schema counts as text, since models answer in the order of its fields: a score that comes after
        its reason is another score.
        """
        return {"name": self.name, "schema": self.schema_text}

    @property
    def reference(self) -> str:
        """Names the type in a remembered answer."""
        return f"{class_name(self.cls)}#{stable_hash(self.identity)[:16]}"

    def validated(self, text: str) -> BaseModel:
        """
        The instance that a text holds: JSON, also inside of a fence or between words.

        Raises:
            ValueError: There is no JSON in it, or it is not valid; the text says where.
            Exception: Whatever a validator of the type raises beside that.
        """
        return self.cls.model_validate_json(json_in(text))

    def known(self) -> OutputType:
        """Make the type known to this process, so that remembered answers find it again."""
        _types[self.reference] = self.cls
        return self


def output_type(spec: str, cls: Any) -> OutputType | None:
    """
    `output=` as an output type; None for None.

    Raises:
        ModelSpecError: It is no pydantic model, or one without a JSON schema.
    """
    from pydantic import BaseModel

    if cls is None:
        return None
    if not isinstance(cls, type) or not issubclass(cls, BaseModel):
        raise ModelSpecError(spec, f"`output` is a class of pydantic's BaseModel, not {cls!r}.")
    try:
        made = OutputType(cls).known()
    except Exception as error:
        # Pydantic's whole text ends with an address for whoever writes pydantic types.
        said = getattr(error, "message", error)
        raise ModelSpecError(spec, f"`output` {cls.__name__} has no JSON schema: {said}") from error
    if made.schema.get("type") != "object":
        raise ModelSpecError(
            spec, f"`output` {cls.__name__} is no object: give it fields, since providers want one."
        )
    return made


def type_of(reference: str) -> OutputType | None:
    """The type that a remembered answer names; None when it is not there any more."""
    cls = _types.get(reference)
    if cls is None:
        found: Any = find_class(reference.partition("#")[0])
        cls = found if found is not None and hasattr(found, "model_validate_json") else None
    return None if cls is None else OutputType(cls)


def instance_of(reference: str, text: str) -> BaseModel:
    """
    The instance that the text of a remembered answer holds.

    Raises:
        ModelSpecError: Its type cannot be found any more.
        ValueError: The type has changed meanwhile, so that the text is not valid any more.
    """
    if (found := type_of(reference)) is None:
        raise ModelSpecError(
            reference.partition("#")[0],
            "the type of this remembered answer cannot be found any more. Its text is there: `answer.text`.",
        )
    return found.validated(text)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a text is an instance of its type."""

    instance: BaseModel | None = None
    """None too where nobody can tell: a validator of the type broke."""
    invalid: ValueError | None = None
    """What is wrong, which the model may mend."""
    problem: str | None = None
    """The same in a sentence."""


def judged(output: OutputType, text: str) -> Verdict:
    """What becomes of an answer by its text, when it is new and again whenever it is remembered."""
    try:
        return Verdict(instance=output.validated(text))
    except ValueError as error:
        problem = f"The answer is no valid {output.name}: {'; '.join(brief(error).splitlines())}."
        return Verdict(invalid=error, problem=problem)
    except Exception:  # pydantic lets errors of the type's own validators through
        # A slip in the type is nothing that a model can mend. The paid answer is kept: its `output` raises
        # the same error where that is seen, and is there once the slip is mended.
        return Verdict()


_types: dict[str, type[BaseModel]] = {}


def json_in(text: str) -> str:
    """The JSON document in what a model said: all of it, what a fence holds, or the outermost braces."""
    stripped = text.strip()
    if stripped.startswith("{") and stripped.endswith("}"):
        return stripped
    if fenced := re.search(r"```(?:json)?\s*\n(.*?)\n?\s*```", text, re.DOTALL):
        return fenced[1].strip()
    begin, end = text.find("{"), text.rfind("}")
    return text[begin : end + 1] if 0 <= begin < end else stripped


def in_words(output: OutputType) -> str:
    """How the schema is explained to a model that nothing else holds to it."""
    return (
        "Answer with a single JSON object and nothing else. It must fit this JSON schema:\n"
        + output.schema_text
    )


def mending(output: OutputType, error: ValueError) -> str:
    """What a model is told about an answer that does not validate."""
    return (
        f"That is not a valid {output.name}:\n{brief(error)}\n"
        "Answer again with the whole corrected JSON object and nothing else."
    )


def brief(error: ValueError) -> str:
    """What is wrong with an answer, one line for each field, without the values: they may be long."""
    problems = getattr(error, "errors", None)
    if not callable(problems):
        return str(error)
    listed = problems(include_url=False, include_input=False)
    lines = [f"{'.'.join(map(str, each['loc'])) or 'the whole'}: {each['msg']}" for each in listed[:8]]
    more = len(listed) - len(lines)
    return "\n".join([*lines, *([f"... and {more} more"] if more else [])])


@lru_cache(maxsize=256)
def _schema(cls: type[BaseModel]) -> dict[str, Any]:
    schema = cls.model_json_schema()
    while "$ref" in schema:
        # The root of a type that contains itself is only a name; providers want an object there.
        name = schema.pop("$ref").rpartition("/")[2]
        schema = {**schema["$defs"][name], **schema}
    return schema


@lru_cache(maxsize=256)
def _schema_text(cls: type[BaseModel]) -> str:
    return json.dumps(_schema(cls), ensure_ascii=False)


@lru_cache(maxsize=256)
def _strict_schema(cls: type[BaseModel], dialect: str) -> tuple[dict[str, Any], bool]:
    schema = deepcopy(_schema(cls))
    return schema, _close(schema, dialect)


def _close(schema: dict[str, Any], dialect: str) -> bool:
    """
    Make a schema strict, in place: no further keys, every key required; whether that was possible.

    Strict modes know no optional keys: a field with a default is required of the model all the same.
    """
    for name in _IDLE & schema.keys():
        del schema[name]
    refused = UNSUPPORTED[dialect] & schema.keys()
    _tell(schema, refused if schema.get("format") in (None, *FORMATS[dialect]) else {*refused, "format"})
    if "oneOf" in schema:  # what pydantic makes of unions with a discriminator
        schema["anyOf"] = schema.pop("oneOf")
        schema.pop("discriminator", None)
    if "$ref" in schema and len(schema) > 1:
        # A reference stands alone in strict modes; around it, its description may stay.
        schema["anyOf"] = [{"$ref": schema.pop("$ref")}]
    closed = True
    if schema.get("type") == "object":
        open_ended = schema.get("additionalProperties")
        closed = "properties" in schema and not (open_ended is True or isinstance(open_ended, Mapping))
        if closed:
            schema["additionalProperties"] = False
            schema["required"] = list(schema["properties"])
    parts = [_close(part, dialect) for part in _parts(schema)]
    return closed and all(parts)


def _parts(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The schemas inside of a schema."""
    for name in ("properties", "$defs"):
        yield from (schema.get(name) or {}).values()
    for name in ("anyOf", "allOf", "prefixItems"):
        yield from schema.get(name) or ()
    for name in ("items", "additionalProperties"):
        if isinstance(part := schema.get(name), dict):
            yield part


def _tell(schema: dict[str, Any], names: Iterable[str]) -> None:
    """Say in words what a keyword must not say."""
    told = ", ".join(f"{name}: {schema.pop(name)}" for name in sorted(names))
    if told:
        schema["description"] = "\n\n".join(filter(None, [schema.get("description"), f"{{{told}}}"]))
