"""The options of a run beside its parameters: what to compute again, and where to stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.prefect.budget import SharedBudget


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What `latent run` was asked for one run; subflows share them."""

    refresh: Mapping[str, str | None] = field(default_factory=dict)
    """Tasks to compute again whatever is remembered, each with an expression that selects rows; None: all."""
    plan: bool = False
    """Whether nothing that is paid for is done, only counted; see `latent.prefect.cost_plan`."""
    only_failed: bool = False
    """Whether of all rows that are not remembered only those run that failed in the last run."""
    max_cost_usd: float | None = None
    """None: the `[budget]` of the settings decides; the same goes for the two below."""
    max_calls: int | None = None
    max_minutes: float | None = None
    shared_budget: SharedBudget | None = None
    """What the run shares with others of its deployment; None: nothing."""
