"""Requests as Anthropic's API takes them: what they ask for, and the errors for those that are wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from latent.testing.provider.calls import ApiError, ModelCall, count_tokens, last_user_text, text_of
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
