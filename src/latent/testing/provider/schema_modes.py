"""
What the schema modes of OpenAI and Anthropic refuse, so that a test fails before the first paid call does.

Sources: OpenAI's guide to structured outputs ("Supported schemas"); "JSON Schema limitations" in Anthropic's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Place = tuple[str, ...]

_OPENAI = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "$ref"}
    | {"$defs", "definitions", "description", "title", "pattern", "format", "multipleOf", "maximum"}
    | {"exclusiveMaximum", "minimum", "exclusiveMinimum", "minItems", "maxItems", "$schema", "strict"}
)
_ANTHROPIC = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "allOf"}
    | {"$ref", "$defs", "definitions", "description", "title", "default", "format", "pattern", "minItems"}
    | {"$schema", "examples"}
)
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_MOST_PROPERTIES, _MOST_ENUM_VALUES = 5_000, 1_000
_LOOK_AROUND = re.compile(r"\(\?<?[=!]")


def openai_trouble(schema: Mapping[str, Any]) -> str | None:
    """Why OpenAI's strict mode refuses a schema, in its words; None where it takes it."""
    if schema.get("type") != "object":
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{schema.get('type')}\"'."
    listed = list(_walk(schema, ()))
    for place, part in listed:
        if (why := _openai_part(part)) is not None:
            return f"In context={place}, {why}"
    properties = sum(len(part.get("properties") or ()) for _, part in listed)
    values = sum(len(part.get("enum") or ()) for _, part in listed)
    if properties > _MOST_PROPERTIES:
        return f"Exceeded the maximum of {_MOST_PROPERTIES} object properties, found {properties}."
    if values > _MOST_ENUM_VALUES:
        return f"Expected at most {_MOST_ENUM_VALUES} enum values in total within a schema, but got {values}."
    return None


def anthropic_trouble(schema: Mapping[str, Any]) -> str | None:
    """Why Anthropic's schema mode refuses a schema, in its words; None where it takes it."""
    for place, part in _walk(schema, ()):
        if (why := _anthropic_part(part)) is not None:
            return f"{'.'.join(place)}: {why}" if place else why
    return _circular(schema, schema, ())


def _openai_part(part: Mapping[str, Any]) -> str | None:
    if "$ref" in part:
        return (
            "$ref cannot have keywords {" + ", ".join(part.keys() - {"$ref"}) + "}."
            if len(part) > 1
            else None
        )
    if unknown := sorted(part.keys() - _OPENAI):
        return f"'{unknown[0]}' is not permitted."
    kind = part.get("type")
    if kind is None and "anyOf" not in part:
        return "schema must have a 'type' key."
    if kind == "object":
        return _openai_object(part)
    if kind == "array" and not isinstance(part.get("items"), dict):
        return "array schema missing items."
    if part.get("format") not in (None, *_FORMATS):
        return f"'{part['format']}' is not a valid format."
    if _LOOK_AROUND.search(part.get("pattern") or ""):
        return "'pattern' has a lookaround, which is not supported."
    return None


def _openai_object(part: Mapping[str, Any]) -> str | None:
    if part.get("additionalProperties") is not False:
        return "'additionalProperties' is required to be supplied and to be false."
    missing = [name for name in part.get("properties") or () if name not in (part.get("required") or ())]
    if missing:
        return (
            "'required' is required to be supplied and to be an array including every key in properties. "
            f"Missing '{missing[0]}'."
        )
    return None


def _anthropic_part(part: Mapping[str, Any]) -> str | None:
    kind = part.get("type")
    if unknown := sorted(part.keys() - _ANTHROPIC):
        return f"For '{kind}' type, property '{unknown[0]}' is not supported"
    if kind == "object" and part.get("additionalProperties") is not False:
        return "For 'object' type, 'additionalProperties' must be explicitly set to false"
    if kind == "array" and part.get("minItems") not in (None, 0, 1):
        return "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
    if any(isinstance(value, dict | list) for value in part.get("enum") or ()):
        return "Complex types in 'enum' are not supported"
    if not {"type", "enum", "const", "anyOf", "allOf", "$ref"} & part.keys():
        return "Schema type '{}' is not supported"
    return None


def _circular(part: Any, root: Mapping[str, Any], above: Place) -> str | None:
    if not isinstance(part, Mapping):
        return None
    if isinstance(reference := part.get("$ref"), str):
        name = reference.rpartition("/")[2]
        if name in above:
            path = " -> ".join((*above, name))
            return f"Circular reference detected in schema definitions: {path}. Recursion is not supported"
        found = (root.get("$defs") or {}).get(name)
        return _circular(found, root, (*above, name))
    parts = (inner for place, inner in _inner(part) if place[0] != "$defs")
    return next((why for inner in parts if (why := _circular(inner, root, above)) is not None), None)


def _walk(part: Any, place: Place) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """A schema and all schemas inside of it, each with its place."""
    if not isinstance(part, Mapping):
        return
    yield place, part
    for step, inner in _inner(part):
        yield from _walk(inner, (*place, *step))


def _inner(part: Mapping[str, Any]) -> Iterator[tuple[Place, Any]]:
    for name in ("properties", "$defs"):
        for key, inner in (part.get(name) or {}).items():
            yield (name, key), inner
    for name in ("anyOf", "allOf"):
        for index, inner in enumerate(part.get(name) or ()):
            yield (name, str(index)), inner
    if "items" in part:
        yield ("items",), part["items"]
