"""Ranking by meaning, by words and by both; and how good that is on a public test set."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latent.errors import UsageError
from latent.llm import Embedder
from latent.rag import Match, Record, Store, fuse, open_store, retrieve
from latent.rag.retrieval import BM25_WEIGHT

SCIFACT = Path(__file__).parents[3] / "shared" / "data" / "retrieval" / "scifact"


def match(id: str, score: float = 0.0) -> Match:
    return Match(id=id, score=score, text=id, source="", chunk_index=0, start=0, end=0, metadata={})


class TestFusing:
    def test_ranks_are_weighed_and_added(self):
        words, meanings = [match("a"), match("b")], [match("b"), match("c")]
        fused = fuse([words, meanings], [0.75, 0.25])
        # By hand: b is second and first, a first only, c second only.
        expected = {"b": 0.75 / 6 + 0.25 / 5, "a": 0.75 / 5, "c": 0.25 / 6}
        assert [each.id for each in fused] == ["b", "a", "c"]
        assert {each.id: each.score for each in fused} == pytest.approx(expected)

    def test_equals_are_in_the_order_of_their_ids(self):
        assert [each.id for each in fuse([[match("z")], [match("a")]], [0.5, 0.5])] == ["a", "z"]

    def test_no_rankings_make_no_ranking(self):
        assert fuse([[], []], [0.5, 0.5]) == []


class TestRetrieve:
    @pytest.fixture
    def store(self, tmp_path):
        class Embedder:
            """Asks for the third record, whatever the question."""

            def embed(self, texts: list[str]) -> Any:
                return np.array([[0.0, 0.0, 1.0]] * len(texts), dtype=np.float32)

        store = open_store("lancedb", "docs", dimensions=3, embedder=Embedder(), root=tmp_path)
        texts = ["a route binds an address", "templates are rendered", "sessions are signed"]
        store.upsert(
            Record(id=str(n), vector=np.eye(3, dtype=np.float32)[n], text=text)
            for n, text in enumerate(texts)
        )
        return store

    def test_each_mode_finds_what_it_compares(self, store):
        assert [m.id for m in retrieve(store, "the address of a route", 1)] == ["2"]
        assert [m.id for m in retrieve(store, "the address of a route", 5, mode="bm25")] == ["0"]
        hybrid = retrieve(store, "the address of a route", 5, mode="hybrid")
        assert [m.id for m in hybrid[:2]] == ["0", "2"]

    def test_what_cannot_be_asked_is_told(self, store):
        with pytest.raises(UsageError, match="one of 'vector', 'bm25', 'hybrid'"):
            retrieve(store, "x", mode="words")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="a share from 0 to 1"):
            retrieve(store, "x", mode="hybrid", bm25_weight=2)

        class Vectors:
            name = "pinecone"

        with pytest.raises(UsageError, match="'pinecone' cannot search for words"):
            retrieve(Vectors(), "x", mode="bm25")  # type: ignore[arg-type]


def ndcg_at_10(ranking: list[str], relevant: set[str]) -> float:
    """Järvelin and Kekäläinen 2002, with judgements of 0 and 1."""
    gain = sum(1 / math.log2(rank + 1) for rank, id in enumerate(ranking[:10], 1) if id in relevant)
    return gain / sum(1 / math.log2(rank + 1) for rank in range(1, min(10, len(relevant)) + 1))


def judgements(part: str) -> dict[str, set[str]]:
    lines = (SCIFACT / "qrels" / f"{part}.tsv").read_text(encoding="utf-8").splitlines()[1:]
    found: dict[str, set[str]] = {}
    for line in lines:
        query, document, _ = line.split("\t")
        found.setdefault(query, set()).add(document)
    return found


def rows(name: str) -> Iterator[dict[str, Any]]:
    with (SCIFACT / name).open(encoding="utf-8") as file:
        yield from map(json.loads, file)


needs_scifact = pytest.mark.skipif(not SCIFACT.exists(), reason="the shared data are not here")


@pytest.fixture(scope="module")
def scifact(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The abstracts, one vector for title and text."""
    embedder = Embedder("local:wordllama")
    documents = list(rows("corpus.jsonl"))
    texts = [f"{each['title']}\n{each['text']}" for each in documents]
    folder = tmp_path_factory.mktemp("scifact")
    store = open_store("lancedb", "scifact", dimensions=256, embedder=embedder, root=folder)
    store.upsert(
        Record(id=each["_id"], vector=vector, text=text)
        for each, vector, text in zip(documents, embedder.embed(texts), texts, strict=True)
    )
    return store


@needs_scifact
def test_words_find_abstracts_and_meanings_help(scifact):
    """Held to: BM25 at least 0.65 nDCG@10, hybrid not below it; docs/ingestion.md has the table."""
    relevant = judgements("test")
    claims = {each["_id"]: each["text"] for each in rows("queries.jsonl")}
    bm25 = {id: scifact.search_text(claims[id], 100) for id in relevant}
    vector = {id: scifact.query(claims[id], 100) for id in relevant}

    def quality(weight: float) -> float:
        fused = {id: fuse([bm25[id], vector[id]], [weight, 1 - weight]) for id in relevant}
        return float(np.mean([ndcg_at_10([m.id for m in fused[id]], relevant[id]) for id in relevant]))

    alone = float(np.mean([ndcg_at_10([m.id for m in bm25[id]], relevant[id]) for id in relevant]))
    assert alone >= 0.65
    assert quality(BM25_WEIGHT) >= alone
