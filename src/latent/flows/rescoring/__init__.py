"""Score the answers of a finished run again: `latent score`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.flows.rescoring.flow import rescoring as rescoring

__all__ = ["rescoring"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from latent.flows.rescoring import flow

    return getattr(flow, name)
