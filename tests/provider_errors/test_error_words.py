"""What errors say: where their words stand, and which of them no waiting mends."""

from __future__ import annotations

from typing import Any

import pytest

from latent.errors import ModelRefusedError
from latent.prefect.retry_policy import why_everything_stops
from latent.provider_errors.body import message_of
from latent.provider_errors.responses import ProviderAnswer, answer_of

DAY = (
    "Rate limit reached for model `m` in organization `o` service tier `on_demand` on tokens per day (TPD): "
)


def refused(message: str, *, status: int = 429, headers: dict[str, str] | None = None) -> ModelRefusedError:
    body = {"error": {"message": message, "type": "tokens", "code": "rate_limit_exceeded"}}
    return ModelRefusedError("mine:m", "here", message, status, headers or {}, body, "")


def answer(error: ModelRefusedError) -> ProviderAnswer:
    found = answer_of(error)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "No."}}, "No."),
        ({"error": "No."}, "No."),
        ({"message": "No."}, "No."),
        ({"detail": "No."}, "No."),
        ({"error": {"detail": "No."}}, "No."),
        ({"message": {"detail": "No."}}, "No."),
        ({"object": "error", "message": {"detail": [{"loc": ["body", "n"], "msg": "No."}]}}, "body.n: No."),
        ({"detail": [{"loc": ["body", 0], "msg": "A."}, {"msg": "B."}]}, "body.0: A.; B."),
        ({"errors": [{"code": 7003, "message": "No route."}], "success": False}, "No route."),
        ({"errors": ["A.", "B."]}, "A.; B."),
        ([{"error": {"code": 429, "message": "No."}}], "No."),
        ({"error": {"message": "Provider returned error", "metadata": {"raw": '{"detail": "Too long."}'}}},
         "Provider returned error (Too long.)"),
        ({"error": {"message": "Provider returned error", "metadata": {"raw": "upstream is down"}}},
         "Provider returned error (upstream is down)"),
        ("<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>", "502 Bad Gateway"),
        ({"detail": {"a": 1}}, ""),
        (None, ""),
    ],
)  # fmt: skip
def test_the_words_of_an_error_are_found_where_providers_put_them(body: Any, words: str):
    assert message_of(body) == words


def test_of_many_problems_some_are_told_and_the_others_counted():
    assert message_of({"errors": [f"{n}." for n in range(8)]}) == "0.; 1.; 2.; 3.; 4.; and 3 more"


def test_words_that_are_nested_without_end_are_left():
    body: dict[str, Any] = {}
    body["detail"] = body
    assert message_of(body) == ""


@pytest.mark.parametrize(
    "message",
    [
        "Request too large for m in organization o on tokens per min (TPM): Limit 30000, Requested 36278.",
        "Request too large for m on tokens per min (TPM): Limit 30,000, Requested 36,278. Reduce it.",
        "Rate limit reached for m on tokens per day (TPD): Limit 100000, Used 0, Requested 120000.",
    ],
)
def test_a_request_that_its_limit_never_lets_through_is_no_rate_limit(message: str):
    found = answer(refused(message))
    assert found.is_too_large and found.is_refusal
    assert not found.is_rate_limited and not found.is_transient and not found.quota_exhausted


def test_a_request_that_only_comes_too_early_is_a_rate_limit():
    message = "Rate limit reached for m on tokens per min (TPM): Limit 30000, Used 29000, Requested 1200."
    found = answer(refused(message + " Please try again in 400ms."))
    assert found.is_rate_limited and not found.is_too_large
    assert found.retry_after_seconds == pytest.approx(0.4)


@pytest.mark.parametrize(
    "message",
    [
        DAY + "Limit 100000, Used 99990, Requested 1200. Please try again in 15m0s.",
        "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day",
        "Tokens per day limit exceeded - too many tokens processed.",
        "you have used up your daily free allocation of 10,000 neurons, please upgrade",
        "Rate limit of 50 per 86400s exceeded for UserByModelByDay. Please wait 43200 seconds.",
        "Weekly limit reached.",
        "You have used 200 of 200 requests/day.",
        "Limit of 50 requests in 24 hours reached.",
        "You have reached your limit for today.",
    ],
)  # fmt: skip
def test_the_allowance_of_a_day_that_is_used_up_ends_the_work(message: str):
    found = answer(refused(message))
    assert found.quota_exhausted and found.is_of_a_day and not found.is_rate_limited
    said = why_everything_stops(refused(message))
    assert said is not None and message.rstrip(".") in said


@pytest.mark.parametrize(
    "message",
    [
        # 10,000 requests a day fill up steadily: this is a slow limit, and the next request has room soon.
        "Rate limit reached for m on requests per day (RPD): Limit 10000, Used 10000, Requested 1. "
        "Please try again in 8.64s.",
        "Rate limit exceeded: 20 requests per minute, 1000 requests per day.",
        "Rate limit reached on requests per minute. Your plan has 50 a day.",
        "Limit of 20 requests/min and 1000 requests/day reached.",
    ],
)
def test_a_limit_that_passes_soon_does_not_end_the_work(message: str):
    assert answer(refused(message)).is_rate_limited
    assert why_everything_stops(refused(message)) is None


def test_it_is_said_until_when_an_allowance_is_used_up():
    said = why_everything_stops(
        refused(DAY + "Limit 9, Used 9, Requested 1.", headers={"retry-after": "900"})
    )
    assert said is not None and "there is room again" in said
    unknown = why_everything_stops(refused(DAY + "Limit 9, Used 9, Requested 1."))
    assert unknown is not None and "does not say when" in unknown


def test_openrouters_headers_of_limits_stand_in_its_error():
    headers = {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1700000900000"}
    error = {
        "message": "Rate limit exceeded: free-models-per-day.",
        "code": 429,
        "metadata": {"headers": headers},
    }
    found = answer_of(
        ModelRefusedError("openrouter:m", "here", "no", 429, {}, {"error": error}, ""),
        now=lambda: 1_700_000_000.0,
    )
    assert found is not None and found.quota_exhausted
    assert found.retry_after_seconds == 900


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Please try again in 6m0s.", 360),
        ("Please try again in 1h2m3.5s.", 3723.5),
        ("Please retry in 34.07s.", 34.07),
        ("Please wait 42 seconds before retrying.", 42),
        ("Try again in 2 minutes", 120),
        ("Please retry after 20 milliseconds.", 0.02),
        ("You can retry your request, or contact us about 4 of them.", None),
        ("Try again later.", None),
    ],
)
def test_a_wait_that_is_told_only_in_words_is_kept(words: str, seconds: float | None):
    found = answer(refused(words, status=503)).retry_after_seconds
    assert found == (None if seconds is None else pytest.approx(seconds))
