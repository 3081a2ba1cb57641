"""Servers that speak OpenAI's API with words of their own: ends, thoughts, counts, costs, addresses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from latent.errors import ModelConnectionError, ModelRefusedError, UnknownModelError, WrongAddressError
from latent.llm import Answer, Model
from latent.llm.dialects import finish_reason, output_counts
from latent.llm.endpoints import is_loopback
from latent.llm.thoughts import is_only_thought
from latent.prefect import flow
from tests.llm.scripted import Server, scripted_server


@pytest.fixture
def server() -> Iterator[Server]:
    with scripted_server() as started:
        yield started


def chat(message: dict[str, Any], finish: Any = "stop", **more: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": finish}], **more}


# -- how answers end --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("stop", "stop"), ("eos", "stop"), ("eos_token", "stop"), ("STOP", "stop"), ("end_turn", "stop"),
        ("stop_sequence", "stop"), ("max_tokens", "length"), ("MAX_TOKENS", "length"),
        ("model_length", "length"),
        ("content_filter: SAFETY", "refusal"), ("guardrail_intervened", "refusal"), ("tool_use", "tool"),
        ("abort", "other"), ("insufficient_system_resource", "other"),
    ],
)  # fmt: skip
def test_ends_are_known_by_the_words_of_many_servers(said: str, reason: str):
    assert finish_reason(said, has_text=True, has_calls=False) == reason


@pytest.mark.parametrize("said", [None, ""])
def test_an_end_that_is_not_told_is_a_good_one_where_something_was_said(server: Server, said: Any):
    server.document = chat({"content": "x"}, said)
    assert server.model().complete("hello").finish_reason == "stop"
    call = {"id": "1", "function": {"name": "f", "arguments": "{}"}}
    server.document = chat({"content": None, "tool_calls": [call]}, said)
    assert server.model().complete("call it").finish_reason == "tool"
    server.document = chat({"content": ""}, said)
    assert server.model().complete("nothing").finish_reason == "other"


def test_messages_of_other_servers_end_with_the_same_words(server: Server):
    server.document = {"content": [{"type": "text", "text": "x"}], "stop_reason": "STOP", "model": "m"}
    model = Model("anthropic:claude-opus-4-6", base_url=server.root, api_key="any")
    assert model.complete("hello").finish_reason == "stop"


# -- thoughts ---------------------------------------------------------------------------------------

THOUGHTS: list[tuple[dict[str, Any], str]] = [
    ({"content": None, "reasoning_content": "It is 4."}, "It is 4."),  # DeepSeek, vLLM
    ({"content": "", "reasoning": "It is 4."}, "It is 4."),  # OpenRouter, Groq
    ({"content": None, "thinking": "It is 4."}, "It is 4."),  # Ollama
    ({"content": "", "reasoning_details": [{"type": "reasoning.text", "text": "It is "},
                                           {"type": "reasoning.summary", "summary": "4."}]}, "It is 4."),
    # Mistral
    ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "It is 4."}]}]}, "It is 4."),
]  # fmt: skip


@pytest.mark.parametrize(("message", "thought"), THOUGHTS)
def test_an_answer_that_is_only_thought_is_not_complete_and_its_thoughts_are_kept(
    server: Server, message: dict[str, Any], thought: str
):
    server.document = chat(message)
    model = server.model()
    answer = model.complete("2 + 2?")
    assert (answer.text, answer.reasoning, answer.is_complete) == ("", thought, False)
    known = model.complete("2 + 2?")
    assert known.from_memory and known.reasoning == thought and not known.is_complete
    server.document = chat({**message, "content": "4"})
    again = model.complete("2 + 2?", refresh="incomplete")
    assert (again.text, again.is_complete, server.requests) == ("4", True, 2)


@pytest.mark.parametrize(
    ("choice", "text", "thought"),
    [
        ({"message": {"content": ["It is ", "4."]}}, "It is 4.", None),
        ({"message": {"content": [{"type": "thinking", "thinking": "Hm."}, "4"]}}, "4", "Hm."),
        ({"message": {"content": [{"type": "text", "text": None}]}}, "", None),
        ({"text": "4"}, "4", None),
        ({"message": {"content": "4", "reasoning": {"effort": "low"}}}, "4", None),
    ],
)
def test_answers_are_read_in_all_their_forms(server: Server, choice: dict[str, Any], text: str, thought):
    server.document = {"choices": [{**choice, "finish_reason": "stop"}]}
    answer = server.model().complete("2 + 2?")
    assert (answer.text, answer.reasoning) == (text, thought)


def test_thoughts_are_read_from_the_other_apis(server: Server):
    content = [{"type": "thinking", "thinking": "Hm."}, {"type": "redacted_thinking", "data": "x"},
               {"type": "text", "text": "4"}]  # fmt: skip
    server.document = {"content": content, "stop_reason": "end_turn"}
    answer = Model("anthropic:claude-opus-4-6", base_url=server.root, api_key="any").complete("2 + 2?")
    assert (answer.text, answer.reasoning) == ("4", "Hm.")
    summary = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
    shown = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Ah."}]}
    said = {"type": "message", "content": [{"type": "output_text", "text": "4"}]}
    server.document = {"output": [summary, shown, said], "status": "completed"}
    answer = server.model("openai-responses:gpt-5").complete("2 + 2?")
    assert (answer.text, answer.reasoning) == ("4", "Hm.\n\nAh.")


@pytest.mark.parametrize(
    ("text", "only"),
    [
        ("", True), ("  \n", True), ("<think>Hm.</think>", True), ("<think>Hm.</think>\n\n4", False),
        ("<think>Hm", True), ("<thinking>a</thinking> <thinking>b</thinking>", True), ("4 <think>", False),
        ("<b>4</b>", False), ("[THINK]Hm.[/THINK]", True), ("[1] A source.", False),
    ],
)  # fmt: skip
def test_thoughts_inside_of_the_text_are_no_answer(text: str, only: bool):
    assert is_only_thought(text) is only
    assert Answer(text=text).is_complete is not only


def test_an_empty_answer_that_calls_a_tool_is_complete():
    assert Answer(text="", finish_reason="tool", tool_calls=({"name": "f"},)).is_complete


# -- what it took -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "made", "total", "reasoning", "expected"),
    [
        (14, 387, 401, 386, (387, 386)),  # OpenAI: thoughts are part of the output
        (14, 1, 401, 386, (387, 386)),  # xAI: beside it
        (14, 20, 434, 0, (420, 400)),  # Gemini: only in the total
        (14, 20, None, 0, (20, 0)),
        (14, 1, None, 386, (387, 386)),  # more thoughts than output cannot be a part of it
        (14, 20, 34, 50, (20, 20)),  # the total says that there is nothing beside
        (14, 20, 30, 0, (20, 0)),  # a total that is too small says nothing
    ],
)
def test_thoughts_that_stand_beside_the_output_are_output(given, made, total, reasoning, expected):
    assert output_counts(given, made, total, reasoning) == expected


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_cache_hit_tokens": 60, "prompt_cache_miss_tokens": 40},  # DeepSeek
        {"prompt_tokens_details": {"cached_tokens": 60}},
        {"cached_tokens": 60},  # Moonshot
    ],
)
def test_what_came_from_the_cache_is_read_from_each_servers_place(server: Server, usage: dict[str, Any]):
    server.document = chat({"content": "x"}, usage={"prompt_tokens": 100, "completion_tokens": 1, **usage})
    found = server.model().complete("hello").usage
    assert found is not None
    assert (found.input_tokens, found.cached_tokens) == (100, 60)


@pytest.mark.parametrize(
    ("said", "cost"),
    [
        ({"cost": 0.0012}, 0.0012),
        ({"cost": 0}, 0.0),  # a free model
        ({"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}}, 0.21),
        ({"cost": 0.01, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.2}}, 0.01),
        ({"cost": {"input_tokens_cost": 0.1, "total_cost": 0.3}}, 0.3),  # Perplexity
        ({"cost": "much"}, None),
        ({"cost": -1}, None),
        ({"cost": True}, None),
    ],
)
def test_what_a_provider_says_that_it_cost_is_what_it_cost(server: Server, said: dict[str, Any], cost):
    server.document = chat({"content": "x"}, usage={"prompt_tokens": 3, "completion_tokens": 1, **said})
    answer = server.model("openrouter:some/model-without-a-price").complete("hello")
    assert answer.cost_usd == (None if cost is None else pytest.approx(cost))


# -- where it is asked ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "suffix", "said"),
    [
        ("mine:m", "", "/v1'"),
        ("mine:m", "/api", r":\d+/v1'"),
        ("mine:m", "/v1/chat/completions", "base_url ends before '/chat/completions'"),
        ("mine:m", "/v1/v1", "stands twice"),
        ("anthropic:claude-opus-4-6", "/v1", "without its '/v1'"),
        ("anthropic:claude-opus-4-6", "/v1/messages", "base_url ends before '/messages'"),
    ],
)
def test_a_wrong_address_is_told_with_what_was_asked_and_what_to_write(server: Server, spec, suffix, said):
    server.status, server.document = 404, {"detail": "Not Found"}
    with pytest.raises(WrongAddressError, match=said) as caught:
        Model(spec, base_url=server.root + suffix, api_key="any").complete("hello")
    assert server.paths[0] in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [b"404 page not found\n", b"", b"<html><title>404 Not Found</title></html>",
     b'{"error": {"message": "Invalid URL (POST /chat/completions)"}}', b'{"message": "no Route matched"}'],
)  # fmt: skip
def test_routers_say_in_many_words_that_there_is_no_such_address(server: Server, body: bytes):
    server.status, server.body = 404, body or b" "
    with pytest.raises(WrongAddressError):
        server.model().complete("hello")


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"error": {"message": "model 'm' not found, try pulling it first"}}, UnknownModelError),
        ({"error": {"message": "m"}}, UnknownModelError),
        (
            {"error": {"message": "No endpoints found that support images", "code": 404}},
            ModelRefusedError,
        ),
    ],
)
def test_a_404_about_something_else_is_no_wrong_address(server: Server, document, kind):
    server.status, server.document = 404, document
    with pytest.raises(ModelRefusedError) as caught:
        server.model().complete("hello")
    assert type(caught.value) is kind


def test_a_map_at_a_wrong_address_ends_at_its_first_rows(server: Server):
    server.status, server.document = 404, {"detail": "Not Found"}

    @flow("nowhere")
    def nowhere() -> None:
        server.model().map([f"q{n}" for n in range(500)], max_workers=2).result()

    with pytest.raises(Exception, match="base_url"):
        nowhere()
    assert server.requests < 50


def test_a_page_in_the_place_of_an_answer_is_told_as_one(server: Server):
    server.body = b"<!doctype html><title>A chat for people</title>"
    with pytest.raises(ModelConnectionError, match=r"page for browsers.*base_url"):
        Model("mine:m", base_url=server.root, api_key="any", retries=0).complete("hello")


@pytest.mark.parametrize(
    ("url", "here"),
    [("http://localhost:1/v1", True), ("http://127.0.0.1:8080", True), ("http://[::1]:9/v1", True),
     ("http://0.0.0.0:1", True), ("http://127.8.8.8", True), ("https://user:pw@localhost/v1", True),
     ("https://api.openai.com/v1", False), ("http://192.168.1.5:11434/v1", False),
     ("http://localhost.example.com", False)],
)  # fmt: skip
def test_addresses_of_this_machine_are_known(url: str, here: bool):
    assert is_loopback(url) is here


ASK = """
import sys
from latent.llm import Model
from latent.testing import temporary_workspace

with temporary_workspace({"config/latent.toml": "[tracking]\\nenabled = false\\n"}):
    print(Model("mine:m", base_url=sys.argv[1], api_key="k", retries=0).complete("hello"))
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_what_runs_on_this_machine_is_asked_without_a_proxy(server: Server, monkeypatch, host: str):
    server.says("from the model")
    with scripted_server() as proxy:
        proxy.says("made up by the proxy")
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.root)
        url = f"{server.root}/v1".replace("127.0.0.1", host)
        done = subprocess.run([sys.executable, "-c", ASK, url], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "from the model"
        assert proxy.requests == 0


def test_what_runs_elsewhere_is_asked_through_the_proxy(monkeypatch):
    """A proxy gets the whole address of the server that nobody could reach without it."""
    with scripted_server() as proxy:
        proxy.says("from elsewhere")
        monkeypatch.setenv("HTTP_PROXY", proxy.root)
        url = "http://model.invalid/v1"
        done = subprocess.run([sys.executable, "-c", ASK, url], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "from elsewhere"
        assert proxy.paths == ["http://model.invalid/v1/chat/completions"]
