"""Output types: pydantic models as the JSON schemas that providers take, and answers as their instances."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from latent.cache.classes import class_name, find_class
from latent.cache.hashing import stable_hash
from latent.errors import ModelSpecError
from latent.llm.json_answers import instance_in
from latent.llm.schema_modes import ModeSchema, mode_schema

if TYPE_CHECKING:
    from pydantic import BaseModel

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
