"""JSON: whether it is, whether it keeps to a schema, and its fields."""

from __future__ import annotations

import json

import pytest

from latent.errors import ScorerError
from latent.evals import Abstain, scorers

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
}


@pytest.mark.parametrize(
    ("output", "valid"),
    [
        ('{"a": [1, 2]}', True),
        ('```json\n{"a": 1}\n```', True),
        ("42", True),
        ({"a": 1}, True),
        ("{'a': 1}", False),
        ('Here it is: {"a": 1}', False),
        ('{"a": NaN}', False),
        ('{"a": 1', False),
        ("", False),
        (None, False),
        ("[" * 100_000, False),
    ],
)
def test_json_is_nothing_but_json(output, valid):
    score = scorers.json_valid(output)
    assert score.value is valid
    assert (score.reason is None) is valid


def test_a_fence_can_be_refused():
    assert scorers.json_valid(fenced=False)('```json\n{"a": 1}\n```').value is False


def test_the_schema_says_where():
    keeps = scorers.json_schema(schema=PERSON)
    assert keeps('{"name": "Ada", "age": 36}').value is True
    wrong = keeps('{"name": "Ada", "age": -1}')
    assert (wrong.value, wrong.reason) == (False, "$.age: -1 is less than the minimum of 0")
    assert keeps("{}").reason == "$: 'name' is a required property"
    assert "Expecting value" in keeps("no JSON").reason


def test_a_schema_that_is_none_is_told():
    with pytest.raises(ScorerError, match="its schema is not valid"):
        scorers.json_schema("{}", schema={"type": "objekt"})


def test_a_schema_is_looked_up_nowhere_else():
    with pytest.raises(ScorerError, match=r"refers to 'http://127\.0\.0\.1:9/a\.json', which is not in it"):
        scorers.json_schema("{}", schema={"$ref": "http://127.0.0.1:9/a.json"})
    with pytest.raises(ScorerError, match="which is not in it"):
        scorers.json_schema("{}", schema={"$ref": "#/$defs/none"})
    inside = {"$ref": "#/$defs/text", "$defs": {"text": {"type": "string"}}}
    assert scorers.json_schema('"x"', schema=inside).value is True


def test_each_field_is_a_metric():
    expected = {"name": "Ada", "address": {"city": "London", "zip": 1}, "tags": ["a", "b"], "ok": True}
    output = json.dumps(
        {"name": "ada.", "address": {"city": "Paris", "zip": 1.0}, "tags": ["a", "b"], "ok": 1, "more": 0}
    )
    scores = scorers.json_fields(output, expected)
    assert {name: score.value for name, score in scores.items()} == {
        "all": False,
        "name": True,
        "address.city": False,
        "address.zip": True,
        "tags": True,
        "ok": False,  # 1 is not true
    }
    assert scores["all"].reason == "Wrong or missing: address.city, ok."


def test_without_json_every_field_is_missing():
    scores = scorers.json_fields("I don't know", '{"a": 1, "b": null}')
    assert [score.value for score in scores.values()] == [False, False, False]
    assert scorers.json_fields('{"b": null}', '{"a": 1, "b": null}')["b"].value is True


def test_rows_that_expect_different_fields_name_them_all():
    some = scorers.json_fields(fields=["a", "b"])
    scores = some('{"a": 1}', {"a": 1})
    assert scores["a"].value is True
    assert scores["b"] is None
    assert scores["all"].value is True


def test_what_is_expected_must_be_an_object():
    with pytest.raises(Abstain, match="not a JSON object: list"):
        scorers.json_fields("{}", "[1]")
    assert scorers.json_fields("{}", None) is None
