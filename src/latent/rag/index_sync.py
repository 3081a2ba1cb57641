"""An index brought into step with its documents: carries out on a store what `latent.rag.changes` decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from latent.errors import PruneError, StoreMismatchError, UsageError
from latent.llm.endpoints import shown_url
from latent.rag.changes import (
    Changes,
    Line,
    changes_for,
    doubted,
    fingerprint_in,
    is_current,
    lines_of,
    losses,
    reader_in,
    records_of,
    vectors_of,
)
from latent.rag.documents import content_hash
from latent.rag.stores.embedding import HEADER, EmbedderNote

if TYPE_CHECKING:
    from latent.rag.changes import Wanted
    from latent.rag.documents import Chunk
    from latent.rag.stores.records import Store

    Embed = Callable[[Sequence[Chunk]], Sequence[Any]]
    Write = Callable[[Sequence[Chunk], Sequence[Any]], Any]


class IndexSync:
    """
    An index that is being changed, by the holder of its lock.

    Sources whose records were deleted by hand are due again; it takes counting the records to see that.

    Args:
        note: What its vectors are made with from now on. The index says so once none is of another embedder.
        settings: What the chunks of a source depend on beside its content.
        contents: `content_of` all sources of this ingestion, as they are now.
        gone: Sources that the index has and that no longer exist; they may be removed.
        max_loss: The share of its sources that an index may lose at once.

    Raises:
        StoreMismatchError: Sources that are not at hand would keep vectors of another embedder.
        PruneError: More than `max_loss` is gone; nothing was changed.
    """

    def __init__(
        self,
        store: Store,
        note: EmbedderNote,
        settings: str,
        contents: Mapping[str, str],
        *,
        gone: Iterable[str] = (),
        max_loss: float = 0.2,
    ) -> None:
        self.store, self.note, self.settings, self.max_loss = store, note, settings, max_loss
        self.contents, self.sources, self.gone = contents, sorted(contents), sorted(gone)
        self.emptied: list[str] = []
        manifest = store.read_manifest()
        self.lines: dict[str, Line] = lines_of(manifest)
        self._known = dict(self.lines)
        self._header = EmbedderNote.of_line(manifest.get(HEADER))
        self._check_losses()
        self._check_embedder()
        if store.count() < records_of(self.lines):
            self.lines = doubted(self.lines, store.ids())

    def pending(self) -> list[str]:
        """The sources whose chunks are not known to be what their contents and the settings ask for."""
        return [s for s in self.sources if not is_current(self.lines.get(s), self.contents[s], self.settings)]

    def read_again(self) -> Counter[tuple[str, str]]:
        """How many unchanged sources are due as another reader reads them: by the former and the new one."""
        pairs = ((self.lines[s].content, self.contents[s]) for s in self.pending() if s in self.lines)
        return Counter(
            (reader_in(before), reader_in(now))
            for before, now in pairs
            if before and before != now and fingerprint_in(before) == fingerprint_in(now)
        )

    def apply(
        self, wanted: Mapping[str, Wanted], embed: Embed, write: Write, *, prune: bool = True
    ) -> Changes:
        """
        Let sources contribute what is wanted of them.

        Args:
            embed: Makes the vectors of chunks, before anything is changed.
            write: Writes chunks with their vectors; all are there when it returns.
            prune: Whether sources that have become empty lose what they had; else they stay as they are.

        Raises:
            PruneError: Too much has become empty; what was applied before stays.
        """
        emptied = [s for s in wanted if self._becomes_empty(s, wanted[s])]
        if prune:
            self.emptied += emptied
            self._check_losses()
        else:
            wanted = {source: each for source, each in wanted.items() if source not in emptied}
        changes = changes_for(self.lines, wanted)
        vectors = embed(changes.write) if changes.write else []
        return self._carry_out(changes, lambda: write(changes.write, vectors))

    def remove_gone(self) -> Changes:
        """Take out what no longer exists."""
        return self._carry_out(changes_for(self.lines, {}, self.gone), lambda: None)

    def settle(self) -> None:
        """Write down what the vectors are made with, unless some are still of another embedder."""
        if self._replaced() is None:
            self._write_header()

    def vectors(self) -> int:
        """How many vectors of the index belong to this ingestion's sources."""
        return vectors_of(self.lines, self.sources)

    def _carry_out(self, changes: Changes, write: Callable[[], Any]) -> Changes:
        def write_all() -> None:
            self._write_header()
            write()

        _carry_out(self.store, changes, write_all)
        for source, line in changes.lines.items():
            if line is None:
                self.lines.pop(source, None)
            else:
                self.lines[source] = line
        return changes

    def _write_header(self) -> None:
        header = replace(self.note, replaces=self._replaced())
        if header != self._header:
            self.store.write_manifest({HEADER: header.to_line()})
            self._header = header

    def _replaced(self) -> str | None:
        """The embedder that some vectors may be of beside those of `note`."""
        before = self._header
        if before is None:
            return None
        former = before.replaces if before.identity == self.note.identity else before.spec
        kept = any(line.settings != self.settings for line in self.lines.values() if line.documents)
        return former if kept else None

    def _becomes_empty(self, source: str, wanted: Wanted) -> bool:
        line = self.lines.get(source)
        had = line is not None and any(line.documents.values())
        return had and not any(wanted.documents.values())

    def _check_losses(self) -> None:
        """The share is of what the index had when the ingestion began; what was only renamed is not lost."""
        present = set(map(fingerprint_in, self.contents.values())) - {""}
        lines = self._known
        gone = [s for s in self.gone if s in lines and fingerprint_in(lines[s].content) not in present]
        lost, known = losses(self._known, gone, self.emptied, self.sources)
        if known and len(lost) / known > self.max_loss:
            raise PruneError(self.store.name, self.store.index_name, tuple(lost), known, self.max_loss)

    def _check_embedder(self) -> None:
        before, now = self._header, self.note
        if before is None or before.identity == now.identity:
            return
        others = sorted(set(self.lines) - set(self.sources) - set(self.gone))
        if others:
            raise StoreMismatchError(
                self.store.name,
                self.store.index_name,
                f"its vectors were made with {before.spec!r}, not {now.spec!r}, and {len(others)} of its "
                f"sources are not among those that are ingested now ({others[0]!r}, ...). Ingest all of them "
                "together, or use another index.",
            )


def remove_sources(store: Store, prefix: str) -> list[str]:
    """
    Take all sources out of an index whose names begin with `prefix`, whether or not they exist.

    Returns their names. What other sources share with them stays, and is theirs after the next ingestion
    that names them.

    Raises:
        UsageError: An empty prefix, which would be all of them.
    """
    if not prefix:
        raise UsageError("remove_sources: an empty prefix means all sources: say which, say 'docs/old/'.")
    with store.lock():
        lines = lines_of(store.read_manifest())
        gone = sorted(source for source in lines if source.startswith(prefix))
        _carry_out(store, changes_for(lines, {}, gone), lambda: None)
    return gone


def _carry_out(store: Store, changes: Changes, write: Callable[[], Any]) -> None:
    """Make changes to a store, so that a crash at any point leaves lines that tell what may be there."""
    if changes.intents:
        store.write_manifest({source: line.to_text() for source, line in changes.intents.items()})
    if changes.write:
        write()
    if changes.obsolete:
        store.delete(changes.obsolete)
    if changes.lines:
        texts = {s: None if line is None else line.to_text() for s, line in changes.lines.items()}
        store.write_manifest(texts)


def note_of(embedder: Any, *, requested: int | None = None, ask: bool = True) -> EmbedderNote:
    """
    What an index writes down about an embedder.

    Args:
        requested: The length of vectors that it was told to make.
        ask: Whether to ask for one vector where their length is not known; else it is noted as 0.
    """
    dimensions = embedder.dimensions
    if dimensions is None:
        dimensions = embedder.embed(["How long is a vector?"]).shape[1] if ask else 0
    base_url = getattr(embedder, "base_url", None)
    return EmbedderNote(
        spec=embedder.spec,
        identity=embedder.identity,
        dimensions=int(dimensions),
        requested=requested,
        base_url=base_url and shown_url(base_url),
    )


def index_summary(store: Store) -> dict[str, Any]:
    """
    What an index holds, in short: `store`, `name`, `records`, `dimensions`, `embedder` and `fingerprint`.

    The fingerprint changes whenever an ingestion changed the records; what is computed from an index can be
    remembered by it.
    """
    manifest = store.read_manifest()
    note = EmbedderNote.of_line(manifest.get(HEADER))
    return {
        "store": store.name,
        "name": store.index_name,
        "records": store.count(),
        "dimensions": store.dimensions,
        "embedder": note and note.spec,
        "fingerprint": content_hash("\n".join(f"{name}\t{line}" for name, line in sorted(manifest.items()))),
    }
