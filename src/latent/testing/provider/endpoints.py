"""Which paths there are, and what is read and written on each, whole or as server-sent events."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from latent.testing.loopback import HttpRequest
from latent.testing.provider import (
    anthropic,
    openai,
    openai_requests,
)
from latent.testing.provider.answers import Answer, with_text
from latent.testing.provider.anthropic import ANTHROPIC
from latent.testing.provider.calls import Endpoint, ModelCall
from latent.testing.provider.dialect import Dialect
from latent.testing.provider.openai import OPENAI

_PIECE = re.compile(r"\s*\S+\s*|\s+")


def pieces_of(text: str) -> list[str]:
    """The text in pieces of a word each."""
    return _PIECE.findall(text)


def chat_events(call: ModelCall, answer: Answer, number: int) -> Iterator[bytes]:
    """A chat completion as chunks; with their usage at the end when `stream_options` asks for it."""
    whole = openai.chat_completion(call, answer, number)
    counts_usage = bool((call.body.get("stream_options") or {}).get("include_usage"))
    shared = {name: value for name, value in whole.items() if name not in ("choices", "usage")}
    shared |= {"object": "chat.completion.chunk"} | ({"usage": None} if counts_usage else {})
    for choice in whole["choices"]:
        for delta in _chat_deltas(choice["message"]):
            part = {"index": choice["index"], "delta": delta, "logprobs": None, "finish_reason": None}
            yield _event(shared | {"choices": [part]})
        end = {
            "index": choice["index"],
            "delta": {},
            "logprobs": None,
            "finish_reason": choice["finish_reason"],
        }
        yield _event(shared | {"choices": [end]})
    if counts_usage:
        yield _event(shared | {"choices": [], "usage": whole["usage"]})
    yield b"data: [DONE]\n\n"


def _chat_deltas(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if tools := message.get("tool_calls"):
        tool = tools[0]
        function = tool["function"]
        begin = tool | {"index": 0, "function": function | {"arguments": ""}}
        yield {"role": "assistant", "content": None, "tool_calls": [begin]}
        for piece in pieces_of(function["arguments"]):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
        return
    field = "content" if message["content"] is not None else "refusal"
    yield {"role": "assistant", "content": "" if field == "content" else None, "refusal": None}
    for piece in pieces_of(message[field]):
        yield {field: piece}


def response_events(call: ModelCall, answer: Answer, number: int) -> Iterator[bytes]:
    """A response as the events of the responses API."""
    for sequence, event in enumerate(_response_events(call, answer, number)):
        yield _named_event(event | {"sequence_number": sequence})


def _response_events(call: ModelCall, answer: Answer, number: int) -> Iterator[dict[str, Any]]:
    whole = openai.response(call, answer, number)
    empty = whole | {"status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    item = whole["output"][0]
    place = {"item_id": item["id"], "output_index": 0}
    yield {"type": "response.created", "response": empty}
    yield {"type": "response.in_progress", "response": empty}
    begun = openai.output_item(call, with_text(answer, ""), number) | {"status": "in_progress"}
    if call.tool is not None:
        yield {"type": "response.output_item.added", "output_index": 0, "item": begun}
        name = "response.function_call_arguments"
        for piece in pieces_of(answer.text):
            yield {"type": f"{name}.delta", **place, "delta": piece}
        yield {"type": f"{name}.done", **place, "name": call.tool, "arguments": answer.text}
    else:
        place |= {"content_index": 0}
        part, field = item["content"][0], "refusal" if answer.finish_reason == "refusal" else "text"
        name = "response.refusal" if field == "refusal" else "response.output_text"
        logs: dict[str, Any] = {} if field == "refusal" else {"logprobs": []}
        yield {"type": "response.output_item.added", "output_index": 0, "item": begun | {"content": []}}
        yield {"type": "response.content_part.added", **place, "part": part | {field: ""}}
        for piece in pieces_of(answer.text):
            yield {"type": f"{name}.delta", **place, **logs, "delta": piece}
        yield {"type": f"{name}.done", **place, **logs, field: answer.text}
        yield {"type": "response.content_part.done", **place, "part": part}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield {"type": f"response.{whole['status']}", "response": whole}


def message_events(call: ModelCall, answer: Answer, number: int) -> Iterator[bytes]:
    """A message as the events of Anthropic's API."""
    return map(_named_event, _message_events(call, answer, number))


def _message_events(call: ModelCall, answer: Answer, number: int) -> Iterator[dict[str, Any]]:
    whole = anthropic.message(call, answer, number)
    begun = whole | {"content": [], "stop_reason": None, "usage": whole["usage"] | {"output_tokens": 1}}
    yield {"type": "message_start", "message": begun}
    for index, block in enumerate(whole["content"]):
        is_tool = block["type"] == "tool_use"
        empty = {**block, "input": {}} if is_tool else {**block, "text": ""}
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        yield {"type": "ping"}
        for piece in pieces_of(answer.text):
            yield {"type": "content_block_delta", "index": index, "delta": _delta(piece, is_tool=is_tool)}
        yield {"type": "content_block_stop", "index": index}
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, "usage": {"output_tokens": answer.output_tokens}}
    yield {"type": "message_stop"}


def _delta(piece: str, *, is_tool: bool) -> dict[str, Any]:
    if is_tool:
        return {"type": "input_json_delta", "partial_json": piece}
    return {"type": "text_delta", "text": piece}


def _event(data: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


def _named_event(data: Mapping[str, Any]) -> bytes:
    return b"event: " + str(data["type"]).encode() + b"\n" + _event(data)


READERS: dict[str, tuple[Dialect, Callable[[Mapping[str, Any]], ModelCall]]] = {
    "/v1/chat/completions": (OPENAI, openai_requests.read_chat),
    "/v1/responses": (OPENAI, openai_requests.read_responses),
    "/v1/embeddings": (OPENAI, openai_requests.read_embeddings),
    "/v1/messages": (ANTHROPIC, anthropic.read_messages),
}
COUNT_TOKENS = "/v1/messages/count_tokens"
MODELS = "/v1/models"
DEFAULT_MODELS = ("simulated-model",)
"""What /v1/models lists while any model is answered for."""


@dataclass(frozen=True, slots=True)
class Writer:
    """How answers of one endpoint are written."""

    whole: Callable[[ModelCall, Answer, int], dict[str, Any]]
    events: Callable[[ModelCall, Answer, int], Iterator[bytes]] | None
    """None where the endpoint does not stream."""


WRITERS: dict[Endpoint, Writer] = {
    "chat": Writer(openai.chat_completion, chat_events),
    "responses": Writer(openai.response, response_events),
    "embeddings": Writer(lambda call, answer, number: openai.embedding_list(call, answer.input_tokens), None),
    "messages": Writer(anthropic.message, message_events),
}


def dialect_of(request: HttpRequest) -> Dialect:
    """Whose API a request means: by its path, and where both have it or none, by the client's headers."""
    if request.path in READERS:
        return READERS[request.path][0]
    by_anthropic = request.path.startswith("/v1/messages") or request.header("anthropic-version") is not None
    return ANTHROPIC if by_anthropic else OPENAI


def model_list(dialect: Dialect, models: tuple[str, ...]) -> dict[str, Any]:
    """The body of an answer to /v1/models."""
    entries = [model_entry(dialect, model) for model in models]
    if dialect is OPENAI:
        return {"object": "list", "data": entries}
    return {"data": entries, "has_more": False, "first_id": models[0], "last_id": models[-1]}


def model_entry(dialect: Dialect, model: str) -> dict[str, Any]:
    """One model in the provider's words."""
    created = datetime(2026, 1, 1, tzinfo=UTC)
    if dialect is OPENAI:
        return {"id": model, "object": "model", "created": int(created.timestamp()), "owned_by": "simulator"}
    return {"type": "model", "id": model, "display_name": model, "created_at": created.isoformat()}
