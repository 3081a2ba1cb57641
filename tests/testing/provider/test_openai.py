"""OpenAI's own client talks to the simulator as it does to OpenAI."""

from __future__ import annotations

import base64
import json
import struct
from typing import Literal

import openai
import pytest
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import BaseModel

from latent.testing import ProviderSimulator, Reply
from tests.testing.provider.conftest import ask, chat

USER = [{"role": "user", "content": "Name a river."}]
NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}}
TOOL = {"name": "save", "parameters": NUMBER | {"required": ["n"], "additionalProperties": False}}


class Verdict(BaseModel):
    """A schema as judges have it."""

    score: Literal[1, 2, 3, 4, 5]
    reason: str


def test_chat_repeats_the_prompt_and_counts_its_tokens(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(
        model="gpt-5", messages=[{"role": "system", "content": "Be brief."}, *USER]
    )
    assert answer.choices[0].message.content == "Name a river."
    assert (answer.model, answer.choices[0].finish_reason) == ("gpt-5", "stop")
    # Nine and thirteen characters, four to a token: 3 + 4.
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
        7,
        4,
        11,
    )
    assert answer._request_id is not None


def test_answers_have_every_field_that_the_client_knows_as_required(
    provider_simulator: ProviderSimulator,
) -> None:
    ChatCompletion.model_validate(chat(provider_simulator).json, strict=True)
    for extra in ({}, {"tools": [TOOL | {"type": "function", "strict": True}], "tool_choice": "required"}):
        body = {"model": "m", "input": "hello", **extra}
        Response.model_validate(ask(provider_simulator, "/v1/responses", body).json)


def test_chat_streams_the_same_answer_in_pieces(openai_client: openai.OpenAI) -> None:
    stream = openai_client.chat.completions.create(
        model="m", messages=USER, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    pieces = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert (len(pieces), "".join(pieces)) == (3, "Name a river.")
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 8
    assert chunks[-2].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_chat_parses_into_a_model_of_the_users(openai_client: openai.OpenAI, stream: bool) -> None:
    if stream:
        with openai_client.chat.completions.stream(
            model="m", messages=USER, response_format=Verdict
        ) as events:
            answer = events.get_final_completion()
    else:
        answer = openai_client.chat.completions.parse(model="m", messages=USER, response_format=Verdict)
    verdict = answer.choices[0].message.parsed
    assert verdict is not None
    assert verdict.reason == "Name a river."


def test_json_mode_gives_json(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(
        model="m", messages=USER, response_format={"type": "json_object"}
    )
    assert json.loads(answer.choices[0].message.content or "") == {"answer": "Name a river."}


@pytest.mark.parametrize(
    ("choice", "finish_reason"),
    [({"type": "function", "function": {"name": "save"}}, "stop"), ("required", "tool_calls")],
)
def test_forced_tool_is_called_with_arguments_that_fit(
    openai_client: openai.OpenAI, choice: object, finish_reason: str
) -> None:
    answer = openai_client.chat.completions.create(
        model="m",
        messages=USER,
        tools=[{"type": "function", "function": TOOL}],
        tool_choice=choice,  # type: ignore[arg-type]
    )
    assert answer.choices[0].finish_reason == finish_reason
    assert answer.choices[0].message.content is None
    [call] = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "save"
    assert isinstance(json.loads(call.function.arguments)["n"], int)


def test_tools_that_are_only_offered_are_not_called(openai_client: openai.OpenAI) -> None:
    tools = [{"type": "function", "function": TOOL}]
    answer = openai_client.chat.completions.create(model="m", messages=USER, tools=tools)  # type: ignore[arg-type]
    assert answer.choices[0].message.content == "Name a river."


def test_streamed_tool_call_is_put_together_again(openai_client: openai.OpenAI) -> None:
    with openai_client.chat.completions.stream(
        model="m",
        messages=USER,
        tools=[{"type": "function", "function": TOOL}],
        tool_choice="required",
    ) as events:
        answer = events.get_final_completion()
    [call] = answer.choices[0].message.tool_calls or []
    assert json.loads(call.function.arguments)["n"] >= 0


def test_several_choices(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(model="m", messages=USER, n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 12


def test_answer_is_cut_where_the_request_says(openai_client: openai.OpenAI) -> None:
    answer = openai_client.chat.completions.create(model="m", messages=USER, max_completion_tokens=2)
    assert answer.choices[0].message.content == "Name a r"
    assert answer.choices[0].finish_reason == "length"


def test_responses(openai_client: openai.OpenAI) -> None:
    answer = openai_client.responses.create(model="m", instructions="Be brief.", input="Name a river.")
    assert (answer.output_text, answer.status) == ("Name a river.", "completed")
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 4)
    cut = openai_client.responses.create(model="m", input="Name a river.", max_output_tokens=2)
    assert cut.incomplete_details is not None
    assert (cut.output_text, cut.status, cut.incomplete_details.reason) == (
        "Name a r",
        "incomplete",
        "max_output_tokens",
    )


def test_responses_take_items_and_parse(openai_client: openai.OpenAI) -> None:
    parts = [{"type": "input_text", "text": "Look."}, {"type": "input_image", "image_url": "data:,"}]
    answer = openai_client.responses.parse(
        model="m",
        input=[{"role": "user", "content": parts}],  # type: ignore[list-item, misc]
        text_format=Verdict,
    )
    assert answer.output_parsed is not None
    assert answer.output_parsed.reason == "Look.\n[input_image]"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "save"}])
def test_responses_call_the_forced_tool(openai_client: openai.OpenAI, choice: object) -> None:
    with openai_client.responses.stream(
        model="m",
        input="go",
        tools=[{"type": "function", "strict": False, **TOOL}],  # type: ignore[list-item]
        tool_choice=choice,  # type: ignore[arg-type]
    ) as events:
        kinds = [event.type for event in events]
        [item] = events.get_final_response().output
    assert item.type == "function_call"
    assert isinstance(json.loads(item.arguments)["n"], int)
    assert "response.function_call_arguments.delta" in kinds


def test_responses_stream(openai_client: openai.OpenAI) -> None:
    with openai_client.responses.stream(model="m", input="Name a river.") as events:
        seen = list(events)
    assert [event.sequence_number for event in seen if event.type != "response.output_text.done"]
    assert [event.delta for event in seen if event.type == "response.output_text.delta"] == [
        "Name ",
        "a ",
        "river.",
    ]
    assert seen[-1].type == "response.completed"


def test_embeddings_are_of_length_1_and_in_order(openai_client: openai.OpenAI) -> None:
    texts = ["a red house", "a red house by the sea", "quarterly tax return"]
    answer = openai_client.embeddings.create(model="text-embedding-3-small", input=texts)
    house, sea, tax = (each.embedding for each in answer.data)
    assert [each.index for each in answer.data] == [0, 1, 2]
    assert len(house) == 1536
    assert sum(x * x for x in house) == pytest.approx(1.0, abs=1e-5)
    assert _cosine(house, sea) > 0.4 > 0.2 > _cosine(house, tax), "texts that share words lie closer"
    assert answer.usage.prompt_tokens == 3 + 6 + 5


@pytest.mark.parametrize(
    ("model", "asked", "length"), [("text-embedding-3-large", None, 3072), ("m", 12, 12)]
)
def test_dimensions(openai_client: openai.OpenAI, model: str, asked: int | None, length: int) -> None:
    wanted = {} if asked is None else {"dimensions": asked}
    answer = openai_client.embeddings.create(model=model, input="x", **wanted)  # type: ignore[arg-type]
    assert len(answer.data[0].embedding) == length


def test_both_encodings_hold_the_same_vector(provider_simulator: ProviderSimulator) -> None:
    body = {"model": "m", "input": ["x"], "dimensions": 8}
    numbers = ask(provider_simulator, "/v1/embeddings", body).json["data"][0]["embedding"]
    packed = ask(provider_simulator, "/v1/embeddings", body | {"encoding_format": "base64"}).json
    assert struct.unpack("<8f", base64.b64decode(packed["data"][0]["embedding"])) == pytest.approx(numbers)


def test_tokens_can_be_embedded(openai_client: openai.OpenAI, provider_simulator: ProviderSimulator) -> None:
    answer = openai_client.embeddings.create(model="m", input=[[1, 2, 3], [4]])
    assert (len(answer.data), answer.usage.prompt_tokens) == (2, 4)
    assert provider_simulator.answered == {"[1, 2, 3]": 1, "[4]": 1}


def test_models(openai_client: openai.OpenAI, provider_simulator: ProviderSimulator) -> None:
    provider_simulator.change(models=["gpt-5", "gpt-5-mini"])
    assert [model.id for model in openai_client.models.list()] == ["gpt-5", "gpt-5-mini"]
    assert openai_client.models.retrieve("gpt-5").owned_by == "simulator"
    with pytest.raises(openai.NotFoundError, match="The model `gpt-4` does not exist"):
        openai_client.chat.completions.create(model="gpt-4", messages=USER)
    with pytest.raises(openai.NotFoundError):
        openai_client.models.retrieve("gpt-4")


def test_refusal_stands_where_the_client_looks_for_it(
    openai_client: openai.OpenAI, provider_simulator: ProviderSimulator
) -> None:
    provider_simulator.change(answer=Reply("I cannot help.", "refusal"))
    message = openai_client.chat.completions.create(model="m", messages=USER).choices[0].message
    assert (message.content, message.refusal) == (None, "I cannot help.")
    with openai_client.responses.stream(model="m", input="x") as events:
        part = events.get_final_response().output[0].content[0]  # type: ignore[union-attr, index]
    assert part.type == "refusal"
    with openai_client.chat.completions.stream(model="m", messages=USER) as chunks:
        assert chunks.get_final_completion().choices[0].message.refusal == "I cannot help."


def test_usage_can_be_told(openai_client: openai.OpenAI, provider_simulator: ProviderSimulator) -> None:
    provider_simulator.change(answer=Reply("yes", input_tokens=90, cached_tokens=64, reasoning_tokens=20))
    usage = openai_client.chat.completions.create(model="m", messages=USER).usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.completion_tokens_details is not None
    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens) == (90, 64)
    assert (usage.completion_tokens, usage.completion_tokens_details.reasoning_tokens) == (21, 20)


def _cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))
