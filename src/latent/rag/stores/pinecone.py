"""
Pinecone, by its official client: serverless indexes by name, or any index by its host.

What is written is seen a moment later ("eventually consistent", says Pinecone); `count` and `ids` lag most.
The manifest lies in a namespace beside the records. A line of it may take several of them, which are not
written all at once: each version of a line has ids of its own, and the one before goes when it is complete,
so that a run that dies in between leaves a whole line. The only module that knows the client.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from hashlib import md5
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

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
    metadata_json,
    query_vector,
)
from latent.rag.stores.embedding import QueryEmbedder
from latent.rag.stores.locks import index_lock
from latent.rag.stores.no_matches import explain_no_matches
from latent.rag.stores.records import Filter, Match, Metric, Record, best_first

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import numpy as np

    from latent.rag.stores.filters import Clause

T = TypeVar("T")

NAME = "pinecone"
KEY_VARIABLE = "PINECONE_API_KEY"
DEFAULT_NAMESPACE = "__default__"
"""How Pinecone calls the namespace without a name."""
UPSERT_BYTES = 1_900_000
"""A request may have 2 MB; a hundred vectors of 3,072 numbers are more."""
METADATA_BYTES = 40_960
"""Pinecone's limit for the metadata of a record."""
LINE_BYTES = 15_000
"""So much of a manifest's line goes into one record."""
PAUSES_SECONDS = (0.5, 1.0, 2.0)
"""How long a call that no task repeats waits before it is made again."""
_OWN = ("text", "source", "chunk_index", "start", "end")
_REST = "metadata"
"""The key of the metadata that would not come back as it was: numbers, and what is nested."""


class PineconeStore:
    """
    An index of Pinecone.

    Args:
        dimensions: Length of the vectors; None takes that of an index that exists.
        metric: None takes that of the index, and the cosine for a new one.
        create: Whether an index that does not exist is made, serverless in `cloud` and `region`.
        host: Where the index is served; then it is not looked up by its name.
        namespace: Where its records lie; the index's own by default.
        api_key: None for the environment variable PINECONE_API_KEY.
        locks: Folder of the locks that ingestions of this machine take.

    Raises:
        MissingExtraError: The client is not installed.
        StoreUsageError: There is no key, or the name or the metric cannot be.
        StoreRefusedError: Pinecone does not take the key.
        StoreNotFoundError, StoreMismatchError, StoreConnectionError: As for every store.
    """

    name = NAME
    batch_size = 100

    def __init__(
        self,
        index_name: str,
        *,
        dimensions: int | None = None,
        metric: str | None = None,
        create: bool = True,
        embedder: Any = None,
        host: str | None = None,
        namespace: str = "",
        cloud: str = "aws",
        region: str = "us-east-1",
        api_key: str | None = None,
        locks: Path | None = None,
    ) -> None:
        if metric is not None:
            checked_metric(NAME, index_name, metric)
        self.index_name = index_name
        self.namespace = "" if namespace == DEFAULT_NAMESPACE else namespace
        self._locks = locks
        self._embedder = QueryEmbedder(self, embedder)
        if not (api_key or os.environ.get(KEY_VARIABLE)):
            raise StoreUsageError(
                NAME,
                index_name,
                f"it needs a key: set the environment variable {KEY_VARIABLE}, or pass api_key=.",
            )
        self._whose_key = "that api_key= gives" if api_key else f"of the environment variable {KEY_VARIABLE}"
        sdk = import_extra("pinecone", extra="pinecone", purpose="Pinecone indexes")
        retry_config = import_extra("pinecone._internal.config", extra="pinecone", purpose="Pinecone indexes")
        once = retry_config.RetryConfig(max_retries=0)
        self._manifest_ids: set[str] | None = None
        """Ids of the manifest's records: read once, since Pinecone lists what was written a moment later."""
        with self._explained(), ExitStack() as stack:
            self._client = stack.enter_context(sdk.Pinecone(api_key=api_key, retry_config=once))
            host = host or self._repeated(
                lambda: self._find(dimensions, metric or "cosine", create, cloud, region)
            )
            self._index = stack.enter_context(_without_retries(self._client.Index(host=host), once))
            stats = self._repeated(self._index.describe_index_stats)
            self.dimensions: int = int(stats.dimension)
            self.metric: Metric = checked_metric(NAME, index_name, str(stats.metric or metric or "cosine"))
            check_made_for(NAME, index_name, has=(self.dimensions, self.metric), wanted=(dimensions, metric))
            self._open = stack.pop_all()

    @property
    def _manifest_namespace(self) -> str:
        return f"{self.namespace}--manifest"  # of the default namespace: only the suffix

    def _find(self, dimensions: int | None, metric: str, create: bool, cloud: str, region: str) -> str:
        """The host of the index, which is made when it is wanted and missing."""
        names = [each.name for each in self._client.indexes.list()]
        if self.index_name not in names:
            if not create or dimensions is None:
                near = nearest(self.index_name, names)
                hint = f"did you mean {near!r}?" if near else "an ingestion makes it."
                raise StoreNotFoundError(NAME, self.index_name, f"this key has none of that name: {hint}")
            if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?", self.index_name):
                reason = "Pinecone takes names of at most 45 lower case letters, digits and '-' between them."
                raise StoreUsageError(NAME, self.index_name, reason)
            from pinecone import ConflictError, ServerlessSpec

            with suppress(ConflictError):  # another ingestion was quicker
                self._client.create_index(
                    name=self.index_name,
                    dimension=dimensions,
                    metric=metric,
                    spec=ServerlessSpec(cloud=cloud, region=region),
                )
        return str(self._client.indexes.describe(self.index_name).host)

    # -- what every store does ---------------------------------------------------------------------------

    def upsert(self, records: Iterable[Record]) -> None:
        checked = checked_records(NAME, self.index_name, self.dimensions, records)
        with self._explained():
            for batch in _requests(map(self._vector, checked), self.batch_size):
                self._index.upsert(vectors=batch, namespace=self.namespace)

    def delete(self, ids: Iterable[str]) -> None:
        self._delete(ids, self.namespace)

    def query(
        self, query: str | Sequence[float] | np.ndarray, top_k: int = 10, filter: Filter | None = None
    ) -> list[Match]:
        clause = checked_query(NAME, self.index_name, top_k, filter)
        if any(condition.name == "id" for condition in clause.conditions()):
            raise StoreUsageError(NAME, self.index_name, "Pinecone does not filter by id.")
        vector = query_vector(self, query, self._embedder)
        with self._explained():
            found = self._index.query(
                vector=_numbers(vector),
                top_k=top_k,
                namespace=self.namespace,
                filter=dict(filter) if filter else None,
                include_metadata=True,
            )
        if not found.matches and clause.parts:
            self._explain_no_matches(clause, vector)
        return best_first(_match(each, self.metric) for each in found.matches)

    def _explain_no_matches(self, clause: Clause, vector: np.ndarray) -> None:
        with self._explained():
            nearest = self._index.query(
                vector=_numbers(vector), top_k=100, namespace=self.namespace, include_metadata=True
            )
        seen = [_shown(each.metadata or {}) for each in nearest.matches]
        explain_no_matches(NAME, self.index_name, clause, seen, reads_numbers=False)

    def count(self) -> int:
        namespaces = self._repeated(self._index.describe_index_stats).namespaces
        found = namespaces.get(self.namespace or DEFAULT_NAMESPACE) or namespaces.get(self.namespace)
        return int(found.vector_count) if found else 0

    def ids(self) -> list[str]:
        return sorted(self._listed(self.namespace))

    def read_manifest(self, names: Sequence[str] | None = None) -> dict[str, str]:
        parts: dict[str, dict[str, Any]] = {}
        namespace = self._manifest_namespace
        if names is None:
            listed = self._listed(namespace)
            self._manifest_ids = set(listed)
        else:
            listed = [id for name in names for id in self._listed(namespace, prefix=f"{_digest(name)}:")]
        for batch in batches(listed, 100):
            fetch = partial(self._index.fetch, ids=batch, namespace=namespace)
            found = self._repeated(fetch).vectors
            parts |= {id: vector.metadata for id, vector in found.items() if vector.metadata}
        return _lines(parts)

    def write_manifest(self, lines: Mapping[str, str | None]) -> None:
        if self._manifest_ids is None:
            self._manifest_ids = set(self._listed(self._manifest_namespace))
        digests = set(map(_digest, lines))
        former = {id for id in self._manifest_ids if id.partition(":")[0] in digests}
        version = max(time.time_ns(), 1 + max(map(_version, former), default=0))
        vector = [1.0, *[0.0] * (self.dimensions - 1)]  # Pinecone takes no vector of zeros
        written = [
            {"id": id, "values": vector, "metadata": metadata}
            for name, line in lines.items()
            if line is not None
            for id, metadata in _line_parts(name, version, line)
        ]
        for batch in _requests(iter(written), self.batch_size):
            self._manifest_ids |= {each["id"] for each in batch}
            self._repeated(partial(self._index.upsert, vectors=batch, namespace=self._manifest_namespace))
        self._delete(former, self._manifest_namespace)
        self._manifest_ids -= former

    def lock(self) -> AbstractContextManager[None]:
        """Holds on this machine only; two machines at once write the same records in the same places."""
        folder = self._locks or Path.cwd() / ".latent" / "locks"
        name = f"{self.index_name}:{self.namespace}".encode()
        file = folder / f"pinecone-{md5(name, usedforsecurity=False).hexdigest()}.lock"
        return index_lock(file, self.index_name)

    def tidy(self) -> None:
        """Pinecone tidies up by itself."""

    def close(self) -> None:
        self._open.close()

    def _delete(self, ids: Iterable[str], namespace: str) -> None:
        for batch in batches(ids, 1_000):
            with suppress(StoreNotFoundError):  # a namespace without records does not exist
                self._repeated(partial(self._index.delete, ids=batch, namespace=namespace))

    def _listed(self, namespace: str, prefix: str = "") -> list[str]:
        def listed() -> list[str]:
            pages = self._index.list(namespace=namespace, **({"prefix": prefix} if prefix else {}))
            return [item.id for page in pages for item in _items(page)]

        try:
            return self._repeated(listed)
        except StoreNotFoundError:
            return []

    def check_record(self, record: Record) -> None:
        """
        Say before anything is written that Pinecone would not take a record.

        Raises:
            StoreRefusedError: Its text and metadata have too many bytes, or are not JSON.
        """
        self._metadata(record)

    def _vector(self, record: Record) -> dict[str, Any]:
        return {"id": record.id, "values": _numbers(record.vector), "metadata": self._metadata(record)}

    def _metadata(self, record: Record) -> dict[str, Any]:
        metadata_json(NAME, self.index_name, record)  # told with the record's id
        flat = {k: v for k, v in record.metadata.items() if _is_name(k) and _is_flat(v)}
        rest = {
            k: v
            for k, v in record.metadata.items()
            if k not in flat or isinstance(v, (int, float)) or "." in k
        }
        own = {name: getattr(record, name) for name in _OWN} | {_REST: orjson.dumps(rest).decode()}
        inside = {k: v for k, v in _inside(rest) if k not in record.metadata}
        metadata = flat | inside | own
        if inside and len(orjson.dumps(metadata)) > METADATA_BYTES:
            metadata = flat | own  # what is inside of mappings can be kept, and not be filtered by
        size = len(orjson.dumps(metadata))
        if size > METADATA_BYTES:
            raise StoreRefusedError(
                NAME,
                self.index_name,
                f"text and metadata of {record.id!r} ({record.source}) have {size:,} bytes, and Pinecone "
                f"takes {METADATA_BYTES:,}. Make chunks smaller, or keep less metadata.",
            )
        return metadata

    def _repeated(self, call: Callable[[], T]) -> T:
        """
        What a call gives, which does no harm when it is made twice, after a few attempts if need be.

        Records are written and asked for by tasks, which are repeated as their settings say; what an
        ingestion does beside them is not.
        """
        for pause in PAUSES_SECONDS:
            try:
                with self._explained():
                    return call()
            except StoreConnectionError:
                time.sleep(pause)
        with self._explained():
            return call()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """The client's errors as ours; what the network or Pinecone's load is to blame for can be retried."""
        try:
            from pinecone.errors import exceptions as errors
        except ImportError:  # told by `import_extra`
            yield
            return
        try:
            yield
        except (errors.UnauthorizedError, errors.ForbiddenError) as error:
            reason = f"Pinecone does not take the key {self._whose_key} (HTTP {error.status_code}): check it."
            raise StoreRefusedError(NAME, self.index_name, reason) from error
        except errors.NotFoundError as error:
            raise StoreNotFoundError(NAME, self.index_name, f"it is gone ({error.message}).") from error
        except (
            errors.PineconeConnectionError,
            errors.PineconeTimeoutError,
            errors.ServiceError,
            errors.RateLimitError,
        ) as error:
            reason = f"Pinecone cannot be reached ({error}). What was written is kept: run it again."
            raise StoreConnectionError(NAME, self.index_name, reason) from error
        except errors.PineconeError as error:
            raise StoreRefusedError(NAME, self.index_name, f"Pinecone refuses: {error}") from error


def _without_retries(index: Any, none: Any) -> Any:
    """
    Turn the client's own retries off: the one retry layer is the task's.

    `retry_config` of `Pinecone` does not reach the data plane (pinecone 10.2, "Retries and resilience"), so
    that of its transport is replaced; should it move, the client retries a little beside us.
    """
    transport = getattr(getattr(getattr(index, "_http", None), "_client", None), "_transport", None)
    if transport is not None and hasattr(transport, "_config"):
        transport._config = none
    return index


def _requests(vectors: Iterator[dict[str, Any]], most: int) -> Iterator[list[dict[str, Any]]]:
    """Lists of at most `most` vectors that fit into a request."""
    batch: list[dict[str, Any]] = []
    size = 0
    for vector in vectors:
        own = len(orjson.dumps(vector))
        if batch and (len(batch) == most or size + own > UPSERT_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(vector)
        size += own
    if batch:
        yield batch


def _numbers(vector: Any) -> list[float]:
    """Nine digits bring a float32 back exactly; a float64 of it would be sent with seventeen."""
    import numpy as np

    return [float(f"{number:.9g}") for number in np.asarray(vector, dtype=np.float32).tolist()]


def _match(found: Any, metric: Metric) -> Match:
    metadata = dict(found.metadata or {})
    rest = orjson.loads(metadata.pop(_REST, "{}"))
    own = {name: metadata.pop(name, None) for name in _OWN}
    inside = dict(_inside(rest))
    metadata = {k: v for k, v in metadata.items() if k not in inside}
    return Match(
        id=found.id,
        # Pinecone gives the square of the distance, and the nearest first.
        score=-(max(found.score, 0.0) ** 0.5) if metric == "euclidean" else float(found.score),
        text=own["text"] or "",
        source=own["source"] or "",
        chunk_index=int(own["chunk_index"] or 0),
        start=int(own["start"] or 0),
        end=int(own["end"] or 0),
        metadata=metadata | rest,
    )


def _is_name(key: str) -> bool:
    """Whether a key of the metadata can be one of Pinecone's: a dollar begins words of its filters."""
    return key not in (*_OWN, _REST) and not key.startswith("$")


def _inside(metadata: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """What can be filtered by inside of mappings, by its path: Pinecone looks into none."""
    for name, value in metadata.items():
        path = f"{above}.{name}" if above else name
        if isinstance(value, Mapping):
            yield from _inside(value, path)
        elif above and _is_name(path) and _is_flat(value):
            yield path, value


def _shown(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a record as it was given, beside what can be filtered by."""
    shown = {name: value for name, value in metadata.items() if name not in ("text", _REST)}
    rest: dict[str, Any] = orjson.loads(metadata.get(_REST, "{}"))
    return rest | shown


def _is_flat(value: object) -> bool:
    """Whether Pinecone can filter by a value: a text, a number, a truth value or a list of texts."""
    if isinstance(value, list):
        return all(isinstance(each, str) for each in value)
    return isinstance(value, (str, int, float, bool))


def _items(page: Any) -> Iterable[Any]:
    return page if isinstance(page, list) else getattr(page, "vectors", page)


def _digest(name: str) -> str:
    return md5(name.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def _version(id: str) -> int:
    """The version of the line that a record of the manifest is a part of."""
    return int(id.split(":")[1])


def _line_parts(name: str, version: int, line: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A line as records: each holds a part of it, and how many there are."""
    data = line.encode()
    pieces = [data[first : first + LINE_BYTES] for first in range(0, len(data), LINE_BYTES)] or [b""]
    for number, piece in enumerate(pieces):
        # Latin-1 keeps bytes apart that a cut in the middle of a character would lose.
        yield (
            f"{_digest(name)}:{version}:{number}",
            {"name": name, "line": piece.decode("latin-1"), "parts": len(pieces)},
        )


def _lines(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Lines from their parts: of each the last version that was written as a whole."""
    lines: dict[str, str] = {}
    for id in sorted(parts, key=_version):
        stem, _, number = id.rpartition(":")
        if number == "0":
            own = [parts.get(f"{stem}:{each}") for each in range(int(parts[id]["parts"]))]
            pieces = [str(part["line"]) for part in own if part is not None]
            if len(pieces) == len(own):
                lines[str(parts[id]["name"])] = "".join(pieces).encode("latin-1").decode()
    return lines
