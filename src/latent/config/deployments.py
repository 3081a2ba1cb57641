"""`[[deployments]]` of the settings: flows that run on a schedule or on demand, on a Prefect server."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from latent.config.durations import Duration
from latent.config.section import BudgetSettings, Section
from latent.errors.text import did_you_mean

_NOT_IN_NAMES = "/%&<>"
"""What Prefect does not take in the name of a deployment."""


def _nameable(name: str) -> str:
    if not name.strip() or set(name) & set(_NOT_IN_NAMES):
        raise ValueError(f"a name has at least one letter, and none of {' '.join(_NOT_IN_NAMES)}")
    return name


def _known_zone(name: str) -> str:
    from zoneinfo import ZoneInfo, available_timezones

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # no such name, no name at all, the name of a folder
        hint = did_you_mean(name, available_timezones(), 'such as "UTC" or "Europe/Berlin"')
        raise ValueError(f"unknown time zone, {hint}") from None
    return name


TimeZone = Annotated[str, AfterValidator(_known_zone)]


class DeploymentBudget(BudgetSettings):
    """What all runs of a deployment may use up together; a run gets what the earlier ones have left."""

    per: Literal["day"] = Field(
        default="day", description="What the budget is for: a day of the deployment's time zone."
    )


class DeploymentSettings(Section):
    """
    A deployment: a flow with its schedule, as `latent deploy` puts it on a Prefect server.

    One table for each; `cron`, `interval` and `rrule` exclude one another.
    """

    flow: str = Field(min_length=1, description="Name of the flow.", examples=["document_ingestion"])
    name: Annotated[str, AfterValidator(_nameable)] = Field(
        description="Name of the deployment; no other one of the workspace has it.",
        examples=["nightly-ingestion"],
    )
    cron: str | None = Field(
        default=None, description='When it runs, as a line of cron by the wall clock: "0 2 * * *".'
    )
    interval: Duration | None = Field(default=None, description='Or after which time again: "15m", "2h".')
    rrule: str | None = Field(
        default=None, description='Or a rule of iCalendar: "FREQ=WEEKLY;BYDAY=MO,TH;BYHOUR=6;BYMINUTE=0".'
    )
    timezone: TimeZone = Field(
        default="UTC", description='Whose clock the schedule and the budget go by, such as "Europe/Berlin".'
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Parameters of its runs, over those of the flow's folder."
    )
    work_pool: str = Field(
        default="default", min_length=1, description="The workers that run it: those of this pool."
    )
    work_queue: str | None = Field(
        default=None, min_length=1, description="The pool's queue; its default one when it is not set."
    )
    overlap: Literal["skip", "queue", "allow"] = Field(
        default="skip",
        description="What becomes of a run that is due while another one still runs: it is skipped, it waits "
        "(the newest one does, the others are skipped), or it runs beside it.",
    )
    catch_up: Literal["latest", "none", "all"] = Field(
        default="latest",
        description="Which runs that were due while no worker was there are made up for: the newest, none, "
        "or all, one after the other.",
    )
    late_after: Duration = Field(
        default=timedelta(minutes=15), description="How long after its time a run counts as missed."
    )
    on_crash: Literal["resume", "nothing"] = Field(
        default="resume",
        description="What becomes of a run whose process died: it starts again from what is remembered, "
        "three times at most, or stays crashed.",
    )
    budget: DeploymentBudget | None = Field(
        default=None,
        description="What its runs of a day may use up together: a table with the settings of [budget].",
    )

    @model_validator(mode="after")
    def _has_one_schedule(self) -> Self:
        given = [name for name in ("cron", "interval", "rrule") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude one another: keep one")
        return self


def _names_differ(deployments: tuple[DeploymentSettings, ...]) -> tuple[DeploymentSettings, ...]:
    counts = Counter(deployment.name for deployment in deployments)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"several deployments have the name {twice[0]!r}: give each one of its own")
    return deployments


Deployments = Annotated[tuple[DeploymentSettings, ...], AfterValidator(_names_differ)]
"""All deployments of a workspace, in the order of the file."""
