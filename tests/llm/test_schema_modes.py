"""A schema that a schema mode does not take is never sent there, and every type works by default."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, create_model

from latent.errors import ModelSpecError
from latent.llm import Model
from latent.llm.schemas import OutputType
from latent.testing.provider.schema_modes import anthropic_trouble, openai_trouble
from tests.llm.conftest import SPECS, Provider

CLAUDE = "anthropic:claude-opus-4-6"


class Grade(Enum):
    GOOD = "good"
    BAD = "bad"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=1, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str = Field(min_length=1, max_length=40)


class Judgement(BaseModel):
    """What a judge says."""

    reason: str = Field(description="One sentence, before the score.")
    score: Literal[1, 2, 3, 4, 5]
    grade: Grade
    level: Level = Level.LOW
    labels: list[Literal["correct", "complete"]] = []
    confidence: float | None = Field(None, ge=0, le=1, description="From 0 to 1.")
    best: Cat | None = None


class Pets(BaseModel):
    pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]]


class Values(BaseModel):
    when: datetime
    day: date
    id: UUID
    price: Decimal
    address: HttpUrl
    mixed: Literal[1, "one", True, None]
    code: str = Field(pattern=r"^[A-Z]{3}$")
    word: Annotated[str, Field(json_schema_extra={"pattern": r"^(?!no)[a-z]+$"})] = "yes"


class Empty(BaseModel):
    nothing: Cat | None = None


class Counts(BaseModel):
    counts: dict[str, int]


class Loose(BaseModel):
    meta: Any


class Listed(BaseModel):
    items: list


class Pair(BaseModel):
    pair: tuple[int, str]


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Ping(BaseModel):
    pong: Pong | None = None


class Pong(BaseModel):
    ping: Ping | None = None


class Extra(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


class Holder(BaseModel):
    inner: list[Counts]


CLOSED = [Judgement, Pets, Values, Empty, Cat]
OPEN = {
    Counts: "`counts` is an open mapping",
    Loose: "`meta` can be anything",
    Listed: "`items` is a list of anything",
    Pair: "`pair` is a tuple",
    Extra: "it takes any further keys",
    Holder: "`Counts.counts` is an open mapping",
}
RECURSIVE = [Tree, Ping]


@pytest.mark.parametrize("cls", CLOSED)
def test_closed_types_are_held_to_their_schema_by_every_provider(provider: Provider, cls: type[BaseModel]):
    """The simulator refuses what the provider refuses, and makes up an answer that fits what it was sent."""
    for spec in SPECS:
        answer = Model(spec, repairs=0).complete("judge", output=cls)
        assert provider.bodies[-1].keys() & {"response_format", "text", "output_config"}
        # Of what is told in words, as numbers are to Claude, the simulator reads nothing.
        assert cls is Values or spec == CLAUDE or isinstance(answer.output, cls), answer.problem
    assert all(OutputType(cls).mode_schema(dialect).is_strict for dialect in ("openai", "anthropic"))


@pytest.mark.parametrize("cls", [*OPEN, *RECURSIVE])
def test_every_other_type_is_asked_for_in_a_mode_that_takes_it(provider: Provider, cls: type[BaseModel]):
    for spec in SPECS:
        assert isinstance(Model(spec, repairs=0).complete("judge", output=cls).output, cls)
    chat, responses, claude = provider.bodies
    is_strict = cls in RECURSIVE
    assert chat["response_format"]["json_schema"]["strict"] is is_strict
    assert responses["text"]["format"]["strict"] is is_strict
    assert claude["tool_choice"]["name"] == cls.__name__ and "output_config" not in claude


@pytest.mark.parametrize(("cls", "trouble"), OPEN.items())
def test_what_a_schema_mode_does_not_take_is_told_by_its_place(cls: type[BaseModel], trouble: str):
    assert OutputType(cls).mode_schema("openai").trouble == trouble
    assert OutputType(cls).mode_schema("anthropic").trouble == trouble


@pytest.mark.parametrize("cls", RECURSIVE)
def test_only_openai_takes_types_that_contain_themselves(cls: type[BaseModel]):
    assert OutputType(cls).mode_schema("openai").is_strict
    assert re.fullmatch(r"\w+ contains itself", OutputType(cls).mode_schema("anthropic").trouble or "")


def test_a_mode_that_was_asked_for_is_not_another_in_silence(provider: Provider):
    with pytest.raises(ModelSpecError, match=r"`counts` is an open mapping.*output_mode"):
        Model(CLAUDE, output_mode="schema").complete("count", output=Counts)
    assert provider.requests == 0


@pytest.mark.parametrize(
    "options",
    [
        {"reasoning": 1024},
        {"reasoning": "low"},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 5000},
        {"tools": [{"name": "search", "input_schema": {"type": "object"}}]},
    ],
)
def test_where_no_tool_can_be_forced_words_ask_for_it(provider: Provider, options: dict[str, Any]):
    provider.says(lambda call: '{"counts": {"a": 1}}')
    assert Model(CLAUDE, **options).complete("count", output=Counts).output == Counts(counts={"a": 1})
    assert "tool_choice" not in provider.bodies[0] and "JSON schema" in provider.bodies[0]["system"]


def test_thoughts_that_are_off_are_in_nobodys_way(provider: Provider):
    Model(CLAUDE, reasoning={"type": "disabled"}).complete("count", output=Counts)
    assert provider.bodies[0]["tool_choice"] == {"type": "tool", "name": "Counts"}


def test_mixed_choices_have_their_types_and_patterns_that_look_around_are_told_in_words():
    schema = OutputType(Values).mode_schema("openai").schema
    fields = schema["properties"]
    assert fields["mixed"]["type"] == ["boolean", "integer", "null", "string"]
    assert fields["code"]["pattern"] == "^[A-Z]{3}$"
    assert "pattern" not in fields["word"] and "(?!no)" in fields["word"]["description"]
    assert "(?!" not in str([part.get("pattern") for part in fields["price"]["anyOf"]])


def test_more_choices_than_openai_takes_are_not_strict(provider: Provider):
    many = create_model("Many", label=(Literal[tuple(f"label-{n}" for n in range(1_200))], ...))
    found = OutputType(many).mode_schema("openai")
    assert found.trouble == "it lists 1,200 values, and 1,000 are taken"
    assert Model(SPECS[0], repairs=0).complete("choose", output=many).output is not None


def closed(**properties: Any) -> dict[str, Any]:
    required = list(properties)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


A, NONE = {"$ref": "#/$defs/A"}, {"type": "null"}


@pytest.mark.parametrize(
    ("schema", "openai", "anthropic"),
    [
        (closed(a={"type": "string"}), None, None),
        (closed(a={"type": "array", "items": A}) | {"$defs": {"A": closed()}}, None, None),
        ({"type": "object", "properties": {}}, "additionalProperties", "additionalProperties"),
        (closed(a={"type": "string"}) | {"required": []}, "Missing 'a'", None),
        (closed(a={}), "must have a 'type'", "not supported"),
        (closed(a={"type": "array"}), "missing items", None),
        (closed(a={"type": "array", "prefixItems": [], "items": NONE}), "'prefixItems'", "prefixItems"),
        (closed(a={"type": "string", "pattern": "^(?=a)"}), "lookaround", None),
        (closed(a={"type": "string", "default": "x"}), "'default' is not permitted", None),
        (closed(a={"type": "integer", "minimum": 1}), None, "'minimum' is not supported"),
        (closed(a={"type": "array", "items": NONE, "minItems": 2}), None, "other than 0 or 1"),
        (closed(a={"type": "object", "additionalProperties": NONE}), "false", "set to false"),
        (closed(a={"enum": [{"b": 1}], "type": "object"}), "additionalProperties", "additionalProperties"),
        (closed(a=A) | {"$defs": {"A": closed(b=A)}}, None, "Circular"),
        (closed(a=A | {"description": "x"}) | {"$defs": {"A": closed()}}, "$ref cannot", None),
        ({"anyOf": [closed()]}, "must be a JSON Schema of", None),
    ],
)  # fmt: skip
def test_simulators_refuse_what_the_providers_refuse(schema: dict[str, Any], openai, anthropic):
    for found, expected in ((openai_trouble(schema), openai), (anthropic_trouble(schema), anthropic)):
        assert found == expected if expected is None or found is None else expected in found


def test_simulators_answer_with_the_refusal(provider: Provider):
    import anthropic
    import openai

    schema = {"type": "object", "properties": {"a": {}}}
    shape: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    messages: Any = [{"role": "user", "content": "x"}]
    with (
        openai.OpenAI(max_retries=0) as client,
        pytest.raises(openai.BadRequestError, match="Invalid schema"),
    ):
        client.chat.completions.create(model="gpt-5-mini", messages=messages, response_format=shape)
    config: Any = {"format": {"type": "json_schema", "schema": schema}}
    with anthropic.Anthropic(max_retries=0) as claude:
        with pytest.raises(anthropic.BadRequestError, match=r"output_config\.format\.schema"):
            claude.messages.create(model="m", max_tokens=9, messages=messages, output_config=config)
        tool: Any = {"name": "t", "input_schema": {"type": "object"}}
        with pytest.raises(anthropic.BadRequestError, match="Thinking may not"):
            claude.messages.create(
                model="m", max_tokens=2000, messages=messages, tools=[tool],
                tool_choice={"type": "tool", "name": "t"},
                thinking={"type": "enabled", "budget_tokens": 1024},
            )  # fmt: skip
