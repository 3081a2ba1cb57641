"""
PostgreSQL with pgvector: an index is a table, its manifest another beside it.

Queries compare with every record, which is exact; for millions of records make an HNSW index on `vector`
(docs/ingestion.md). The only module that knows psycopg.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any, LiteralString

import orjson

from latent.config.extras import import_extra
from latent.errors import StoreConnectionError, StoreNotFoundError, StoreRefusedError, StoreUsageError
from latent.errors.text import nearest
from latent.rag.stores.checks import (
    batches,
    check_made_for,
    checked_metric,
    checked_query,
    checked_records,
    first_line,
    metadata_json,
    query_vector,
)
from latent.rag.stores.embedding import QueryEmbedder
from latent.rag.stores.filters import COLUMNS, NUMBER, Clause, Condition, number_of
from latent.rag.stores.locks import say_that_it_waits
from latent.rag.stores.no_matches import MOST_RECORDS, explain_no_matches
from latent.rag.stores.records import Filter, Match, Metric, Record, best_first

if TYPE_CHECKING:
    import numpy as np

NAME = "pgvector"
MANIFEST_SUFFIX = "_manifest"
_OPERATORS: Mapping[Metric, LiteralString] = {"cosine": "<=>", "dotproduct": "<#>", "euclidean": "<->"}
_COMPARED: Mapping[str, LiteralString] = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_COLUMNS: Mapping[str, LiteralString] = {
    "id": "to_jsonb(id)",
    "source": "to_jsonb(source)",
    "chunk_index": "to_jsonb(chunk_index)",
    "start": 'to_jsonb("start")',
    "end": 'to_jsonb("end")',
}
_AS_NUMBER: LiteralString = (
    "CASE jsonb_typeof(m) WHEN 'number' THEN m::numeric"
    " WHEN 'string' THEN CASE WHEN m #>> ARRAY[]::text[] ~ "
    f"'^{NUMBER}$' THEN (m #>> ARRAY[]::text[])::numeric END END"
)
"""A member as a number, also where it is written as a text."""
_COMMENT = "latent index, metric "
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""A NUL in JSON; behind another backslash, it is the text of one."""


class PostgresStore:
    """
    An index in a table.

    Args:
        dimensions: Length of the vectors; None takes that of an index that exists.
        metric: None takes that of the index, and the cosine for a new one.
        create: Whether an index that does not exist is made, and the extension `vector` with it.
        url: `postgresql://...`; None for what the environment says (PGHOST, PGDATABASE, PGPASSWORD, ...).
        schema: Where the tables lie; made when it is missing.

    Raises:
        MissingExtraError: psycopg is not installed.
        StoreNotFoundError, StoreMismatchError, StoreRefusedError, StoreConnectionError: As for every store.
    """

    name = NAME
    batch_size = 500

    def __init__(
        self,
        index_name: str,
        *,
        dimensions: int | None = None,
        metric: str | None = None,
        create: bool = True,
        embedder: Any = None,
        url: str | None = None,
        schema: str = "public",
    ) -> None:
        if metric is not None:
            checked_metric(NAME, index_name, metric)
        if not re.fullmatch(r"[^\x00\"]{1,50}", index_name) or index_name.endswith(MANIFEST_SUFFIX):
            raise StoreUsageError(
                NAME, index_name, "its name is a table's: at most 50 characters, no quotes."
            )
        import_extra("psycopg", extra="pgvector", purpose="PostgreSQL indexes")
        self.index_name, self.schema = index_name, schema
        self._url = url
        self._embedder = QueryEmbedder(self, embedder)
        self._lock = RLock()
        self._connection: Any = None
        try:
            with self._cursor() as cursor:
                found = self._found(cursor)
                if found is None:
                    found = self._make(cursor, dimensions, metric or "cosine", create)
            self.dimensions: int = found[0]
            self.metric: Metric = checked_metric(NAME, index_name, found[1])
            check_made_for(NAME, index_name, has=found, wanted=(dimensions, metric))
        except BaseException:
            self.close()
            raise

    # -- what every store does ---------------------------------------------------------------------------

    def upsert(self, records: Iterable[Record]) -> None:
        checked = checked_records(NAME, self.index_name, self.dimensions, records)
        rows = [_row(self.index_name, record) for record in checked]
        query = self._sql(
            'INSERT INTO {table} (id, vector, text, source, chunk_index, "start", "end", metadata)'
            " VALUES (%s, %s::vector, %s, %s, %s, %s, %s, %s::jsonb) ON CONFLICT (id) DO UPDATE SET"
            " vector = excluded.vector, text = excluded.text, source = excluded.source,"
            ' chunk_index = excluded.chunk_index, "start" = excluded."start", "end" = excluded."end",'
            " metadata = excluded.metadata"
        )
        with self._cursor() as cursor:
            cursor.executemany(query, rows)

    def delete(self, ids: Iterable[str]) -> None:
        with self._cursor() as cursor:
            for batch in batches(ids, 10_000):
                cursor.execute(self._sql("DELETE FROM {table} WHERE id = ANY(%s)"), (batch,))

    def query(
        self, query: str | Sequence[float] | np.ndarray, top_k: int = 10, filter: Filter | None = None
    ) -> list[Match]:
        clause = checked_query(NAME, self.index_name, top_k, filter)
        vector = query_vector(self, query, self._embedder)
        where, values = _where(clause)
        operator = _OPERATORS[self.metric]
        # Only names and operators of ours are put together; values are passed apart.
        text = self._sql(
            'SELECT id, text, source, chunk_index, "start", "end", metadata, vector '  # noqa: S608
            + operator
            + " %s::vector AS distance FROM {table} WHERE "
            + where
            + " ORDER BY distance, id LIMIT %s"
        )
        with self._cursor() as cursor:
            cursor.execute(text, (_vector(vector), *values, top_k))
            rows = cursor.fetchall()
        if not rows and clause.parts:
            explain_no_matches(NAME, self.index_name, clause, self._filtered_columns())
        return best_first(_match(row, self.metric) for row in rows)

    def _filtered_columns(self) -> list[dict[str, Any]]:
        """Of some records, metadata and columns side by side, as filters see them."""
        query = self._sql('SELECT metadata, id, source, chunk_index, "start", "end" FROM {table} LIMIT %s')
        with self._cursor() as cursor:
            found = cursor.execute(query, (MOST_RECORDS,)).fetchall()
        return [metadata | dict(zip(COLUMNS, columns, strict=True)) for metadata, *columns in found]

    def count(self) -> int:
        with self._cursor() as cursor:
            return int(cursor.execute(self._sql("SELECT count(*) FROM {table}")).fetchone()[0])

    def ids(self) -> list[str]:
        with self._cursor() as cursor:
            return sorted(row[0] for row in cursor.execute(self._sql("SELECT id FROM {table}")).fetchall())

    def read_manifest(self, names: Sequence[str] | None = None) -> dict[str, str]:
        query = self._sql("SELECT name, line FROM {manifest} WHERE %s::text[] IS NULL OR name = ANY(%s)")
        listed = None if names is None else list(names)
        with self._cursor() as cursor:
            return dict(cursor.execute(query, (listed, listed)).fetchall())

    def write_manifest(self, lines: Mapping[str, str | None]) -> None:
        written = [(name, line) for name, line in lines.items() if line is not None]
        removed = [name for name, line in lines.items() if line is None]
        query = self._sql(
            "INSERT INTO {manifest} (name, line) VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET line = excluded.line"
        )
        with self._cursor() as cursor:
            cursor.executemany(query, written)
            cursor.execute(self._sql("DELETE FROM {manifest} WHERE name = ANY(%s)"), (removed,))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds on all machines; PostgreSQL frees it when the connection of its holder ends."""
        # On a connection of its own: it is held over the statements of many tasks.
        with self._explained(), self._connected(autocommit=True) as connection:
            name = f"latent {self.schema}.{self.index_name}"
            asked = connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (name,))
            if not asked.fetchone()[0]:
                say_that_it_waits(self.index_name)
                connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (name,))
            yield

    def tidy(self) -> None:
        """PostgreSQL tidies up by itself."""

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()

    # -- tables ------------------------------------------------------------------------------------------

    def _found(self, cursor: Any) -> tuple[int, str] | None:
        """Dimensions and metric of the index; None when there is none."""
        row = cursor.execute(
            "SELECT a.atttypmod, obj_description(c.oid) FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'vector'"
            " WHERE n.nspname = %s AND c.relname = %s",
            (self.schema, self.index_name),
        ).fetchone()
        if row is None:
            return None
        if row[1] is None or not row[1].startswith(_COMMENT):
            raise StoreUsageError(
                NAME,
                self.index_name,
                f"a table of this name in schema {self.schema!r} is not an index of latent's.",
            )
        return int(row[0]), row[1].removeprefix(_COMMENT)

    def _make(self, cursor: Any, dimensions: int | None, metric: str, create: bool) -> tuple[int, str]:
        if not create or dimensions is None:
            names = [row[0] for row in cursor.execute(
                "SELECT relname FROM pg_class WHERE obj_description(oid) LIKE %s", (_COMMENT + "%",)
            ).fetchall()]  # fmt: skip
            near = nearest(self.index_name, names)
            hint = f"did you mean {near!r}?" if near else "an ingestion makes it."
            raise StoreNotFoundError(
                NAME, self.index_name, f"schema {self.schema!r} has none of that name: {hint}"
            )
        from psycopg import sql

        # Two at once would both find nothing, and one of them fail.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('latent tables', 0))")
        if (found := self._found(cursor)) is not None:
            return found
        cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
        cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(self.schema)))
        cursor.execute(
            sql.SQL(
                "CREATE TABLE {} (id text PRIMARY KEY, vector vector({}) NOT NULL, text text NOT NULL,"
                ' source text NOT NULL, chunk_index bigint NOT NULL, "start" bigint NOT NULL,'
                ' "end" bigint NOT NULL, metadata jsonb NOT NULL)'
            ).format(self._table, sql.Literal(dimensions))
        )
        cursor.execute(self._sql("CREATE TABLE {manifest} (name text PRIMARY KEY, line text NOT NULL)"))
        cursor.execute(
            sql.SQL("COMMENT ON TABLE {} IS {}").format(self._table, sql.Literal(_COMMENT + metric))
        )
        return dimensions, metric

    @property
    def _table(self) -> Any:
        from psycopg import sql

        return sql.Identifier(self.schema, self.index_name)

    def _sql(self, text: Any) -> Any:
        """SQL with the names of the tables; values are always passed apart from it."""
        from psycopg import sql

        manifest = sql.Identifier(self.schema, self.index_name + MANIFEST_SUFFIX)
        return sql.SQL(text).format(table=self._table, manifest=manifest)

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        """A cursor in a transaction of its own, on a connection that is opened again when it was lost."""
        with self._lock, self._explained():
            if self._connection is None or self._connection.closed:
                self._connection = self._connected()
            with self._connection.transaction(), self._connection.cursor() as cursor:
                yield cursor

    def _connected(self, **options: Any) -> Any:
        import psycopg

        try:
            return psycopg.connect(self._url or "", **options)
        except psycopg.ProgrammingError:
            # Not in the chain of the error: its message has the address with the password in it.
            raise StoreUsageError(
                NAME, self.index_name, "its url cannot be read: write postgresql://USER@HOST:5432/DATABASE."
            ) from None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """psycopg's errors as ours."""
        import psycopg

        try:
            yield
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            said = first_line(error)
            reason = f"PostgreSQL cannot be reached ({said}). What was written is kept: run it again."
            raise StoreConnectionError(NAME, self.index_name, reason) from error
        except psycopg.errors.UndefinedTable as error:
            raise StoreNotFoundError(NAME, self.index_name, f"it is gone ({first_line(error)}).") from error
        except psycopg.Error as error:
            raise StoreRefusedError(
                NAME, self.index_name, f"PostgreSQL refuses: {first_line(error)}."
            ) from error


def _row(index: str, record: Record) -> tuple[Any, ...]:
    metadata = metadata_json(NAME, index, record)
    if "\x00" in record.text or _NUL.search(metadata):
        raise StoreRefusedError(NAME, index, f"{record.id!r} holds a NUL, which PostgreSQL does not take.")
    return (
        record.id,
        _vector(record.vector),
        record.text,
        record.source,
        record.chunk_index,
        record.start,
        record.end,
        metadata,
    )


def _vector(vector: Any) -> str:
    """As pgvector reads it; nine digits bring a float32 back exactly."""
    import numpy as np

    return "[" + ",".join(f"{number:.9g}" for number in np.asarray(vector, dtype=np.float32).tolist()) + "]"


def _match(row: tuple[Any, ...], metric: Metric) -> Match:
    id, text, source, chunk_index, start, end, metadata, distance = row
    # `<#>` is the inner product with a minus; `<=>` is one minus the cosine.
    score = 1.0 - distance if metric == "cosine" else -distance
    return Match(
        id=id,
        score=float(score),
        text=text,
        source=source,
        chunk_index=chunk_index,
        start=start,
        end=end,
        metadata=metadata,
    )


def _where(clause: Clause) -> tuple[str, list[Any]]:
    """A filter as SQL with its values."""
    if not clause.parts:
        return "true", []
    texts, values = [], []
    for part in clause.parts:
        text, own = _where(part) if isinstance(part, Clause) else _condition(part)
        texts.append(text)
        values += own
    return "(" + (" OR " if clause.is_any else " AND ").join(texts) + ")", values


def _condition(condition: Condition) -> tuple[str, list[Any]]:
    """
    One comparison, of JSON values: columns are made such, so that all names are compared alike.

    The value counts as a list, of which a single value is the only member.
    """
    found: str
    names: list[Any]
    if condition.name in _COLUMNS:
        found, names = _COLUMNS[condition.name], []
    elif "." in condition.name:
        # The key itself comes before what is inside of a mapping.
        found = "coalesce(metadata -> %s, metadata #> %s::text[])"
        names = [condition.name, condition.name.split(".")]
    else:
        found, names = "(metadata -> %s)", [condition.name]
    members = (
        f"jsonb_array_elements(CASE jsonb_typeof({found}) WHEN 'array' THEN {found}"
        f" WHEN 'null' THEN '[]' ELSE jsonb_build_array({found}) END)"
    )
    if condition.operator == "$exists":
        text = f"coalesce(jsonb_typeof({found}), 'null') <> 'null'"
        return (text if condition.value else f"NOT ({text})"), names
    if condition.operator in _COMPARED:
        return _any_member(members, f"{_AS_NUMBER} {_COMPARED[condition.operator]} %s"), [
            *names * 3,
            condition.value,
        ]
    wanted = condition.value if condition.operator in ("$in", "$nin") else [condition.value]
    values: list[Any] = [[orjson.dumps(each).decode() for each in wanted]]
    fits = "m = ANY(%s::jsonb[])"
    if numbers := [each for each in wanted if number_of(each) is not None and not isinstance(each, str)]:
        fits += f" OR jsonb_typeof(m) = 'string' AND {_AS_NUMBER} = ANY(%s::float8[])"
        values.append([float(each) for each in numbers])
    text = _any_member(members, fits)
    text = f"NOT {text}" if condition.operator in ("$ne", "$nin") else text
    return text, [*names * 3, *values]


def _any_member(members: str, condition: str) -> str:
    return f"EXISTS (SELECT 1 FROM {members} m WHERE {condition})"  # noqa: S608  # neither holds a value
