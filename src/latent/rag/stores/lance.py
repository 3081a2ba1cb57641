"""
LanceDB: an index as a folder of files, in this process; nothing to start, and no key.

Each write makes a version of a table, so records are written in large batches; what old versions hold is
tidied up once it is a day old. The only module that knows lancedb.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from latent.config.extras import import_extra
from latent.errors import StoreConnectionError, StoreNotFoundError, StoreUsageError
from latent.errors.text import nearest as nearest_name
from latent.rag.stores.checks import (
    check_made_for,
    checked_metric,
    checked_query,
    checked_records,
    first_line,
    metadata_json,
    query_vector,
)
from latent.rag.stores.embedding import QueryEmbedder
from latent.rag.stores.filters import Clause, Condition, holds
from latent.rag.stores.locks import index_lock, index_lock_if_free
from latent.rag.stores.no_matches import explain_no_matches
from latent.rag.stores.records import Filter, Match, Metric, Record, best_first
from latent.rag.stores.words import searchable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import numpy as np
    import pyarrow as pa  # type: ignore[import-untyped]  # ships no types

NAME = "lancedb"
MANIFEST_SUFFIX = ".manifest"
_TAKEN = (MANIFEST_SUFFIX, ".lance", ".lock")
"""Endings of what lies beside an index."""
_DISTANCES: Mapping[Metric, str] = {"cosine": "cosine", "dotproduct": "dot", "euclidean": "l2"}
_METRIC_KEY = b"latent.metric"
_TEXT, _WORDS = "text", "words"
"""The columns of the text as it is, and as words are looked up in it."""
_IN_SQL = ("id", "source", "chunk_index")
"""Columns that lancedb itself filters by; metadata is JSON to it."""
_SHOWN = ("id", "text", "source", "chunk_index", "start", "end", "metadata")
"""Columns that a match shows: all but the vector."""
_SQL = {
    "$eq": "=",
    "$ne": "!=",
    "$gt": ">",
    "$gte": ">=",
    "$lt": "<",
    "$lte": "<=",
    "$in": "IN",
    "$nin": "NOT IN",
}
_KEPT = timedelta(days=1)
"""Old versions of the tables are kept so long: a process that reads one now must not lose its files."""
_FRAGMENTS = 32
"""From so many pieces on, a table is tidied up: each costs every query an opened file."""

_ATTEMPTS = 5
"""How often the index of words is created again when records change meanwhile."""


class LanceStore:
    """
    An index in a folder.

    Args:
        folder: Where all indexes of the workspace lie.
        dimensions: Length of the vectors; None takes that of an index that exists.
        metric: None takes that of the index, and the cosine for a new one.
        create: Whether an index that does not exist is made.
        embedder: Makes vectors of texts that are searched for; None for that which the index was made with.

    Raises:
        MissingExtraError: lancedb is not installed.
        StoreNotFoundError: There is no such index, and `create` is False or `dimensions` is None.
        StoreMismatchError: It was made for other vectors.
        StoreUsageError: Its name cannot be a folder's.
    """

    name = NAME
    batch_size = 5_000

    def __init__(
        self,
        folder: Path,
        index_name: str,
        *,
        dimensions: int | None = None,
        metric: str | None = None,
        create: bool = True,
        embedder: Any = None,
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", index_name) or index_name.endswith(_TAKEN):
            raise StoreUsageError(
                NAME,
                index_name,
                "its name is a folder's: use at most 100 letters, digits, '-', '_' and '.', a letter or "
                f"digit first, and none of the endings {', '.join(_TAKEN)}.",
            )
        if metric is not None:
            checked_metric(NAME, index_name, metric)
        self.index_name, self.folder = index_name, folder
        self._embedder = QueryEmbedder(self, embedder, self._manifest_mark)
        exists = self._exists(create=create and dimensions is not None)
        self._connection = _connect(folder)
        self._table = self._opened(exists, dimensions or 0, metric or "cosine")
        field = self._table.schema.field("vector").type
        self.dimensions: int = field.list_size
        self.metric = checked_metric(
            NAME, index_name, (self._table.schema.metadata or {}).get(_METRIC_KEY, b"cosine").decode()
        )
        check_made_for(NAME, index_name, has=(self.dimensions, self.metric), wanted=(dimensions, metric))
        self._manifest = self._connection.create_table(
            index_name + MANIFEST_SUFFIX, schema=_manifest_schema(), exist_ok=True
        )

    def _exists(self, *, create: bool) -> bool:
        # By their folders: lancedb lists ten at a time.
        names = sorted(each.parent.stem for each in self.folder.glob("*.lance/_versions"))
        if self.index_name not in names and not create:
            near = nearest_name(self.index_name, names)
            hint = f"did you mean {near!r}?" if near else "an ingestion makes it."
            raise StoreNotFoundError(NAME, self.index_name, f"there is none in {self.folder}: {hint}")
        return self.index_name in names

    def _opened(self, exists: bool, dimensions: int, metric: str) -> Any:
        if exists:
            return self._connection.open_table(self.index_name)
        if dimensions < 1:
            raise StoreUsageError(
                NAME, self.index_name, f"vectors have at least one number, not {dimensions}."
            )
        manifest = self.index_name + MANIFEST_SUFFIX
        with self.lock():
            if not self._exists(create=True):
                # What is left of an index whose records were deleted: its lines are true no more.
                self._connection.drop_table(manifest, ignore_missing=True)
            return self._connection.create_table(
                self.index_name, schema=_schema(dimensions, metric), exist_ok=True
            )

    # -- what every store does ---------------------------------------------------------------------------

    def upsert(self, records: Iterable[Record]) -> None:
        checked = checked_records(NAME, self.index_name, self.dimensions, records)
        if not checked:
            return
        with self._present():
            merge = self._table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
            merge.execute(_arrow(self.index_name, checked, self._table.schema))

    def delete(self, ids: Iterable[str]) -> None:
        wanted = list(ids)
        with self._present():
            for first in range(0, len(wanted), 1_000):
                self._table.delete(f"id IN ({_literals(wanted[first : first + 1_000])})")

    def query(
        self, query: str | Sequence[float] | np.ndarray, top_k: int = 10, filter: Filter | None = None
    ) -> list[Match]:
        clause = checked_query(NAME, self.index_name, top_k, filter)
        vector = query_vector(self, query, self._embedder)
        with self._present():
            search = self._table.search(vector, vector_column_name="vector")
            search = search.distance_type(_DISTANCES[self.metric])
            return self._matches(search, clause, top_k, "_distance", lambda far: _score(self.metric, far))

    def count(self) -> int:
        with self._present():
            return int(self._table.count_rows())

    def ids(self) -> list[str]:
        with self._present():
            return sorted(self._table.search().select(["id"]).to_arrow()["id"].to_pylist())

    def read_manifest(self, names: Sequence[str] | None = None) -> dict[str, str]:
        with self._present():
            search = self._manifest.search()
            if names is not None:
                search = search.where(f"name IN ({_literals(names)})")
            table = search.to_arrow()
        return dict(zip(table["name"].to_pylist(), table["line"].to_pylist(), strict=True))

    def write_manifest(self, lines: Mapping[str, str | None]) -> None:
        import pyarrow as pa

        written = {name: line for name, line in lines.items() if line is not None}
        removed = [name for name, line in lines.items() if line is None]
        with self._present():
            if written:
                columns = {"name": list(written), "line": list(written.values())}
                merge = self._manifest.merge_insert("name").when_matched_update_all()
                merge.when_not_matched_insert_all().execute(pa.table(columns, schema=_manifest_schema()))
            if removed:
                self._manifest.delete(f"name IN ({_literals(removed)})")

    def lock(self) -> AbstractContextManager[None]:
        return index_lock(self._lock_file, self.index_name)

    def _manifest_mark(self) -> object:
        """Differs whenever the manifest was written: each version of it is a file."""
        versions = self.folder / f"{self.index_name}{MANIFEST_SUFFIX}.lance" / "_versions"
        with self._present():
            return versions.stat().st_mtime_ns

    @property
    def _lock_file(self) -> Path:
        return self.folder / f"{self.index_name}.lock"

    def close(self) -> None:
        """Nothing is open between calls."""

    # -- what an embedded store can do beside ------------------------------------------------------------

    def search_text(self, text: str, top_k: int = 10, filter: Filter | None = None) -> list[Match]:
        """
        The `top_k` records that share the most telling words with `text`, by BM25.

        English words are reduced to their stems; Chinese, Japanese and Thai texts are cut into words. The
        index of words is made when it is first asked for, and brought up to date by ingestions, or here when
        records were written by hand and nobody writes now.
        """
        from lancedb.query import MatchQuery

        clause = checked_query(NAME, self.index_name, top_k, filter)
        asked = searchable(text)
        if not any(map(str.isalnum, asked)):
            return []
        with self._present():
            column = self._index_words()
            # Its other arguments have defaults, which the class hides from type checkers.
            words = MatchQuery(asked, column)  # type: ignore[call-arg]
            search = self._table.search(words, query_type="fts")
            return self._matches(search, clause, top_k, "_score", float)

    def tidy(self) -> None:
        """Join what many small writes left in pieces, and drop what nobody can be reading any more."""
        with self._present():
            if self._words_column == _TEXT and self._word_index() is not None:
                self._add_words()
            for table in (self._table, self._manifest):
                is_in_pieces = table.stats()["fragment_stats"]["num_fragments"] >= _FRAGMENTS
                if is_in_pieces or (table is self._table and self._has_unindexed_words()):
                    table.optimize(cleanup_older_than=_KEPT)

    def _index_words(self) -> str:
        """
        See to it that there is an index of words; what it lacks still is searched, only more slowly.

        Returns:
            The column that it is of.
        """
        self._table.checkout_latest()
        if self._words_column == _TEXT:
            with index_lock_if_free(self._lock_file) as is_free:
                if is_free:
                    self._add_words()
        if self._word_index() is None:
            if self._table.count_rows():
                self._make_word_index()
        elif self._has_unindexed_words():
            with index_lock_if_free(self._lock_file) as is_free:
                if is_free:
                    self._update_word_index()
        return self._words_column

    @property
    def _words_column(self) -> str:
        """Where words are looked up: indexes of before have no column of their own for that."""
        return _WORDS if _WORDS in self._table.schema.names else _TEXT

    def _add_words(self) -> None:
        """Give an index of before the column in which words are looked up."""
        import pyarrow as pa

        if (former := self._word_index()) is not None:
            self._table.drop_index(former)
        self._table.add_columns({_WORDS: _TEXT})
        changed: dict[str, str] = {}
        for rows in self._table.search().select(["id", _TEXT]).to_batches(self.batch_size):
            texts = zip(rows["id"].to_pylist(), rows[_TEXT].to_pylist(), strict=True)
            changed |= {id: words for id, text in texts if (words := searchable(text)) != text}
        if changed:
            columns = {"id": list(changed), _WORDS: list(changed.values())}
            self._table.merge_insert("id").when_matched_update_all().execute(pa.table(columns))

    def _make_word_index(self) -> None:
        from lancedb.index import FTS

        # Stop words stay: BM25 weighs them by itself. Of the tokenizers, this one finds words where no spaces
        # stand between them (Chinese, Japanese, Thai), and gives for SciFact what `simple` does.
        config = FTS(base_tokenizer="icu/split", remove_stop_words=False)
        for attempt in range(_ATTEMPTS):
            try:
                self._table.create_index(self._words_column, config=config)
            except RuntimeError as error:
                if not _is_conflict(error) or attempt == _ATTEMPTS - 1:
                    raise
                self._table.checkout_latest()
            else:
                return

    def _update_word_index(self) -> None:
        try:
            self._table.optimize(cleanup_older_than=_KEPT)
        except RuntimeError as error:  # another process writes without the lock
            if not _is_conflict(error):
                raise
            self._table.checkout_latest()

    def _word_index(self) -> str | None:
        column = [self._words_column]
        return next((each.name for each in self._table.list_indices() if each.columns == column), None)

    def _has_unindexed_words(self) -> bool:
        name = self._word_index()
        stats = None if name is None else self._table.index_stats(name)
        return stats is not None and stats.num_unindexed_rows > 0

    def _matches(
        self, search: Any, clause: Clause, top_k: int, column: str, score: Callable[[float], float]
    ) -> list[Match]:
        """
        What a search finds, without the vectors.

        Args:
            column: What LanceDB ranks by, of which `score` makes the score of a match.
        """
        if clause.parts:
            search = search.where(self._where(clause), prefilter=True)
        try:
            rows = search.select([*_SHOWN, column]).limit(top_k).to_list()
        except ValueError as error:
            if not clause.parts:
                raise
            reason = f"the filter cannot be used: {first_line(error)[:200]}."
            raise StoreUsageError(NAME, self.index_name, reason) from error
        if not rows and clause.parts:
            explain_no_matches(NAME, self.index_name, clause, self._filtered_columns())
        return best_first(
            Match(
                id=row["id"],
                score=score(row[column]),
                text=row["text"],
                source=row["source"],
                chunk_index=row["chunk_index"],
                start=row["start"],
                end=row["end"],
                metadata=orjson.loads(row["metadata"]),
            )
            for row in rows
        )

    def _where(self, clause: Clause) -> str:
        """A filter as SQL; one that asks for metadata becomes the ids that fit."""
        if all(each.name in _IN_SQL and _has_sql(each) for each in clause.conditions()):
            return _sql(clause)
        fitting = [row["id"] for row in self._filtered_columns() if holds(clause, row)]
        return f"id IN ({_literals(fitting)})" if fitting else "false"

    def _filtered_columns(self) -> Iterator[dict[str, Any]]:
        """Of each record, metadata and columns side by side, as filters see them."""
        columns = ["id", "source", "chunk_index", "start", "end", "metadata"]
        for row in self._table.search().select(columns).to_list():
            yield orjson.loads(row.pop("metadata")) | row

    @contextmanager
    def _present(self) -> Iterator[None]:
        """Say clearly that files are gone: lancedb would start over in their place, with half of a table."""
        for table in (self.index_name, self.index_name + MANIFEST_SUFFIX):
            if not (self.folder / f"{table}.lance" / "_versions").is_dir():
                raise StoreConnectionError(
                    NAME, self.index_name, f"its files in {self.folder} are gone. Run the ingestion again."
                )
        try:
            yield
        except (RuntimeError, OSError) as error:
            said = first_line(error)[:200]
            if _is_conflict(error):
                reason = f"another process changed it at the same time ({said}). Do it again."
                raise StoreConnectionError(NAME, self.index_name, reason) from error
            raise StoreConnectionError(
                NAME,
                self.index_name,
                f"its files in {self.folder} cannot be used ({said}). If they are damaged, delete "
                f"{self.index_name}.lance and {self.index_name}{MANIFEST_SUFFIX}.lance there, and run the "
                "ingestion again.",
            ) from error


def _is_conflict(error: Exception) -> bool:
    """Whether two wrote at once: nothing is damaged, and the second one has to write again."""
    return "conflict" in str(error).lower()


def _connect(folder: Path) -> Any:
    lancedb = import_extra("lancedb", extra="lancedb", purpose="LanceDB indexes")
    folder.mkdir(parents=True, exist_ok=True)
    # Another process may have changed the index since: every reading looks.
    return lancedb.connect(str(folder), read_consistency_interval=timedelta(0))


def _schema(dimensions: int, metric: str) -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), dimensions), nullable=False),
            pa.field("text", pa.string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("chunk_index", pa.int64(), nullable=False),
            pa.field("start", pa.int64(), nullable=False),
            pa.field("end", pa.int64(), nullable=False),
            pa.field("metadata", pa.string(), nullable=False),
            pa.field(_WORDS, pa.string()),
        ],
        metadata={_METRIC_KEY: metric.encode()},
    )


def _manifest_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [pa.field("name", pa.string(), nullable=False), pa.field("line", pa.string(), nullable=False)]
    )


def _arrow(index: str, records: Sequence[Record], schema: pa.Schema) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    vectors = np.stack([np.asarray(record.vector, dtype=np.float32) for record in records])
    columns = {
        "id": [record.id for record in records],
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]),
        "text": [record.text for record in records],
        "source": [record.source for record in records],
        "chunk_index": [record.chunk_index for record in records],
        "start": [record.start for record in records],
        "end": [record.end for record in records],
        "metadata": [metadata_json(NAME, index, record) for record in records],
    }
    if _WORDS in schema.names:
        columns[_WORDS] = [searchable(record.text) for record in records]
    return pa.table(columns, schema=schema)


def _score(metric: Metric, distance: float) -> float:
    """What lancedb calls a distance, as a score: the higher the nearer."""
    if metric == "euclidean":
        return -float(max(distance, 0.0) ** 0.5)
    return 1.0 - float(distance)


def _has_sql(condition: Condition) -> bool:
    """Whether SQL compares as `holds` does: only values of the column's own type, and no empty lists."""
    kind = int if condition.name == "chunk_index" else str
    values = condition.value if condition.operator in ("$in", "$nin") else [condition.value]
    fits = bool(values) and all(type(value) is kind for value in values)
    # A number that is longer than the column's is compared here: to SQL it is another type.
    return condition.operator in _SQL and fits and all(kind is str or abs(value) < 2**63 for value in values)


def _sql(part: Clause | Condition) -> str:
    if isinstance(part, Condition):
        many = part.operator in ("$in", "$nin")
        value = f"({_literals(part.value)})" if many else _literal(part.value)
        return f"{part.name} {_SQL[part.operator]} {value}"
    joint = " OR " if part.is_any else " AND "
    return "(" + joint.join(map(_sql, part.parts)) + ")" if part.parts else "true"


def _literals(values: Iterable[str | int]) -> str:
    return ", ".join(map(_literal, values))


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"
