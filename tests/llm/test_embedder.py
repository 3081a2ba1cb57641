"""Embeddings: in order, checked, and each text paid for once."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

from latent.cache import stable_hash
from latent.config import find_workspace
from latent.errors import (
    BrokenTextError,
    ContextWindowError,
    EmptyTextError,
    MissingKeyError,
    ModelAnswerError,
    ModelRefusedError,
    ModelSpecError,
)
from latent.llm import Embedder
from latent.llm.embedding import batches
from latent.prefect import flow
from latent.testing import Fault
from latent.tracking import list_runs
from tests.llm.conftest import Provider

SMALL = "openai:text-embedding-3-small"


class Server:
    """Answers requests for embeddings: with the data that it is told, else with the lengths of the texts."""

    def __init__(self) -> None:
        self.data: Any = None
        self.refuses_text: str | None = None
        self.refused: threading.Event | None = None
        """When given, it is set once a text was refused, and all others are answered after that."""
        self.refuses_base64 = False
        self.bodies: list[Any] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.bodies.append(body)
                is_refused = (outer.refuses_base64 and body["encoding_format"] == "base64") or (
                    outer.refuses_text in body["input"]
                )
                if outer.refused is not None and not is_refused:
                    outer.refused.wait(30)
                    time.sleep(0.2)
                answer = (
                    {"error": {"message": "encoding_format"}} if is_refused else {"data": outer.answer(body)}
                )
                self.send_response(400 if is_refused else 200)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())
                if outer.refused is not None and is_refused:
                    outer.refused.set()

            def log_message(self, *args: object) -> None:
                """Nothing is printed."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))

    def answer(self, body: Any) -> Any:
        """The data for a request."""
        if self.data is not None:
            return self.data
        return [{"index": index, "embedding": [len(text), 1.0]} for index, text in enumerate(body["input"])]

    def embedder(self, **options: Any) -> Embedder:
        """An embedder that asks this server."""
        return Embedder("mine:m", base_url=f"http://127.0.0.1:{self._http.server_port}/v1", **options)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


TEXTS = [f"Text number {number}." for number in range(25)]


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that answers what it is told to: the simulator never says what is wrong."""
    with Server() as started:
        yield started


def test_vectors_are_those_that_the_official_client_gets(provider: Provider):
    vectors = Embedder(SMALL, dimensions=32, batch_size=10).embed(TEXTS)
    answer = openai.OpenAI().embeddings.create(model="text-embedding-3-small", input=TEXTS, dimensions=32)
    assert vectors.dtype == np.float32
    assert np.array_equal(vectors, np.array([each.embedding for each in answer.data], dtype=np.float32))


def test_texts_go_in_batches_and_as_base64(server: Server):
    server.embedder(batch_size=10).embed(TEXTS)
    assert sorted(len(body["input"]) for body in server.bodies) == [5, 10, 10]
    assert {body["encoding_format"] for body in server.bodies} == {"base64"}


@pytest.mark.parametrize(
    ("sizes", "most", "most_tokens", "expected"),
    [
        ([], 2, 10, []),
        ([1, 1, 1], 2, 10, [range(2), range(2, 3)]),
        ([4, 4, 4], 9, 8, [range(2), range(2, 3)]),
        ([20, 1, 20], 9, 8, [range(1), range(1, 2), range(2, 3)]),  # what is too long goes alone
    ],
)
def test_batches_are_bounded_by_count_and_tokens(sizes, most, most_tokens, expected):
    assert batches(sizes, most, most_tokens) == expected


def test_a_text_is_paid_for_once_whatever_batch_it_stands_in(server: Server):
    first = server.embedder(batch_size=10).embed(TEXTS)
    asked = len(server.bodies)
    again = server.embedder(batch_size=7).embed(TEXTS[::-1])
    assert (len(server.bodies), np.array_equal(again, first[::-1])) == (asked, True)
    server.embedder().embed([*TEXTS, "new", "new"])
    assert server.bodies[-1]["input"] == ["new"]


def test_vectors_depend_on_model_dimensions_and_address(provider: Provider):
    address = provider.simulator.environment["OPENAI_BASE_URL"]
    embedders = [
        Embedder(SMALL),
        Embedder(SMALL, dimensions=8),
        Embedder("openai:text-embedding-3-large"),
        Embedder("mine:text-embedding-3-small", base_url=address),
    ]
    for count, embedder in enumerate(embedders, 1):
        embedder.embed(["a text"])
        assert provider.requests == count
    assert len({embedder.identity for embedder in embedders}) == len(embedders)


def test_a_task_that_is_given_an_embedder_is_remembered_by_what_vectors_depend_on():
    def hash_of(**settings: Any) -> str:
        return stable_hash(Embedder(SMALL, **settings))

    assert hash_of(api_key="one") == hash_of(api_key="two", batch_size=7)
    assert hash_of(dimensions=8) != hash_of(dimensions=16)


def test_vectors_of_an_address_from_the_environment_are_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    elsewhere = Embedder(SMALL)
    monkeypatch.delenv("OPENAI_BASE_URL")
    usual = Embedder(SMALL)
    assert (usual.identity, usual.dimensions) == (SMALL, 1536)
    assert (elsewhere.identity, elsewhere.dimensions) == (f"{SMALL} at http://127.0.0.1:9/v1", None)
    assert Embedder(SMALL, base_url="https://api.openai.com/v1").identity == SMALL


def test_waiting_for_it_gives_the_same(provider: Provider):
    vectors = asyncio.run(Embedder(SMALL, dimensions=8, batch_size=10).embed_async(TEXTS))
    assert np.array_equal(vectors, Embedder(SMALL, dimensions=8).embed(TEXTS))
    assert provider.requests == 3


def test_what_was_answered_is_kept_when_another_batch_fails(server: Server):
    server.refuses_text = TEXTS[-1]
    with pytest.raises(ModelRefusedError):
        server.embedder(batch_size=10).embed(TEXTS)
    server.refuses_text, server.bodies = None, []
    server.embedder(batch_size=10).embed(TEXTS)
    assert [body["input"] for body in server.bodies] == [TEXTS[20:]]


def test_what_is_under_way_is_waited_for_and_kept_when_another_batch_fails(server: Server):
    server.refuses_text, server.refused = TEXTS[0], threading.Event()
    with pytest.raises(ModelRefusedError):
        asyncio.run(server.embedder(batch_size=1).embed_async(TEXTS))
    sent = [text for body in server.bodies for text in body["input"]]
    assert len(sent) < len(TEXTS)
    server.refuses_text, server.refused, server.bodies = None, None, []
    server.embedder(batch_size=1).embed(TEXTS)
    again = {text for body in server.bodies for text in body["input"]}
    assert again & set(sent) == {TEXTS[0]}


def test_trouble_is_tried_again(provider: Provider):
    provider.behaves(faults=[Fault(500, first=1), Fault("reset", first=1)])
    assert Embedder(SMALL, dimensions=8).embed(["a text"]).shape == (1, 8)


def test_lists_of_numbers_in_any_order_are_understood(server: Server):
    server.data = [{"index": 1, "embedding": [3.0, 4.0]}, {"index": 0, "embedding": [1.0, 2.0]}]
    assert server.embedder().embed(["a", "b"]).tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_lists_of_numbers_without_places_are_those_of_the_texts_in_their_order(server: Server):
    server.data = [{"embedding": [3.0, 4.0]}, {"embedding": [1.0, 2.0]}]
    assert server.embedder().embed(["a", "b"]).tolist() == [[3.0, 4.0], [1.0, 2.0]]
    with pytest.raises(ModelAnswerError, match="2 vectors for 3 texts"):
        server.embedder().embed(["c", "d", "e"])
    assert len(server.bodies) == 2  # asked for again, it would be paid for again


def test_a_server_that_knows_no_base64_is_asked_for_numbers(server: Server):
    server.refuses_base64 = True
    server.data = [{"index": 0, "embedding": [1.0, 2.0]}]
    for text in ("a", "b"):
        assert server.embedder().embed([text]).tolist() == [[1.0, 2.0]]
    assert [body["encoding_format"] for body in server.bodies] == ["base64", "float", "float"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([{"index": 0, "embedding": [1.0]}], "it sent 1 vectors for 2 texts"),
        ([{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}], "2 vectors for 2 texts"),
        ([{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}],
         "different lengths: 1 and 2 numbers"),
        ([{"index": 0, "embedding": ["x"]}, {"index": 1, "embedding": [1.0]}], "not embeddings"),
        ([{"index": 0, "embedding": "!"}, {"index": 1, "embedding": "!"}], "not embeddings"),
        ("nonsense", "not embeddings: `data` is not a list"),
        ([], "it sent 0 vectors for 2 texts"),
        ([{"index": 0, "embedding": [1.0]}, {"embedding": [1.0]}], "`index` is missing in item 1"),
        ([{"index": 0}, {"index": 1}], "`embedding` is missing"),
        ([{"index": 0, "embedding": []}, {"index": 1, "embedding": []}], "an empty vector"),
        ([{"index": 0, "embedding": ""}, {"index": 1, "embedding": ""}], "an empty vector"),
    ],
)  # fmt: skip
def test_answers_that_are_no_embeddings_are_refused(server: Server, data: Any, words: str):
    server.data = data
    with pytest.raises(ModelAnswerError, match=words):
        server.embedder().embed(["a", "b"])
    assert len(server.bodies) == 1  # it was paid for, and would be again
    server.data = None
    assert server.embedder().embed(["a", "b"]).shape == (2, 2)  # nothing of it is remembered


def test_a_model_that_has_changed_behind_its_name_is_told_with_both_lengths(server: Server):
    server.embedder().embed(["old"])
    server.data = [{"index": 0, "embedding": [1.0, 2.0, 3.0]}]
    for _ in range(2):  # what did not fit was not remembered either
        with pytest.raises(ModelAnswerError, match=r"some have 2 numbers, others 3.*clear --task mine:m`"):
            server.embedder().embed(["old", "new"])
    assert server.embedder().embed(["newest"]).shape == (1, 3)
    asked = len(server.bodies)
    with pytest.raises(ModelAnswerError, match=r"some have \d numbers, others \d"):
        server.embedder().embed(["old", "newest", "another"])
    assert (asked, len(server.bodies)) == (4, 4)  # what is remembered does not fit: nothing is paid


@pytest.mark.parametrize("remember", [True, False])
def test_batches_of_different_lengths_are_told(server: Server, remember: bool):
    server.answer = lambda body: [{"embedding": [1.0] * len(body["input"])}] * len(body["input"])  # type: ignore[method-assign]
    with pytest.raises(ModelAnswerError, match=r"some have \d numbers, others \d") as caught:
        server.embedder(batch_size=2, remember=remember).embed(["a", "b", "c"])
    assert ("cache clear" in str(caught.value)) == remember


def test_a_model_that_cannot_cut_its_vectors_is_named(server: Server):
    server.data = [{"index": 0, "embedding": [1.0, 2.0]}]
    with pytest.raises(ModelSpecError, match="its vectors have 2 dimensions and cannot be cut"):
        server.embedder(dimensions=1).embed(["a"])


def test_empty_texts_are_refused_by_name(provider: Provider):
    with pytest.raises(EmptyTextError, match=r"texts\[1\], texts\[3\] of 4 for 'openai:text-.*' are"):
        Embedder(SMALL).embed(["a", "", "b", " \n"])
    assert provider.requests == 0
    assert Embedder(SMALL, dimensions=8).embed([]).shape == (0, 8)


@pytest.mark.parametrize("spec", [SMALL, "local:wordllama"])
def test_half_a_character_is_told_with_its_text_before_anything_is_sent(provider: Provider, spec: str):
    with pytest.raises(BrokenTextError, match=rf"position 3 of texts\[1\] for '{spec}'"):
        Embedder(spec).embed(["caf\u00e9", "caf\udce9"])
    assert provider.requests == 0


def test_a_text_that_is_too_long_says_so(provider: Provider):
    provider.behaves(context_window=10)
    with pytest.raises(ContextWindowError):
        Embedder(SMALL).embed(["word " * 100])


@pytest.mark.parametrize(
    ("spec", "options", "words"),
    [
        ("anthropic:claude-opus-4-6", {}, "anthropic makes no embeddings"),
        ("opnai:m", {}, r"did you mean 'openai:m'\?"),
        ("local:wordlama", {}, "did you mean 'local:wordllama'"),
        ("local:models/nope.gguf", {}, "Nothing is downloaded by itself"),
        ("local:wordllama", {"dimensions": 100}, "64, 128 or 256 dimensions, not 100"),
        (SMALL, {"dimensions": 0}, "dimensions=0"),
        (SMALL, {"batch_size": True}, "batch_size=True"),
    ],
)
def test_embedders_that_cannot_be_are_refused(spec, options, words):
    with pytest.raises(ModelSpecError, match=words):
        Embedder(spec, **options)


def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(MissingKeyError, match="OPENAI_API_KEY"):
        Embedder(SMALL).embed(["a"])


def test_lengths_are_known_before_the_first_call_where_they_are_documented():
    assert Embedder(SMALL).dimensions == 1536
    assert Embedder("local:wordllama").dimensions == 256
    assert Embedder("mine:m", base_url="http://localhost:1/v1").dimensions is None


def test_what_a_server_does_not_say_is_unknown_and_not_nothing(server: Server):
    @flow("unsaid")
    def unsaid() -> None:
        server.embedder().embed(["a"])

    unsaid()
    (run,) = list_runs(find_workspace(), flow="unsaid")
    account = run.models["mine:m"]
    assert (account["unpriced"], account["amounts"], account["cost_usd"]) == (1, {}, None)


def test_a_flow_counts_what_it_embeds(provider: Provider):
    @flow("counting")
    def counting() -> tuple[int, ...]:
        return Embedder(SMALL, dimensions=8).embed(TEXTS).shape

    assert counting() == (25, 8)
    assert counting() == (25, 8)
    assert provider.requests == 1


def test_static_vectors_are_those_of_the_library_and_none_is_remembered(fresh):
    wordllama = pytest.importorskip("wordllama")
    texts = ["A sentence about cats.", "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8", "x" * 3000, "a"]
    theirs = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
    ours = Embedder("local:wordllama").embed(texts)
    assert np.allclose(ours, theirs.embed(texts, norm=True), atol=1e-6)
    assert np.array_equal(ours[1:2], Embedder("local:wordllama").embed(texts[1:2]))
    assert not (fresh.cache_dir / "cache.db").exists()
