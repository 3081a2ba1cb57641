"""OpenAI's responses: https://platform.openai.com/docs/api-reference/responses."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from latent.errors import ModelSpecError
from latent.llm.answer import FinishReason, Usage
from latent.llm.dialects import as_text, check_unmarked, count, output_counts, spoken, told
from latent.llm.messages import Attachment, File, Part, Turns, split_system
from latent.llm.request import Reading, Request
from latent.llm.schemas import in_words

PATH = "/responses"

_SAME = ("temperature", "top_p")
_OURS = frozenset({*_SAME, "max_tokens", "reasoning"})


def check(spec: str, sampling: dict[str, Any]) -> None:
    """Raise for what the API does not have."""
    for name in ("stop", "seed"):
        if name in sampling:
            raise ModelSpecError(
                spec, f"OpenAI's responses have no `{name}`: its chat API, 'openai:...', has one."
            )


def payload(request: Request, turns: Turns) -> dict[str, Any]:
    """The body of a request; nothing is stored at OpenAI unless `store=True` says so."""
    system, messages = split_system(request.system, turns)
    sampling, output = request.sampling, request.output
    body: dict[str, Any] = {"model": request.endpoint.model, "store": False}
    if "max_tokens" in sampling:
        body["max_output_tokens"] = sampling["max_tokens"]
    body |= {name: sampling[name] for name in _SAME if name in sampling}
    if (wanted := sampling.get("reasoning")) is not None:
        body["reasoning"] = dict(wanted) if not isinstance(wanted, (str, int)) else {"effort": str(wanted)}
    body |= {name: value for name, value in sampling.items() if name not in _OURS}
    if output is not None and request.mode == "schema":
        wanted = output.mode_schema("openai-responses")
        shape = {
            "type": "json_schema",
            "name": output.name,
            "schema": wanted.schema,
            "strict": wanted.is_strict,
        }
        body["text"] = {**body.get("text", {}), "format": {"type": "json_schema", **shape}}
    elif output is not None and request.mode == "tool":
        tool = {"name": output.name, "description": "Gives the answer.", "parameters": output.schema}
        body["tools"] = [{"type": "function", "strict": False, **tool}]
        body["tool_choice"] = {"type": "function", "name": output.name}
    elif output is not None:
        body["text"] = {**body.get("text", {}), "format": {"type": "json_object"}}
        system.append(in_words(output))
    check_unmarked(request.endpoint.spec, system, messages)
    if system:
        body["instructions"] = "\n\n".join(system)
    body["input"] = [spoken(message, partial(_part, message.role)) for message in messages]
    return body


def max_tokens(sampling: Mapping[str, Any]) -> int | None:
    """Where an answer is cut, thoughts included; None: where the provider does."""
    return sampling.get("max_tokens")


def reading(document: dict[str, Any]) -> Reading:
    """What an answer's body says."""
    items = document.get("output")
    if not isinstance(items, list):
        raise ValueError("it has no `output`")
    parts = [part for item in items if item.get("type") == "message" for part in item.get("content") or ()]
    refusals = [part.get("refusal") or "" for part in parts if part.get("type") == "refusal"]
    texts = [part.get("text") or "" for part in parts if part.get("type") == "output_text"]
    calls = [item for item in items if item.get("type") == "function_call"]
    return Reading(
        text="".join(refusals or texts),
        reasoning=_thoughts(items) or None,
        finish_reason=_finish_reason(document, bool(refusals), bool(calls)),
        model=str(document.get("model") or ""),
        request_id=document.get("id"),
        tool_calls=tuple(
            {"id": call.get("call_id"), "name": call.get("name"), "arguments": as_text(call.get("arguments"))}
            for call in calls
        ),
    )


def usage(document: dict[str, Any]) -> Usage | None:
    """What an answer's body says that it took."""
    said = document.get("usage")
    given, made = told(said, "input_tokens"), told(said, "output_tokens")
    if given is None or made is None:
        return None
    reasoning = count(said, "output_tokens_details", "reasoning_tokens")
    output, reasoning = output_counts(given, made, told(said, "total_tokens"), reasoning)
    return Usage(
        input_tokens=given,
        output_tokens=output,
        cached_tokens=count(said, "input_tokens_details", "cached_tokens"),
        cache_write_tokens=count(said, "input_tokens_details", "cache_write_tokens"),
        reasoning_tokens=reasoning,
    )


def _thoughts(items: list[dict[str, Any]]) -> str:
    """What the model thought: as OpenAI sums it up, or whole, from servers that show it."""
    thoughts = [item for item in items if item.get("type") == "reasoning"]
    parts = (part for item in thoughts for part in item.get("summary") or item.get("content") or ())
    return "\n\n".join(part["text"] for part in parts if part.get("text"))


def _finish_reason(document: dict[str, Any], refused: bool, called: bool) -> FinishReason:
    why = (document.get("incomplete_details") or {}).get("reason")
    if refused or why == "content_filter":
        return "refusal"
    if why == "max_output_tokens":
        return "length"
    if document.get("status") != "completed":
        return "other"
    return "tool" if called else "stop"


def _part(role: str, part: Part) -> dict[str, Any]:
    if not isinstance(part, Attachment):
        return {"type": "output_text" if role == "assistant" else "input_text", "text": part}
    if isinstance(part, File):
        if part.url:
            return {"type": "input_file", "file_url": part.url}
        return {"type": "input_file", "filename": part.name or "file", "file_data": part.data_url}
    return {"type": "input_image", "image_url": part.data_url, "detail": "auto"}
