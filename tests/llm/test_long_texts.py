"""A text that is too long to be embedded is named by its place, and costs no other its vector."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from latent.errors import ContextWindowError, ModelRefusedError, TextTooLongError
from latent.llm import Embedder
from tests.llm.conftest import Provider
from tests.llm.scripted import Server, scripted_server

SMALL = "openai:text-embedding-3-small"
LONG = "word " * 400


@pytest.fixture
def server() -> Iterator[Server]:
    with scripted_server() as started:
        yield started


def embedder(server: Server, **options: Any) -> Embedder:
    return Embedder("mine:m", base_url=f"{server.root}/v1", **options)


def answering(server: Server, refuses: Callable[[list[str]], bool], status: int, error: Any) -> None:
    """Answer with the lengths of the texts, unless they are refused."""

    def answer(body: Any) -> tuple[int, Any]:
        texts = body["input"]
        if refuses(texts):
            return status, error
        return 200, {"data": [{"index": n, "embedding": [float(len(t)), 1.0]} for n, t in enumerate(texts)]}

    server.answer = answer


TOO_LONG: list[tuple[int, Any]] = [
    (400, {"error": {"message": "This model's maximum context length is 8192 tokens", "code": None}}),
    # text-embeddings-inference
    (413, {"error": "Input validation error: `inputs` must have less than 512 tokens. Given: 801"}),
    (413, "<html><title>413 Request Entity Too Large</title></html>"),
    (400, {"error": {"message": "the input length exceeds the context length"}}),  # Ollama
    (500, {"error": {"message": "input (801 tokens) is too large to process", "code": 500}}),  # llama.cpp
]


@pytest.mark.parametrize(("status", "error"), TOO_LONG)
def test_a_text_that_is_too_long_is_named_and_the_others_are_kept(server: Server, status: int, error: Any):
    answering(server, lambda texts: any(len(text) > 1000 for text in texts), status, error)
    with pytest.raises(TextTooLongError, match=r"texts\[2\] of 4 is too long") as caught:
        embedder(server).embed(["a", "bb", LONG, "cccc"])
    assert (caught.value.indices, caught.value.count) == ((2,), 4)
    asked = server.requests
    assert embedder(server).embed(["a", "bb", "cccc"])[:, 0].tolist() == [1, 2, 4]
    assert server.requests == asked  # they were paid for, and are remembered


def test_each_text_that_is_too_long_is_named_once_for_each_place(server: Server):
    answering(server, lambda texts: any(len(text) > 1000 for text in texts), *TOO_LONG[0])
    texts = ["a", LONG, "b", LONG, LONG + "x", "c"]
    with pytest.raises(ContextWindowError, match=r"texts\[1\], texts\[3\], texts\[4\] of 6 are too long"):
        embedder(server, remember=False).embed(texts)
    found = embedder(server).embed_each(texts)
    assert [isinstance(each, TextTooLongError) for each in found] == [False, True, False, True, True, False]
    with pytest.raises(TextTooLongError, match=r"texts\[0\] of 1"):
        asyncio.run(embedder(server).embed_async([LONG]))


def test_what_is_only_too_much_at_once_is_asked_for_in_parts(server: Server):
    """A limit of tokens a minute that is smaller than a batch, and a server that takes few texts."""
    message = "Request too large for m on tokens per min (TPM): Limit 3, Requested 8."
    answering(server, lambda texts: len(texts) > 3, 429, {"error": {"message": message}})
    texts = [f"text {number}" for number in range(8)]
    assert embedder(server).embed(texts).shape == (8, 2)
    assert [len(body["input"]) for body in server.bodies] == [8, 4, 2, 2, 4, 2, 2]
    answering(
        server, lambda texts: len(texts) > 2, 413, {"error": "batch size 4 > maximum allowed batch size 2"}
    )
    assert embedder(server).embed([f"other {number}" for number in range(4)]).shape == (4, 2)


def test_other_refusals_are_told_at_once(server: Server):
    answering(server, lambda texts: True, 400, {"error": {"message": "`dimensions` is not supported"}})
    with pytest.raises(ModelRefusedError, match="not supported"):
        embedder(server).embed(["a", "b", "c"])
    assert server.requests == 1


def test_the_error_crosses_process_borders(provider: Provider):
    provider.behaves(context_window=100)
    with pytest.raises(TextTooLongError) as caught:
        Embedder(SMALL, dimensions=8).embed(["a", LONG])
    known = pickle.loads(pickle.dumps(caught.value))
    assert (known.indices, known.count, str(known)) == ((1,), 2, str(caught.value))
    assert known.status == 400 and "maximum context length" in known.reason
