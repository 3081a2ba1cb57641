"""Servers that answer in their own way: what they sent is paid for, what they do not say is unknown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from latent.config import find_workspace
from latent.errors import ModelAnswerError, ModelRefusedError, ModelSpecError
from latent.llm import Embedder, Model
from latent.prefect import flow
from latent.tracking import list_runs
from tests.llm.scripted import Server, scripted_server


@pytest.fixture
def server() -> Iterator[Server]:
    with scripted_server() as started:
        yield started


def test_counts_that_cannot_be_cost_nothing_that_is_known_and_are_paid_once(server: Server):
    details = {"cached_tokens": 50}
    server.says("x", usage={"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": details})
    answer = server.model("openai:gpt-5-mini").complete("hello")
    assert (answer.text, answer.cost_usd, server.requests) == ("x", None, 1)


def test_an_answer_in_parts_is_its_texts(server: Server):
    server.says(
        [{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    )
    assert server.model().complete("hello").text == "ab"


@pytest.mark.parametrize(
    "usage",
    [None, {}, "nonsense", {"input_tokens": 3, "output_tokens": 4}, {"prompt_tokens": 3},
     {"prompt_tokens": 3.5, "completion_tokens": 1}, {"prompt_tokens": True, "completion_tokens": 1}],
)  # fmt: skip
def test_usage_that_is_not_told_is_unknown(server: Server, usage: Any):
    server.says("x", usage=usage)

    @flow("untold")
    def untold() -> None:
        answer = server.model("openai:gpt-5-mini").complete("hello")
        assert (answer.text, answer.usage, answer.cost_usd) == ("x", None, None)

    untold()
    account = list_runs(find_workspace(), flow="untold")[0].models["openai:gpt-5-mini"]
    assert (account["calls"], account["unpriced"], account["amounts"]) == (1, 1, {})


def test_the_query_of_an_address_stays_behind_the_path(server: Server):
    server.says("x")
    for ending in ("/v1?api-version=1", "/v1/?api-version=1", "/v1#top"):
        Model("mine:m", base_url=f"http://127.0.0.1:{server.http.server_port}{ending}").complete(ending)
    assert server.paths == [*["/v1/chat/completions?api-version=1"] * 2, "/v1/chat/completions"]


def test_whole_numbers_with_a_point_are_counts(server: Server):
    server.says("x", usage={"prompt_tokens": 3.0, "completion_tokens": 4})
    usage = server.model().complete("hello").usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (3, 4)


RESPONSES = "openai-responses:gpt-5-mini"


@pytest.mark.parametrize(
    ("spec", "document", "said", "requests"),
    [
        # What can pass is tried again, what cannot is not: each by the words of the provider.
        ("mine:m", {"error": {"message": "no room", "code": 502}}, "HTTP 502.*no room", 3),
        ("mine:m", {"error": {"message": "no such thing", "code": 400}}, "HTTP 400.*no such thing", 1),
        ("mine:m", {"error": "out of order"}, "HTTP 500.*out of order", 3),
        ("anthropic:m", {"type": "error", "error": {"type": "overloaded_error", "message": "no"}}, "529", 3),
        ("mine:m", {"choices": [{"finish_reason": "error", "message": {"content": "ha"}}]}, "an error", 3),
        ("mine:m", {"choices": [{"error": {"code": 403, "message": "bad"}, "message": {}}]}, "403", 1),
        (RESPONSES, {"status": "failed", "error": {"code": "server_error", "message": "oh"}}, "HTTP 500", 3),
        (RESPONSES, {"status": "failed", "error": {"code": "invalid_prompt", "message": "oh"}}, "400", 1),
        (RESPONSES, {"status": "queued", "error": None, "output": []}, "leave out `background`", 1),
        (RESPONSES, {"status": "in_progress", "output": []}, "leave out `background`", 1),
        (RESPONSES, {"status": "cancelled", "output": []}, "'cancelled'", 3),
    ],
)  # fmt: skip
def test_failures_below_status_200_are_failures(
    server: Server, spec: str, document: Any, said: str, requests: int
):
    server.document = document
    model = server.model(spec, retries=2)
    with pytest.raises(ModelRefusedError, match=said):
        model.complete("hello")
    assert server.requests == requests
    server.says("well again")
    if spec == "mine:m":
        assert not model.complete("hello").from_memory


def test_a_used_up_quota_below_status_200_ends_the_work(server: Server):
    server.document = {"error": {"code": "insufficient_quota", "message": "You exceeded your quota."}}

    @flow
    def ask() -> list[Any]:
        prompts = [f"q{n}" for n in range(300)]
        return server.model().map(prompts, on_error="collect", max_workers=4).result()

    assert any("quota is used up" in str(error) for error in ask())
    assert server.requests < 20


def test_an_incomplete_response_is_an_answer(server: Server):
    said = [{"type": "message", "content": [{"type": "output_text", "text": "half"}]}]
    details = {"reason": "max_output_tokens"}
    server.document = {"status": "incomplete", "error": None, "incomplete_details": details, "output": said}
    answer = server.model(RESPONSES).complete("hello")
    assert (answer.text, answer.finish_reason) == ("half", "length")


@pytest.mark.parametrize(
    "document",
    [{"usage": {"prompt_tokens": 1_000, "completion_tokens": 100}},
     {"choices": 3, "usage": {"prompt_tokens": 1_000, "completion_tokens": 100}}],
)  # fmt: skip
def test_what_cannot_be_read_was_paid_for_and_is_not_asked_for_again(server: Server, document: Any):
    server.document = document

    @flow("unreadable")
    def unreadable() -> None:
        with pytest.raises(ModelAnswerError, match="is not an answer"):
            server.model("openai:gpt-5-mini").complete("hello")

    unreadable()
    account = list_runs(find_workspace(), flow="unreadable")[0].models["openai:gpt-5-mini"]
    assert (account["calls"], account["amounts"]["input_tokens"], server.requests) == (1, 1_000, 1)
    assert account["cost_usd"] == pytest.approx(0.00045)  # $0.25 and $2 for a million tokens


def test_a_prompt_is_not_sent_on_to_where_a_server_points(server: Server):
    server.status, server.headers = 307, {"location": "http://ann:secret@127.0.0.1:9/elsewhere?key=1"}
    with pytest.raises(ModelSpecError, match=r"sends on to http://127\.0\.0\.1:9/elsewhere: ") as caught:
        server.model().complete("hello")
    assert "secret" not in str(caught.value)
    assert server.requests == 1


CHAT = "openai:gpt-5-mini"
PART = rb'{"type":"output_text","text":"a\ud83d"}'
USED = b'"usage":{"prompt_tokens":1000,"completion_tokens":100,"input_tokens":1000,"output_tokens":100}'


@pytest.mark.parametrize(
    ("spec", "body", "text"),
    [
        (CHAT, rb'"choices":[{"message":{"content":"a\ud83d"},"finish_reason":"length"}]', "a\ufffd"),
        (CHAT, rb'"choices":[{"message":{"content":"\ude00\ud83d\ude00"}}]', "\ufffd\U0001f600"),
        (CHAT, b'"choices":[{"message":{"content":"a\xf0\x9f"}}]', "a\ufffd"),
        (CHAT, b'"choices":[{"message":{"content":"a\nb"},"logprobs":[-Infinity]}]', "a\nb"),
        (RESPONSES, rb'"output":[{"type":"message","content":[' + PART + rb']}]', "a\ufffd"),
        ("anthropic:claude-opus-4-6", rb'"content":[{"type":"text","text":"a\ud83d"}]', "a\ufffd"),
    ],
)  # fmt: skip
def test_json_that_is_no_strict_json_was_paid_for_and_is_read(
    server: Server, spec: str, body: bytes, text: str
):
    """A limit on tokens cuts an emoji in two: asked for again, it would be cut and paid for again."""
    server.body = b"{" + body + b"," + USED + b"}"

    @flow("careless")
    def careless() -> None:
        first, again = (server.model(spec).complete("emoji") for _ in range(2))
        assert (first.text, again.text, again.from_memory) == (text, text, True)

    careless()
    account = list_runs(find_workspace(), flow="careless")[0].models[spec]
    assert (account["calls"], account["amounts"]["output_tokens"], server.requests) == (1, 100, 1)
    assert account["cost_usd"] > 0


def test_half_a_character_in_the_arguments_of_a_tool_is_read(server: Server):
    function = rb'{"name":"say","arguments":"{\"a\": \"\ud83d"}'
    server.body = rb'{"choices":[{"message":{"tool_calls":[{"id":"1","function":' + function + b"}]}}]}"
    (call,) = server.model().complete("hello").tool_calls
    assert call == {"id": "1", "name": "say", "arguments": '{"a": "\ufffd'}
    given = rb'{"a":"\ud83d","n":' + b"9" * 5000 + b"}"
    server.body = b'{"content":[{"type":"tool_use","id":"1","name":"say","input":' + given + b"}]}"
    (call,) = server.model("anthropic:m").complete("hello").tool_calls
    assert call["arguments"] == '{"a":"\ufffd","n":null}'


def test_an_error_with_half_a_character_in_it_still_says_its_code(server: Server):
    server.status = 429
    server.body = rb'{"error":{"code":"insufficient_quota","message":"no more \ud83d"}}'
    with pytest.raises(ModelRefusedError, match="no more \ufffd") as caught:
        server.model(retries=2).complete("hello")
    assert caught.value.body["error"]["code"] == "insufficient_quota"
    assert server.requests == 1


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"1e999"])
def test_vectors_of_what_is_no_number_were_paid_for_and_are_not_asked_for_again(
    server: Server, number: bytes
):
    server.body = b'{"data":[{"index":0,"embedding":[1.0,' + number + b']}],"usage":{"prompt_tokens":7}}'
    embedder = Embedder("mine:m", base_url=f"http://127.0.0.1:{server.http.server_port}/v1")

    @flow("numberless")
    def numberless() -> None:
        with pytest.raises(ModelAnswerError, match="a vector holds what is not a number"):
            embedder.embed(["a"])

    numberless()
    account = list_runs(find_workspace(), flow="numberless")[0].models["mine:m"]
    assert (account["calls"], account["amounts"]["input_tokens"], server.requests) == (1, 7, 1)
