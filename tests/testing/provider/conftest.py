"""Clients for the simulator: the official ones, and a bare one that sees bytes."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
import pytest

from latent.testing import ProviderSimulator


@dataclass(frozen=True)
class Got:
    """One answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Ask = Callable[..., Got]


def ask(provider: ProviderSimulator, path: str, body: object = None, **headers: str) -> Got:
    """One request on a connection of its own: POST with a body, GET without one."""
    connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=10)
    try:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET" if data is None else "POST", path, data, named)
        answer = connection.getresponse()
        return Got(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def chat(provider: ProviderSimulator, prompt: str = "hello", **fields: object) -> Got:
    """One chat completion, asked for by hand."""
    body = {"model": "m", "messages": [{"role": "user", "content": prompt}]} | fields
    return ask(provider, "/v1/chat/completions", body)


def message(provider: ProviderSimulator, prompt: str = "hello", **fields: object) -> Got:
    """One Anthropic message, asked for by hand."""
    body = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": prompt}]} | fields
    return ask(provider, "/v1/messages", body)


@pytest.fixture(scope="session")
def openai_transport() -> Iterator[openai.DefaultHttpxClient]:
    """The client's own transport, made once: loading the certificates takes longer than most tests."""
    with openai.DefaultHttpxClient() as transport:
        yield transport


@pytest.fixture(scope="session")
def anthropic_transport() -> Iterator[anthropic.DefaultHttpxClient]:
    """The client's own transport, made once."""
    with anthropic.DefaultHttpxClient() as transport:
        yield transport


@pytest.fixture
def openai_client(
    provider_simulator: ProviderSimulator, openai_transport: openai.DefaultHttpxClient
) -> openai.OpenAI:
    """OpenAI's client as a user makes it: address and key come from the environment."""
    return openai.OpenAI(max_retries=0, http_client=openai_transport)


@pytest.fixture
def anthropic_client(
    provider_simulator: ProviderSimulator, anthropic_transport: anthropic.DefaultHttpxClient
) -> anthropic.Anthropic:
    """Anthropic's client as a user makes it: address and key come from the environment."""
    return anthropic.Anthropic(max_retries=0, http_client=anthropic_transport)
