"""The command line: parses, calls the packages below and prints. One module per command."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.cli.app import main as main

__all__ = ["main"]


def __getattr__(name: str) -> object:
    if name == "main":
        from latent.cli.app import main

        return main
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
