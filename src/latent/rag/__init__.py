"""From a folder of documents to ranked passages: load, chunk, embed, store, retrieve."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.rag.chunk.chunking import chunk_document as chunk_document
    from latent.rag.documents import Chunk as Chunk
    from latent.rag.documents import Document as Document
    from latent.rag.index_sync import index_summary as index_summary
    from latent.rag.index_sync import remove_sources as remove_sources
    from latent.rag.load.finding import find_documents as find_documents
    from latent.rag.load.loading import load_document as load_document
    from latent.rag.retrieval import fuse as fuse
    from latent.rag.retrieval import retrieve as retrieve
    from latent.rag.stores.opening import open_store as open_store
    from latent.rag.stores.records import Match as Match
    from latent.rag.stores.records import Record as Record
    from latent.rag.stores.records import Store as Store

_HOME = {
    "Chunk": "documents",
    "Document": "documents",
    "Match": "stores.records",
    "Record": "stores.records",
    "Store": "stores.records",
    "chunk_document": "chunk.chunking",
    "find_documents": "load.finding",
    "fuse": "retrieval",
    "index_summary": "index_sync",
    "load_document": "load.loading",
    "open_store": "stores.opening",
    "remove_sources": "index_sync",
    "retrieve": "retrieval",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    if (module := _HOME.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
