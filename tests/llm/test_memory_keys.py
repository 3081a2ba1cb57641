"""What an answer is remembered by: each thing that can change it, and nothing that cannot."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model

import latent.llm.request as layer
from latent.cache.hashing import stable_hash
from latent.cache.keys import argument_hashes
from latent.llm import Embedder, File, Image, Message, Model
from latent.llm.messages import turns_of
from latent.llm.request import Request
from tests.llm.conftest import Provider


class Verdict(BaseModel):
    score: int


class Renamed(BaseModel):
    score: int


class Described(BaseModel):
    score: int = Field(description="From 1 to 5.")


def key(model: Model, prompt: Any, output: Any = None, repeat: int = 0) -> tuple[str, ...]:
    """The hashes that the key of a call is made of."""
    parts = {"model": model._request(output), "prompt": turns_of(model.spec, prompt), "repeat": repeat}
    return tuple(argument_hashes(parts).values())


BASE: dict[str, Any] = {
    "spec": "openai:gpt-5-mini",
    "base_url": "http://one.example/v1",
    "max_tokens": 100,
    "temperature": 0.5,
    "top_p": 0.9,
    "stop": ["END"],
    "seed": 1,
    "reasoning": "low",
    "system": "Be brief.",
    "tools": [{"type": "function", "function": {"name": "look"}}],
    "logit_bias": {"50256": -100},
    "output_mode": "schema",
    "repairs": 1,
}
CHANGES: list[tuple[str, Any]] = [
    ("spec", "openai:gpt-5-nano"),
    ("spec", "openai-responses:gpt-5-mini"),
    ("spec", "vllm:gpt-5-mini"),
    ("base_url", "http://two.example/v1"),
    ("max_tokens", 101),
    ("max_tokens", None),
    ("temperature", 0.50001),
    ("temperature", None),
    ("top_p", 0.91),
    ("stop", ["END", "STOP"]),
    ("seed", 2),
    ("reasoning", "high"),
    ("reasoning", {"effort": "low"}),
    ("system", "Be brief!"),
    ("system", None),
    ("tools", [{"type": "function", "function": {"name": "find"}}]),
    ("logit_bias", {"50256": -99}),
    ("presence_penalty", 0.1),
    ("output_mode", "json"),
    ("repairs", 0),
]


def model_with(**changes: Any) -> Model:
    given = {**BASE, **changes}
    if given["spec"].startswith("openai-responses"):
        given = {name: value for name, value in given.items() if name not in ("stop", "seed")}
    return Model(given.pop("spec"), **given)


@pytest.mark.parametrize(("field", "value"), CHANGES)
def test_everything_that_can_change_an_answer_is_part_of_its_key(field: str, value: Any):
    assert key(model_with(**{field: value}), "hello", Verdict) != key(model_with(), "hello", Verdict)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Request)])
def test_every_field_of_a_request_is_in_its_identity_or_known_not_to_matter(field: str):
    """A field that is added to requests has to be decided about."""
    identity = {"endpoint", "sampling", "system", "output", "output_mode", "repairs"}
    decides_only_whether_there_is_an_answer = {"timeout_seconds", "limit", "retries"}
    assert field in identity | decides_only_whether_there_is_an_answer


@pytest.mark.parametrize(
    "change", [{"api_key": "other"}, {"limit": "api"}, {"timeout_seconds": 5.0}, {"retries": 9}]
)
def test_what_decides_only_whether_there_is_an_answer_is_not(change: dict[str, Any]):
    assert key(model_with(**change), "hello", Verdict) == key(model_with(), "hello", Verdict)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"temperature": 0}, {"temperature": 0.0}),
        ({"stop": "x"}, {"stop": ("x",)}),
        ({"stop": []}, {"stop": None}),
    ],
)
def test_one_request_has_one_key_however_its_parameters_are_written(
    one: dict[str, Any], other: dict[str, Any]
):
    assert key(model_with(**one), "hello") == key(model_with(**other), "hello")


def test_a_picture_is_known_by_its_bytes_and_not_by_its_name(tmp_path: Path):
    pictures = [tmp_path / name for name in ("one.png", "two.png")]
    for picture in pictures:
        picture.write_bytes(b"\x89PNG\r\n\x1a\none")
    assert len({key(model_with(), [Image.of(picture)]) for picture in pictures}) == 1


def test_the_output_type_counts_by_its_name_and_schema():
    keys = {key(model_with(), "x", output) for output in (None, Verdict, Renamed, Described)}
    assert len(keys) == 4


def test_the_order_of_fields_counts_since_models_answer_in_it():
    def made(**fields: Any) -> type[BaseModel]:
        return create_model("Judged", **fields)

    one, other = made(score=(int, ...), reason=(str, ...)), made(reason=(str, ...), score=(int, ...))
    assert key(model_with(), "x", one) != key(model_with(), "x", other)
    tools = [{"name": "look", "properties": {name: {} for name in names}} for names in ("ab", "ba")]
    assert key(model_with(tools=tools[:1]), "x") != key(model_with(tools=tools[1:]), "x")


def test_the_version_of_the_layer_counts(monkeypatch: pytest.MonkeyPatch):
    before = key(model_with(), "x")
    monkeypatch.setattr(layer, "LAYER_VERSION", layer.LAYER_VERSION + 1)
    assert key(model_with(), "x") != before


def test_the_address_counts_without_the_credentials_in_it():
    addresses = ("http://one.example/v1", "http://ann:secret@one.example/v1/")
    assert len({key(model_with(base_url=url), "x") for url in addresses}) == 1


def test_deployments_that_differ_by_the_query_of_their_address_are_told_apart_by_its_hash():
    urls = [f"http://one.example/v1{query}" for query in ("", "?api-version=1", "?api-version=2&key=s3cr3t")]
    assert len({key(model_with(base_url=url), "x") for url in urls}) == 3
    embedders = [Embedder("mine:m", base_url=url).identity for url in urls]
    assert embedders[0] == "mine:m at http://one.example/v1"
    assert len(set(embedders)) == 3
    assert not any(
        "s3cr3t" in text for text in [*embedders, str(model_with(base_url=urls[2])._request(None))]
    )


PROMPTS: list[Any] = [
    "hello",
    "hello ",
    "Hello",
    [{"role": "system", "content": "hello"}, {"role": "user", "content": "hello"}],
    [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "so"},
    ],
    ["hello", "hello"],
    ["hello", Image.of(b"\x89PNG\r\n\x1a\none")],
    ["hello", Image.of(b"\x89PNG\r\n\x1a\ntwo")],
    ["hello", Image.of("https://example.org/one.png")],
    ["hello", File.of(b"%PDF-one")],
    ["hello", File.of(b"%PDF-one", media_type="text/plain")],
]


def test_every_part_of_a_prompt_counts():
    assert len({key(model_with(), prompt) for prompt in PROMPTS}) == len(PROMPTS)


def test_one_prompt_has_one_key_however_it_is_written():
    ways = ["hello", ["hello"], {"role": "user", "content": "hello"}, [Message("user", ("hello",))]]
    ways.append([{"role": "user", "content": [{"type": "text", "text": "hello"}]}])
    assert len({key(model_with(), prompt) for prompt in ways}) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
calls = st.fixed_dictionaries(
    {
        "temperature": st.none() | st.floats(0, 2),
        "max_tokens": st.none() | st.integers(1, 9),
        "system": st.none() | st.text(max_size=4),
        "seed": st.none() | st.integers(0, 9),
        "tools": json_values,
        "prompt": st.text(min_size=1, max_size=6),
        "repeat": st.integers(0, 3),
    }
)


def shown(call: dict[str, Any]) -> str:
    # `1`, `1.0` and `True` are different values in a request, and equal in Python.
    return repr(sorted((name, value) for name, value in call.items() if value is not None))


@settings(max_examples=150, deadline=None)
@given(calls, calls)
def test_two_calls_share_a_key_exactly_when_they_are_the_same(one: dict[str, Any], other: dict[str, Any]):
    def key_of(call: dict[str, Any]) -> tuple[str, ...]:
        given = {name: value for name, value in call.items() if name not in ("prompt", "repeat")}
        return key(Model("openai:gpt-5-mini", **given), call["prompt"], repeat=call["repeat"])

    assert (key_of(one) == key_of(other)) == (shown(one) == shown(other))


def test_an_answer_counts_the_same_new_remembered_and_read(provider: Provider):
    """What is computed from answers is not computed again because they come from memory now."""
    provider.says(lambda call: '{"score": 3}')
    new = Model("openai:gpt-5-mini").complete("hello", output=Verdict)
    known = Model("openai:gpt-5-mini").complete("hello", output=Verdict)
    assert known.from_memory and not new.from_memory
    before = stable_hash(known)
    assert known.output == Verdict(score=3) and known.problem is None
    assert stable_hash(known) == before == stable_hash(new)
