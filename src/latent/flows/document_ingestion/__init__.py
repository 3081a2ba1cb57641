"""From files to an index that can be searched: load, chunk, embed, upsert."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.flows.document_ingestion.flow import document_ingestion as document_ingestion

__all__ = ["document_ingestion"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from latent.flows.document_ingestion import flow

    return getattr(flow, name)
