"""
An in-memory Prefect API on loopback: what a flow needs when there is no Prefect server.

Prefect's engine is used as it is; only the server behind it is replaced. The engine, artifacts,
variables and global concurrency limits are answered, anything else is refused with a message that
says how to start a real server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.prefect.api.limits import GlobalLimit
    from latent.prefect.api.memory import MemoryApi
    from latent.prefect.api.session import drop_events, is_in_memory, memory_api, prefect_api
    from latent.prefect.api.telemetry import keep_telemetry_off

__all__ = [
    "GlobalLimit",
    "MemoryApi",
    "drop_events",
    "is_in_memory",
    "keep_telemetry_off",
    "memory_api",
    "prefect_api",
]

_HOME = {
    "GlobalLimit": "limits",
    "MemoryApi": "memory",
    "drop_events": "session",
    "is_in_memory": "session",
    "keep_telemetry_off": "telemetry",
    "memory_api": "session",
    "prefect_api": "session",
}


def __getattr__(name: str) -> object:
    if (module := _HOME.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
