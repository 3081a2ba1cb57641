"""What goes into a store and what comes out of it, and what a store must be able to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np

    from latent.rag.documents import Chunk

Metric = Literal["cosine", "dotproduct", "euclidean"]
"""How near two vectors are, in Pinecone's words."""

METRICS: tuple[Metric, ...] = ("cosine", "dotproduct", "euclidean")

Filter = Mapping[str, Any]
"""Conditions on records, as `latent.rag.stores.filters` reads them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A chunk with its vector, as a store keeps it."""

    id: str
    vector: Sequence[float] | np.ndarray
    """float32, shape (dimensions,)."""
    text: str
    source: str = ""
    chunk_index: int = 0
    start: int = 0
    """Offset of its first character in the document's text."""
    end: int = 0
    """Offset behind its last character; 0 where it is not part of a document."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """JSON values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A record that answers a query."""

    id: str
    score: float
    """The higher the nearer: the cosine, the inner product, the distance with a minus, or BM25."""
    text: str
    source: str
    chunk_index: int
    start: int
    end: int
    metadata: Mapping[str, Any]


class Store(Protocol):
    """
    One index of a vector store.

    `upsert`, `delete`, `query`, `count` and `ids` are for everybody; the others are what keeping an index in
    step with its documents needs beside them (`latent.rag.changes`).
    """

    name: str
    """The kind of store: `lancedb`, say."""
    index_name: str
    dimensions: int
    """Length of its vectors."""
    metric: Metric
    batch_size: int
    """How many records one call of `upsert` is best given."""

    def upsert(self, records: Iterable[Record]) -> None:
        """Write records; one with the id of another takes its place."""

    def delete(self, ids: Iterable[str]) -> None:
        """Remove records; ids that do not exist are left alone."""

    def query(
        self, query: str | Sequence[float] | np.ndarray, top_k: int = 10, filter: Filter | None = None
    ) -> list[Match]:
        """The `top_k` records nearest to a text or a vector, the best first."""

    def count(self) -> int:
        """How many records there are."""

    def ids(self) -> list[str]:
        """The ids of all records, in alphabetical order."""

    def read_manifest(self, names: Sequence[str] | None = None) -> dict[str, str]:
        """The lines of the manifest by their names: all, or those of `names` that there are."""

    def write_manifest(self, lines: Mapping[str, str | None]) -> None:
        """Write lines of the manifest, all or none where the store can; None removes one."""

    def lock(self) -> AbstractContextManager[None]:
        """Held by the process that changes the index, as long as it takes; others wait."""

    def tidy(self) -> None:
        """Join what many small writes left in pieces; called after an ingestion that changed something."""

    def close(self) -> None:
        """Free connections; the store is not used afterwards."""


@runtime_checkable
class ChecksRecords(Protocol):
    """A store that takes no record of any size or content, and says so before anything is written."""

    def check_record(self, record: Record) -> None:
        """Raise `StoreRefusedError` for a record that cannot be kept; its vector may still be missing."""


def record_of(chunk: Chunk, vector: Sequence[float] | np.ndarray) -> Record:
    """A chunk and its vector as a record."""
    return Record(
        id=chunk.id,
        vector=vector,
        text=chunk.text,
        source=chunk.source,
        chunk_index=chunk.chunk_index,
        start=chunk.start,
        end=chunk.end,
        metadata=chunk.metadata,
    )


def best_first(matches: Iterable[Match]) -> list[Match]:
    """By score; equals by id, so that a query gives the same answer each time."""
    return sorted(matches, key=lambda match: (-match.score, match.id))
