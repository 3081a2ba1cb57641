"""
What the body of an error says: its words, and whether the money or the allowance is used up.

With a used-up quota no further request can succeed. It shares its status with limits that pass by themselves
(429), or with mistakes of the caller (400, 403), so the error's code is read, and where a provider has none,
its words. Sources: OpenAI's guide to error codes; the error classes of anthropic 2.12
(`anthropic/types/shared/*_error.py`); Gemini's troubleshooting page (`QuotaFailure`); the error pages of
DeepSeek and OpenRouter (402) and Moonshot; the rate limit pages of Groq, Cerebras, Cloudflare and GitHub
Models for allowances of a day.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from latent.provider_errors.headers import duration_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES = ("message", "msg", "error", "detail", "details", "errors", "error_description", "reason", "title")
"""Names under which words stand, the most telling first."""
_TITLE = re.compile(r"<title[^>]*>([^<]+)</title>", re.IGNORECASE)
_MOST_NESTED = 6
_MOST_LISTED = 5
"""Of a list of errors, so many are told."""


def message_of(body: Any) -> str:
    """What the provider says in words; empty when it says nothing readable."""
    if isinstance(body, str):
        # A proxy's page: its title says what its markup hides.
        page = _TITLE.search(body) if body.lstrip().startswith("<") else None
        return body if page is None else page[1].strip()
    for part in error_parts(body):
        if words := _words(part, 0):
            return words + _from_elsewhere(part, words)
    return ""


def error_parts(body: Any) -> Iterator[dict[str, Any]]:
    """The error inside of a body, then the body: SDKs keep one or the other. Gemini wraps it in a list."""
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict):
        if isinstance(inner := body.get("error"), dict):
            yield inner
        yield body


def _words(value: Any, depth: int) -> str:
    if isinstance(value, str):
        return value.strip()
    if depth > _MOST_NESTED:
        return ""
    if isinstance(value, list):
        found = [words for each in value if (words := _words(each, depth + 1))]
        more = f"; and {len(found) - _MOST_LISTED} more" if len(found) > _MOST_LISTED else ""
        return "; ".join(dict.fromkeys(found[:_MOST_LISTED])) + more
    if not isinstance(value, dict):
        return ""
    for name in _NAMES:
        if words := _words(value.get(name), depth + 1):
            return _field(value) + words
    return ""


def _field(problem: dict[str, Any]) -> str:
    """Where in the request it is wrong, as pydantic says it: `body.messages: `."""
    place = problem.get("loc")
    return f"{'.'.join(map(str, place))}: " if isinstance(place, list) and place else ""


def _from_elsewhere(error: dict[str, Any], words: str) -> str:
    """What the provider behind a gateway said: the gateway's own words are \"Provider returned error\"."""
    about = error.get("metadata")
    raw = about.get("raw") if isinstance(about, dict) else None
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except ValueError:
            return f" ({raw.strip()})" if raw.strip() else ""
    said = message_of(raw)
    return f" ({said})" if said and said != words else ""


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

_LONG_WINDOW = re.compile(
    r"""
    \bper[-_ ](?:day|week|month)\b              # OpenAI, Groq, Cerebras; OpenRouter: `free-models-per-day`
    | \b(?:daily|weekly|monthly)\b              # Cloudflare, Z.ai
    | \b[rt]pd\b                          # Groq: RPD, TPD
    | \bper\ 86400\ ?s                          # GitHub Models
    | \bby(?:day|week|month)\b
    | /\ ?(?:day|week|month)\b
    | \b24[ -]?(?:h|hours?)\b
    | \b(?:today|tomorrow)\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Words of an allowance that one waits for until tomorrow, or longer."""
_SHORT_WINDOW = re.compile(
    r"(?:\bper[-_ ]|/ ?)(?:s|sec|second|min|minute|hour)\b|\b[rt]p[ms]\b", re.IGNORECASE
)
"""Beside those of a day: which of the two is used up is not known then, and to wait is not a mistake."""
_SOON_SECONDS = 10.0
"""
OpenAI's allowance of 10,000 requests a day fills up steadily, one in 8.6 s, and says so: that is a slow
limit. One that has no room within this time would keep a map busy with one row a minute.
"""

_REQUESTED = re.compile(r"\blimit:?\s+(\d[\d,]*).*?\brequested:?\s+(\d[\d,]*)", re.IGNORECASE | re.DOTALL)
_TOO_LARGE_WORDS = ("request too large", "request is too large")

_LENGTH = r"(\d+(?:\.\d+)?) ?(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)(?![a-z])"
_WAIT = re.compile(rf"(?:try again|retry|wait)\b\D{{0,20}}?((?:{_LENGTH}[ ,]*)+)", re.IGNORECASE)
"""`try again in 6m0s` (OpenAI, Groq), `retry in 34.07s` (Gemini), `wait 42 seconds` (GitHub Models)."""
_UNIT_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

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


def is_exhausted(status: int | None, body: Any, *, hint_seconds: float | None) -> bool:
    """
    Whether an answer with this status and body says that the quota is used up.

    Args:
        body: The decoded JSON, or the text of an answer that is none; None when it cannot be had.
        hint_seconds: How long the provider says to wait; None where it does not. With one, even a 402 passes
            (OpenRouter sends it while other requests in flight hold the rest of a balance).
    """
    if status not in STATUSES:
        return False
    if any(code in QUOTA_CODES for code in _codes(body)):
        return True
    words = message_of(body).lower()
    if any(phrase in words for phrase in _QUOTA_WORDS) or is_of_a_day(
        status, body, hint_seconds=hint_seconds
    ):
        return True
    return status == 402 and hint_seconds is None


def is_of_a_day(status: int | None, body: Any, *, hint_seconds: float | None) -> bool:
    """Whether it is the allowance of a day (or a week, a month) that is used up: it comes back by itself."""
    if status != 429 or is_too_large(status, body):
        return False
    if _is_daily_quota(body):
        return True
    words = message_of(body)
    if not _LONG_WINDOW.search(words) or _SHORT_WINDOW.search(words):
        return False
    return hint_seconds is None or hint_seconds > _SOON_SECONDS


def is_too_large(status: int | None, body: Any) -> bool:
    """
    Whether a 429 is about this one request: it asks for more than the limit would ever let through.

    As OpenAI says it: "Request too large ... Limit 30000, Requested 36278".
    """
    if status != 429:
        return False
    words = message_of(body)
    if (found := _REQUESTED.search(words)) is not None:
        limit, requested = (int(number.replace(",", "")) for number in found.groups())
        return requested > limit
    return any(phrase in words.lower() for phrase in _TOO_LARGE_WORDS)


def status_of_type(body: Any) -> int | None:
    """The status that an error's type stands for: errors inside a stream come after a 200."""
    return next((_STATUS_OF_TYPE[code] for code in _codes(body) if code in _STATUS_OF_TYPE), None)


def hint_in_body(body: Any) -> float | None:
    """The wait that an error names in its details (Gemini's `RetryInfo`) or its words, not in a header."""
    for detail in _details(body):
        if isinstance(delay := detail.get("retryDelay"), str):
            return duration_seconds(delay)
    found = _WAIT.search(message_of(body))
    if found is None:
        return None
    return sum(_seconds(*part) for part in re.findall(_LENGTH, found[1], re.IGNORECASE))


def _seconds(number: str, unit: str) -> float:
    unit = unit.lower()
    short = "ms" if unit == "ms" or unit.startswith("milli") else unit[0]
    return float(number) * _UNIT_SECONDS[short]


def headers_in_body(body: Any) -> dict[str, str]:
    """The headers of limits that OpenRouter puts into its error (`metadata.headers`), names in lower case."""
    for part in error_parts(body):
        about = part.get("metadata")
        headers = about.get("headers") if isinstance(about, dict) else None
        if isinstance(headers, dict):
            return {str(name).lower(): str(value) for name, value in headers.items()}
    return {}


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
    for part in error_parts(body):
        details = part.get("details")
        if isinstance(details, dict):
            yield str(details.get("error_code")).lower()
        for name in ("code", "type"):
            yield str(part.get(name)).lower()


def _details(body: Any) -> Iterator[dict[str, Any]]:
    for part in error_parts(body):
        details = part.get("details")
        if isinstance(details, list):
            yield from (detail for detail in details if isinstance(detail, dict))
