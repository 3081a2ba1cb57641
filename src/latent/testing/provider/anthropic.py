"""
Anthropic's API: requests as it takes them, answers as it gives them, and how it refuses and fails.

Sources: https://docs.claude.com/en/api/messages and https://docs.claude.com/en/api/errors.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from latent.testing.loopback import HttpRequest
from latent.testing.provider.answers import Answer
from latent.testing.provider.calls import (
    ApiError,
    ModelCall,
    Provider,
    count_tokens,
    json_object,
    last_user_text,
    text_of,
)
from latent.testing.provider.dialect import Dialect, request_id
from latent.testing.provider.headers import Headers, anthropic_limits, retry_after
from latent.testing.provider.limits import Level, Refusal
from latent.testing.provider.schema_modes import anthropic_trouble


def read_messages(body: Mapping[str, Any]) -> ModelCall:
    """A request to /v1/messages."""
    max_tokens = body.get("max_tokens")
    if max_tokens is None:
        raise ApiError(400, "max_tokens: Field required")
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int):
        raise ApiError(400, "max_tokens: Input should be a valid integer")
    if max_tokens < 1:
        raise ApiError(400, "max_tokens: Input should be greater than or equal to 1")
    model, messages = _model(body), _messages(body)
    schema, tool = _forced_tool(body)
    wanted = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    if wanted.get("type") == "json_schema":
        shape = wanted.get("schema") or {}
        if (trouble := anthropic_trouble(shape)) is not None:
            raise ApiError(400, f"output_config.format.schema: {trouble}")
        schema = shape if schema is None else schema
    if tool is not None and (body.get("thinking") or {}).get("type") in ("enabled", "adaptive"):
        raise ApiError(400, "Thinking may not be enabled when tool_choice forces tool use.")
    return ModelCall(
        provider="anthropic",
        endpoint="messages",
        model=model,
        prompts=(last_user_text(messages),),
        body=body,
        input_tokens=_input_tokens(body, messages),
        max_tokens=max_tokens,
        schema=schema,
        tool=tool,
        stream=bool(body.get("stream")),
    )


def read_count(body: Mapping[str, Any]) -> int:
    """The tokens that a request to /v1/messages/count_tokens asks to be counted."""
    _model(body)
    return _input_tokens(body, _messages(body))


def _input_tokens(body: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> int:
    texts = [text_of(body.get("system")), *(text_of(message.get("content")) for message in messages)]
    return sum(map(count_tokens, texts))


def _model(body: Mapping[str, Any]) -> str:
    model = body.get("model")
    if model is None:
        raise ApiError(400, "model: Field required")
    if not isinstance(model, str) or not model:
        raise ApiError(400, "model: Input should be a valid string")
    return model


def _messages(body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    messages = body.get("messages")
    if messages is None:
        raise ApiError(400, "messages: Field required")
    if not isinstance(messages, list):
        raise ApiError(400, "messages: Input should be a valid list")
    if not messages:
        raise ApiError(400, "messages: at least one message is required")
    for number, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ("user", "assistant"):
            raise ApiError(400, f"messages.{number}.role: Input should be 'user' or 'assistant'")
        if message.get("content") in (None, "", []) and number < len(messages) - 1:
            raise ApiError(400, f"messages.{number}: all messages must have non-empty content")
    return messages


def _forced_tool(body: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str | None]:
    """The schema of the input and the name of the tool that must be used; None and None for no tool."""
    choice, tools = body.get("tool_choice") or {}, body.get("tools") or []
    if choice.get("type") == "tool":
        tools = [tool for tool in tools if tool.get("name") == choice.get("name")]
        if not tools:
            raise ApiError(400, f"tool_choice.tool: Tool '{choice.get('name')}' not found in provided tools")
    elif choice.get("type") != "any" or not tools:
        return None, None
    return tools[0].get("input_schema") or {"type": "object"}, tools[0].get("name")


STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "refusal": "refusal"}


def message(call: ModelCall, answer: Answer, number: int) -> dict[str, Any]:
    """The body of an answer to /v1/messages."""
    reason = STOP_REASONS[answer.finish_reason]
    block: dict[str, Any] = {"type": "text", "text": answer.text}
    if call.tool is not None:
        # A cut or invalid document has no other place than a tool without input.
        given = json_object(answer.text.encode("utf-8", "replace")) or {}
        block = {"type": "tool_use", "id": f"toolu_{number:024d}", "name": call.tool, "input": given}
        reason = "tool_use" if answer.finish_reason == "stop" else reason
    return {
        "id": f"msg_{number:024d}",
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": [block] if answer.text or call.tool is not None else [],
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {
            # Anthropic does not count what came from its cache among the input tokens.
            "input_tokens": answer.input_tokens - answer.cached_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": answer.cached_tokens,
            "output_tokens": answer.output_tokens,
            "service_tier": "standard",
        },
    }


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
