"""What the sections of the settings are made of: their base, and the budget that several of them have."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Base of every section: closed, so that a misspelled setting is an error, and read-only."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BudgetSettings(Section):
    """What one run may use up; what it does not get to is skipped, and the next run goes on from there."""

    max_cost_usd: float | None = Field(
        default=None, gt=0, description="US dollars that model calls may cost, as far as prices are known."
    )
    max_calls: int | None = Field(
        default=None,
        ge=1,
        description="Calls of models that may be made, and rows of tasks under a limit that may be computed; "
        "when there is neither, rows of all tasks.",
    )
    max_minutes: float | None = Field(
        default=None, gt=0, description="Minutes after which no further row is begun."
    )
