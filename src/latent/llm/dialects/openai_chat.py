"""OpenAI's chat completions, which nearly everybody speaks: platform.openai.com/docs/api-reference/chat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from latent.errors import ModelSpecError
from latent.llm.answer import Usage
from latent.llm.dialects import (
    as_text,
    check_unmarked,
    count,
    finish_reason,
    output_counts,
    spoken,
    system_prompt,
    text_part,
    told,
)
from latent.llm.messages import Attachment, File, Part, Turns, split_system
from latent.llm.request import Reading, Request
from latent.llm.schemas import in_words

PATH = "/chat/completions"

_SAME = ("temperature", "top_p", "stop", "seed")
_OURS = frozenset({*_SAME, "max_tokens", "reasoning"})
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""Where a message has what the model thought: DeepSeek and vLLM, OpenRouter and Groq, Ollama."""


def check(spec: str, sampling: dict[str, Any]) -> None:
    """All of our sampling parameters have their place here."""


def payload(request: Request, turns: Turns) -> dict[str, Any]:
    """The body of a request."""
    system, messages = split_system(request.system, turns)
    sampling, output = request.sampling, request.output
    body: dict[str, Any] = {"model": request.endpoint.model}
    if "max_tokens" in sampling:
        # OpenAI's reasoning models refuse the old name; of the others, many know only that.
        name = "max_completion_tokens" if request.endpoint.provider == "openai" else "max_tokens"
        body[name] = sampling["max_tokens"]
    body |= {name: sampling[name] for name in _SAME if name in sampling}
    body |= _reasoning(sampling.get("reasoning"))
    body |= {name: value for name, value in sampling.items() if name not in _OURS}
    if output is not None and request.mode == "schema":
        wanted = output.mode_schema("openai")
        shape = {"name": output.name, "schema": wanted.schema, "strict": wanted.is_strict}
        body["response_format"] = {"type": "json_schema", "json_schema": shape}
    elif output is not None and request.mode == "tool":
        function = {"name": output.name, "description": "Gives the answer.", "parameters": output.schema}
        body["tools"] = [{"type": "function", "function": function}]
        body["tool_choice"] = {"type": "function", "function": {"name": output.name}}
    elif output is not None:
        body["response_format"] = {"type": "json_object"}
        system.append(in_words(output))
    if request.endpoint.is_usual:
        check_unmarked(request.endpoint.spec, system, messages)
    head = [{"role": "system", "content": system_prompt(system, _part)}] if system else []
    body["messages"] = head + [spoken(message, _part) for message in messages]
    return body


def max_tokens(sampling: Mapping[str, Any]) -> int | None:
    """Where an answer is cut, thoughts included; None: where the provider does."""
    return sampling.get("max_tokens")


def reading(document: dict[str, Any]) -> Reading:
    """What an answer's body says; of several choices, the first."""
    choices = document.get("choices")
    if not isinstance(choices, list) or not choices:
        raise ValueError("it has no `choices`")
    # Some servers keep the form of the completions that were before.
    message = choices[0].get("message") or {"content": choices[0].get("text")}
    refused, calls = message.get("refusal"), _calls(message)
    text = refused or _said(message.get("content"), "text")
    finish = finish_reason(
        choices[0].get("finish_reason"), has_text=bool(text.strip()), has_calls=bool(calls)
    )
    return Reading(
        text=text,
        reasoning=_thoughts(message) or None,
        finish_reason="refusal" if refused else finish,
        model=str(document.get("model") or ""),
        request_id=document.get("id"),
        tool_calls=tuple(
            {"id": id, "name": function.get("name"), "arguments": as_text(function.get("arguments"))}
            for id, function in calls
        ),
    )


def _calls(message: Mapping[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
    """The tools that a message calls, by their ids; `function_call` is what they were called before."""
    if isinstance(function := message.get("function_call"), dict):
        return [(None, function)]
    calls = message.get("tool_calls") or ()
    return [(call.get("id"), call["function"]) for call in calls if call.get("function")]


def _said(content: Any, kind: str) -> str:
    """What an answer says: a text, or as with Mistral a list whose parts are texts and thoughts."""
    if not isinstance(content, list):
        return str(content or "") if kind == "text" else ""
    listed = ({"type": "text", "text": part} if isinstance(part, str) else part for part in content)
    return "".join(_said(part.get(kind), "text") for part in listed if part.get("type") == kind)


def _thoughts(message: Mapping[str, Any]) -> str:
    for name in _THOUGHTS:
        if isinstance(thought := message.get(name), str) and thought.strip():
            return thought
    details = message.get("reasoning_details")
    listed = details if isinstance(details, list) else ()
    told = (part.get("text") or part.get("summary") for part in listed if isinstance(part, dict))
    return "".join(part for part in told if isinstance(part, str)) or _said(
        message.get("content"), "thinking"
    )


def usage(document: dict[str, Any]) -> Usage | None:
    """What an answer's body says that it took."""
    said = document.get("usage")
    given, made = told(said, "prompt_tokens"), told(said, "completion_tokens")
    if given is None or made is None:
        return None
    reasoning = count(said, "completion_tokens_details", "reasoning_tokens") or count(
        said, "reasoning_tokens"
    )
    output, reasoning = output_counts(given, made, told(said, "total_tokens"), reasoning)
    return Usage(
        input_tokens=given,
        output_tokens=output,
        cached_tokens=_cached(said),
        cache_write_tokens=count(said, "prompt_tokens_details", "cache_write_tokens"),
        reasoning_tokens=reasoning,
    )


def _cached(said: object) -> int:
    """What came from the provider's cache: OpenAI and most others, DeepSeek, Moonshot."""
    names = (("prompt_tokens_details", "cached_tokens"), ("prompt_cache_hit_tokens",), ("cached_tokens",))
    return next(filter(None, (count(said, *each) for each in names)), 0)


def _reasoning(wanted: Any) -> dict[str, Any]:
    """`"low"` to `"high"` is an effort; a mapping stands in the request as it is."""
    if wanted is None:
        return {}
    return dict(wanted) if not isinstance(wanted, (str, int)) else {"reasoning_effort": str(wanted)}


def _part(part: Part) -> dict[str, Any]:
    if not isinstance(part, Attachment):
        return text_part(part)
    if isinstance(part, File):
        if part.url:
            reason = "OpenAI's chat takes no address of a file: read it, or use 'openai-responses:...'."
            raise ModelSpecError(part.url, reason)
        return {"type": "file", "file": {"filename": part.name or "file", "file_data": part.data_url}}
    return {"type": "image_url", "image_url": {"url": part.data_url}}
