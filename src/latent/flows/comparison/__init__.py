"""Compare finished runs where something has to be asked or scored for it: `latent compare --causes`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.flows.comparison.flow import comparison as comparison

__all__ = ["comparison"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from latent.flows.comparison import flow

    return getattr(flow, name)
