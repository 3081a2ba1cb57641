"""A provider of models on this machine, for tests: clients of OpenAI's and Anthropic's APIs talk to it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.testing.provider.answers import Reply as Reply
    from latent.testing.provider.answers import Responder as Responder
    from latent.testing.provider.calls import ModelCall as ModelCall
    from latent.testing.provider.faults import Fault as Fault
    from latent.testing.provider.latency import LogNormal as LogNormal
    from latent.testing.provider.record import Record as Record
    from latent.testing.provider.record import Served as Served
    from latent.testing.provider.simulator import ProviderSimulator as ProviderSimulator

_HOME = {
    "Fault": "faults",
    "LogNormal": "latency",
    "ModelCall": "calls",
    "ProviderSimulator": "simulator",
    "Record": "record",
    "Reply": "answers",
    "Responder": "answers",
    "Served": "record",
}

__all__ = [
    "Fault",
    "LogNormal",
    "ModelCall",
    "ProviderSimulator",
    "Record",
    "Reply",
    "Responder",
    "Served",
]


def __getattr__(name: str) -> object:
    if (module := _HOME.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
