"""How a store turns the text of a query into a vector: as the vectors of its records were made."""

from __future__ import annotations

import time
from collections.abc import Callable
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
LOOKS_AGAIN_SECONDS = 10
"""So long a store elsewhere is not asked again for an index's embedder, which costs as much as a query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderNote:
    """What the vectors of an index were made with."""

    spec: str
    """As `latent.llm.Embedder` takes it: `local:wordllama`, say."""
    identity: str
    """What the vectors depend on: two embedders of one identity can be exchanged."""
    dimensions: int
    requested: int | None = None
    """The length that was asked for; None for the model's own, which must not be sent to every server."""
    base_url: str | None = None
    """Without credentials: readers of the index must not learn them."""
    replaces: str | None = None
    """While sources go from one embedder to another: that which some vectors may still be of."""

    def to_line(self) -> str:
        """The manifest's line."""
        return orjson.dumps({"embedder": asdict(self)}).decode()

    @classmethod
    def of_line(cls, line: str | None) -> EmbedderNote | None:
        """What a line says; None without one."""
        return None if line is None else cls(**orjson.loads(line)["embedder"])

    def embedder(self) -> Any:
        """
        What makes vectors that can be compared with those of the index.

        Raises:
            ValueError: Nothing does.
        """
        if self.replaces is not None:
            raise ValueError(
                f"some of its vectors are of {self.replaces!r}, others of {self.spec!r}: ingest all of its "
                f"sources with {self.spec!r}, and see to those that cannot be read"
            )
        made = _embedder()(self.spec, dimensions=self.requested, base_url=self.base_url)
        if made.identity != self.identity:
            raise ValueError(
                f"its vectors were made with {self.identity!r}, and {self.spec!r} here is {made.identity!r}"
            )
        return made


class QueryEmbedder:
    """
    Makes vectors of queries; what it needs is loaded for the first text.

    Args:
        given: An embedder, or its name; None for that which the manifest names.
        mark: Differs once the manifest may have changed, and so the embedder; by default with time.
    """

    def __init__(self, store: Store, given: Any = None, mark: Callable[[], object] | None = None) -> None:
        self._store, self._given, self._mark = store, given, mark or _time_step
        self._seen: object = None
        """The mark when the manifest was last looked at."""
        self._noted: tuple[EmbedderNote, Any] | None = None
        """What it named then, and the embedder that it means."""
        self._lock = Lock()

    def __call__(self, text: str) -> np.ndarray:
        """
        float32, shape (dimensions,).

        Raises:
            StoreRefusedError: Nothing says what the records' vectors were made with, or not all of them
                were made with the same.
        """
        with self._lock:
            if isinstance(self._given, str):
                self._given = _of_length(self._given, self._store.dimensions)
            embedder = self._given if self._given is not None else self._named()
        vector: np.ndarray = embedder.embed([text])[0]
        return vector

    def _named(self) -> Any:
        # The index may have been brought to another embedder since it was opened.
        mark = self._mark()
        if self._noted is not None and mark == self._seen:
            return self._noted[1]
        note = EmbedderNote.of_line(self._store.read_manifest([HEADER]).get(HEADER))
        try:
            if note is None:
                raise ValueError("it does not know what made its vectors")
            if self._noted is None or self._noted[0] != note:
                self._noted = note, note.embedder()
            self._seen = mark
            return self._noted[1]
        except ValueError as error:
            reason = f"{error}. Ask with a vector, or open it with embedder=."
            raise StoreRefusedError(self._store.name, self._store.index_name, reason) from error


def _time_step() -> int:
    return int(time.monotonic() // LOOKS_AGAIN_SECONDS)


def _of_length(spec: str, dimensions: int) -> Any:
    """An embedder, told the length of vectors only where its own is another: not every server takes one."""
    made = _embedder()(spec)
    return made if made.dimensions in (None, dimensions) else _embedder()(spec, dimensions=dimensions)


def _embedder() -> Any:
    from latent.llm import Embedder

    return Embedder
