"""How OpenAI refuses, fails and names its limits: https://platform.openai.com/docs/guides/error-codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from latent.testing.loopback import HttpRequest
from latent.testing.provider.calls import ApiError, ModelCall, Provider
from latent.testing.provider.dialect import Dialect, request_id
from latent.testing.provider.headers import Headers, duration, openai_limits, retry_after
from latent.testing.provider.limits import Level, Refusal

NO_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP "
    "library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you "
    "have trouble figuring out how to fix this, please contact us through our help center at "
    "help.openai.com.)"
)
NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
    "auth (i.e. Authorization: Bearer YOUR_KEY). You can obtain an API key from "
    "https://platform.openai.com/account/api-keys."
)
QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more information on "
    "this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
)
FAILURES = {
    429: "Rate limit reached for requests",
    500: "The server had an error while processing your request. Sorry about that!",
    503: "The engine is currently overloaded, please try again later",
}
UNITS = {"requests": "requests per min (RPM)", "tokens": "tokens per min (TPM)"}


class _OpenAI:
    name: Provider = "openai"

    def error(self, error: ApiError, number: int) -> dict[str, Any]:
        kind = error.kind or ("server_error" if error.status >= 500 else "invalid_request_error")
        body = {"message": error.message, "type": kind, "param": error.param, "code": error.code}
        return {"error": body}

    def check_key(self, request: HttpRequest, api_key: str) -> None:
        scheme, _, key = (request.header("authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise ApiError(401, NO_KEY)
        if key != api_key:
            shown = f"{key[:4]}{'*' * 8}{key[-4:]}" if len(key) > 12 else "*" * len(key)
            where = "You can find your API key at https://platform.openai.com/account/api-keys."
            raise ApiError(401, f"Incorrect API key provided: {shown}. {where}", code="invalid_api_key")

    def not_found(self, request: HttpRequest) -> ApiError:
        return ApiError(404, f"Invalid URL ({request.method} {request.path})")

    def wrong_method(self, request: HttpRequest) -> ApiError:
        text = f"Not allowed to {request.method} on {request.path}."
        return ApiError(405, text, code="method_not_supported")

    def no_json(self) -> ApiError:
        return ApiError(400, NO_JSON)

    def unknown_model(self, model: str) -> ApiError:
        text = f"The model `{model}` does not exist or you do not have access to it."
        return ApiError(404, text, code="model_not_found")

    def too_long(self, call: ModelCall, context_window: int) -> ApiError:
        text = (
            f"This model's maximum context length is {context_window} tokens. However, your messages "
            f"resulted in {call.input_tokens} tokens. Please reduce the length of the messages."
        )
        param = "messages" if call.endpoint == "chat" else "input"
        return ApiError(400, text, code="context_length_exceeded", param=param)

    def refused(self, refusal: Refusal, call: ModelCall) -> ApiError:
        if refusal.kind == "concurrency":
            text = f"Rate limit reached for {call.model}: too many concurrent requests."
            return ApiError(429, text, kind="requests", code="rate_limit_exceeded")
        limit = round(refusal.per_minute or 0)
        where = f"{call.model} in organization org-simulated on {UNITS[refusal.kind]}: Limit {limit}"
        if refusal.wait_seconds is None:
            text = (
                f"Request too large for {where}, Requested {refusal.asked}. The input or output tokens must "
                "be reduced in order to run successfully."
            )
        else:
            text = (
                f"Rate limit reached for {where}, Used {max(0, limit - refusal.remaining)}, Requested "
                f"{refusal.asked}. Please try again in {duration(refusal.wait_seconds)}."
            )
        text += " Visit https://platform.openai.com/account/rate-limits to learn more."
        return ApiError(429, text, kind=refusal.kind, code="rate_limit_exceeded")

    def quota(self) -> ApiError:
        return ApiError(429, QUOTA, kind="insufficient_quota", code="insufficient_quota")

    def failure(self, status: int) -> ApiError:
        text = FAILURES.get(status, f"The simulator was told to answer {status}.")
        if status == 429:
            return ApiError(429, text, kind="requests", code="rate_limit_exceeded")
        return ApiError(status, text)

    def identity(self, number: int) -> Headers:
        return [("x-request-id", request_id(number)), ("openai-version", "2020-10-01")]

    def limit_headers(self, levels: Sequence[Level]) -> Headers:
        return openai_limits(levels)

    def retry_hint(self, wait_seconds: float | None) -> Headers:
        return retry_after(wait_seconds, milliseconds=True)


OPENAI: Dialect = _OpenAI()
