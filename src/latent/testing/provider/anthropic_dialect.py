"""How Anthropic refuses, fails and names its limits: https://docs.claude.com/en/api/errors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from latent.testing.loopback import HttpRequest
from latent.testing.provider.calls import ApiError, ModelCall, Provider
from latent.testing.provider.dialect import Dialect, request_id
from latent.testing.provider.headers import Headers, anthropic_limits, retry_after
from latent.testing.provider.limits import Level, Refusal

KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The body's `type` by status; `invalid_request_error` or `api_error` for others."""
TOO_FAST = (
    "This request would exceed the rate limit for your organization of {limit:,} {unit}. For details, refer "
    "to: https://docs.claude.com/en/api/rate-limits. You can see the response headers for current usage. "
    "Please reduce the prompt length or the maximum tokens requested, or try again later. You may also "
    "contact sales at https://www.anthropic.com/contact-sales to discuss your options for a rate limit "
    "increase."
)
TOO_MANY = (
    "Number of concurrent connections has exceeded your rate limit. Please try again later or contact sales "
    "at https://www.anthropic.com/contact-sales to discuss your options for a rate limit increase."
)
QUOTA = (
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or "
    "purchase credits."
)
FAILURES = {
    429: "This request would exceed your account's rate limit. Please try again later.",
    500: "Internal server error",
    529: "Overloaded",
}
UNITS = {"requests": "requests per minute", "tokens": "input tokens per minute"}


class _Anthropic:
    name: Provider = "anthropic"

    def error(self, error: ApiError, number: int) -> dict[str, Any]:
        usual = "api_error" if error.status >= 500 else "invalid_request_error"
        body = {"type": error.kind or KINDS.get(error.status, usual), "message": error.message}
        return {"type": "error", "error": body, "request_id": request_id(number)}

    def check_key(self, request: HttpRequest, api_key: str) -> None:
        key = request.header("x-api-key")
        token = (request.header("authorization") or "").removeprefix("Bearer ")
        if not key and not token:
            raise ApiError(401, "x-api-key header is required")
        if api_key not in (key, token):
            raise ApiError(401, "invalid x-api-key")

    def not_found(self, request: HttpRequest) -> ApiError:
        return ApiError(404, "Not Found")

    def wrong_method(self, request: HttpRequest) -> ApiError:
        return ApiError(405, "Method Not Allowed")

    def no_json(self) -> ApiError:
        return ApiError(400, "The request body is not valid JSON.")

    def unknown_model(self, model: str) -> ApiError:
        return ApiError(404, f"model: {model}")

    def too_long(self, call: ModelCall, context_window: int) -> ApiError:
        return ApiError(400, f"prompt is too long: {call.input_tokens} tokens > {context_window} maximum")

    def refused(self, refusal: Refusal, call: ModelCall) -> ApiError:
        if refusal.kind == "concurrency":
            return ApiError(429, TOO_MANY)
        limit = round(refusal.per_minute or 0)
        return ApiError(429, TOO_FAST.format(limit=limit, unit=UNITS[refusal.kind]))

    def quota(self) -> ApiError:
        return ApiError(400, QUOTA)

    def failure(self, status: int) -> ApiError:
        return ApiError(status, FAILURES.get(status, f"The simulator was told to answer {status}."))

    def identity(self, number: int) -> Headers:
        return [("request-id", request_id(number))]

    def limit_headers(self, levels: Sequence[Level]) -> Headers:
        return anthropic_limits(levels, time.time())

    def retry_hint(self, wait_seconds: float | None) -> Headers:
        return retry_after(wait_seconds, milliseconds=False)


ANTHROPIC: Dialect = _Anthropic()
