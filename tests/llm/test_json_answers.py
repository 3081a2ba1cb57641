"""The one JSON object of an answer is found, whatever stands around it; a piece of another is none."""

from __future__ import annotations

import json
import time
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from latent.llm.schemas import OutputType, judged
from tests.llm.scripted import scripted_server


class Verdict(BaseModel):
    score: int
    reason: str


class Easy(BaseModel):
    """Every object fits it."""

    note: str = ""
    tags: list[str] = []


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Report(BaseModel):
    verdict: Verdict
    others: list[Verdict] = []
    counts: dict[str, int] = {}


class Aliased(BaseModel):
    value: int = Field(default=0, validation_alias="the-value")


GOOD = '{"score": 4, "reason": "fine"}'
FOUND = {
    "alone": GOOD,
    "with blanks around it": f"\n\n  {GOOD}\n",
    "in a fence": f"```json\n{GOOD}\n```",
    "in a fence of another kind": f"~~~\n{GOOD}\n~~~",
    "in an indented fence": f"1. Here:\n   ```json\n   {GOOD}\n   ```\n",
    "in a fence that never ends": f"```json\n{GOOD}",
    "in a fence on one line": f"```json {GOOD}```",
    "between words": f"Sure! {GOOD} :)",
    "twice the same": f"{GOOD}\n\nAs I said: {GOOD}",
    "behind thoughts": f'<think>Maybe {{"score": 1}}? No, {{that}} is harsh.</think>\n{GOOD}',
    "behind a draft in thoughts": f'<think>{{"score": 1, "reason": "bad"}}</think>\n{GOOD}',
    "behind thoughts without their beginning": f'Draft: {{"score": 1, "reason": "bad"}}\n</think>\n\n{GOOD}',
    "behind thoughts in brackets": f'[THINK]{{"score": 1, "reason": "bad"}}[/THINK]{GOOD}',
    "behind two thoughts": f'<think>a</think>\n<think>{{"score": 2, "reason": "b"}}</think>{GOOD}',
    "behind unbalanced thoughts": f'<think>{{"score": "good... I think.</think>\n{GOOD}',
    "before other braces": f"{GOOD} (I used {{score}} of the rubric.)",
    "before other objects": f'{GOOD}\nThe rubric was {{"weights": {{"score": 2}}}}.',
    "behind latex": "From \\frac{1}{2} I get: " + GOOD,
    "behind a broken text in braces": '{"x} and then ' + GOOD,
    "behind a fence of code": f"```python\nx = {{1: 2}}\n```\n{GOOD}",
    "behind a fence of notes": f"```\nsome notes\n```\n{GOOD}",
    "in a fence, beside an example": f'As in {{"score": 1, "reason": "x"}}:\n```json\n{GOOD}\n```',
    "with raw line ends": '{"score": 4, "reason": "line one\nline\ttwo"}',
    "with a tag in its text": '{"score": 4, "reason": "<think> or </think>\\n"}',
    "with braces in its text": '{"score": 4, "reason": "a } and a { and ```"}',
    "as the text of another": json.dumps(GOOD),
    "as the text of a text": json.dumps(json.dumps(GOOD)),
    "inside of its name": f'{{"Verdict": {GOOD}}}',
    "inside of a name, as text": json.dumps({"answer": GOOD}),
    "as a call that was written out": json.dumps({"name": "Verdict", "arguments": json.loads(GOOD)}),
    "in a list of one": f"[{GOOD}]",
    "behind a byte order mark": "\ufeff" + GOOD,
}
LOST = {
    "words": "I would say four.",
    "cut": '{"score": 4, "rea',
    "only thoughts": f"<think>{GOOD}",
    "thoughts and no answer": f"<think>{GOOD}</think>\nI cannot say.",
    "two that differ": f'{GOOD} or {{"score": 2, "reason": "poor"}}',
    "two in fences that differ": f'```json\n{GOOD}\n```\n```json\n{{"score": 2, "reason": "poor"}}\n```',
    "a piece of a broken object": f'{{"verdict": {GOOD}, "others": [1, 2,]}}',
    "a piece of a cut object": f'{{"verdicts": [{GOOD}, {{"score": 2',
    "one of several in an object": f'{{"best": {GOOD}, "worst": {{"score": 1, "reason": "x"}}}}',
    "single quotes": "{'score': 4, 'reason': 'fine'}",
    "another object": '{"points": 4}',
}


@pytest.mark.parametrize("text", FOUND.values(), ids=FOUND)
def test_the_object_is_found(text: str):
    found = judged(OutputType(Verdict), text).instance
    assert isinstance(found, Verdict) and found.score == 4


@pytest.mark.parametrize("text", LOST.values(), ids=LOST)
def test_what_is_not_surely_the_answer_is_none(text: str):
    verdict = judged(OutputType(Verdict), text)
    assert verdict.instance is None
    assert verdict.problem is not None and verdict.problem.startswith("The answer is not a valid Verdict: ")


def test_of_several_objects_that_differ_it_is_said_that_they_do():
    problem = judged(OutputType(Verdict), LOST["two that differ"]).problem
    assert problem is not None and "2 different JSON objects" in problem


def test_what_is_wrong_with_the_only_object_is_told_by_its_field():
    problem = judged(OutputType(Verdict), 'Here: {"score": "high", "reason": "x"} (of {five})').problem
    assert problem is not None and "score: Input should be a valid integer" in problem


def test_any_object_fits_a_type_of_defaults_so_only_one_of_its_own_keys_counts():
    text = 'The rubric is {"weights": 1}. {"note": "x"}'
    assert judged(OutputType(Easy), text).instance == Easy(note="x")
    assert judged(OutputType(Easy), 'The rubric is {"weights": 1}.').instance is None
    assert judged(OutputType(Easy), "{}").instance == Easy()


def test_a_child_is_not_taken_for_a_broken_tree():
    text = '{"name": "root", "children": [{"name": "child", "children": []},]}'
    assert judged(OutputType(Tree), text).instance is None


def test_keys_are_known_by_their_aliases():
    assert judged(OutputType(Aliased), 'So: {"the-value": 3}.').instance == Aliased.model_validate(
        {"the-value": 3}
    )


@pytest.mark.parametrize(
    "document",
    [
        {"verdict": GOOD},
        {"verdict": GOOD, "others": f"[{GOOD}]", "counts": '{"a": 1}'},
        {"verdict": {"score": 4, "reason": "x"}, "others": [GOOD]},
    ],
)
def test_parts_that_were_written_as_texts_are_read(document: dict[str, Any]):
    """As Anthropic's tools sometimes have it."""
    found = judged(OutputType(Report), json.dumps(document)).instance
    assert isinstance(found, Report) and found.verdict.score == 4
    assert all(each.score == 4 for each in found.others)


def test_a_text_that_happens_to_be_json_stays_a_text():
    document = {"score": 4, "reason": '{"a": 1}'}
    assert judged(OutputType(Verdict), json.dumps(document)).instance == Verdict(**document)


@pytest.mark.parametrize("name", ["Rated", "functions.Rated"])
def test_arguments_that_come_as_an_object_are_the_answer(name: str):
    class Rated(BaseModel):
        rating: Literal["good", "bad"]

    called = {"id": "1", "function": {"name": name, "arguments": {"rating": "good"}}}
    with scripted_server() as server:
        message = {"content": None, "tool_calls": [called]}
        server.document = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
        answer = server.model(output_mode="tool").complete("rate", output=Rated)
        assert (answer.output, server.requests) == (Rated(rating="good"), 1)
        plain = server.model(tools=[{"type": "function", "function": {"name": name}}]).complete("rate")
        assert plain.tool_calls == ({"id": "1", "name": name, "arguments": '{"rating":"good"}'},)


WORDS = st.text("abc{}[]\"',:\\ \n`0<>/", max_size=60)


@settings(max_examples=300, deadline=None)
@given(WORDS, WORDS)
def test_whatever_stands_around_it_nothing_else_is_found(before: str, after: str):
    found = judged(OutputType(Verdict), before + GOOD + after)
    assert found.instance in (Verdict(score=4, reason="fine"), None)
    assert (found.instance is None) == (found.invalid is not None)


@pytest.mark.parametrize(
    "text",
    ["{" * 200_000, '{"a":' * 100_000, '{"a": {"b": 1}, ' * 20_000, '{"' * 100_000, "```\n" * 50_000,
     '"' * 100_001, "<think>" * 50_000, "</think>\n" * 50_000],
)  # fmt: skip
def test_long_nonsense_takes_no_long_time(text: str):
    began = time.process_time()
    assert judged(OutputType(Verdict), text).instance is None
    assert time.process_time() - began < 5
