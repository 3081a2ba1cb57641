"""Requests as OpenAI's API takes them: what they ask for, and the errors for those that are wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from latent.testing.provider.calls import ApiError, ModelCall, count_tokens, last_user_text, text_of
from latent.testing.provider.schema_modes import openai_trouble

MAX_INPUTS = 2048
"""Texts in one request for embeddings. Source: https://platform.openai.com/docs/api-reference/embeddings"""


def read_chat(body: Mapping[str, Any]) -> ModelCall:
    """A request to /v1/chat/completions."""
    model = _model(body)
    messages = _messages(body, "messages")
    schema, tool = _forced_tool(body, lambda tool: tool.get("function", {}))
    wanted = body.get("response_format") or {}
    if schema is None:
        schema = _schema(wanted, wanted.get("json_schema") or {}, "response_format.json_schema.schema")
    return ModelCall(
        provider="openai",
        endpoint="chat",
        model=model,
        prompts=(last_user_text(messages),),
        body=body,
        input_tokens=sum(count_tokens(text_of(message.get("content"))) for message in messages),
        max_tokens=_count(body, "max_completion_tokens") or _count(body, "max_tokens"),
        schema=schema,
        tool=tool,
        stream=bool(body.get("stream")),
    )


def read_responses(body: Mapping[str, Any]) -> ModelCall:
    """A request to /v1/responses."""
    model = _model(body)
    given = body.get("input")
    messages = [{"role": "user", "content": given}] if isinstance(given, str) else _messages(body, "input")
    schema, tool = _forced_tool(body, lambda tool: tool)
    wanted = (body.get("text") or {}).get("format") or {}
    texts = [text_of(message.get("content")) for message in messages]
    return ModelCall(
        provider="openai",
        endpoint="responses",
        model=model,
        prompts=(last_user_text(messages),),
        body=body,
        input_tokens=sum(map(count_tokens, [body.get("instructions") or "", *texts])),
        max_tokens=_count(body, "max_output_tokens"),
        schema=_schema(wanted, wanted, "text.format.schema") if schema is None else schema,
        tool=tool,
        stream=bool(body.get("stream")),
    )


def read_embeddings(body: Mapping[str, Any]) -> ModelCall:
    """A request to /v1/embeddings; tokens in place of a text are counted under their JSON form."""
    model = _model(body)
    if "input" not in body:
        raise _missing("input")
    given = body["input"]
    inputs = given if isinstance(given, list) and not _are_tokens(given) else [given]
    if not inputs:
        raise ApiError(
            400, "Invalid 'input': input cannot be an empty array.", code="empty_array", param="input"
        )
    if len(inputs) > MAX_INPUTS:
        text = (
            "Invalid 'input': array too long. Expected an array with maximum length "
            f"{MAX_INPUTS}, but got an array with length {len(inputs)} instead."
        )
        raise ApiError(400, text, code="array_above_max_length", param="input")
    if body.get("encoding_format", "float") not in ("float", "base64"):
        raise _invalid_value("encoding_format", body["encoding_format"], "'float' and 'base64'")
    if body.get("dimensions") is not None and not _count(body, "dimensions"):
        raise _invalid_value("dimensions", body["dimensions"], "whole numbers above 0")
    texts = tuple(map(_text_to_embed, inputs))
    tokens = sum(len(each) if isinstance(each, list) else count_tokens(each) for each in inputs)
    return ModelCall(
        provider="openai", endpoint="embeddings", model=model, prompts=texts, body=body, input_tokens=tokens
    )


def _text_to_embed(given: Any) -> str:
    if isinstance(given, str) and given:
        return given
    if isinstance(given, list) and given and _are_tokens(given):
        return str(given)
    if given in ("", []):
        raise ApiError(400, "Invalid 'input': input cannot be an empty string.", param="input")
    raise _invalid_type("input", "a string or an array of tokens", given)


def _are_tokens(given: list[Any]) -> bool:
    return bool(given) and all(isinstance(each, int) and not isinstance(each, bool) for each in given)


def _model(body: Mapping[str, Any]) -> str:
    model = body.get("model")
    if not model:
        raise ApiError(400, "you must provide a model parameter")
    if not isinstance(model, str):
        raise _invalid_type("model", "a string", model)
    return model


def _messages(body: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    if body.get(name) is None:
        raise _missing(name)
    messages = body[name]
    if not isinstance(messages, list):
        raise _invalid_type(name, "an array of objects", messages)
    if not messages:
        text = (
            f"Invalid '{name}': empty array. Expected an array with minimum length 1, but got an empty array "
        )
        raise ApiError(400, f"{text}instead.", code="empty_array", param=name)
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            raise _invalid_type(f"{name}[{number}]", "an object", message)
    return messages


def _schema(wanted: Mapping[str, Any], about: Mapping[str, Any], param: str) -> Mapping[str, Any] | None:
    """
    The schema of the answer that is wanted; empty for any JSON, None for text.

    Args:
        about: Has `name`, `schema` and `strict`.
        param: What the schema is called in errors.
    """
    if wanted.get("type") == "json_schema":
        schema = about.get("schema")
        if not isinstance(schema, dict):
            raise _missing(param)
        _check_strict(about, schema, f"response_format '{about.get('name')}'", param)
        return schema
    return {} if wanted.get("type") == "json_object" else None


def _forced_tool(body: Mapping[str, Any], function_of: Any) -> tuple[Mapping[str, Any] | None, str | None]:
    """The schema of the arguments and the name of the tool that must be called; None and None for no tool."""
    choice, functions = body.get("tool_choice"), [function_of(tool) for tool in body.get("tools") or []]
    if isinstance(choice, dict):
        name = function_of(choice).get("name")
        found = [function for function in functions if function.get("name") == name]
        if not found:
            text = f"Tool choice '{name}' not found in 'tools' parameter."
            raise ApiError(400, f"Invalid value for 'tool_choice': {text}", param="tool_choice")
        functions = found
    elif choice != "required" or not functions:
        return None, None
    function, name = functions[0], functions[0].get("name")
    schema = function.get("parameters") or {"type": "object"}
    _check_strict(function, schema, f"function '{name}'", "tools[0].function.parameters")
    return schema, name


def _check_strict(about: Mapping[str, Any], schema: Mapping[str, Any], what: str, param: str) -> None:
    if about.get("strict") and (trouble := openai_trouble(schema)) is not None:
        text = f"Invalid schema for {what}: {trouble}"
        raise ApiError(400, text, code="invalid_json_schema", param=param)


def _count(body: Mapping[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise _invalid_type(name, "an integer", value)
    if value < 1:
        raise ApiError(
            400,
            f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got {value} instead.",
            code="integer_below_min_value",
            param=name,
        )
    return value


def _missing(name: str) -> ApiError:
    text = f"Missing required parameter: '{name}'."
    return ApiError(400, text, code="missing_required_parameter", param=name)


def _invalid_value(name: str, value: object, supported: str) -> ApiError:
    text = f"Invalid value: {value!r}. Supported values are: {supported}."
    return ApiError(400, text, code="invalid_value", param=name)


def _invalid_type(name: str, expected: str, value: object) -> ApiError:
    kinds = {str: "a string", int: "an integer", float: "a decimal", bool: "a boolean", list: "an array"}
    got = "null" if value is None else kinds.get(type(value), "an object")
    text = f"Invalid type for '{name}': expected {expected}, but got {got} instead."
    return ApiError(400, text, code="invalid_type", param=name)
