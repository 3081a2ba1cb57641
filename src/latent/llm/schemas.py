"""
Output types: pydantic models as the JSON schemas that providers take, and answers as their instances.

An answer's JSON object is found whatever stands around it: thoughts, fences, words, other braces. Only JSON
counts, with two freedoms: raw line ends in strings, and JSON that was written into a string once more. What
is found inside of a broken object is a piece of it and no answer.
"""

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
from latent.llm.schema_modes import ModeSchema, mode_schema
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
    """Where an object ends that is not JSON, by its braces; the end of the text where it was cut."""
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


_NAME = re.compile(r"[^A-Za-z0-9_-]+")


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

    def mode_schema(self, dialect: str) -> ModeSchema:
        """The schema as a dialect's schema mode takes it, and what it does not take."""
        return _mode_schema(self.cls, dialect)

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
        The instance that a text holds: JSON, whatever stands around it.

        Raises:
            ValueError: There is no JSON in it, or it is not valid; the text says where.
            Exception: Whatever a validator of the type raises beside that.
        """
        names = frozenset(self.schema.get("properties", ())) | self.cls.model_fields.keys()
        return instance_in(self.cls, names, text)

    def known(self) -> OutputType:
        """Make the type known to this process, so that remembered answers find it again."""
        _types[self.reference] = self.cls
        return self


def output_type(spec: str, cls: Any) -> OutputType | None:
    """
    `output=` as an output type; None for None.

    Raises:
        ModelSpecError: It is not a pydantic model, or one without a JSON schema.
    """
    from pydantic import BaseModel

    if cls is None:
        return None
    if not isinstance(cls, type) or not issubclass(cls, BaseModel):
        raise ModelSpecError(spec, f"`output` is a class of pydantic's BaseModel, not {cls!r}.")
    try:
        made = OutputType(cls).known()
    except Exception as error:
        # Pydantic's whole text ends with an address for authors of pydantic types.
        said = getattr(error, "message", error)
        raise ModelSpecError(spec, f"`output` {cls.__name__} has no JSON schema: {said}") from error
    if made.schema.get("type") != "object":
        raise ModelSpecError(
            spec, f"`output` {cls.__name__} is not an object: give it fields, since providers want one."
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
        problem = f"The answer is not a valid {output.name}: {'; '.join(brief(error).splitlines())}."
        return Verdict(invalid=error, problem=problem)
    except Exception:  # pydantic lets errors of the type's own validators through
        # A slip in the type is nothing that a model can mend. The paid answer is kept: its `output` raises
        # the same error where that is seen, and is there once the slip is mended.
        return Verdict()


_types: dict[str, type[BaseModel]] = {}


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
def _mode_schema(cls: type[BaseModel], dialect: str) -> ModeSchema:
    return mode_schema(_schema(cls), dialect)
