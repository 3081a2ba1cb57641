"""Help for tests of flows: a workspace in a temporary folder, and providers of models and of Pinecone."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.testing.pinecone import PineconeSimulator as PineconeSimulator
    from latent.testing.provider import Fault as Fault
    from latent.testing.provider import LogNormal as LogNormal
    from latent.testing.provider import ModelCall as ModelCall
    from latent.testing.provider import ProviderSimulator as ProviderSimulator
    from latent.testing.provider import Record as Record
    from latent.testing.provider import Reply as Reply
    from latent.testing.provider import Responder as Responder
    from latent.testing.provider import Served as Served
    from latent.testing.workspace import temporary_workspace as temporary_workspace
    from latent.testing.workspace import write_files as write_files

_HOME = {
    "Fault": "provider",
    "LogNormal": "provider",
    "ModelCall": "provider",
    "PineconeSimulator": "pinecone",
    "ProviderSimulator": "provider",
    "Record": "provider",
    "Reply": "provider",
    "Responder": "provider",
    "Served": "provider",
    "temporary_workspace": "workspace",
    "write_files": "workspace",
}

__all__ = [
    "Fault",
    "LogNormal",
    "ModelCall",
    "PineconeSimulator",
    "ProviderSimulator",
    "Record",
    "Reply",
    "Responder",
    "Served",
    "temporary_workspace",
    "write_files",
]


def __getattr__(name: str) -> object:
    if (module := _HOME.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
