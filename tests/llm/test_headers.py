"""Headers of the user's own, and the arguments of other libraries that no API has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from latent.errors import ModelSpecError, WrongKeyError
from latent.llm import Embedder, Model
from latent.llm.request import WRITTEN_AS
from tests.llm.scripted import Server, scripted_server


@pytest.fixture
def server() -> Iterator[Server]:
    with scripted_server() as started:
        started.says("x")
        yield started


def model(server: Server, headers: dict[str, Any], **options: Any) -> Model:
    return Model("mine:m", base_url=f"{server.root}/v1", headers=headers, **options)


def test_headers_are_sent_with_each_request(server: Server):
    model(server, {"X-Team": "a", "cf-aig-metadata": "b"}).complete("hello")
    server.document = {"data": [{"embedding": [1.0, 2.0]}]}
    Embedder("mine:e", base_url=f"{server.root}/v1", headers={"x-team": "c"}).embed(["hello"])
    one, other = server.sent_headers
    assert (one["x-team"], one["cf-aig-metadata"], other["x-team"]) == ("a", "b", "c")


@pytest.mark.parametrize("name", ["api-key", "Authorization", "x-api-key"])
def test_a_key_of_ones_own_is_sent_in_the_place_of_the_environments(server: Server, monkeypatch, name: str):
    monkeypatch.setenv("MINE_API_KEY", "from-the-environment")
    model(server, {name: "of my own"}).complete("hello")
    sent = server.sent_headers[0]
    assert sent[name.lower()] == "of my own"
    assert "from-the-environment" not in str(sent)


def test_the_key_of_a_gateway_stands_beside_that_of_the_provider(server: Server, monkeypatch):
    monkeypatch.setenv("MINE_API_KEY", "the-providers")
    model(server, {"cf-aig-authorization": "Bearer gateway"}).complete("a")
    model(server, {"api-key": "gateway"}, api_key="the-providers").complete("b")
    one, other = server.sent_headers
    assert (one["authorization"], one["cf-aig-authorization"]) == ("Bearer the-providers", "Bearer gateway")
    assert (other["authorization"], other["api-key"]) == ("Bearer the-providers", "gateway")


def test_no_other_key_is_asked_for(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert Model("openai:gpt-5-mini", headers={"authorization": "Bearer mine"}).endpoint.key() is None


def test_keys_change_no_answer_and_other_headers_may(server: Server):
    model(server, {"api-key": "one", "traceparent": "00-1"}).complete("hello")
    assert model(server, {"api-key": "two", "traceparent": "00-2"}).complete("hello").from_memory
    assert model(server, {}).complete("hello").from_memory
    assert not model(server, {"x-portkey-provider": "openai"}).complete("hello").from_memory
    assert not model(server, {"x-portkey-provider": "azure"}).complete("hello").from_memory
    assert server.requests == 3


def test_vectors_know_the_headers_that_lead_elsewhere():
    made = [
        Embedder("mine:e", base_url="http://localhost/v1", headers=headers).identity
        for headers in ({}, {"api-key": "secret"}, {"x-route": "a"}, {"x-route": "b"})
    ]
    assert made[0] == made[1]
    assert len(set(made)) == 3 and "secret" not in str(made)


def test_secrets_of_headers_are_seen_by_nobody(server: Server):
    asked = model(server, {"api-key": "my-own-secret", "x-gateway-token": "another-secret"}, retries=0)
    server.status = 401
    server.document = {"error": {"message": "wrong: my-own-secret and another-secret"}}
    with pytest.raises(WrongKeyError, match="the header 'api-key'") as caught:
        asked.complete("hello")
    shown = f"{caught.value} {caught.value.body} {asked!r} {asked.endpoint!r}"
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ("api-key: x", "is a mapping"),
        ({"a b": "x"}, "no header can have"),
        ({"api-key": 7}, "must be a string"),
        ({"api-key": "one\ntwo: three"}, "line feed"),
        ({"Content-Type": "text/plain"}, "set by latent"),
    ],
)
def test_headers_that_cannot_be_sent_are_refused(headers: Any, said: str):
    with pytest.raises(ModelSpecError, match=said) as caught:
        Model("mine:m", base_url="http://localhost/v1", headers=headers)
    assert "three" not in str(caught.value)


def test_a_user_in_the_address_and_a_header_that_says_who_asks_exclude_one_another():
    with pytest.raises(ModelSpecError, match="'authorization'"):
        Model("mine:m", base_url="http://me:pw@localhost/v1", headers={"authorization": "Bearer x"})


@pytest.mark.parametrize("name", sorted(WRITTEN_AS))
def test_arguments_of_other_libraries_are_told_with_what_to_write(name: str):
    with pytest.raises(ModelSpecError, match=f"`{name}` (cannot be given here|is filled by latent; .*): "):
        Model("mine:m", base_url="http://localhost/v1", **{name: 1})


def test_fields_that_an_api_has_are_sent(server: Server):
    given = {"chat_template_kwargs": {"enable_thinking": False}, "user": "me", "metadata": {"a": "b"}}
    Model("mine:m", base_url=f"{server.root}/v1", **given).complete("hello")
    assert given.items() <= server.bodies[0].items()
