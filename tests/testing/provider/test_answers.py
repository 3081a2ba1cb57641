"""What the simulated model says, and how long it takes to."""

from __future__ import annotations

import json
import math
import statistics
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field

from latent.testing import LogNormal, ModelCall, ProviderSimulator, Reply
from latent.testing.plugin import MakeProviderSimulator
from latent.testing.provider.answers import SchemaError, instance_of
from latent.testing.provider.draws import draw
from tests.testing.provider.conftest import Got, ask, chat


def text(got: Got) -> str:
    return str(got.json["choices"][0]["message"]["content"])


class ByModel:
    """Answers by the whole call."""

    def respond(self, call: ModelCall) -> str:
        return f"{call.model} at {call.body['temperature']}"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, "hello"),
        ("always this", "always this"),
        (Reply("a reply"), "a reply"),
        ({"hello": "by mapping"}, "by mapping"),
        (str.upper, "HELLO"),
        (lambda prompt: None, "hello"),
        (ByModel(), "m at 0.5"),
    ],
)
def test_ways_to_say_what_the_model_answers(
    make_provider_simulator: MakeProviderSimulator, answer: Any, expected: str
) -> None:
    assert text(chat(make_provider_simulator(answer=answer), temperature=0.5)) == expected


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        ({"other": "x"}, 400, "no answer to this prompt: 'hello'"),
        (lambda prompt: 1 / 0, 500, "raised ZeroDivisionError: division by zero"),
        (lambda prompt: 5, 500, "gave 5: a text, a Reply or None is wanted"),
    ],
)
def test_answers_that_fail_are_told_to_the_client(
    make_provider_simulator: MakeProviderSimulator, answer: Any, status: int, message: str
) -> None:
    got = chat(make_provider_simulator(answer=answer))
    assert got.status == status
    assert message in got.json["error"]["message"]


def test_given_answer_is_not_bent_into_a_schema(make_provider_simulator: MakeProviderSimulator) -> None:
    """Tests of what becomes of invalid answers need invalid answers."""
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    assert text(chat(make_provider_simulator(answer="no JSON"), response_format=wanted)) == "no JSON"


def test_schema_nobody_can_fit_is_an_error(provider_simulator: ProviderSimulator) -> None:
    wanted = {"name": "x", "schema": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{7}$"}}
    got = chat(provider_simulator, response_format={"type": "json_schema", "json_schema": wanted})
    assert got.status == 400
    assert "must match the pattern" in got.json["error"]["message"]


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Leaf(BaseModel):
    kind: Literal["leaf"]
    label: Annotated[str, Field(min_length=3, max_length=20)]


class Tree(BaseModel):
    kind: Literal["tree"]
    children: list[Tree | Leaf]
    parent: Tree | None = None


class Everything(BaseModel):
    text: str
    short: Annotated[str, Field(max_length=2)]
    code: Annotated[str, Field(pattern="^[A-Z][0-9]$")]
    score: Annotated[int, Field(ge=1, le=5)]
    share: Annotated[float, Field(gt=0, lt=1)]
    even: Annotated[int, Field(multiple_of=2, ge=3)]
    price: Decimal
    colour: Colour
    colours: Annotated[list[Colour], Field(min_length=2, max_length=3)]
    pair: tuple[int, str]
    flag: bool
    maybe: str | None
    nothing: None
    table: dict[str, int]
    either: Leaf | Tree
    tree: Tree


@pytest.mark.parametrize("prompt", ["x", "What is it?", "a rather long prompt " * 20, "", "π ≠ 3"])
@pytest.mark.parametrize("model", [Leaf, Tree, Everything])
def test_made_up_instances_fit_their_schema(model: type[BaseModel], prompt: str) -> None:
    schema = model.model_json_schema()
    value = instance_of(schema, prompt)
    jsonschema.validate(value, schema)
    model.model_validate_json(json.dumps(value))
    assert instance_of(schema, prompt) == value


def test_made_up_scores_depend_on_the_prompt() -> None:
    schema = {"type": "integer", "minimum": 1, "maximum": 5}
    assert {instance_of(schema, f"prompt {number}") for number in range(100)} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"properties": {"a": {"type": "string"}}, "required": ["a"]}, {"required": ["b"]}]},
        {"type": ["null", "string"]},
        {"type": "array", "prefixItems": [{"type": "integer"}], "items": False},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 0.004},
        {"type": "number", "maximum": -7},
        {"type": "number", "exclusiveMaximum": 0},
        {"type": "number", "minimum": 3, "maximum": 3},
        {"type": "number", "minimum": 1, "multipleOf": 0.5},
        {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 3},
        {"type": "integer", "exclusiveMaximum": -5},
        {"type": "integer", "minimum": 10, "multipleOf": 7},
        {"type": "integer", "maximum": -5, "multipleOf": 7},
        {"type": "string", "format": "date-time"},
        {"enum": [None]},
        {"oneOf": [{"type": "integer", "minimum": 5, "maximum": 4}, {"const": "x"}]},
        {"type": "object", "required": ["unknown"]},
        {},
    ],
)
def test_odd_schemas(schema: dict[str, Any]) -> None:
    jsonschema.validate(instance_of(schema, "text"), schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/Missing"},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#"},
        {"type": "integer", "minimum": 2, "maximum": 1},
        {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2},
        {"type": "number", "minimum": 1, "exclusiveMaximum": 1},
        {"enum": []},
        {"anyOf": []},
    ],
)
def test_schemas_that_nothing_fits(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaError):
        instance_of(schema, "text")


def test_log_normal_by_its_definition() -> None:
    latency = LogNormal(0.3, 0.5)
    assert latency.seconds(0.5) == pytest.approx(0.3)
    # 0.8413 of a normal distribution lie below one standard deviation.
    assert latency.seconds(0.841345) == pytest.approx(0.3 * math.exp(0.5), rel=1e-4)
    drawn = [math.log(latency.seconds(draw(7, f"{number}", 1, "latency"))) for number in range(20_000)]
    # The standard error of the mean is 0.5 / sqrt(20,000) = 0.0035, that of the deviation 0.0025.
    assert statistics.fmean(drawn) == pytest.approx(math.log(0.3), abs=0.014)
    assert statistics.stdev(drawn) == pytest.approx(0.5, abs=0.01)
    assert all(math.isfinite(latency.seconds(edge)) for edge in (0.0, 1.0))


@pytest.mark.parametrize("latency", [0.15, LogNormal(0.15, 0.0), lambda call: len(call.prompt) * 0.03])
def test_latency_is_kept_to_the_millisecond(
    make_provider_simulator: MakeProviderSimulator, latency: Any
) -> None:
    provider = make_provider_simulator(latency=latency)
    for _ in range(3):
        chat(provider, "hello")
    late = [served.ended_at - served.arrived_at - 0.15 for served in provider.record().log]
    # Never early; of three, one is not held up by what else the machine does.
    assert all(each > -0.001 for each in late)
    assert min(late) < 0.02


def test_latency_function_that_fails_is_told_to_the_client(
    make_provider_simulator: MakeProviderSimulator,
) -> None:
    got = chat(make_provider_simulator(latency=lambda call: call.nothing))
    assert (got.status, "latency function failed: AttributeError" in got.json["error"]["message"]) == (
        500,
        True,
    )


def test_same_seed_same_latencies_in_any_order(make_provider_simulator: MakeProviderSimulator) -> None:
    def seconds(prompts: list[str], seed: int) -> dict[str | None, float]:
        provider = make_provider_simulator(latency=LogNormal(0.02, 1.0), seed=seed)
        for prompt in prompts:
            chat(provider, prompt)
        return {served.prompt: served.ended_at - served.arrived_at for served in provider.record().log}

    first, second = seconds(["a", "b", "c"], 1), seconds(["c", "b", "a"], 1)
    for prompt in "abc":
        expected = LogNormal(0.02, 1.0).seconds(draw(1, prompt, 1, "latency"))
        # Never sooner; how much later is the machine's affair.
        assert expected - 0.002 <= first[prompt] <= expected + 1
        assert expected - 0.002 <= second[prompt] <= expected + 1


def test_answers_are_not_asked_for_embeddings(make_provider_simulator: MakeProviderSimulator) -> None:
    provider = make_provider_simulator(answer={"only": "this"}, tokens_per_minute=60, burst_tokens=10)
    got = ask(provider, "/v1/embeddings", {"model": "m", "input": "x" * 40})
    assert (got.status, got.headers["x-ratelimit-remaining-tokens"]) == (200, "0")
    assert (provider.record().input_tokens, provider.record().output_tokens) == (10, 0)


def test_embedding_of_texts_without_words(provider_simulator: ProviderSimulator) -> None:
    body = {"model": "m", "input": ["!?", " ", "a b", "b a"], "dimensions": 2}
    vectors = [each["embedding"] for each in ask(provider_simulator, "/v1/embeddings", body).json["data"]]
    assert [math.hypot(*vector) for vector in vectors] == pytest.approx([1.0] * 4)
