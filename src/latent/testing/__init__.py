"""Help for tests of flows: a workspace in a temporary folder."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.testing.workspace import temporary_workspace as temporary_workspace
    from latent.testing.workspace import write_files as write_files

_HOME = {"temporary_workspace": "workspace", "write_files": "workspace"}

__all__ = ["temporary_workspace", "write_files"]


def __getattr__(name: str) -> object:
    if (module := _HOME.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
