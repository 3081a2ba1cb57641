"""
What a run would ask paid services: the account of `latent run --plan`, in which nothing is sent.

The flow runs as usual, and remembered results are used. What is not remembered, and would be paid for, is
counted here and skipped: rows of tasks that can tell what they would take, and of tasks under a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from latent.errors import RunStoppedError
from latent.limits.bucket import request_bucket, token_bucket

if TYPE_CHECKING:
    from latent.config.settings import LimitSettings
    from latent.prefect.tasks import Task

REASON = "This is a plan: nothing is sent."

Range = tuple[float, float | None]
"""The least and the most; None: nobody knows how much at most, or at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What calls would take."""

    service: str
    """A model, or a task under a limit that tells no more."""
    calls: int = 1
    limit: str | None = None
    input_tokens: Range = (0, 0)
    output_tokens: Range = (0, 0)
    cost_usd: tuple[float, float | None] | None = None
    """None: the price is not known."""
    sample: str = ""
    """A prompt as it would be sent."""

    def with_more(self, other: Estimate) -> Estimate:
        """Both together."""
        known = self.cost_usd is not None and other.cost_usd is not None
        return replace(
            self,
            calls=self.calls + other.calls,
            input_tokens=_sum(self.input_tokens, other.input_tokens),
            output_tokens=_sum(self.output_tokens, other.output_tokens),
            cost_usd=_sum(self.cost_usd or (0, 0), other.cost_usd or (0, 0)) if known else None,
        )


Estimator = Callable[[Mapping[str, Any]], Estimate]
"""What a call of a task would take, from its arguments."""


class CostPlan:
    """What a run would ask, so far; safe in threads."""

    def __init__(self) -> None:
        self._estimates: dict[tuple[str, str | None], Estimate] = {}
        self._lock = Lock()

    @property
    def estimates(self) -> list[Estimate]:
        """One for each service and limit, in the order in which they were first met."""
        with self._lock:
            return list(self._estimates.values())

    @property
    def is_empty(self) -> bool:
        """Whether all that was asked so far is remembered, or free."""
        return not self._estimates

    def add(self, estimate: Estimate) -> None:
        """Take in what further calls would take."""
        which = (estimate.service, estimate.limit)
        with self._lock:
            known = self._estimates.get(which)
            self._estimates[which] = estimate if known is None else known.with_more(estimate)

    def skips(self, task: Task[..., Any], arguments: Mapping[str, Any]) -> bool:
        """Whether a call of a task is left out, since it would be paid for; it is counted then."""
        if task.estimator is not None:
            self.add(task.estimator(arguments))
        elif task.limit is not None:
            unknown: Range = (0, None)
            self.add(
                Estimate(service=task.name, limit=task.limit, input_tokens=unknown, output_tokens=unknown)
            )
        else:
            return False
        return True

    def refuse(self, estimate: Estimate) -> RunStoppedError:
        """Count a call, and give the error that stands for its result."""
        self.add(estimate)
        return RunStoppedError(REASON, estimate.service)


def seconds_under(limit: LimitSettings, estimate: Estimate) -> float | None:
    """The shortest time in which a limit lets all calls begin; None when it lets them begin at once."""
    seconds, requests = 0.0, None
    if limit.requests_per_minute is not None:
        requests = request_bucket(limit.requests_per_minute / 60, limit.burst)
        seconds = (estimate.calls - requests.capacity) / requests.per_second
    if limit.tokens_per_minute is not None:
        tokens = estimate.input_tokens[0] + estimate.output_tokens[0]
        bucket = token_bucket(limit.tokens_per_minute / 60, requests)
        # The first call begins at once, also where it alone takes more than the bucket holds.
        at_once = max(bucket.capacity, tokens / estimate.calls)
        seconds = max(seconds, (tokens - at_once) / bucket.per_second)
    return seconds if seconds > 0 else None


def _sum(one: Range, other: Range) -> Range:
    most = None if one[1] is None or other[1] is None else one[1] + other[1]
    return one[0] + other[0], most
