"""
Which of a deployment's due runs goes, which waits, and which is skipped: decided from what the server knows.

The newest due run goes. One that is due while another runs is skipped, waits or runs beside it (`overlap`);
of those that were due while no worker was there, the newest, none or all are made up for (`catch_up`). A run
that was started by hand is never skipped: it waits where a scheduled one would be skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from latent.config.durations import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from latent.config import DeploymentSettings

CLAIM_LOST = timedelta(minutes=10)
"""A run that was claimed so long ago and never began does not hold up others: its process is gone."""

SAME_TIME = timedelta(seconds=2)
"""Runs that began closer together than this may not have seen each other begin."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run of a deployment that is due, or under way."""

    id: str
    name: str
    due: datetime
    stage: Literal["scheduled", "claimed", "begun", "interrupted", "ended"]
    """
    Claimed: a worker starts its process. Interrupted: it ran until its worker was stopped, and goes on.
    Ended: it ran to its end, which older runs that are still due must know.
    """
    since: datetime | None = None
    """When it was claimed or began; None while it is only scheduled."""
    is_by_hand: bool = False
    """Whether a user started it, and not the schedule."""

    @property
    def order(self) -> tuple[datetime, str]:
        return self.due, self.id


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a run, and why."""

    verdict: Literal["go", "wait", "skip"]
    reason: str = ""
    """As a sentence; empty for a run that goes."""


GO = Decision("go")


def decide(
    run: Candidate, others: Iterable[Candidate], settings: DeploymentSettings, now: datetime
) -> Decision:
    """
    What becomes of `run`, which has not begun, now.

    Args:
        others: The other runs of its deployment that are due or under way, in any order.
    """
    if run.due > now:
        return Decision("wait", f"It is due at {_shown(run.due)}.")
    others = [each for each in others if each.due <= now and each.id != run.id]
    blocker = _blocker(run, others, now)
    if run.is_by_hand:
        if settings.overlap == "allow" or blocker is None:
            return GO
        return Decision("wait", f"It waits for {_called(blocker)}.")
    is_late = now - run.due > settings.late_after
    if is_late and settings.catch_up == "none":
        late = f"more than {duration_text(settings.late_after)} ago"
        return Decision("skip", f'It was due at {_shown(run.due)}, {late}, and `catch_up` is "none".')
    if settings.overlap == "allow" and not is_late:
        return GO
    if settings.catch_up == "all":
        return _one_after_the_other(run, others, blocker, settings)
    if (newer := _newest(run, others)) is not None:
        return Decision("skip", f"Superseded by {_called(newer)}, which was due at {_shown(newer.due)}.")
    if blocker is None or settings.overlap == "allow":
        return GO
    if settings.overlap == "queue":
        return Decision("wait", f"It waits for {_called(blocker)}.")
    return _overlapping(blocker)


def decide_to_go_on(run: Candidate, others: Iterable[Candidate], settings: DeploymentSettings) -> Decision:
    """What becomes of a run that was interrupted: it goes on, or waits for one that runs."""
    ahead = [
        each
        for each in others
        if each.stage == "begun" or (each.stage == "interrupted" and each.order < run.order)
    ]
    if ahead and settings.overlap != "allow":
        return Decision("wait", f"It waits for {_called(ahead[0])}.")
    return GO


def may_go_on(run: Candidate, others: Iterable[Candidate], settings: DeploymentSettings) -> bool:
    """
    Whether a run that has just begun is alone, so that two workers that decided at once do not both run.

    Each run is written down as begun before it looks, so the later one of two sees the earlier one. Where it
    cannot be told which one was later, both give way, and are decided about again.
    """
    if settings.overlap == "allow" or run.since is None:
        return True
    return not any(
        other.stage == "begun"
        and other.id != run.id
        and (other.since is None or other.since <= run.since + SAME_TIME)
        for other in others
    )


def _one_after_the_other(
    run: Candidate, others: Sequence[Candidate], blocker: Candidate | None, settings: DeploymentSettings
) -> Decision:
    """Every run that was missed goes, the oldest first; one that is due while another runs is not missed."""
    if blocker is not None:
        was_running = blocker.stage != "scheduled" and (blocker.since is None or blocker.since <= run.due)
        if was_running and settings.overlap == "skip":
            return _overlapping(blocker)
        return Decision("wait", f"It waits for {_called(blocker)}.")
    older = [each for each in others if each.stage == "scheduled" and each.order < run.order]
    if older:
        return Decision("wait", f"It waits for {_called(min(older, key=lambda each: each.order))}.")
    return GO


def _blocker(run: Candidate, others: Sequence[Candidate], now: datetime) -> Candidate | None:
    """The run that another one of its deployment cannot begin beside; None when there is none."""
    begun = [each for each in others if each.stage in ("begun", "interrupted")]
    claimed = [
        each
        for each in others
        if each.stage == "claimed" and each.since is not None and now - each.since < CLAIM_LOST
        # Of runs that were claimed together, the one that goes is decided by their times.
        if (each.order < run.order if each.is_by_hand else each.since <= run.due or run.is_by_hand)
    ]
    by_hand = [
        each
        for each in others
        if each.stage == "scheduled" and each.is_by_hand
        if not run.is_by_hand or each.order < run.order
    ]
    return next(iter([*begun, *claimed, *by_hand]), None)


def _newest(run: Candidate, others: Sequence[Candidate]) -> Candidate | None:
    """The newest run of the schedule that was due later than `run`, yet before that was claimed."""
    newer = [
        each
        for each in others
        if not each.is_by_hand and each.order > run.order and (run.since is None or each.due <= run.since)
    ]
    return max(newer, key=lambda each: each.order, default=None)


def _overlapping(blocker: Candidate) -> Decision:
    return Decision("skip", f"{_called(blocker)} still ran when it was due.")


def _called(run: Candidate) -> str:
    return f"run {run.name!r}"


def _shown(when: datetime) -> str:
    return when.strftime("%Y-%m-%d %H:%M:%S %Z").strip()
