"""Ask a model about every row of a dataset, score its answers, and report what can be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.flows.batch_evaluation.flow import batch_evaluation as batch_evaluation

__all__ = ["batch_evaluation"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from latent.flows.batch_evaluation import flow

    return getattr(flow, name)
