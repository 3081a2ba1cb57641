"""What every store asks of records and queries before it writes or reads anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from latent.errors import StoreMismatchError, StoreRefusedError, StoreUsageError
from latent.rag.stores.filters import Clause, parse_filter
from latent.rag.stores.records import METRICS, Metric, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from latent.rag.stores.records import Store

T = TypeVar("T")

LARGEST_TOP_K = 10_000


def checked_records(store: str, index: str, dimensions: int, records: Iterable[Record]) -> list[Record]:
    """
    The records, of which each fits; of two with one id the later, as writing them in turn would leave it.

    Raises:
        StoreMismatchError: A vector has another length than the index's.
        StoreRefusedError: A vector holds what is not a number, or an id is empty.
    """
    import numpy as np

    kept: dict[str, Record] = {}
    for record in records:
        vector = np.asarray(record.vector, dtype=np.float32)
        if vector.shape != (dimensions,):
            raise StoreMismatchError(
                store,
                index,
                f"it has vectors of {dimensions} numbers; that of {record.id!r} has {vector.size}.",
            )
        if not np.isfinite(vector).all():
            raise StoreRefusedError(store, index, f"the vector of {record.id!r} holds what is not a number.")
        if not record.id:
            raise StoreRefusedError(store, index, "a record has an empty id.")
        if not _is_unicode(record.text):
            raise StoreRefusedError(store, index, f"the text of {record.id!r} holds a lone surrogate.")
        kept.pop(record.id, None)
        kept[record.id] = record
    return list(kept.values())


def checked_query(store: str, index: str, top_k: int, filter: Mapping[str, Any] | None) -> Clause:
    """
    The filter of a query, understood.

    Raises:
        StoreUsageError: `top_k` or the filter cannot be.
    """
    if not isinstance(top_k, int) or isinstance(top_k, bool) or not 1 <= top_k <= LARGEST_TOP_K:
        raise StoreUsageError(store, index, f"top_k is a number from 1 to {LARGEST_TOP_K:,}, not {top_k!r}.")
    try:
        return parse_filter(filter)
    except ValueError as error:
        raise StoreUsageError(store, index, f"the filter cannot be used: {error}.") from error


def query_vector(
    store: Store, query: str | Sequence[float] | np.ndarray, embed: Callable[[str], np.ndarray]
) -> np.ndarray:
    """
    What a query is compared by: float32, shape (dimensions,).

    Raises:
        StoreMismatchError: It has another length than the index's vectors.
        StoreUsageError: It is neither a text nor a vector, or a vector that nothing can be compared with.
    """
    import numpy as np

    is_text = isinstance(query, str)
    vector = np.asarray(embed(query)) if isinstance(query, str) else _array(query)
    if vector.ndim != 1 or vector.dtype.kind not in "fiu":
        said = f"an array of shape {vector.shape}" if vector.ndim > 1 else f"{query!r:.100}"
        raise StoreUsageError(
            store.name,
            store.index_name,
            f"a query must be a string or a vector of {store.dimensions} numbers, not {said}.",
        )
    if len(vector) != store.dimensions:
        what = "the embedder of the query gives" if is_text else "the query has"
        raise StoreMismatchError(
            store.name,
            store.index_name,
            f"it has vectors of {store.dimensions} numbers; {what} {len(vector)}.",
        )
    with np.errstate(over="ignore"):  # what is too large for 32 bits is infinite, and told as such
        vector = vector.astype(np.float32)
    whose = f"the vector of the query {query!r:.100}" if is_text else "the vector of the query"
    if not np.isfinite(vector).all():
        raise StoreUsageError(
            store.name, store.index_name, f"{whose} holds what is not a number, or infinite."
        )
    if store.metric == "cosine" and not vector.any():
        raise StoreUsageError(
            store.name, store.index_name, f"{whose} is all zeros, which have no cosine with anything."
        )
    return vector


def _array(value: Any) -> np.ndarray:
    """What is not an array of numbers becomes one of objects, never an error."""
    import numpy as np

    try:
        return np.asarray(value)
    except ValueError:  # lists of several lengths
        return np.asarray(None)


def checked_metric(store: str, index: str, metric: str) -> Metric:
    """
    The metric.

    Raises:
        StoreUsageError: There is none of this name.
    """
    for known in METRICS:
        if metric == known:
            return known
    raise StoreUsageError(store, index, f"a metric is one of {', '.join(METRICS)}, not {metric!r}.")


def check_made_for(
    store: str, index: str, *, has: tuple[int, str], wanted: tuple[int | None, str | None]
) -> None:
    """
    Hold the dimensions and metric of an index that exists against what is asked for; None asks nothing.

    Raises:
        StoreMismatchError: They differ.
    """
    asked = (
        ("vectors of {} numbers", "Use the embedder that it was made with, or another index."),
        ("the metric {}", "Leave the metric out, which takes that of the index, or use another index."),
    )
    for (what, hint), mine, theirs in zip(asked, has, wanted, strict=True):
        if theirs is not None and mine != theirs:
            raise StoreMismatchError(
                store,
                index,
                f"it was made for {what.format(mine)}, not for {what.format(theirs)}. {hint}",
            )


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one shorter."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch


def first_line(error: BaseException) -> str:
    """What an error says, in short."""
    return str(error).strip().partition("\n")[0]


def metadata_json(store: str, index: str, record: Record) -> str:
    """
    The metadata of a record as stores keep it.

    Raises:
        StoreRefusedError: Something in it is not JSON.
    """
    try:
        return orjson.dumps(dict(record.metadata)).decode()
    except TypeError as error:
        reason = f"the metadata of {record.id!r} cannot be kept as JSON: {error}."
        raise StoreRefusedError(store, index, reason) from error


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
