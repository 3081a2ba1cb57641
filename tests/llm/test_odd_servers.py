"""Servers that answer in their own way: what they sent is paid for, what they do not say is unknown."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from latent.config import find_workspace
from latent.errors import ModelSpecError
from latent.llm import Model
from latent.prefect import flow
from latent.tracking import list_runs


class Server:
    """Answers each request with one status, its headers and a document."""

    def __init__(self) -> None:
        self.status, self.headers = 200, dict[str, str]()
        self.document: Any = {}
        self.requests = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                outer.requests += 1
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(json.dumps(outer.document).encode())

            def log_message(self, *args: object) -> None:
                """Nothing is printed."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def says(self, content: Any, **more: Any) -> None:
        """Answer with this content."""
        self.document = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}], **more}

    def model(self, spec: str = "mine:m") -> Model:
        """A model that asks this server."""
        return Model(spec, base_url=f"http://127.0.0.1:{self.http.server_port}/v1", api_key="any")


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    thread = threading.Thread(target=started.http.serve_forever, args=(0.01,))
    thread.start()
    yield started
    started.http.shutdown()
    thread.join()
    started.http.server_close()


def test_counts_that_cannot_be_cost_nothing_that_is_known_and_are_paid_once(server: Server):
    server.says("x", usage={"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 50}})
    answer = server.model("openai:gpt-5-mini").complete("hello")
    assert (answer.text, answer.cost_usd, server.requests) == ("x", None, 1)


def test_an_answer_in_parts_is_its_texts(server: Server):
    server.says(
        [{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    )
    assert server.model().complete("hello").text == "ab"


@pytest.mark.parametrize("usage", [None, {}, "nonsense"])
def test_usage_that_is_not_told_is_unknown(server: Server, usage: Any):
    server.says("x", usage=usage)

    @flow("untold")
    def untold() -> None:
        answer = server.model("openai:gpt-5-mini").complete("hello")
        assert (answer.text, answer.usage, answer.cost_usd) == ("x", None, None)

    untold()
    account = list_runs(find_workspace(), flow="untold")[0].models["openai:gpt-5-mini"]
    assert (account["calls"], account["unpriced"], account["amounts"]) == (1, 1, {})


def test_a_prompt_is_not_sent_on_to_where_a_server_points(server: Server):
    server.status, server.headers = 307, {"location": "http://ann:secret@127.0.0.1:9/elsewhere?key=1"}
    with pytest.raises(ModelSpecError, match=r"sends on to http://127\.0\.0\.1:9/elsewhere: ") as caught:
        server.model().complete("hello")
    assert "secret" not in str(caught.value)
    assert server.requests == 1
