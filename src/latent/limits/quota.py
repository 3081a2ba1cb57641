"""
Whether an answer says that the money or the allowance is used up, so that no further request can succeed.

It shares its status with limits that pass by themselves (429), or with mistakes of the caller (400, 403), so
the error's code is read, and where a provider has none, its words. Sources: OpenAI's guide to error codes;
the error classes of anthropic 2.12 (`anthropic/types/shared/*_error.py`); Gemini's troubleshooting page
(`QuotaFailure`); the error pages of DeepSeek and OpenRouter (402) and Moonshot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latent.limits.response_headers import duration_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

QUOTA_CODES = frozenset(
    {
        # OpenAI, and those who speak its dialect
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "project_spend_limit_exceeded",
        # Anthropic
        "billing_error",
        "contract_spend_limit_reached",
        "enforced_spend_limit_reached",
        "linked_organization_billing_unavailable",
        "linked_organization_spend_limit_reached",
        "organization_on_hold",
        # Moonshot, Alibaba
        "exceeded_current_quota_error",
        "arrearage",
    }
)

_QUOTA_WORDS = (
    "credit balance is too low",  # Anthropic: 400 invalid_request_error
    "reached your specified api usage limits",  # Anthropic: a spend limit that the user set
    "reached your specified workspace api usage limits",
    "billing hard limit has been reached",  # OpenAI, where a proxy drops the code
    "insufficient balance",  # DeepSeek
    "insufficient credits",  # OpenRouter
    "used all available credits",  # xAI
    "limit for the current month",  # Pinecone: read and write units
)

STATUSES = frozenset({400, 402, 403, 429})
"""With another status no provider says that a quota is used up."""

_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "insufficient_quota": 429,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "api_error": 500,
    "server_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def is_exhausted(status: int | None, body: Any, *, has_hint: bool) -> bool:
    """
    Whether an answer with this status and body says that the quota is used up.

    Args:
        body: The decoded JSON, or the text of an answer that is none; None when it cannot be had.
        has_hint: Whether the provider said how long to wait: then even a 402 passes (OpenRouter sends one
            while other requests in flight hold the rest of a balance).
    """
    if status not in STATUSES:
        return False
    if any(code in QUOTA_CODES for code in _codes(body)) or _is_daily_quota(body):
        return True
    words = message_of(body).lower()
    if any(phrase in words for phrase in _QUOTA_WORDS):
        return True
    return status == 402 and not has_hint


def message_of(body: Any) -> str:
    """What the provider says in words; empty when it says nothing readable."""
    if isinstance(body, str):
        return body
    for part in _parts(body):
        if isinstance(message := part.get("message"), str):
            return message
        if isinstance(message := part.get("error"), str):
            return message
    return ""


def status_of_type(body: Any) -> int | None:
    """The status that an error's type stands for: errors inside a stream come after a 200."""
    return next((_STATUS_OF_TYPE[code] for code in _codes(body) if code in _STATUS_OF_TYPE), None)


def hint_in_body(body: Any) -> float | None:
    """The wait that Gemini names in its error's details (`RetryInfo`) and not in a header."""
    for detail in _details(body):
        if isinstance(delay := detail.get("retryDelay"), str):
            return duration_seconds(delay)
    return None


def _is_daily_quota(body: Any) -> bool:
    """Gemini's quotas of a day come with a hint of seconds, as those of a minute do."""
    violations = (detail.get("violations") for detail in _details(body))
    return any(
        "PerDay" in str(violation.get("quotaId", ""))
        for found in violations
        if isinstance(found, list)
        for violation in found
        if isinstance(violation, dict)
    )


def _codes(body: Any) -> Iterator[str]:
    """What the error calls itself, the most particular first."""
    for part in _parts(body):
        details = part.get("details")
        if isinstance(details, dict):
            yield str(details.get("error_code")).lower()
        for name in ("code", "type"):
            yield str(part.get(name)).lower()


def _details(body: Any) -> Iterator[dict[str, Any]]:
    for part in _parts(body):
        details = part.get("details")
        if isinstance(details, list):
            yield from (detail for detail in details if isinstance(detail, dict))


def _parts(body: Any) -> Iterator[dict[str, Any]]:
    """The error inside of a body, then the body: SDKs keep one or the other. Gemini wraps it in a list."""
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict):
        if isinstance(inner := body.get("error"), dict):
            yield inner
        yield body
