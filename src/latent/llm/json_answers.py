"""
The JSON object in what a model said, whatever stands around it: thoughts, fences, words, other braces.

Only JSON counts, with two freedoms: raw line ends in texts, and JSON that was written into a text once more.
What is found inside of a broken object is a piece of it and no answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from latent.llm.thoughts import behind_thoughts

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

_DECODER = json.JSONDecoder(strict=False)
_FENCE = re.compile(r"^[ \t]*(```+|~~~+)[ \t]*(\w*)[^\n]*\n(.*?)(?:^[ \t]*\1|\Z)", re.DOTALL | re.MULTILINE)
_JSON_FENCES = frozenset({"", "json", "jsonc", "json5", "js", "javascript"})
_BEGINNING = re.compile(r'\{\s*(?:\}|"(?:[^"\\]|\\.)*"\s*:)', re.DOTALL)
"""What begins with a key and a colon is meant as an object, also where it breaks further on."""
_BRACE_OR_TEXT = re.compile(r'[{}]|"(?:[^"\\]|\\.)*"', re.DOTALL)
_ARGUMENTS = ("arguments", "parameters", "input")
"""Where a call of a tool that is written out as text has what it is called with."""
_WRAPPED_TYPES = frozenset(
    {"model_type", "model_attributes_type", "dataclass_type", "dict_type"}
    | {"list_type", "tuple_type", "set_type"}
)
"""Pydantic's errors for a text in the place of an object or a list."""


def instance_in(cls: type[BaseModel], names: frozenset[str], text: str) -> BaseModel:
    """
    The one instance of `cls` that a text holds.

    Args:
        names: The keys of its objects: any object fits a type all of whose fields have defaults.

    Raises:
        ValueError: There is no JSON object in it, none that is valid, or several that differ.
        Exception: Whatever a validator of the type raises beside that.
    """
    from pydantic import ValidationError

    try:
        return cls.model_validate_json(text.strip())
    except ValidationError as error:
        invalid: ValueError = error
    for found in _by_likelihood(text):
        fitting: list[tuple[Any, BaseModel]] = []
        for document in found:
            if not names & document.keys():
                continue
            try:
                instance = _validated(cls, document)
            except ValidationError as error:
                invalid = error
                continue
            if all(document != other for other, _ in fitting):
                fitting.append((document, instance))
        if len(fitting) > 1:
            raise ValueError(
                f"it holds {len(fitting)} different JSON objects that fit, and does not say which is meant"
            )
        if fitting:
            return fitting[0][1]
    raise invalid


def _validated(cls: type[BaseModel], document: dict[str, Any]) -> BaseModel:
    from pydantic import ValidationError

    try:
        return cls.model_validate_json(json.dumps(document))
    except ValidationError as error:
        if (unpacked := _unpacked(document, error)) is None:
            raise
    return cls.model_validate_json(json.dumps(unpacked))


def _by_likelihood(text: str) -> Iterator[list[dict[str, Any]]]:
    """The objects in a text in groups, those that are most likely the answer first."""
    said = behind_thoughts(text)
    document = _document(said)
    if isinstance(document, str):  # the whole answer as the text of another
        yield from _by_likelihood(document)
        return
    fences = [match.span(3) for match in _FENCE.finditer(said) if match[2].lower() in _JSON_FENCES]
    objects = [(0, document)] if isinstance(document, dict) else list(_objects(said))
    fenced = [found for start, found in objects if any(first <= start < end for first, end in fences)]
    yield fenced
    yield [found for _, found in objects]
    yield [inner for _, found in objects for inner in _wrapped(found)]


def _document(text: str) -> Any:
    """The JSON document that a text is; None where it is none, or more."""
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _objects(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a text that lie in no other, each with its place."""
    end = 0
    while (begun := _BEGINNING.search(text, end)) is not None:
        try:
            found, end = _DECODER.raw_decode(text, begun.start())
        except json.JSONDecodeError:
            end = _end_of_broken(text, begun.start())
        except RecursionError:
            return
        else:
            yield begun.start(), found


def _end_of_broken(text: str, place: int) -> int:
    """Where an object ends that is no JSON, by its braces; the end of the text where it was cut."""
    depth = 0
    for match in _BRACE_OR_TEXT.finditer(text, place):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return match.end()
    return len(text)


def _wrapped(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What an object only stands around: `{"Verdict": {...}}`, or a call of a tool that is written out."""
    inside: Iterable[Any] = found.values() if len(found) == 1 else ()
    if "name" in found:
        inside = [found[name] for name in _ARGUMENTS if name in found]
    for value in inside:
        inner = _document(value) if isinstance(value, str) else value
        if isinstance(inner, dict):
            yield inner


def _unpacked(document: dict[str, Any], error: ValidationError) -> dict[str, Any] | None:
    """The document with objects and lists in the place of texts that hold them as JSON; None without any."""
    changed = None
    for problem in error.errors(include_url=False, include_context=False):
        value, place = problem["input"], problem["loc"]
        if problem["type"] not in _WRAPPED_TYPES or not isinstance(value, str) or not place:
            continue
        inner = _document(value)
        if isinstance(inner, dict | list):
            changed = deepcopy(document) if changed is None else changed
            if not _put(changed, place, inner):
                return None
    return changed


def _put(document: Any, place: tuple[int | str, ...], value: Any) -> bool:
    for step in place[:-1]:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):  # pydantic's name for a member of a union
            return False
    try:
        document[place[-1]]  # an alias may name another key
        document[place[-1]] = value
    except (KeyError, IndexError, TypeError):
        return False
    return True
