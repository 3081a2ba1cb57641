"""Limits, computed by hand and seen over the wire."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import openai
import pytest

from latent.testing import ProviderSimulator
from latent.testing.plugin import MakeProviderSimulator
from latent.testing.provider.behaviour import behaviour_from
from latent.testing.provider.headers import duration, moment, retry_after
from latent.testing.provider.limits import Level, Limits, Refusal
from tests.testing.provider.conftest import chat, message


def limits(**settings: Any) -> Limits:
    return Limits(behaviour_from(settings), now=100.0)


def test_burst_passes_at_once_and_the_rate_after_it() -> None:
    bucket = limits(requests_per_second=10, burst=3)
    assert [bucket.admit(1, 0, 100.0) for _ in range(3)] == [None] * 3
    refused = bucket.admit(1, 0, 100.0)
    assert refused is not None
    assert (refused.kind, refused.wait_seconds) == ("requests", pytest.approx(0.1))
    assert bucket.admit(1, 0, 100.05) is not None, "half of the next request has come back"
    assert bucket.admit(1, 0, 100.1) is None
    assert [bucket.admit(1, 0, 200.0) is None for _ in range(4)] == [True, True, True, False]


def test_asking_in_vain_costs_nothing() -> None:
    bucket = limits(requests_per_second=10, burst=1)
    bucket.admit(1, 0, 100.0)
    for step in range(9):
        assert bucket.admit(1, 0, 100.01 + step / 100) is not None
    assert bucket.admit(1, 0, 100.1) is None


def test_full_rate_passes_at_exact_intervals() -> None:
    """1,000 requests, one every 20 ms at 50 a second: rounding must refuse none."""
    bucket = limits(requests_per_second=50, burst=1)
    assert all(bucket.admit(1, 0, 100.0 + number * 0.02) is None for number in range(1000))


@pytest.mark.parametrize(("per_second", "passing"), [(50, 50), (0.5, 1)])
def test_burst_is_a_second_long_and_at_least_one(per_second: float, passing: int) -> None:
    bucket = limits(requests_per_second=per_second)
    assert sum(bucket.admit(1, 0, 100.0) is None for _ in range(100)) == passing


def test_refused_request_takes_nothing_from_the_other_limit() -> None:
    both = limits(requests_per_second=1, burst=2, tokens_per_minute=60)
    assert both.admit(60, 0, 100.0) is None
    refused = both.admit(10, 0, 100.0)
    assert refused == Refusal("tokens", pytest.approx(10.0), 60, asked=10, remaining=0)
    assert [level.remaining for level in both.levels(100.0)] == [1, 0]


def test_answers_can_put_the_tokens_into_debt() -> None:
    tokens = limits(tokens_per_minute=60, burst_tokens=10)
    assert tokens.admit(4, 0, 100.0) is None
    tokens.charge(16)
    [level] = tokens.levels(100.0)
    assert (level.remaining, level.full_in_seconds) == (0, pytest.approx(20.0))
    refused = tokens.admit(5, 0, 100.0)
    assert refused is not None
    assert refused.wait_seconds == pytest.approx(15.0)


def test_request_larger_than_the_burst_never_passes() -> None:
    refused = limits(tokens_per_minute=60).admit(61, 0, 100.0)
    assert refused is not None
    assert refused.wait_seconds is None


def test_concurrency_counts_what_is_being_answered() -> None:
    cap = limits(concurrency=2)
    assert cap.admit(1, 1, 100.0) is None
    assert cap.admit(1, 2, 100.0) == Refusal("concurrency", None)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.0004, "1ms"),
        (0.012, "12ms"),
        (0.9999, "1s"),
        (1.5, "1.5s"),
        (60.0, "1m0s"),
        (360.0, "6m0s"),
        (3661.25, "1h1m1.25s"),
    ],
)
def test_durations_are_written_as_go_does(seconds: float, text: str) -> None:
    """As `Duration.String` of https://pkg.go.dev/time, rounded up to the millisecond."""
    assert duration(seconds) == text


def test_moments_are_whole_seconds_in_utc() -> None:
    assert moment(1_767_225_600.0) == "2026-01-01T00:00:00Z"
    assert moment(1_767_225_600.2) == "2026-01-01T00:00:01Z"


def test_retry_after_is_rounded_up() -> None:
    assert retry_after(0.0201, milliseconds=True) == [("retry-after", "1"), ("retry-after-ms", "21")]
    assert retry_after(2.0, milliseconds=False) == [("retry-after", "2")]
    assert retry_after(None, milliseconds=True) == []


def test_openai_names_its_limits_on_every_answer(make_provider_simulator: MakeProviderSimulator) -> None:
    provider = make_provider_simulator(requests_per_minute=6, burst=2, tokens_per_minute=6000)
    first, second, third = (chat(provider) for _ in range(3))
    assert first.headers["x-ratelimit-limit-requests"] == "6"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert first.headers["x-ratelimit-reset-requests"] == "10s"
    # "hello" is 2 tokens, in and out: 4 of 100 a second.
    assert first.headers["x-ratelimit-remaining-tokens"] == "5996"
    assert first.headers["x-ratelimit-reset-tokens"] == "40ms"
    assert (first.status, second.status, third.status) == (200, 200, 429)
    assert third.headers["x-ratelimit-remaining-requests"] == "0"
    assert third.headers["retry-after"] == "10"
    assert 9_000 < int(third.headers["retry-after-ms"]) <= 10_000
    error = third.json["error"]
    assert (error["type"], error["code"], error["param"]) == ("requests", "rate_limit_exceeded", None)
    assert "on requests per min (RPM): Limit 6, Used 6, Requested 1. Please try again in " in error["message"]


def test_anthropic_names_its_limits_on_every_answer(make_provider_simulator: MakeProviderSimulator) -> None:
    provider = make_provider_simulator(requests_per_minute=6, burst=1)
    before = time.time()
    first, second = message(provider), message(provider)
    assert first.headers["anthropic-ratelimit-requests-limit"] == "6"
    assert first.headers["anthropic-ratelimit-requests-remaining"] == "0"
    reset = first.headers["anthropic-ratelimit-requests-reset"]
    assert moment(before + 10) <= reset <= moment(before + 12)
    assert (second.status, second.headers["retry-after"]) == (429, "10")
    assert "retry-after-ms" not in second.headers
    assert second.json["error"]["type"] == "rate_limit_error"
    assert "of 6 requests per minute" in second.json["error"]["message"]


@pytest.mark.parametrize(("style", "hint"), [("retry-after", True), ("none", False)])
def test_headers_can_be_left_out(
    make_provider_simulator: MakeProviderSimulator, style: str, hint: bool
) -> None:
    provider = make_provider_simulator(requests_per_minute=6, burst=1, headers=style)
    answers = [chat(provider), chat(provider)]
    assert not [name for answer in answers for name in answer.headers if name.startswith("x-ratelimit")]
    assert ("retry-after" in answers[1].headers, "retry-after-ms" in answers[1].headers) == (hint, hint)


def test_too_large_a_request_is_told_so(make_provider_simulator: MakeProviderSimulator) -> None:
    refused = chat(make_provider_simulator(tokens_per_minute=10), "x" * 41)
    assert (refused.status, refused.json["error"]["type"]) == (429, "tokens")
    assert "Request too large" in refused.json["error"]["message"]
    assert "Limit 10, Requested 11" in refused.json["error"]["message"]
    assert "retry-after" not in refused.headers


def test_concurrency_over_the_wire(make_provider_simulator: MakeProviderSimulator) -> None:
    provider = make_provider_simulator(concurrency=3, latency=0.3)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: message(provider, f"{number}"), range(8)))
    assert sorted(answer.status for answer in answers) == [200] * 3 + [429] * 5
    [refused, *_] = [answer for answer in answers if answer.status == 429]
    assert "Number of concurrent connections has exceeded" in refused.json["error"]["message"]
    assert provider.peak_in_flight == 3
    assert message(provider).status == 200, "places are free again"


def test_official_clients_wait_as_they_are_told(
    make_provider_simulator: MakeProviderSimulator, openai_transport: openai.DefaultHttpxClient
) -> None:
    provider = make_provider_simulator(requests_per_second=4, burst=1)
    client = openai.OpenAI(http_client=openai_transport)
    for number in range(3):
        client.responses.create(model="m", input=f"{number}")
    assert provider.statuses == {200: 3, 429: 2}
    first, second, third = (served.arrived_at for served in provider.record().log if served.answered)
    assert second - first > 0.24
    assert third - second > 0.24


def test_error_classes_of_the_clients(
    provider_simulator: ProviderSimulator,
    openai_client: openai.OpenAI,
    anthropic_client: anthropic.Anthropic,
) -> None:
    provider_simulator.change(requests_per_minute=1, burst=1)
    chat(provider_simulator)
    with pytest.raises(openai.RateLimitError):
        openai_client.responses.create(model="m", input="x")
    with pytest.raises(anthropic.RateLimitError):
        anthropic_client.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}])


def test_level_tells_when_the_burst_is_whole_again() -> None:
    bucket = limits(requests_per_minute=60, burst=10)
    for _ in range(4):
        bucket.admit(1, 0, 100.0)
    assert bucket.levels(101.0) == (Level("requests", 60, 7, pytest.approx(3.0)),)
