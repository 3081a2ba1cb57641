"""Pinecone on this machine: its official client works against it unchanged."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.testing.pinecone.simulator import PineconeSimulator as PineconeSimulator

__all__ = ["PineconeSimulator"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.simulator"), name)
