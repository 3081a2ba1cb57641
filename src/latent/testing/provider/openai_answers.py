"""Whole answers as OpenAI's API gives them: https://platform.openai.com/docs/api-reference."""

from __future__ import annotations

import time
from typing import Any

from latent.testing.provider.answers import Answer
from latent.testing.provider.calls import ModelCall
from latent.testing.provider.embeddings import dimensions_of, embed, encoded


def chat_completion(call: ModelCall, answer: Answer, number: int) -> dict[str, Any]:
    """The body of an answer to /v1/chat/completions; `n` choices are all the same."""
    choices = call.body.get("n") or 1
    return {
        "id": f"chatcmpl-{number:024d}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": call.model,
        "choices": [
            {
                "index": index,
                "message": chat_message(call, answer, number),
                "logprobs": None,
                "finish_reason": chat_finish_reason(call, answer),
            }
            for index in range(choices)
        ],
        "usage": chat_usage(answer, choices),
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }


def chat_message(call: ModelCall, answer: Answer, number: int) -> dict[str, Any]:
    """The message of one choice: a text, a refusal, or the tool call that was asked for."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": answer.text,
        "refusal": None,
        "annotations": [],
    }
    if answer.finish_reason == "refusal":
        message |= {"content": None, "refusal": answer.text}
    elif call.tool is not None:
        function = {"name": call.tool, "arguments": answer.text}
        calls = [{"id": f"call_{number:024d}", "type": "function", "function": function}]
        message |= {"content": None, "tool_calls": calls}
    return message


def chat_finish_reason(call: ModelCall, answer: Answer) -> str:
    """Refusals and tools that were forced by name end with `stop`, as in OpenAI's own API."""
    if answer.finish_reason == "length":
        return "length"
    forced_any = call.tool is not None and call.body.get("tool_choice") == "required"
    return "tool_calls" if forced_any else "stop"


def chat_usage(answer: Answer, choices: int = 1) -> dict[str, Any]:
    """Tokens in the words of the chat API."""
    output = answer.output_tokens * choices
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": output,
        "total_tokens": answer.input_tokens + output,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": answer.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def response(call: ModelCall, answer: Answer, number: int) -> dict[str, Any]:
    """The body of an answer to /v1/responses."""
    is_cut = answer.finish_reason == "length"
    body = call.body
    return {
        "id": f"resp_{number:048d}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "incomplete" if is_cut else "completed",
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": call.max_tokens,
        "model": call.model,
        "output": [output_item(call, answer, number)],
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None} | (body.get("reasoning") or {}),
        "service_tier": "default",
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": {
            "input_tokens": answer.input_tokens,
            "input_tokens_details": {"cached_tokens": answer.cached_tokens, "cache_write_tokens": 0},
            "output_tokens": answer.output_tokens,
            "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
            "total_tokens": answer.input_tokens + answer.output_tokens,
        },
        "user": body.get("user"),
        "metadata": body.get("metadata") or {},
    }


def output_item(call: ModelCall, answer: Answer, number: int) -> dict[str, Any]:
    """The one item of a response's output: a message, or the tool call that was asked for."""
    status = "incomplete" if answer.finish_reason == "length" else "completed"
    if call.tool is not None:
        return {
            "id": f"fc_{number:048d}",
            "type": "function_call",
            "status": status,
            "name": call.tool,
            "call_id": f"call_{number:024d}",
            "arguments": answer.text,
        }
    content = (
        {"type": "refusal", "refusal": answer.text}
        if answer.finish_reason == "refusal"
        else {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
    )
    return {
        "id": f"msg_{number:048d}",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [content],
    }


def embedding_list(call: ModelCall, input_tokens: int) -> dict[str, Any]:
    """The body of an answer to /v1/embeddings."""
    dimensions = call.body.get("dimensions") or dimensions_of(call.model)
    encoding = call.body.get("encoding_format", "float")
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": encoded(embed(text, dimensions), encoding)}
            for index, text in enumerate(call.prompts)
        ],
        "model": call.model,
        "usage": {"prompt_tokens": input_tokens, "total_tokens": input_tokens},
    }
