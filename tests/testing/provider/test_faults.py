"""What goes wrong on purpose, and what clients make of it."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from latent.errors import SimulatorError
from latent.testing import Fault, ProviderSimulator
from latent.testing.plugin import MakeProviderSimulator
from latent.testing.provider.faults import fault_for, parse_fault
from tests.testing.provider.conftest import ask, chat, message


def test_script_strikes_the_first_requests_of_each_prompt(
    make_provider_simulator: MakeProviderSimulator,
) -> None:
    provider = make_provider_simulator(faults=[Fault(500, first=2)])
    assert [chat(provider, "a").status for _ in range(4)] == [500, 500, 200, 200]
    assert [chat(provider, "b").status for _ in range(3)] == [500, 500, 200]
    assert provider.faults == {"500": 4}


def test_limits_do_not_use_up_a_script(make_provider_simulator: MakeProviderSimulator) -> None:
    provider = make_provider_simulator(faults=[Fault(500, first=1)], requests_per_minute=600, burst=1)
    assert (chat(provider).status, chat(provider).status) == (500, 429)
    provider.change(requests_per_minute=None, burst=None)
    assert chat(provider).status == 200


def test_texts_embedded_together_share_the_script(make_provider_simulator: MakeProviderSimulator) -> None:
    provider = make_provider_simulator(faults=[Fault(503, first=1)])

    def embed(*texts: str) -> int:
        return ask(provider, "/v1/embeddings", {"model": "m", "input": texts}).status

    assert embed("a", "b") == 503
    assert embed("a", "b") == 200
    assert embed("a", "c") == 503, "`c` comes for the first time"


def test_share_of_requests_belongs_to_the_seed_and_not_to_their_order() -> None:
    faults = [Fault(500, probability=0.05)]
    prompts = [f"prompt {number}" for number in range(10_000)]
    struck = {prompt for prompt in prompts if fault_for(faults, prompt, 1, seed=1)}
    # 500 expected with a standard deviation of 21.8 (binomial): four of them either way.
    assert 413 <= len(struck) <= 587
    assert struck == {prompt for prompt in reversed(prompts) if fault_for(faults, prompt, 1, seed=1)}
    again = {prompt for prompt in struck if fault_for(faults, prompt, 2, seed=1)}
    assert len(again) < len(struck) / 4, "a second try draws again"
    assert struck != {prompt for prompt in prompts if fault_for(faults, prompt, 1, seed=2)}


@pytest.mark.parametrize(("prompt", "attempt", "kind"), [("rare", 1, 500), ("x", 1, 503), ("x", 2, 529)])
def test_first_fault_that_strikes_counts(prompt: str, attempt: int, kind: int) -> None:
    faults = [Fault(500, only="rare"), Fault(503, first=1), Fault(529)]
    struck = fault_for(faults, prompt, attempt, seed=0)
    assert struck is not None
    assert struck.kind == kind


@pytest.mark.parametrize(
    ("status", "openai_error", "anthropic_error"),
    [
        (500, ("server_error", None), "api_error"),
        (503, ("server_error", None), "api_error"),
        (529, ("server_error", None), "overloaded_error"),
        (429, ("requests", "rate_limit_exceeded"), "rate_limit_error"),
        (408, ("invalid_request_error", None), "invalid_request_error"),
    ],
)
def test_statuses_come_with_the_providers_own_bodies(
    make_provider_simulator: MakeProviderSimulator,
    status: int,
    openai_error: tuple[str, str | None],
    anthropic_error: str,
) -> None:
    provider = make_provider_simulator(faults=Fault(status))
    theirs = chat(provider)
    assert theirs.status == status
    assert (theirs.json["error"]["type"], theirs.json["error"]["code"]) == openai_error
    assert message(provider).json["error"]["type"] == anthropic_error


def test_hint_comes_with_a_fault_when_it_has_one(make_provider_simulator: MakeProviderSimulator) -> None:
    assert "retry-after" not in chat(make_provider_simulator(faults=Fault(429))).headers
    provider = make_provider_simulator(faults=Fault(503, retry_after_seconds=1.5))
    assert (chat(provider).headers["retry-after"], chat(provider).headers["retry-after-ms"]) == ("2", "1500")


def test_used_up_account(
    provider_simulator: ProviderSimulator,
    openai_client: openai.OpenAI,
    anthropic_client: anthropic.Anthropic,
) -> None:
    provider_simulator.change(faults=Fault("quota"))
    with pytest.raises(openai.RateLimitError) as of_openai:
        openai_client.responses.create(model="m", input="x")
    assert of_openai.value.body == {
        "message": "You exceeded your current quota, please check your plan and billing details. For more "
        "information on this error, read the docs: "
        "https://platform.openai.com/docs/guides/error-codes/api-errors.",
        "type": "insufficient_quota",
        "param": None,
        "code": "insufficient_quota",
    }
    with pytest.raises(anthropic.BadRequestError, match="Your credit balance is too low"):
        anthropic_client.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}])


def test_reset_connection(provider_simulator: ProviderSimulator, openai_client: openai.OpenAI) -> None:
    provider_simulator.change(faults=Fault("reset", first=1))
    with pytest.raises(ConnectionResetError):
        chat(provider_simulator, "by hand")
    with pytest.raises(openai.APIConnectionError):
        openai_client.responses.create(model="m", input="by the client")
    assert openai_client.responses.create(model="m", input="by the client").output_text == "by the client"
    assert provider_simulator.faults == {"reset": 2}
    assert [served.status for served in provider_simulator.record().log] == [None, None, 200]


def test_hang_lasts_until_the_client_gives_up(
    provider_simulator: ProviderSimulator, openai_client: openai.OpenAI
) -> None:
    provider_simulator.change(faults=Fault("hang", first=1), concurrency=1)
    with pytest.raises(openai.APITimeoutError):
        openai_client.responses.create(model="m", input="x", timeout=0.2)
    _until(lambda: provider_simulator.record().abandoned == 1)
    assert openai_client.responses.create(model="m", input="x").output_text == "x", "its place is free again"


@pytest.mark.parametrize("kind", ["malformed", "truncated"])
def test_spoiled_answers_are_no_answers(
    provider_simulator: ProviderSimulator, openai_client: openai.OpenAI, kind: Any
) -> None:
    provider_simulator.change(faults=Fault(kind, first=2))
    with pytest.raises((openai.APIError, json.JSONDecodeError)):
        openai_client.responses.create(model="m", input="x")
    if kind == "malformed":
        half = chat(provider_simulator, "y")
        assert (half.status, half.headers["content-type"]) == (200, "application/json")
        with pytest.raises(json.JSONDecodeError):
            _ = half.json
    else:
        with pytest.raises(http.client.IncompleteRead):
            chat(provider_simulator, "y")
    record = provider_simulator.record()
    assert (record.statuses[200], record.answered.total(), record.faults) == (2, 0, {kind: 2})


@pytest.mark.parametrize(
    ("kind", "error"), [("malformed", json.JSONDecodeError), ("truncated", httpx2.RemoteProtocolError)]
)
def test_spoiled_streams(
    provider_simulator: ProviderSimulator,
    anthropic_client: anthropic.Anthropic,
    kind: Any,
    error: type[Exception],
) -> None:
    provider_simulator.change(faults=Fault(kind))
    user: Any = [{"role": "user", "content": "one two three"}]
    with (
        pytest.raises(error),
        anthropic_client.messages.stream(model="m", max_tokens=99, messages=user) as stream,
    ):
        stream.get_final_message()


def test_refusals_come_at_once_and_failures_after_the_latency(
    make_provider_simulator: MakeProviderSimulator,
) -> None:
    provider = make_provider_simulator(latency=0.2, faults=[Fault(529, only="busy"), Fault(500)])
    chat(provider, "busy")
    chat(provider, "broken")
    at_once, late = (served.ended_at - served.arrived_at for served in provider.record().log)
    assert at_once < 0.1 < 0.19 < late


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("500", Fault(500)),
        ("reset:0.05", Fault("reset", probability=0.05)),
        ("529:first=2", Fault(529, first=2)),
    ],
)
def test_faults_of_the_command_line(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize("text", ["", "500:often", "500:first=some", "crash", "200", "500:2", "500:first=0"])
def test_wrong_faults_of_the_command_line(text: str) -> None:
    with pytest.raises(SimulatorError):
        parse_fault(text)


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
