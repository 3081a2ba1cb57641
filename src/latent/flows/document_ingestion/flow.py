"""Document ingestion: files are cut into chunks, embedded, and an index is kept in step with them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from latent.config import find_workspace
from latent.config.validation import problems_of
from latent.errors import (
    ChunkTooLongError,
    ConfigValidationError,
    RunStoppedError,
    StoreMismatchError,
    StoreNotFoundError,
    StoreRefusedError,
    TextTooLongError,
    UsageError,
)
from latent.errors.text import did_you_mean
from latent.llm import Embedder
from latent.prefect import flow, log_metric, logger, task
from latent.prefect.cost_plan import REASON
from latent.prefect.run import current_run
from latent.rag import Chunk, Document, chunk_document, open_store
from latent.rag.changes import Wanted, content_of, fingerprint_in
from latent.rag.chunk.chunking import check_sizes
from latent.rag.index_sync import IndexSync, note_of
from latent.rag.load.finding import fits, look_for_documents, remote_url, shown
from latent.rag.load.loading import ReadingOptions, documents_in
from latent.rag.sources import (
    content_fingerprints,
    forget_fetched,
    read_unchanged,
    reader_of,
    vanished,
    was_fetched,
)
from latent.rag.stores import Store
from latent.rag.stores.checks import batches
from latent.rag.stores.embedding import HEADER
from latent.rag.stores.planned import PlannedIndex
from latent.rag.stores.records import ChecksRecords, record_of

if TYPE_CHECKING:
    import numpy as np

    from latent.config import Workspace
    from latent.prefect import Task
    from latent.rag.changes import Changes

EMBED_BATCH = 100
"""Texts of one call to the embedder."""

SOURCES_AT_ONCE = 500
"""So many sources are loaded, cut, embedded and written before the next: memory does not grow with them."""


OPENAI_LIMIT = "openai-embeddings"

FORMAT = 2
"""Changes when all indexes have to be written again."""

WHAT_IS_MISSING = (
    "Which documents, and into which index? Say -p 'file_paths=[\"docs/**/*.md\"]' -p index_name=docs."
)


class DocumentIngestionConfig(BaseModel):
    """What `-p`, `parameters.yaml` and callers from Python may say; checked when the flow starts."""

    file_paths: list[str] | str = Field(default=[], description="Files and globs, local or fsspec URLs")
    index_name: str = Field(default="", description="The index that is kept in step with them")
    chunk_size: int = Field(default=512, ge=1, description="The most that a chunk holds")
    overlap: int = Field(default=64, ge=0, description="The most that a chunk repeats of the one before")
    unit: Literal["characters", "tokens"] = Field(
        default="characters", description="What chunks are measured in"
    )
    embedder: str = Field(default="local:wordllama", description="As latent.llm.Embedder takes it")
    embedder_options: dict[str, Any] = Field(default={}, description="dimensions, base_url, ...")
    limit: str | None = Field(
        default=None, description="A [limits.NAME] that calls of the embedder take part in"
    )
    store: str = Field(default="lancedb", description="lancedb, pinecone or pgvector")
    store_options: dict[str, Any] = Field(default={}, description="As latent.rag.open_store takes them")
    metric: str | None = Field(
        default=None, description="cosine, dotproduct or euclidean; for a new index cosine"
    )
    prune: bool = Field(default=True, description="Remove what is gone or empty now")
    max_loss: float = Field(default=0.2, ge=0, le=1, description="The share of sources that may go at once")
    text_field: str | None = Field(default=None, description="Of rows of a table: what holds the text")
    title_field: str | None = Field(default=None, description="Of rows of a table: what holds the title")
    encoding: str | None = Field(default=None, description="Of texts, tables and HTML, where it is not found")
    loaders: dict[str, Any] = Field(
        default={}, description="By suffix, functions that read files, or their names: module:function"
    )
    remember_loaded_hours: float | None = Field(default=24, ge=0, description="0: not at all; null: for ever")
    remember_chunks_days: float | None = Field(default=7, ge=0, description="0: not at all; null: for ever")


@task("load", row_id="source", cache_expiration=timedelta(hours=24), span_type="PARSER")
def load(source: str, content: str, path: str, options: ReadingOptions) -> list[Document]:
    """
    The documents of a source: one, or one for each row of a table.

    Args:
        content: What the file holds, and its reader: a changed file is loaded again, as are all by a new one.
        path: Where it lies; differs from `source` where that may not be stored, say for a password in it.
    """
    data = read_unchanged(path, fingerprint_in(content), find_workspace().root)
    return documents_in(data, path, options)


@task("chunk", cache_expiration=timedelta(days=7))
def chunk(documents: list[Document], chunk_size: int, overlap: int, unit: Any) -> list[list[Chunk]]:
    """The chunks of each document of a source."""
    return [
        chunk_document(document, chunk_size=chunk_size, overlap=overlap, unit=unit) for document in documents
    ]


@task("fit", row_id="source", cache=False)
def fit(source: str, chunks: list[list[Chunk]], store: Any) -> None:
    """Fails for a source with a chunk that the store would refuse, before anything of it is written."""
    for each in chain.from_iterable(chunks):
        store.check_record(record_of(each, ()))


@task("embed", cache=False, span_type="EMBEDDING")
def embed(texts: list[str], embedder: Any) -> list[np.ndarray | TextTooLongError]:
    """
    The vectors of a batch of texts, each float32, shape (dimensions,); the error of one that is too long.

    The embedder remembers each text for ever by itself, whatever batch it stands in.
    """
    vectors: list[np.ndarray | TextTooLongError] = embedder.embed_each(texts)
    return vectors


@task("embeddable", row_id="source", cache=False)
def embeddable(source: str, problem: ChunkTooLongError) -> None:
    """Fails for a source with a chunk that the embedder finds too long."""
    raise problem


@task("upsert", cache=False, no_retry_on=(StoreRefusedError, StoreMismatchError, StoreNotFoundError))
def upsert(chunks: Sequence[Chunk], vectors: Sequence[Any], store: Any) -> int:
    """Write chunks with their vectors; how many."""
    store.upsert(map(record_of, chunks, vectors))
    return len(chunks)


@flow("document_ingestion", config_schema=DocumentIngestionConfig)
def document_ingestion(
    file_paths: list[str] | str | None = None,
    index_name: str = "",
    chunk_size: int = 512,
    overlap: int = 64,
    *,
    unit: Literal["characters", "tokens"] = "characters",
    embedder: str = "local:wordllama",
    embedder_options: dict[str, Any] | None = None,
    limit: str | None = None,
    store: str = "lancedb",
    store_options: dict[str, Any] | None = None,
    metric: str | None = None,
    prune: bool = True,
    max_loss: float = 0.2,
    text_field: str | None = None,
    title_field: str | None = None,
    encoding: str | None = None,
    loaders: dict[str, Any] | None = None,
    remember_loaded_hours: float | None = 24,
    remember_chunks_days: float | None = 7,
) -> int:
    """
    Bring an index into step with files, and return how many of its vectors are theirs.

    Sources that have not changed cost nothing. What is gone or empty now is taken out of the index, unless
    that is more than `max_loss` of it. An unreadable file is a failed row; what the index had of it stays.
    """
    if not file_paths or not index_name:
        raise UsageError(WHAT_IS_MISSING)
    check_sizes(chunk_size, overlap, unit)
    check_bounds(
        max_loss=max_loss,
        remember_loaded_hours=remember_loaded_hours,
        remember_chunks_days=remember_chunks_days,
    )
    workspace = find_workspace()
    reading = ReadingOptions(
        text_field=text_field,
        title_field=title_field,
        encoding=encoding,
        loaders=found_loaders(loaders or {}),
    )
    is_plan = (run := current_run()) is not None and run.cost_plan is not None
    found, missing = look_for_documents(file_paths, root=workspace.root)
    paths = {shown(path): path for path in found}
    made_with = embedder_options or {}
    model = made_embedder(workspace, embedder, limit, made_with)
    note = note_of(model, requested=made_with.get("dimensions"), ask=not is_plan)
    options = {
        "dimensions": note.dimensions or None,
        "metric": metric,
        "root": workspace.root,
        "create": not missing,
    }
    open_it: Any = PlannedIndex if is_plan else open_store
    try:
        index = open_it(store, index_name, **(options | (store_options or {})))
    except StoreNotFoundError:
        if missing:
            raise missing[0] from None
        raise
    fingerprints: dict[str, str] = {}
    try:
        with index.lock():
            known = set(index.read_manifest()) - {HEADER, *paths}
            for unfound in missing:
                # What the index knows is gone, and no slip; whether it may go is for `max_loss` to say.
                if not any(fits(source, unfound.pattern, root=workspace.root) for source in known):
                    raise unfound
            meant = [source for source in known if fits(source, file_paths, root=workspace.root)]
            gone = vanished(meant, workspace.root, paths) if prune else []
            fingerprints = content_fingerprints(paths, workspace)
            contents = {
                source: content_of(fingerprint, reader_of(paths[source], reading, workspace.root))
                for source, fingerprint in fingerprints.items()
            }
            ingestion = Ingestion(
                index=index,
                model=model,
                root=workspace.root,
                paths=paths,
                contents=contents,
                chunking={"chunk_size": chunk_size, "overlap": overlap, "unit": unit},
                reading=reading,
                load=remembering(load, remember_loaded_hours, timedelta(hours=1)),
                chunk=remembering(chunk, remember_chunks_days, timedelta(days=1)),
                prune=prune,
                is_plan=is_plan,
            )
            sync = IndexSync(index, note, ingestion.settings, contents, gone=gone, max_loss=max_loss)
            tell_readers(sync)
            done = ingestion.bring_up(sync)
            sync.settle()
            if done.lines:
                if is_plan:
                    raise RunStoppedError(REASON, "document_ingestion")
                index.tidy()
            report(done, sync, gone)
    finally:
        forget_fetched(fingerprints.values(), workspace.root)
        index.close()
    return sync.vectors()


@dataclass(frozen=True, slots=True)
class Done:
    """What an ingestion has changed, in numbers: the texts of all waves may not fit into memory."""

    written: int = 0
    deleted: int = 0
    lines: int = 0
    """Lines of the manifest that were written or removed."""

    def __add__(self, changes: Changes) -> Done:
        return Done(
            self.written + len(changes.write),
            self.deleted + len(changes.obsolete),
            self.lines + len(changes.lines),
        )


class UnfitSourcesError(Exception):
    """Sources with chunks that the embedder finds too long, by name; never seen by users."""

    def __init__(self, problems: dict[str, ChunkTooLongError]) -> None:
        super().__init__(problems)
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class Ingestion:
    """What all waves of one ingestion have in common."""

    index: Store
    model: Any
    root: Path
    paths: dict[str, str]
    """Where the sources lie."""
    contents: dict[str, str]
    """`content_of` the sources as they are now."""
    chunking: dict[str, Any]
    reading: ReadingOptions
    load: Task[..., list[Document]]
    chunk: Task[..., list[list[Chunk]]]
    prune: bool
    is_plan: bool

    @property
    def settings(self) -> str:
        """What the chunks of a source depend on beside its content."""
        return " ".join(map(str, [FORMAT, *self.chunking.values(), self.model.identity]))

    def bring_up(self, sync: IndexSync) -> Done:
        """Change what has to change, in waves; then take out what is gone, and see who inherits from that."""
        done = Done()
        tried: set[str] = set()
        for _ in range(2):
            while wave := self._next_wave(sync, tried):
                changes = self._apply(sync, self.wanted_of(wave))
                # Sources that shared chunks with one of this wave may be due again.
                tried = (tried - set(changes.lines)) | set(wave)
                done += changes
            changes = sync.remove_gone()
            tried -= set(changes.lines)
            done += changes
        return done

    def _apply(self, sync: IndexSync, wanted: dict[str, Wanted]) -> Changes:
        """Let the sources contribute what is wanted of them, but for those that cannot be embedded."""
        vectors: dict[str, Any] = {}
        while True:
            try:
                return sync.apply(wanted, partial(self.embed, vectors), self.write, prune=self.prune)
            except UnfitSourcesError as unfit:
                problems = unfit.problems
                embeddable.map(list(problems), list(problems.values()), on_error="collect").result()
                wanted = {source: each for source, each in wanted.items() if source not in problems}

    def _next_wave(self, sync: IndexSync, tried: set[str]) -> list[str]:
        return [source for source in sync.pending() if source not in tried][:SOURCES_AT_ONCE]

    def wanted_of(self, wave: list[str]) -> dict[str, Wanted]:
        """What the sources of a wave are to contribute; those that cannot be read are left out."""
        contents = [self.contents[source] for source in wave]
        paths = [self._path(source) for source in wave]
        loaded = self.load.map(wave, contents, paths, options=self.reading, on_error="collect").result()
        readable = {s: found for s, found in zip(wave, loaded, strict=True) if isinstance(found, list)}
        tell_scans(readable)
        cut = self._cut(readable)
        return {
            source: Wanted(
                content=self.contents[source],
                settings=self.settings,
                documents={each.hash: chunks for each, chunks in zip(readable[source], lists, strict=True)},
            )
            for source, lists in cut.items()
        }

    def _path(self, source: str) -> str:
        """Where a source is read; what was fetched needs no password or signature that its address has."""
        path = self.paths[source]
        is_at_hand = remote_url(path) and was_fetched(fingerprint_in(self.contents[source]), self.root)
        return source if is_at_hand else path

    def _cut(self, readable: dict[str, list[Document]]) -> dict[str, list[list[Chunk]]]:
        """The chunks of each source that can be cut, and that the store takes."""
        if not readable:
            return {}
        found = self.chunk.map(list(readable.values()), on_error="collect", **self.chunking).result()
        for each in found:
            if isinstance(each, UsageError):  # of settings or what is installed, and no source's
                raise each
        cut = {s: lists for s, lists in zip(readable, found, strict=True) if isinstance(lists, list)}
        if not (cut and isinstance(self.index, ChecksRecords)):
            return cut
        fitting = fit.map(list(cut), list(cut.values()), store=self.index, on_error="collect").result()
        return {source: cut[source] for source, said in zip(cut, fitting, strict=True) if said is None}

    def embed(self, known: dict[str, Any], chunks: Sequence[Chunk]) -> list[Any]:
        """
        The vectors of chunks; of a plan, none: what they would cost is counted.

        Args:
            known: Vectors by their chunks' ids; those that are missing are added.

        Raises:
            UnfitSourcesError: Some chunks are longer than the embedder reads; the others are known now.
        """
        if self.is_plan:
            with suppress(RunStoppedError):
                self.model.embed([each.text for each in chunks])
            return []
        missing = [each for each in chunks if each.id not in known]
        texts = [each.text for each in missing]
        embedded = embed.map(list(batches(texts, EMBED_BATCH)), embedder=self.model).result()
        problems: dict[str, ChunkTooLongError] = {}
        for each, found in zip(missing, chain.from_iterable(embedded), strict=True):
            if isinstance(found, TextTooLongError):
                about = (each.chunk_index, len(each.text), self.model.spec, found.reason)
                problems.setdefault(each.source, ChunkTooLongError(each.source, *about))
            else:
                known[each.id] = found
        if problems:
            raise UnfitSourcesError(problems)
        return [known[each.id] for each in chunks]

    def write(self, chunks: Sequence[Chunk], vectors: Sequence[Any]) -> None:
        """Write chunks with their vectors to the index."""
        if self.is_plan:
            return
        upsert.map(
            list(batches(chunks, self.index.batch_size)),
            list(batches(vectors, self.index.batch_size)),
            store=self.index,
        ).result()


def check_bounds(**given: Any) -> None:
    """
    Hold values that Python code gave against what `DocumentIngestionConfig` takes.

    Raises:
        ConfigValidationError: With a line for each that does not fit.
    """
    try:
        DocumentIngestionConfig.model_validate(given)
    except ValidationError as error:
        problems = problems_of(error, DocumentIngestionConfig, lambda _: "Python")
        lines = tuple(problem.line() for problem in problems)
        raise ConfigValidationError("document_ingestion", lines) from None


def found_loaders(given: Mapping[str, Any]) -> dict[str, Any]:
    """Readers of the user's own, with those that are named, `module:function`, found in the workspace."""
    found = {}
    root = str(find_workspace().root)
    if given and root not in sys.path:
        sys.path.append(root)
    for suffix, loader in given.items():
        if isinstance(loader, str):
            try:
                loader = resolve_name(loader)
            except (ImportError, AttributeError, ValueError) as error:
                raise UsageError(
                    f"loaders[{suffix!r}]: {loader!r} is not found as module:function ({error})."
                ) from error
        found[suffix] = loader
    return found


def made_embedder(workspace: Workspace, spec: str, limit: str | None, options: dict[str, Any]) -> Embedder:
    """The embedder, under the limit `openai-embeddings` where it is OpenAI's and the settings define that."""
    if limit is None and spec.startswith("openai:") and OPENAI_LIMIT in workspace.settings.limits:
        limit = OPENAI_LIMIT
    known = [*inspect.signature(Embedder).parameters][1:]
    for name in options:
        if name not in known:
            hint = did_you_mean(name, known, f"there are {', '.join(known)}.")
            raise UsageError(f"embedder_options: there is no option {name!r}: {hint}")
    return Embedder(spec, **{"limit": limit} | options)


def remembering(made: Task[..., Any], length: float | None, unit: timedelta) -> Task[..., Any]:
    """A task whose results are remembered for so long: 0 not at all, None for ever."""
    if length == 0:
        return made.with_options(cache=False)
    return made.with_options(cache_expiration=None if length is None else length * unit)


def tell_readers(sync: IndexSync) -> None:
    """Say which sources are read again although they have not changed."""
    for (before, now), count in sorted(sync.read_again().items()):
        logger.info(
            f"{count:,} unchanged sources are read again: by {now}, which was {before or 'an earlier one'}."
        )


def tell_scans(readable: Mapping[str, list[Document]]) -> None:
    """Say which pages hold pictures alone: nothing of them can be found."""
    for source, documents in readable.items():
        for pages in filter(None, (each.metadata.get("pages_without_text") for each in documents)):
            logger.warning(
                f"{source}: pages without text, only with pictures, which are left out: {in_ranges(pages)}. "
                "Run it through OCR to have them read."
            )


def in_ranges(numbers: Sequence[int]) -> str:
    """Whole numbers in ascending order, in short: `2-4, 7`."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and ranges[-1][-1] == number - 1:
            ranges[-1][1:] = [number]
        else:
            ranges.append([number])
    return ", ".join("-".join(map(str, each)) for each in ranges)


def report(done: Done, sync: IndexSync, gone: Sequence[str]) -> None:
    """Say what was done, and keep the numbers with the run."""
    figures = {"vectors": sync.vectors(), "chunks_written": done.written, "chunks_deleted": done.deleted}
    for name, number in figures.items():
        log_metric(name, number)
    held = sum(source in sync.lines for source in sync.sources)
    logger.info(
        f"Index {sync.store.index_name!r}: {held:,} of {len(sync.sources):,} sources, "
        f"{figures['vectors']:,} vectors. Written: {done.written:,}, deleted: {done.deleted:,}; "
        f"sources gone: {len(gone):,}."
    )
