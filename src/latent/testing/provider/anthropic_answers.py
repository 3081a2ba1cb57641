"""Whole answers as Anthropic's API gives them: https://docs.claude.com/en/api/messages."""

from __future__ import annotations

from typing import Any

from latent.testing.provider.answers import Answer
from latent.testing.provider.calls import ModelCall, json_object

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
