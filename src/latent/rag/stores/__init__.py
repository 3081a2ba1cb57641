"""Vector stores behind one small interface: LanceDB in a folder, Pinecone, and PostgreSQL with pgvector."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.rag.stores.lance import LanceStore as LanceStore
    from latent.rag.stores.opening import open_store as open_store
    from latent.rag.stores.pinecone import PineconeStore as PineconeStore
    from latent.rag.stores.postgres import PostgresStore as PostgresStore
    from latent.rag.stores.records import Match as Match
    from latent.rag.stores.records import Record as Record
    from latent.rag.stores.records import Store as Store

_HOME = {
    "LanceStore": "lance",
    "Match": "records",
    "PineconeStore": "pinecone",
    "PostgresStore": "postgres",
    "Record": "records",
    "Store": "records",
    "open_store": "opening",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    if (module := _HOME.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
