"""
JSON schemas as the schema modes of providers take them, and what these do not take.

Strict modes want every object closed and every key required, and know a part of JSON Schema. What says only
more about a value (a length, a pattern) is told in words and holds when answers are validated. What shapes it
(open mappings, tuples, anything at all) cannot be told so: then the mode is not strict, or another is used.

Sources: OpenAI's guide to structured outputs ("Supported schemas"); "JSON Schema limitations" in Anthropic's
guide to structured outputs, and `lib/_parse/_transform.py` of anthropic 2.12.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

_IDLE = frozenset({"default", "title", "examples"})
"""Keywords that say nothing about what is valid, and that strict schema modes refuse or waste tokens on."""
_LENGTHS = frozenset({"minLength", "maxLength", "uniqueItems"})
_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_UNKNOWN = frozenset({"contentMediaType", "contentEncoding", "contentSchema", "deprecated", "readOnly"})
UNSUPPORTED = {
    "openai": _LENGTHS | _UNKNOWN,
    "anthropic": _LENGTHS | _UNKNOWN | _NUMBERS | {"minItems", "maxItems", "pattern"},
}
"""Keywords that a schema mode refuses; they are told in words."""
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
FORMATS = {"openai": _FORMATS, "anthropic": _FORMATS | {"uri"}}
"""Values of `format` that a schema mode takes; others are told in words."""
_SHAPES = frozenset(
    {"prefixItems", "not", "if", "then", "else", "patternProperties", "propertyNames", "contains"}
    | {"minContains", "maxContains", "minProperties", "maxProperties", "dependentRequired"}
    | {"dependentSchemas", "unevaluatedItems", "unevaluatedProperties"}
)
"""Keywords that no schema mode takes, and that words do not replace."""
_LOOK_AROUND = re.compile(r"\(\?<?[=!]|\\[1-9]")
"""What the patterns of a grammar do not have: looking around, and what was matched before."""
_NAMED = ("type", "enum", "const", "anyOf", "allOf", "$ref")
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}

MOST_PROPERTIES = 5_000
MOST_ENUM_VALUES = 1_000
"""Of all properties together, in OpenAI's strict mode."""


@dataclass(frozen=True, slots=True)
class ModeSchema:
    """A schema for a schema mode."""

    schema: dict[str, Any]
    """Not to be changed."""
    trouble: str | None
    """What in it the mode does not take, in words; None: it takes all of it."""

    @property
    def is_strict(self) -> bool:
        """Whether the mode can hold the model to it."""
        return self.trouble is None


def mode_schema(schema: Mapping[str, Any], dialect: str) -> ModeSchema:
    """
    A schema as the schema mode of a dialect takes it.

    Strict modes know no optional keys: a field with a default is required of the model all the same.
    """
    family = "anthropic" if dialect == "anthropic" else "openai"
    closing = _Closing(family)
    closed = deepcopy(dict(schema))
    closing.close(closed, "")
    return ModeSchema(closed, closing.trouble or closing.whole_trouble(closed))


class _Closing:
    """One schema on its way; notes the first thing that the mode does not take."""

    def __init__(self, family: str) -> None:
        self.family = family
        self.trouble: str | None = None
        self.properties = self.enum_values = 0

    def close(self, schema: dict[str, Any], place: str) -> None:
        """
        Close a schema, in place.

        Args:
            place: The path of its field, for messages; empty at the root.
        """
        for name in _IDLE & schema.keys():
            del schema[name]
        _tell(schema, self._refused(schema))
        if "oneOf" in schema:  # what pydantic makes of unions with a discriminator
            schema["anyOf"] = schema.pop("oneOf")
            schema.pop("discriminator", None)
        if "$ref" in schema and len(schema) > 1:
            # A reference stands alone in strict modes; around it, its description may stay.
            schema["anyOf"] = [{"$ref": schema.pop("$ref")}]
        self._check(schema, place)
        if schema.get("type") == "object":
            self._close_object(schema, place)
        for name, part in _parts(schema):
            self.close(part, f"{place}.{name}".strip(".") if name else place)

    def whole_trouble(self, schema: Mapping[str, Any]) -> str | None:
        """What is wrong with the schema as a whole."""
        if self.family == "anthropic":
            name = _contains_itself(schema)
            return None if name is None else f"{name} contains itself"
        if self.properties > MOST_PROPERTIES:
            return f"it has {self.properties:,} properties, and {MOST_PROPERTIES:,} are taken"
        if self.enum_values > MOST_ENUM_VALUES:
            return f"it lists {self.enum_values:,} values, and {MOST_ENUM_VALUES:,} are taken"
        return None

    def _refused(self, schema: Mapping[str, Any]) -> set[str]:
        refused = set(UNSUPPORTED[self.family] & schema.keys())
        if schema.get("format") not in (None, *FORMATS[self.family]):
            refused.add("format")
        if isinstance(pattern := schema.get("pattern"), str) and _LOOK_AROUND.search(pattern):
            refused.add("pattern")
        return refused

    def _check(self, schema: dict[str, Any], place: str) -> None:
        """Note what no words replace."""
        where = f"`{place}`" if place else "it"
        if "prefixItems" in schema:
            self._note(f"{where} is a tuple")
        elif shapes := sorted(_SHAPES & schema.keys()):
            self._note(f"{where} has `{shapes[0]}`")
        elif "allOf" in schema and self.family == "openai":
            self._note(f"{where} has `allOf`")
        elif not any(name in schema for name in _NAMED):
            self._note(f"{where} can be anything")
        elif schema.get("type") == "array" and not schema.get("items"):
            self._note(f"{where} is a list of anything")
        if values := schema.get("enum"):
            self._check_enum(schema, values, where)

    def _check_enum(self, schema: dict[str, Any], values: list[Any], where: str) -> None:
        self.enum_values += len(values)
        kinds = sorted({_TYPES.get(type(value), "") for value in values})
        if "" in kinds:
            self._note(f"{where} lists values that are not plain ones")
        elif "type" not in schema and self.family == "openai":
            schema["type"] = kinds if len(kinds) > 1 else kinds[0]

    def _close_object(self, schema: dict[str, Any], place: str) -> None:
        open_ended = schema.get("additionalProperties")
        if "properties" not in schema or open_ended is True or isinstance(open_ended, Mapping):
            self._note(f"`{place}` is an open mapping" if place else "it takes any further keys")
            return
        self.properties += len(schema["properties"])
        schema["additionalProperties"] = False
        schema["required"] = list(schema["properties"])

    def _note(self, trouble: str) -> None:
        self.trouble = self.trouble or trouble


def _parts(schema: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The schemas inside of a schema, with the names of fields."""
    for name in ("properties", "$defs"):
        yield from (schema.get(name) or {}).items()
    for name in ("anyOf", "allOf", "prefixItems"):
        yield from (("", part) for part in schema.get(name) or ())
    for name in ("items", "additionalProperties"):
        if isinstance(part := schema.get(name), dict) and part:
            yield "", part


def _contains_itself(schema: Mapping[str, Any]) -> str | None:
    """The name of a definition that leads back to itself; None without one."""
    definitions: Mapping[str, Any] = schema.get("$defs") or {}
    leads_to = {name: set(_references(part)) for name, part in definitions.items()}
    for name in leads_to:
        reached, waiting = set[str](), list(leads_to[name])
        while waiting:
            if (each := waiting.pop()) not in reached:
                reached.add(each)
                waiting += leads_to.get(each, ())
        if name in reached:
            return name
    return None


def _references(schema: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(reference := schema.get("$ref"), str):
        yield reference.rpartition("/")[2]
    for _, part in _parts(schema):
        yield from _references(part)


def _tell(schema: dict[str, Any], names: Iterable[str]) -> None:
    """Say in words what a keyword must not say."""
    told = ", ".join(f"{name}: {schema.pop(name)}" for name in sorted(names))
    if told:
        schema["description"] = "\n\n".join(filter(None, [schema.get("description"), f"{{{told}}}"]))
