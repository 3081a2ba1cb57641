"""What embeds a question: looked up once, and again when the index may have another embedder."""

from __future__ import annotations

from itertools import repeat
from typing import Any

import pytest

from latent.errors import StoreRefusedError
from latent.rag.stores import open_store
from latent.rag.stores.embedding import HEADER, EmbedderNote, QueryEmbedder


class OneIndex:
    """The part of a store that is asked for the embedder of its index, and how often it is."""

    name, index_name, dimensions = "memory", "docs", 256

    def __init__(self, **changes: Any) -> None:
        self.asked = 0
        self.note(**changes)

    def note(self, **changes: Any) -> None:
        from latent.llm import Embedder

        identity = Embedder("local:wordllama").identity
        known = {"spec": "local:wordllama", "identity": identity, "dimensions": 256}
        self.line = EmbedderNote(**known | changes).to_line()

    def read_manifest(self, names: Any = None) -> dict[str, str]:
        self.asked += 1
        return {HEADER: self.line}


def test_the_embedder_is_looked_up_when_the_manifest_may_have_changed():
    index, marks = OneIndex(), iter([1, 1, 1, 2, 2])
    embed = QueryEmbedder(index, mark=lambda: next(marks))  # type: ignore[arg-type]
    for _ in range(3):
        assert embed("a question").shape == (256,)
    assert index.asked == 1
    index.note(replaces="openai:other")
    for _ in range(2):  # what is refused is looked up each time: it may be mended
        with pytest.raises(StoreRefusedError, match="some of its vectors are of 'openai:other'"):
            embed("a question")
    assert index.asked == 3


def test_an_embedder_that_is_given_is_not_looked_up():
    index = OneIndex()
    embed = QueryEmbedder(index, "local:wordllama", mark=repeat(1).__next__)  # type: ignore[arg-type]
    assert embed("a question").shape == (256,)
    assert index.asked == 0


def test_a_folder_tells_at_once_that_another_handle_wrote_the_header(tmp_path, monkeypatch):
    one, other = (open_store("lancedb", "docs", dimensions=256, root=tmp_path) for _ in range(2))
    one.write_manifest({HEADER: OneIndex().line})
    one.query("a question")
    asked: list[Any] = []
    read = one.read_manifest
    monkeypatch.setattr(one, "read_manifest", lambda names=None: asked.append(names) or read(names))
    one.query("a question")
    assert not asked
    other.write_manifest({HEADER: OneIndex(replaces="openai:other").line})
    with pytest.raises(StoreRefusedError, match=r"some of its vectors are of 'openai:other'"):
        one.query("a question")
