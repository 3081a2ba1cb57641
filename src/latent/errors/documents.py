"""Errors of documents, their chunks, and the indexes of vector stores that hold them."""

from __future__ import annotations

from latent.errors.base import Fields, LatentError, UsageError
from latent.errors.text import file_line


class ChunkSettingError(Fields, UsageError, ValueError):
    """Documents cannot be cut into chunks in the way that was asked for."""

    setting: str
    value: object
    reason: str
    template = "Documents cannot be chunked with {setting}={value!r}: {reason}."


class IngestionError(LatentError):
    """Documents cannot be brought into an index."""


class NoDocumentsError(Fields, IngestionError, FileNotFoundError):
    """A path or a pattern that no file fits."""

    pattern: str
    place: str
    hint: str
    template = "No file in {place} fits {pattern!r}: {hint}"


class SourceConnectionError(Fields, IngestionError, ConnectionError):
    """
    A file system elsewhere does not give a file: another attempt may help.

    Attributes:
        status: Of the server's answer; a refusal is not worth another attempt.
    """

    source: str
    said: str
    status: int | None = None
    template = "{source} cannot be fetched ({said})."


class ChunkTooLongError(Fields, IngestionError, ValueError):
    """
    A chunk of a source is longer than the embedder reads; the index keeps what it had of the source.

    Attributes:
        chunk_index: Which chunk of its document, 0-based.
        characters: How long it is.
        said: What the provider says.
    """

    source: str
    chunk_index: int
    characters: int
    embedder: str
    said: str

    def __str__(self) -> str:
        return (
            f"{self.source} cannot be indexed: its chunk {self.chunk_index} ({self.characters:,} characters) "
            f"is longer than {self.embedder!r} reads ({self.said.strip().rstrip('.')}). Lower chunk_size."
        )


class UnreadableDocumentError(Fields, IngestionError, ValueError):
    """
    A file holds no text, or not in the form that its suffix says.

    Attributes:
        line: 1-based; None when none is to blame.
    """

    source: str
    reason: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{file_line(self.source, self.line)} cannot be read: {self.reason}"


class StoreError(Fields, LatentError):
    """An index of a vector store cannot be used."""

    store: str
    index: str
    reason: str
    template = "Index {index!r} of {store}: {reason}"


class StoreNotFoundError(StoreError, LookupError):
    """The store has no index of this name."""


class StoreMismatchError(StoreError, UsageError, ValueError):
    """An index was made for other vectors than those it is given: their length, metric or model."""


class StoreRefusedError(StoreError, ValueError):
    """The store does not take what it was given: a name, a record, a filter, a key."""


class StoreUsageError(StoreRefusedError, UsageError):
    """The store was asked wrongly, which is known without asking it: a name, a metric, a query, no key."""


class StoreConnectionError(StoreError, ConnectionError):
    """The store cannot be reached, or vanished midway; what was written before is kept."""


class PruneError(StoreError):
    """
    So many sources are gone that a mistake is likelier than intent; nothing was removed.

    Attributes:
        gone: The sources that are gone or empty now.
        known: How many sources the index has.
        max_loss: The share that may go at once.
    """

    def __init__(self, store: str, index: str, gone: tuple[str, ...], known: int, max_loss: float) -> None:
        super().__init__(store, index, "too many sources are gone")
        self.args = (store, index, gone, known, max_loss)
        self.gone, self.known, self.max_loss = gone, known, max_loss

    def __str__(self) -> str:
        shown = ", ".join(map(repr, self.gone[:3])) + (", ..." if len(self.gone) > 3 else "")
        share = min(1.0, -(-100 * len(self.gone) // self.known) / 100)
        return (
            f"Index {self.index!r} of {self.store} would lose {len(self.gone)} of its {self.known} sources, "
            f"more than {self.max_loss:.0%} at once ({shown}). They are gone or empty; nothing was removed. "
            f"If that is meant, say max_loss={share:g}; to keep them, prune=False."
        )
