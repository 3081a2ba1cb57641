"""Structured output: how it is asked for, validated, mended, and what becomes of what does not validate."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import BaseModel, Field, HttpUrl, field_validator

from latent.errors import ModelSpecError
from latent.llm import Answer, Model
from latent.llm.schemas import OutputType
from latent.prefect import flow, task
from latent.testing import Fault, Reply
from tests.llm.conftest import SPECS, Provider


class Verdict(BaseModel):
    """How good an answer is."""

    score: Literal[1, 2, 3, 4, 5]
    reason: str = Field(min_length=1)


class Even(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def is_even(cls, number: int) -> int:
        if number % 2:
            raise ValueError("an even number is wanted")
        return number


GOOD = '{"score": 4, "reason": "clear"}'
BAD = '{"score": 9, "reason": "clear"}'
every_api = pytest.mark.parametrize("spec", SPECS)


@every_api
@pytest.mark.parametrize("mode", ["schema", "tool", "json"])
def test_the_output_is_a_validated_instance(provider: Provider, spec: str, mode):
    provider.says(lambda call: GOOD)
    answer = Model(spec, output_mode=mode).complete("judge", output=Verdict)
    assert answer.output == Verdict(score=4, reason="clear")
    assert answer.output is answer.output
    assert (answer.problem, json.loads(answer.text)) == (None, json.loads(GOOD))


@every_api
def test_a_model_is_held_to_the_schema_by_the_providers_own_mode(provider: Provider, spec: str):
    answer = Model(spec).complete("judge", output=Verdict)
    assert answer.output.reason == "judge"  # what the simulator makes of a schema
    (call,) = provider.listener.calls
    assert call.tool is None
    assert call.schema["additionalProperties"] is False
    assert call.schema["required"] == ["score", "reason"]


@pytest.mark.parametrize(
    "spec", ["anthropic:claude-3-haiku-20240307", "openai:gpt-4", "openai:gpt-3.5-turbo"]
)
def test_a_model_without_schema_mode_has_to_call_a_tool(provider: Provider, spec: str):
    provider.says(lambda call: GOOD)
    assert Model(spec).complete("judge", output=Verdict).output.score == 4
    assert provider.listener.calls[0].tool == "Verdict"


@every_api
def test_an_answer_that_does_not_validate_is_sent_back_with_what_is_wrong(provider: Provider, spec: str):
    provider.says_in_turn(BAD, GOOD)
    answer = Model(spec).complete("judge", output=Verdict)
    assert (answer.output.score, answer.attempts) == (4, 2)
    _, body = provider.bodies
    messages = body.get("messages") or body["input"]
    assert messages[-2] == {"role": "assistant", "content": BAD}
    assert "score" in messages[-1]["content"]
    assert answer.usage.output_tokens == 16  # 31 characters each: both were paid for


def test_validators_of_ones_own_are_part_of_what_is_valid(provider: Provider):
    provider.says_in_turn('{"number": 3}', '{"number": 4}')
    assert Model(SPECS[0]).complete("even?", output=Even).output == Even(number=4)
    assert "an even number is wanted" in provider.bodies[1]["messages"][-1]["content"]


class Shouted(BaseModel):
    """A type whose validator breaks, until it is mended."""

    word: str | None
    is_mended: ClassVar[bool] = False

    @field_validator("word")
    @classmethod
    def in_capitals(cls, word: str | None) -> str:
        return (word or "") if cls.is_mended else word.upper()  # type: ignore[union-attr]


def test_validator_that_breaks_costs_no_paid_answer(provider: Provider, monkeypatch: pytest.MonkeyPatch):
    provider.says(lambda call: '{"word": null}')
    model = Model(SPECS[0])
    answer = model.complete("a word?", output=Shouted)
    with pytest.raises(AttributeError, match="upper"):
        _ = answer.output
    monkeypatch.setattr(Shouted, "is_mended", True)
    again = model.complete("a word?", output=Shouted)
    assert (again.from_memory, again.output.word, provider.requests) == (True, "", 1)


class Limited(BaseModel):
    """A type whose validator changes its mind."""

    number: int
    most: ClassVar[int] = 10

    @field_validator("number")
    @classmethod
    def is_small(cls, number: int) -> int:
        if number > cls.most:
            raise ValueError(f"at most {cls.most}")
        return number


@pytest.mark.parametrize("count", [1, 250])
def test_a_remembered_answer_is_judged_by_what_its_type_says_now(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, count: int
):
    provider.says(lambda call: '{"number": 7}')
    model = Model(SPECS[0], repairs=0)

    @flow
    def numbers() -> tuple[list[Answer], set[str]]:
        rows = model.map([f"a number? {n}" for n in range(count)], output=Limited)
        rows.wait()
        return rows.result(), {repr(row).split(": ")[1].rstrip(">") for row in rows.rows}

    numbers()
    monkeypatch.setattr(Limited, "most", 5)
    strict, outcomes = numbers()
    assert all(answer.output is None and "at most 5" in answer.problem for answer in strict)
    assert outcomes == {"abstained"}
    monkeypatch.setattr(Limited, "most", 20)
    lenient, outcomes = numbers()
    assert all((answer.output.number, answer.problem) == (7, None) for answer in lenient)
    assert outcomes == {"cached"}
    assert provider.requests == count


def test_an_invalid_answer_is_there_once_its_type_takes_it(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
):
    provider.says(lambda call: '{"number": 17}')
    model = Model(SPECS[0])
    bad = model.complete("a number?", output=Limited)
    assert (bad.output, bad.from_memory, pickle.loads(pickle.dumps(bad))) == (None, False, bad)
    monkeypatch.setattr(Limited, "most", 20)
    good = model.complete("a number?", output=Limited)
    assert (good.output.number, good.problem, good.from_memory) == (17, None, True)


@every_api
@pytest.mark.parametrize(
    ("repair", "said"),
    [
        (Reply("I cannot.", "refusal"), "Asked to mend it, the model refused."),
        (Reply('{"score": 4, "rea', "length"), "raise max_tokens"),
        ("  ", "it said nothing"),
    ],
)
def test_a_repair_that_says_less_does_not_replace_what_was_paid_for(
    provider: Provider, spec: str, repair, said: str
):
    provider.says_in_turn(BAD, repair)
    model = Model(spec, output_mode="json", repairs=1 if repair == "  " else 3)
    answer = model.complete("judge", output=Verdict)
    assert (answer.text, answer.finish_reason, answer.attempts) == (BAD, "stop", 2)
    assert "score" in answer.problem
    assert said in answer.problem
    again = model.complete("judge", output=Verdict)
    assert (again.from_memory, again.problem) == (True, answer.problem)


def test_an_empty_repair_does_not_end_the_others(provider: Provider):
    provider.says_in_turn(BAD, "", GOOD)
    answer = Model(SPECS[0], repairs=2).complete("judge", output=Verdict)
    assert (answer.output.score, answer.problem, answer.attempts) == (4, None, 3)
    assert [len(body["messages"]) for body in provider.bodies] == [1, 3, 3]


@every_api
def test_what_stays_invalid_is_no_output_but_keeps_its_text_and_is_remembered(provider: Provider, spec: str):
    provider.says(lambda call: BAD)
    model = Model(spec, repairs=2)
    answer = model.complete("judge", output=Verdict)
    assert (answer.output, answer.attempts) == (None, 3)
    assert json.loads(answer.text) == json.loads(BAD)
    assert "score" in answer.problem
    again = model.complete("judge", output=Verdict)
    assert again.from_memory
    assert (again.output, again.problem) == (None, answer.problem)
    assert provider.requests == 3


@every_api
def test_refused_and_cut_output_is_not_sent_back(provider: Provider, spec: str):
    provider.says_in_turn(Reply("I cannot.", "refusal"), Reply('{"score": 4, "rea', "length"))
    model = Model(spec)
    refused, cut = (model.complete(text, output=Verdict) for text in ("one", "two"))
    assert (refused.problem, refused.text) == ("The model refused to answer.", "I cannot.")
    assert "max_tokens" in cut.problem
    assert provider.requests == 2


def test_a_repair_that_fails_loses_nothing_that_was_paid_for(provider: Provider):
    provider.says(lambda call: BAD)
    provider.behaves(faults=[Fault(400, only="not a valid")])
    answer = Model(SPECS[0]).complete("judge", output=Verdict)
    assert answer.text == BAD
    assert "Asking again failed" in answer.problem


@pytest.mark.parametrize("spec", SPECS)
def test_trouble_while_mending_is_tried_again_by_itself(provider: Provider, spec: str):
    provider.says(lambda call: GOOD if "not a valid" in str(call.body) else BAD)
    provider.behaves(faults=[Fault(500, first=1, only="not a valid")])
    answer = Model(spec).complete("judge", output=Verdict)
    assert (answer.output.score, answer.attempts) == (4, 3)


def test_an_answer_that_trouble_kept_from_being_mended_is_not_remembered(provider: Provider):
    provider.says(lambda call: BAD)
    model = Model(SPECS[0], retries=0)
    seen: list[Answer] = []

    @flow
    def judge(count: int) -> None:
        rows = model.map([f"judge {count} {n}" for n in range(count)], output=Verdict)
        seen.extend(rows.result())
        seen.append(model.complete(f"judge {count}", output=Verdict))
        assert count < 200 or all("abstained" in repr(row) for row in rows.rows)

    for count in (2, 250):
        provider.behaves(faults=[Fault(500, only="not a valid")])
        judge(count)
        assert all(answer.text == BAD and "Asking again failed" in answer.problem for answer in seen)
        provider.behaves(faults=[])
        seen.clear()
        judge(count)
        assert not any(answer.from_memory or "Asking again" in answer.problem for answer in seen)
        seen.clear()


@every_api
def test_tools_of_ones_own_are_not_replaced_by_the_outputs(provider: Provider, spec: str):
    model = Model(spec, output_mode="tool", tools=[{"name": "look"}])
    with pytest.raises(ModelSpecError, match="`tools` and an output"):
        model.complete("judge", output=Verdict)
    assert provider.requests == 0


def test_a_row_without_usable_output_has_abstained_now_and_when_it_is_remembered(provider: Provider):
    provider.says(lambda call: BAD if "bad" in call.prompt or "not a valid" in call.prompt else GOOD)
    model = Model(SPECS[0])
    ends: list[list[str]] = []

    @flow
    def judge(count: int) -> list[Answer]:
        rows = model.map([f"bad {n}" if n % 2 else f"good {n}" for n in range(count)], output=Verdict)
        rows.wait()
        ends.append(sorted({repr(row).split(": ")[1].rstrip(">") for row in rows.rows}))
        return rows.result()

    for count in (4, 300):
        first, second = judge(count), judge(count)
        assert [answer.problem is None for answer in first] == [n % 2 == 0 for n in range(count)]
        assert first == second
    assert ends[1] == ["abstained", "cached"]
    assert ends[3] == ["abstained", "cached"]


def test_an_answer_finds_its_type_again_in_a_task_that_was_not_run(provider: Provider):
    provider.says(lambda call: GOOD)
    model, made = Model(SPECS[0]), []

    @task("judge")
    def judge(prompt: str) -> Answer:
        made.append(prompt)
        return model.complete(prompt, output=Verdict)

    @flow
    def judging() -> int:
        return judge("this").output.score

    assert judging() == judging() == 4
    assert made == ["this"]


def test_types_that_are_made_inside_of_a_function_are_remembered_too(provider: Provider):
    class Local(BaseModel):
        word: str

    provider.says(lambda call: '{"word": "yes"}')
    for _ in range(2):
        assert Model(SPECS[0]).complete("say yes", output=Local).output == Local(word="yes")
    assert provider.requests == 1


class Shape(BaseModel):
    kind: Literal["circle"] = "circle"
    radius: Annotated[float, Field(gt=0, description="In metres.")]


class Drawing(BaseModel):
    title: str = "untitled"
    shapes: list[Shape] = Field(max_length=3)
    main: Shape = Field(description="The largest.")
    notes: dict[str, str] | None = None


def test_schemas_fit_strict_modes_and_tell_in_words_what_these_do_not_take():
    found = OutputType(Drawing).mode_schema("anthropic")
    schema = found.schema
    assert found.trouble == "`notes` is an open mapping"
    assert schema["required"] == ["title", "shapes", "main", "notes"]
    assert schema["properties"]["shapes"]["description"] == "{maxItems: 3}"
    assert schema["properties"]["main"] == {
        "description": "The largest.",
        "anyOf": [{"$ref": "#/$defs/Shape"}],
    }
    assert (
        schema["$defs"]["Shape"]["properties"]["radius"]["description"]
        == "In metres.\n\n{exclusiveMinimum: 0}"
    )
    assert "title" in schema["properties"]  # a field of that name, not the keyword
    assert (
        "exclusiveMinimum"
        in OutputType(Drawing).mode_schema("openai").schema["$defs"]["Shape"]["properties"]["radius"]
    )


class Branch(BaseModel):
    """Contains itself, so that its schema begins with a reference."""

    name: str
    branches: list[Branch]


@every_api
@pytest.mark.parametrize("mode", [None, "tool", "json"])
def test_a_type_that_contains_itself_is_an_object_at_the_root(provider: Provider, spec: str, mode):
    provider.says(lambda call: '{"name": "a", "branches": [{"name": "b", "branches": []}]}')
    answer = Model(spec, output_mode=mode).complete("grow", output=Branch)
    assert answer.output.branches[0].name == "b"
    schema = provider.listener.calls[0].schema
    assert mode == "json" or (schema["type"], list(schema["properties"])) == ("object", ["name", "branches"])
    assert not {"anyOf", "$ref"} & set(schema or {})


class Page(BaseModel):
    address: HttpUrl
    seen: datetime


@pytest.mark.parametrize("dialect", ["openai", "openai-responses", "anthropic"])
def test_formats_that_a_schema_mode_does_not_know_are_told_in_words(dialect: str):
    fields = OutputType(Page).mode_schema(dialect).schema["properties"]
    assert fields["seen"]["format"] == "date-time"
    knows_addresses = dialect == "anthropic"
    assert ("format" in fields["address"]) == knows_addresses
    assert knows_addresses or "format: uri" in fields["address"]["description"]


@pytest.mark.parametrize("output", [dict, "Verdict", Verdict(score=1, reason="x"), list[Verdict]])
def test_output_has_to_be_a_class_of_pydantics(provider: Provider, output):
    with pytest.raises(ModelSpecError, match="BaseModel"):
        Model(SPECS[0]).complete("x", output=output)


class Computed(BaseModel):
    how: Callable[[], int]


def test_a_field_without_a_json_schema_is_told_without_pydantics_address(provider: Provider):
    with pytest.raises(ModelSpecError, match=r"`output` Computed has no JSON schema: .*Callable") as caught:
        Model(SPECS[0]).complete("x", output=Computed)
    assert "http" not in str(caught.value) and "\n" not in str(caught.value)
    assert provider.requests == 0
