"""The passages that answer a question: by meaning, by words, or by both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from latent.errors import UsageError

if TYPE_CHECKING:
    from latent.rag.stores.records import Filter, Match, Store

Mode = Literal["vector", "bm25", "hybrid"]
MODES: tuple[Mode, ...] = ("vector", "bm25", "hybrid")

RANK_CONSTANT = 4
"""What keeps the first ranks from deciding alone; the 60 of Cormack et al. 2009 made little of them."""

BM25_WEIGHT = 0.65
"""Share of BM25 in a hybrid ranking. Both were chosen on the train part of SciFact (docs/ingestion.md)."""

DEPTH = 100
"""So many of each ranking are fused, at the least."""


@runtime_checkable
class TextSearch(Protocol):
    """A store that also searches for words."""

    def search_text(self, text: str, top_k: int = 10, filter: Filter | None = None) -> list[Match]:
        """The best matches by BM25."""


def retrieve(
    store: Store,
    question: str,
    top_k: int = 10,
    *,
    mode: Mode = "vector",
    filter: Filter | None = None,
    bm25_weight: float = BM25_WEIGHT,
) -> list[Match]:
    """
    The `top_k` passages that fit a question best, the best first.

    Args:
        mode: `vector` compares meanings, `bm25` words, `hybrid` both; the last two take an embedded store.
        bm25_weight: The share of words in a hybrid ranking, 0 to 1.

    Raises:
        UsageError: The store cannot search for words, or `mode` or `bm25_weight` cannot be.
    """
    if mode not in MODES:
        raise UsageError(f"`mode` is one of {', '.join(map(repr, MODES))}, not {mode!r}.")
    if not 0 <= bm25_weight <= 1:
        raise UsageError(f"`bm25_weight` is a share from 0 to 1, not {bm25_weight!r}.")
    if mode == "vector":
        return store.query(question, top_k, filter)
    if not isinstance(store, TextSearch):
        raise UsageError(
            f"The store {store.name!r} cannot search for words: ask with mode='vector', or use 'lancedb'."
        )
    if mode == "bm25":
        return store.search_text(question, top_k, filter)
    depth = max(DEPTH, top_k)
    rankings = (store.search_text(question, depth, filter), store.query(question, depth, filter))
    return fuse(rankings, (bm25_weight, 1 - bm25_weight))[:top_k]


def fuse(rankings: Sequence[Sequence[Match]], weights: Sequence[float]) -> list[Match]:
    """
    Several rankings as one, by weighted reciprocal ranks; scores of different kinds need not be compared.

    A passage gets `weight / (RANK_CONSTANT + rank)` of each ranking that has it, ranks from 1.
    Source: Cormack, Clarke and Büttcher 2009, "Reciprocal Rank Fusion", doi:10.1145/1571941.1572114.
    """
    scores: dict[str, float] = {}
    found: Mapping[str, Match] = {match.id: match for ranking in rankings for match in ranking}
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, match in enumerate(ranking, 1):
            scores[match.id] = scores.get(match.id, 0.0) + weight / (RANK_CONSTANT + rank)
    ordered = sorted(scores.items(), key=lambda scored: (-scored[1], scored[0]))
    return [replace(found[id], score=score) for id, score in ordered]
