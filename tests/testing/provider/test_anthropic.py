"""Anthropic's own client talks to the simulator as it does to Anthropic."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest
from anthropic.types import Message
from pydantic import BaseModel

from latent.testing import Fault, ProviderSimulator, Reply
from tests.testing.provider.conftest import message

USER: list[Any] = [{"role": "user", "content": "Name a river."}]
TOOL: Any = {"name": "save", "input_schema": {"type": "object", "properties": {"n": {"type": "integer"}}}}


class Verdict(BaseModel):
    score: int
    reason: str


def test_message_repeats_the_prompt_and_counts_its_tokens(anthropic_client: anthropic.Anthropic) -> None:
    answer = anthropic_client.messages.create(
        model="claude-opus-4-6", max_tokens=100, system="Be brief.", messages=USER
    )
    assert answer.content[0].type == "text"
    assert (answer.content[0].text, answer.stop_reason) == ("Name a river.", "end_turn")
    # Nine and thirteen characters, four to a token: 3 + 4.
    assert (answer.model, answer.usage.input_tokens, answer.usage.output_tokens) == ("claude-opus-4-6", 7, 4)
    assert answer._request_id is not None


def test_answers_have_every_field_that_the_client_knows_as_required(
    provider_simulator: ProviderSimulator,
) -> None:
    Message.model_validate(message(provider_simulator).json, strict=True)


def test_stream_gives_the_same_message(anthropic_client: anthropic.Anthropic) -> None:
    with anthropic_client.messages.stream(model="m", max_tokens=100, messages=USER) as stream:
        assert list(stream.text_stream) == ["Name ", "a ", "river."]
        final = stream.get_final_message()
    assert (final.stop_reason, final.usage.input_tokens, final.usage.output_tokens) == ("end_turn", 4, 4)


def test_last_user_message_is_answered(anthropic_client: anthropic.Anthropic) -> None:
    parts = [{"type": "text", "text": "And now?"}, {"type": "text", "text": "Go."}]
    messages: list[Any] = [
        *USER,
        {"role": "assistant", "content": "Elbe."},
        {"role": "user", "content": parts},
    ]
    answer = anthropic_client.messages.create(model="m", max_tokens=100, messages=messages)
    assert answer.content[0].type == "text"
    assert answer.content[0].text == "And now?\nGo."


def test_structured_output(anthropic_client: anthropic.Anthropic) -> None:
    answer = anthropic_client.messages.parse(model="m", max_tokens=100, messages=USER, output_format=Verdict)
    assert answer.parsed_output is not None
    assert answer.parsed_output.reason == "Name a river."


@pytest.mark.parametrize("choice", [{"type": "tool", "name": "save"}, {"type": "any"}])
@pytest.mark.parametrize("stream", [False, True])
def test_forced_tool_is_used_with_input_that_fits(
    anthropic_client: anthropic.Anthropic, choice: Any, stream: bool
) -> None:
    options: Any = {"model": "m", "max_tokens": 100, "messages": USER, "tools": [TOOL], "tool_choice": choice}
    if stream:
        with anthropic_client.messages.stream(**options) as events:
            answer = events.get_final_message()
    else:
        answer = anthropic_client.messages.create(**options)
    [block] = answer.content
    assert block.type == "tool_use"
    assert (block.name, answer.stop_reason) == ("save", "tool_use")
    assert isinstance(block.input["n"], int)  # type: ignore[index]


@pytest.mark.parametrize(
    ("reply", "max_tokens", "stop_reason"),
    [(Reply("x" * 40), 3, "max_tokens"), (Reply("No.", "refusal"), 99, "refusal")],
)
def test_stop_reasons(
    anthropic_client: anthropic.Anthropic,
    provider_simulator: ProviderSimulator,
    reply: Reply,
    max_tokens: int,
    stop_reason: str,
) -> None:
    provider_simulator.change(answer=reply)
    answer = anthropic_client.messages.create(model="m", max_tokens=max_tokens, messages=USER)
    assert answer.stop_reason == stop_reason


def test_empty_answer_has_no_content(
    anthropic_client: anthropic.Anthropic, provider_simulator: ProviderSimulator
) -> None:
    provider_simulator.change(answer="")
    assert anthropic_client.messages.create(model="m", max_tokens=9, messages=USER).content == []


def test_tokens_from_the_cache_are_counted_apart(
    anthropic_client: anthropic.Anthropic, provider_simulator: ProviderSimulator
) -> None:
    provider_simulator.change(answer=Reply("yes", input_tokens=90, cached_tokens=64))
    usage = anthropic_client.messages.create(model="m", max_tokens=9, messages=USER).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens) == (26, 64)


def test_count_tokens_and_models(
    anthropic_client: anthropic.Anthropic, provider_simulator: ProviderSimulator
) -> None:
    assert anthropic_client.messages.count_tokens(model="m", messages=USER).input_tokens == 4
    provider_simulator.change(models=["claude-opus-4-6"])
    assert [model.id for model in anthropic_client.models.list()] == ["claude-opus-4-6"]
    assert anthropic_client.models.retrieve("claude-opus-4-6").type == "model"
    with pytest.raises(anthropic.NotFoundError, match="model: claude-9"):
        anthropic_client.messages.create(model="claude-9", max_tokens=1, messages=USER)


def test_overload_is_told_as_anthropic_tells_it(
    anthropic_client: anthropic.Anthropic, provider_simulator: ProviderSimulator
) -> None:
    provider_simulator.change(faults=Fault(529))
    with pytest.raises(anthropic.APIStatusError) as caught:
        anthropic_client.messages.create(model="m", max_tokens=1, messages=USER)
    assert caught.value.status_code == 529
    assert json.loads(caught.value.response.content) == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "Overloaded"},
        "request_id": caught.value.request_id,
    }
