"""How a store turns the text of a query into a vector: as the vectors of its records were made."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import orjson

from latent.errors import StoreRefusedError

if TYPE_CHECKING:
    import numpy as np

    from latent.rag.stores.records import Store

HEADER = ""
"""The name of the manifest's line about the index itself: no source is called so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderNote:
    """What the vectors of an index were made with."""

    spec: str
    """As `latent.llm.Embedder` takes it: `local:wordllama`, say."""
    identity: str
    """What the vectors depend on: two embedders of one identity can be exchanged."""
    dimensions: int
    base_url: str | None = None

    def to_line(self) -> str:
        """The manifest's line."""
        return orjson.dumps({"embedder": asdict(self)}).decode()

    @classmethod
    def of_line(cls, line: str | None) -> EmbedderNote | None:
        """What a line says; None without one."""
        return None if line is None else cls(**orjson.loads(line)["embedder"])


class QueryEmbedder:
    """
    Makes vectors of queries; what it needs is loaded for the first text.

    Args:
        given: An embedder, or its name; None for that which the manifest names.
    """

    def __init__(self, store: Store, given: Any = None) -> None:
        self._store, self._given = store, given
        self._lock = Lock()

    def __call__(self, text: str) -> np.ndarray:
        """
        float32, shape (dimensions,).

        Raises:
            StoreRefusedError: Nothing says what the records' vectors were made with.
        """
        with self._lock:
            if self._given is None or isinstance(self._given, str):
                self._given = self._made(self._given)
        vector: np.ndarray = self._given.embed([text])[0]
        return vector

    def _made(self, spec: str | None) -> Any:
        if spec is not None:
            return _embedder()(spec, dimensions=self._store.dimensions)
        note = EmbedderNote.of_line(self._store.read_manifest().get(HEADER))
        if note is None:
            raise StoreRefusedError(
                self._store.name,
                self._store.index_name,
                "it does not know what made its vectors: ask with a vector, or open it with embedder=.",
            )
        return _embedder()(note.spec, dimensions=note.dimensions, base_url=note.base_url)


def _embedder() -> Any:
    from latent.llm import Embedder

    return Embedder
