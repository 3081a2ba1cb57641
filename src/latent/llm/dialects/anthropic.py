"""Anthropic's messages: https://docs.claude.com/en/api/messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from latent.errors import ModelSpecError
from latent.llm.answer import Usage
from latent.llm.dialects import as_text, count, finish_reason, spoken, system_prompt, text_part, told
from latent.llm.messages import Attachment, File, Part, Turns, split_system
from latent.llm.request import Reading, Request
from latent.llm.schemas import in_words

PATH = "/v1/messages"

MAX_TOKENS = 4096
"""The API wants a limit; this is ours where the model has none. Tokens to think with come on top."""

_OURS = frozenset({"max_tokens", "temperature", "top_p", "stop", "seed", "reasoning"})


def check(spec: str, sampling: dict[str, Any]) -> None:
    """Raise for what the API does not have."""
    if "seed" in sampling:
        raise ModelSpecError(spec, "Anthropic's API has no `seed`; `repeat=` asks for further answers.")
    budget, given = _budget(sampling.get("reasoning")), sampling.get("max_tokens")
    if isinstance(given, int) and given <= budget:
        reason = f"`max_tokens={given}` leaves nothing for the answer after {budget:,} tokens of reasoning"
        raise ModelSpecError(spec, f"{reason}: it counts both, so make it larger, or leave it out.")


def payload(request: Request, turns: Turns) -> dict[str, Any]:
    """The body of a request."""
    system, messages = split_system(request.system, turns)
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": request.endpoint.model,
        "max_tokens": max_tokens(sampling),
        "messages": [spoken(message, _part) for message in messages],
    }
    for name in ("temperature", "top_p"):
        if name in sampling:
            body[name] = sampling[name]
    if (stop := sampling.get("stop")) is not None:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
    body |= _reasoning(sampling.get("reasoning"))
    body |= {name: value for name, value in sampling.items() if name not in _OURS}
    output = request.output
    if output is not None and request.mode == "schema":
        shape = {"type": "json_schema", "schema": output.mode_schema("anthropic").schema}
        body["output_config"] = {**body.get("output_config", {}), "format": shape}
    elif output is not None and request.mode == "tool":
        tool = {"name": output.name, "description": "Gives the answer.", "input_schema": output.schema}
        body |= {"tools": [tool], "tool_choice": {"type": "tool", "name": output.name}}
    elif output is not None:
        system.append(in_words(output))
    if system:
        body["system"] = system_prompt(system, _part)
    return body


def max_tokens(sampling: Mapping[str, Any]) -> int:
    """Where an answer is cut, thoughts included."""
    given: int | None = sampling.get("max_tokens")
    return MAX_TOKENS + _budget(sampling.get("reasoning")) if given is None else given


def reading(document: dict[str, Any]) -> Reading:
    """What an answer's body says."""
    content = document.get("content")
    if not isinstance(content, list):
        raise ValueError("it has no `content`")
    text = "".join(block["text"] for block in content if block.get("type") == "text")
    thoughts = [block.get("thinking") or "" for block in content if block.get("type") == "thinking"]
    tools = [block for block in content if block.get("type") == "tool_use"]
    return Reading(
        text=text,
        reasoning="\n\n".join(filter(None, thoughts)) or None,
        finish_reason=finish_reason(
            document.get("stop_reason"), has_text=bool(text.strip()), has_calls=bool(tools)
        ),
        model=str(document.get("model") or ""),
        request_id=document.get("id"),
        tool_calls=tuple(
            {"id": tool.get("id"), "name": tool.get("name"), "arguments": as_text(tool.get("input"))}
            for tool in tools
        ),
    )


def usage(document: dict[str, Any]) -> Usage | None:
    """What an answer's body says that it took."""
    said = document.get("usage")
    given, made = told(said, "input_tokens"), told(said, "output_tokens")
    if given is None or made is None:
        return None
    read, written = count(said, "cache_read_input_tokens"), count(said, "cache_creation_input_tokens")
    return Usage(
        # Anthropic does not count what came from its cache, or went there, among the input.
        input_tokens=given + read + written,
        output_tokens=made,
        cached_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=count(said, "output_tokens_details", "thinking_tokens"),
    )


def _reasoning(wanted: Any) -> dict[str, Any]:
    """`"low"` to `"max"` is an effort, a number a budget of tokens, a mapping the API's own `thinking`."""
    if wanted is None:
        return {}
    if isinstance(wanted, str):
        return {"thinking": {"type": "adaptive"}, "output_config": {"effort": wanted}}
    if isinstance(wanted, int):
        return {"thinking": {"type": "enabled", "budget_tokens": wanted}}
    return {"thinking": dict(wanted)}


def _budget(wanted: Any) -> int:
    """The tokens that a model may think with, where they are given: the limit has to be above them."""
    thinking = _reasoning(wanted).get("thinking", {})
    return told(thinking, "budget_tokens") or 0


def _part(part: Part) -> dict[str, Any]:
    if not isinstance(part, Attachment):
        return text_part(part)
    source = (
        {"type": "url", "url": part.url}
        if part.url
        else {"type": "base64", "media_type": part.media_type, "data": part.base64}
    )
    if not isinstance(part, File):
        return {"type": "image", "source": source}
    if part.data is not None and part.media_type.startswith("text/"):
        source = {"type": "text", "media_type": "text/plain", "data": part.data.decode(errors="replace")}
    return {"type": "document", "source": source} | ({"title": part.name} if part.name else {})
