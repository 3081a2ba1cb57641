"""Requests that are wrong get the providers' own errors, and a wrong simulator says what is wrong with it."""

from __future__ import annotations

import socket
from typing import Any

import anthropic
import openai
import pytest

from latent.errors import SimulatorError, UsageError
from latent.testing import Fault, LogNormal, ProviderSimulator, Reply
from latent.testing.plugin import MakeProviderSimulator
from tests.testing.provider.conftest import ask, chat, message

USER = [{"role": "user", "content": "x"}]


@pytest.mark.parametrize(
    ("path", "body", "message", "code"),
    [
        ("/v1/chat/completions", {"messages": USER}, "you must provide a model parameter", None),
        ("/v1/chat/completions", {"model": 5}, "Invalid type for 'model'", "invalid_type"),
        (
            "/v1/chat/completions",
            {"model": "m"},
            "Missing required parameter: 'messages'.",
            "missing_required_parameter",
        ),
        (
            "/v1/chat/completions",
            {"model": "m", "messages": []},
            "Invalid 'messages': empty array",
            "empty_array",
        ),
        ("/v1/chat/completions", {"model": "m", "messages": "x"}, "but got a string instead", "invalid_type"),
        ("/v1/chat/completions", {"model": "m", "messages": ["x"]}, "'messages[0]'", "invalid_type"),
        (
            "/v1/chat/completions",
            {"model": "m", "messages": USER, "max_tokens": 0},
            "Expected a value >= 1, but got 0",
            "integer_below_min_value",
        ),
        (
            "/v1/chat/completions",
            {"model": "m", "messages": USER, "response_format": {"type": "json_schema"}},
            "response_format.json_schema.schema",
            "missing_required_parameter",
        ),
        (
            "/v1/chat/completions",
            {"model": "m", "messages": USER, "tool_choice": {"type": "function", "function": {"name": "f"}}},
            "Tool choice 'f' not found",
            None,
        ),
        ("/v1/responses", {"model": "m"}, "'input'", "missing_required_parameter"),
        ("/v1/embeddings", {"model": "m"}, "'input'", "missing_required_parameter"),
        ("/v1/embeddings", {"model": "m", "input": []}, "empty array", "empty_array"),
        ("/v1/embeddings", {"model": "m", "input": ["a", ""]}, "cannot be an empty string", None),
        ("/v1/embeddings", {"model": "m", "input": [{}]}, "expected a string", "invalid_type"),
        ("/v1/embeddings", {"model": "m", "input": ["a"] * 2049}, "2048", "array_above_max_length"),
        (
            "/v1/embeddings",
            {"model": "m", "input": "a", "encoding_format": "x"},
            "Invalid value",
            "invalid_value",
        ),
        ("/v1/embeddings", {"model": "m", "input": "a", "dimensions": -1}, ">= 1", "integer_below_min_value"),
        ("/v1/chat/completions", b"{", "We could not parse the JSON body of your request.", None),
        ("/v1/chat/completions", b"[]", "We could not parse the JSON body of your request.", None),
    ],
)
def test_openai_says_what_is_wrong(
    provider_simulator: ProviderSimulator, path: str, body: object, message: str, code: str | None
) -> None:
    got = ask(provider_simulator, path, body)
    assert got.status == 400
    assert message in got.json["error"]["message"]
    assert (got.json["error"]["type"], got.json["error"]["code"]) == ("invalid_request_error", code)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"max_tokens": 5, "messages": USER}, "model: Field required"),
        ({"model": "", "max_tokens": 5, "messages": USER}, "model: Input should be a valid string"),
        ({"model": "m", "messages": USER}, "max_tokens: Field required"),
        ({"model": "m", "max_tokens": "5", "messages": USER}, "max_tokens: Input should be a valid integer"),
        ({"model": "m", "max_tokens": 0, "messages": USER}, "max_tokens: Input should be greater than"),
        ({"model": "m", "max_tokens": 5}, "messages: Field required"),
        ({"model": "m", "max_tokens": 5, "messages": {}}, "messages: Input should be a valid list"),
        ({"model": "m", "max_tokens": 5, "messages": []}, "messages: at least one message is required"),
        (
            {"model": "m", "max_tokens": 5, "messages": [{"role": "system", "content": "x"}]},
            "messages.0.role: Input should be 'user' or 'assistant'",
        ),
        (
            {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": ""}, *USER]},
            "messages.0: all messages must have non-empty content",
        ),
        (
            {"model": "m", "max_tokens": 5, "messages": USER, "tool_choice": {"type": "tool", "name": "f"}},
            "Tool 'f' not found",
        ),
        (b"nothing", "The request body is not valid JSON."),
    ],
)
def test_anthropic_says_what_is_wrong(
    provider_simulator: ProviderSimulator, body: object, message: str
) -> None:
    got = ask(provider_simulator, "/v1/messages", body)
    assert got.status == 400
    assert message in got.json["error"]["message"]
    assert (got.json["type"], got.json["error"]["type"]) == ("error", "invalid_request_error")


def test_wrong_paths_and_methods(provider_simulator: ProviderSimulator) -> None:
    lost = ask(provider_simulator, "/chat/completions", {"model": "m"})
    assert (lost.status, lost.json["error"]["message"]) == (404, "Invalid URL (POST /chat/completions)")
    lost = ask(provider_simulator, "/v1/complete", {"model": "m"}, anthropic_version="2023-06-01")
    assert (lost.status, lost.json["error"]["type"]) == (404, "not_found_error")
    assert ask(provider_simulator, "/v1/chat/completions").status == 405
    assert ask(provider_simulator, "/v1/messages").status == 405
    assert ask(provider_simulator, "/v1/models", {}).status == 405


def test_keys(
    make_provider_simulator: MakeProviderSimulator,
    openai_transport: openai.DefaultHttpxClient,
    anthropic_transport: anthropic.DefaultHttpxClient,
) -> None:
    provider = make_provider_simulator(api_key="sk-right")
    right = openai.OpenAI(http_client=openai_transport), anthropic.Anthropic(http_client=anthropic_transport)
    assert [len(list(client.models.list())) for client in right] == [1, 1], "the environment has the key"
    with pytest.raises(openai.AuthenticationError) as wrong:
        openai.OpenAI(api_key="sk-0123456789abcd", http_client=openai_transport).models.list()
    assert wrong.value.code == "invalid_api_key"
    assert "provided: sk-0********abcd" in wrong.value.message
    with pytest.raises(anthropic.AuthenticationError, match="invalid x-api-key"):
        anthropic.Anthropic(api_key="wrong", http_client=anthropic_transport).models.list()
    assert "didn't provide an API key" in chat(provider).json["error"]["message"]
    assert message(provider).json["error"]["message"] == "x-api-key header is required"
    assert provider.statuses == {200: 2, 401: 4}
    assert not provider.asked


def test_context_window(make_provider_simulator: MakeProviderSimulator) -> None:
    provider = make_provider_simulator(context_window=10)
    assert chat(provider, "x" * 40).status == 200
    over = chat(provider, "x" * 41)
    assert (over.status, over.json["error"]["code"]) == (400, "context_length_exceeded")
    assert (
        message(provider, "x" * 41).json["error"]["message"] == "prompt is too long: 11 tokens > 10 maximum"
    )


def test_what_is_not_http_is_refused(provider_simulator: ProviderSimulator) -> None:
    with socket.create_connection(("127.0.0.1", provider_simulator.port), timeout=5) as client:
        client.sendall(b"hello there\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert chat(provider_simulator).status == 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"requests_per_second": -1}, "requests_per_second=-1: it must be a number above 0"),
        ({"requests_per_minute": 0}, "requests_per_minute=0"),
        ({"requests_per_minute": float("nan")}, "requests_per_minute=nan"),
        ({"requests_per_minute": "60"}, "requests_per_minute='60'"),
        ({"requests_per_second": 1, "requests_per_minute": 60}, "requests_per_minute is given as well"),
        ({"tokens_per_minute": -1}, "tokens_per_minute=-1"),
        ({"requests_per_second": 1, "burst": 0}, "burst=0: it must be a whole number above 0"),
        ({"requests_per_second": 1, "burst": 1.5}, "burst=1.5"),
        ({"burst": 5}, "it needs requests_per_second or requests_per_minute"),
        ({"burst_tokens": 5}, "it needs tokens_per_minute"),
        ({"concurrency": True}, "concurrency=True"),
        ({"context_window": -5}, "context_window=-5"),
        ({"latency": -0.1}, "latency=-0.1: it must be seconds"),
        ({"latency": "slow"}, "latency='slow'"),
        ({"headers": "all"}, "headers='all': it must be one of 'provider', 'retry-after', 'none'"),
        ({"faults": [500]}, "faults=500: each must be a Fault"),
        ({"faults": 500}, "faults=500: it must be a list"),
        ({"answer": 5}, "answer=5: it must be a text"),
        ({"models": []}, "name at least one"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SimulatorError) as caught:
        ProviderSimulator(**settings)
    assert message in str(caught.value)
    assert isinstance(caught.value, UsageError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fault(200),
        lambda: Fault("explode"),  # type: ignore[arg-type]
        lambda: Fault(True),
        lambda: Fault(500, probability=1.5),
        lambda: Fault(500, first=0),
        lambda: Fault(429, retry_after_seconds=-1),
        lambda: LogNormal(0, 1),
        lambda: LogNormal(1, -1),
        lambda: Reply("x", "done"),  # type: ignore[arg-type]
        lambda: Reply("x", output_tokens=-1),
    ],
)
def test_parts_that_make_no_sense(make: Any) -> None:
    with pytest.raises(SimulatorError):
        make()


def test_unknown_settings_are_named_with_the_nearest(provider_simulator: ProviderSimulator) -> None:
    with pytest.raises(SimulatorError, match="there is no such setting: did you mean 'latency'"):
        provider_simulator.change(latencies=1)
