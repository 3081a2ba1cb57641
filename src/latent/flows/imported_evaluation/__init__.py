"""Take over what another tool has evaluated: `latent eval --from`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.flows.imported_evaluation.flow import imported_evaluation as imported_evaluation

__all__ = ["imported_evaluation"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from latent.flows.imported_evaluation import flow

    return getattr(flow, name)
