"""What a statistic returns: a number with its interval, and how both came about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from latent.evals.stats.distributions import normal_quantile

Method = Literal[
    "wilson",
    "wilson-effective",
    "t",
    "percentile bootstrap",
    "tango",
    "clopper-pearson",
    "prediction-powered",
    "none",
]
"""How an interval was made: see `docs/statistics.md`, where each has its formula and its source."""

POWER = 0.8
"""The usual chance, in planning, of seeing a difference that is there."""

NOTHING_SCORED = "nothing was scored"
FEWEST_CLUSTERS = 6
"""With fewer, nothing is known about how they differ: intervals are then too wide (docs/statistics.md)."""
FEW_CLUSTERS = f"fewer than {FEWEST_CLUSTERS} clusters: too few to know how they differ"
ONE_UNIT = "one row or cluster says nothing about the spread"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number that was estimated from rows, with its confidence interval."""

    value: float | None
    """None when nothing was scored: the mean of no rows is not zero."""
    ci_low: float | None = None
    """None without rows, and for a single row on a score without a scale."""
    ci_high: float | None = None
    n: int
    """Rows behind the number; the repeats of a row are one."""
    clusters: int | None = None
    """Clusters behind the number, where rows were clustered."""
    stderr: float | None = None
    """Standard error of the value; None where it cannot be estimated, as from one row."""
    n_effective: float | None = None
    """Rows of a binary score that would be as informative; for `wilson` and `wilson-effective`."""
    level: float = 0.95
    method: Method
    seed: int | None = None
    """What the random numbers began with, where there were any."""
    note: str | None = None
    """What a reader must know beside the numbers: that all scores are equal, say."""

    @property
    def detectable(self) -> float | None:
        """
        Smallest difference from a fixed value that would be seen with 80 % probability.

        2.8 standard errors at the level of 0.95. Where all scores are equal, their standard error of 0 says
        nothing about the rows that were not drawn, and the width of the interval stands in for it.
        """
        if self.stderr is None:
            return None
        quantile = normal_quantile((1.0 + self.level) / 2.0)
        stderr = self.stderr
        if stderr == 0.0 and self.ci_low is not None and self.ci_high is not None:
            stderr = (self.ci_high - self.ci_low) / (2.0 * quantile)
        return (quantile + normal_quantile(POWER)) * stderr


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a mean would lie if every missing row had the worst score of its scale, and the best."""

    worst: float | None
    """None where nothing was to be scored, or rows are missing on a score without a scale."""
    best: float | None
