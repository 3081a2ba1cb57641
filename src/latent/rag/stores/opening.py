"""From a store's name to an index of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from latent.errors import UsageError
from latent.errors.text import did_you_mean

if TYPE_CHECKING:
    from latent.rag.stores.records import Store

STORES = ("lancedb", "pinecone", "pgvector")
OPTIONS = {
    "lancedb": ("folder",),
    "pinecone": ("host", "namespace", "cloud", "region", "api_key"),
    "pgvector": ("url", "schema"),
}
"""What each store takes beside what all of them do."""
LANCE_FOLDER = "lancedb"
"""Where LanceDB's indexes lie in the workspace's state folder."""


def open_store(
    name: str,
    index_name: str,
    *,
    dimensions: int | None = None,
    metric: str | None = None,
    create: bool = True,
    root: Path | None = None,
    embedder: Any = None,
    **options: Any,
) -> Store:
    """
    One index of a store.

    Args:
        name: `lancedb` (a folder of the workspace), `pinecone` or `pgvector`.
        dimensions: Length of its vectors; None takes that of an index that exists.
        metric: `cosine`, `dotproduct` or `euclidean`; None takes the index's, for a new one the cosine.
        create: Whether an index that does not exist is made, which takes `dimensions`.
        root: The workspace; None for the current one.
        embedder: What makes vectors of texts that are searched for, or its name; None for that which an
            ingestion wrote down.
        options: Of the store itself: `folder` (lancedb); `host`, `namespace`, `cloud`, `region`, `api_key`
            (pinecone); `url`, `schema` (pgvector).

    Raises:
        UsageError: There is no such store, or it has no such option.
        MissingExtraError: The store's library is not installed.
        StoreNotFoundError: There is no such index, and it is not to be made.
        StoreMismatchError: It was made for vectors of another length, or another metric.
        StoreConnectionError: The store cannot be reached.
    """
    if name not in STORES:
        hint = did_you_mean(name, STORES, f"there are {', '.join(STORES)}.")
        raise UsageError(f"There is no store {name!r}: {hint}")
    for option in options:
        if option not in OPTIONS[name]:
            hint = did_you_mean(option, OPTIONS[name], f"its options are {', '.join(OPTIONS[name])}.")
            raise UsageError(f"The store {name!r} has no option {option!r}: {hint}")
    make = {"lancedb": _lance, "pinecone": _pinecone, "pgvector": _postgres}[name]
    wanted = {"dimensions": dimensions, "metric": metric, "create": create, "embedder": embedder}
    return make(index_name, root, wanted | options)


def _lance(index_name: str, root: Path | None, options: dict[str, Any]) -> Store:
    from latent.rag.stores.lance import LanceStore

    folder = options.pop("folder", None)
    workspace = _root(root)
    return LanceStore(workspace / (folder or Path(".latent") / LANCE_FOLDER), index_name, **options)


def _pinecone(index_name: str, root: Path | None, options: dict[str, Any]) -> Store:
    from latent.rag.stores.pinecone import PineconeStore

    return PineconeStore(index_name, locks=_root(root) / ".latent" / "locks", **options)


def _postgres(index_name: str, root: Path | None, options: dict[str, Any]) -> Store:
    from latent.rag.stores.postgres import PostgresStore

    return PostgresStore(index_name, **options)


def _root(root: Path | None) -> Path:
    from latent.config import find_workspace

    return find_workspace().root if root is None else root
