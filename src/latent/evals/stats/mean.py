"""
The mean of a score with its interval, and its bounds when rows are missing.

    mean_interval(scores, *, scale=(0, 1) | None, rows=None, clusters=None, level=0.95) -> Estimate
    missing_bounds(scores, missing, *, scale, higher_is_better=True) -> Bounds

`scores` holds what was scored, one number an answer: missing ones are left out and counted apart. `rows`
says which row each belongs to, where rows were asked repeatedly; `clusters` which rows belong together.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from latent.errors import StatisticsError
from latent.evals.stats.arrays import ROUNDING, Codes, Floats, Labels, Scale, Values, row_means, score_array
from latent.evals.stats.distributions import check_level, normal_quantile, t_quantile
from latent.evals.stats.estimate import (
    FEW_CLUSTERS,
    FEWEST_CLUSTERS,
    NOTHING_SCORED,
    ONE_UNIT,
    Bounds,
    Estimate,
)
from latent.evals.stats.proportions import wilson

CONSTANT = "all scores are equal"


def mean_interval(
    scores: Values,
    *,
    scale: Scale | None = (0.0, 1.0),
    rows: Labels | None = None,
    clusters: Labels | None = None,
    level: float = 0.95,
) -> Estimate:
    """
    The mean over rows, with an interval that holds for few rows and for scores at an end of their scale.

    On a scale, the interval is Wilson's with the effective number of rows n_eff = m (1 - m) / SE^2 in place
    of n, and Student's quantile, on scores scaled to 0..1 (Wilson 1927; Korn and Graubard 1998; Dean and
    Pagano 2015). For binary scores without clusters that is Wilson's own interval. Without a scale it is
    Student's.

    - The repeats of a row are averaged first: the interval is over rows (Miller 2024, arXiv:2411.00640).
    - With clusters, SE is cluster-robust (CR1), with clusters - 1 degrees of freedom.
    - n_eff is never under the number of rows without clusters, since no score between 0 and 1 varies more
      than a binary one; with clusters it is never over that of the same scores without. Where SE is 0 it is
      the number of rows, or of clusters.
    - One row (or cluster) leaves the whole scale; no rows have no mean.

    Args:
        scores: Bools or numbers, one an answer.
        scale: The least and highest score that can be; None for what has no end, as seconds and dollars.
        rows: The row of each score, where rows have repeats.
        clusters: The cluster of each score, where rows belong together, as questions about one document.
        level: Confidence level, between 0 and 1.

    Raises:
        StatisticsError: A score is NaN, infinite or outside of its scale, or a row lies in two clusters.
    """
    check_level(level)
    values, of_cluster, groups = row_means(score_array(scores, scale), rows, clusters)
    n = len(values)
    known = None if of_cluster is None else groups
    if n == 0:
        return Estimate(value=None, n=0, clusters=known, level=level, method="none", note=NOTHING_SCORED)
    mean = float(np.mean(values))
    units = n if known is None else known
    if units == 1:
        low, high = scale or (None, None)
        return Estimate(
            value=mean,
            ci_low=low,
            ci_high=high,
            n=n,
            clusters=known,
            level=level,
            method="t" if scale is None else "wilson-effective",
            note=ONE_UNIT,
        )
    if scale is None:
        return _unbounded(values, of_cluster, units, level)
    return _bounded(values, of_cluster, units, scale, level)


def standard_error(values: Values, clusters: Labels | None = None) -> float:
    """
    Standard error of the mean; cluster-robust (CR1) where the values lie in clusters.

    s / sqrt(n); with G clusters, sqrt(G / (G - 1) sum_g (sum_{i in g} (x_i - m))^2) / n (Liang and Zeger
    1986; Cameron and Miller 2015, equation 11; Miller 2024, equation 4).

    Raises:
        StatisticsError: There are fewer than two values, or clusters.
    """
    array, of_cluster, groups = row_means(score_array(values), None, clusters)
    units = len(array) if of_cluster is None else groups
    if units < 2:
        raise StatisticsError("A standard error takes at least two rows, or two clusters.")
    return _standard_error(array, of_cluster, units)


def missing_bounds(
    scores: Values, missing: int, *, scale: Scale | None = (0.0, 1.0), higher_is_better: bool = True
) -> Bounds:
    """
    Where the mean would lie if all missing scores were the worst of their scale, and if they were the best.

    Whatever the missing scores would have been, the mean of all lies between (Manski 1990). With repeats,
    give the scores of all answers and the number of answers that are missing.

    Args:
        missing: Scores that should be there and are not: failed, abstained, skipped. What is not applicable
            is not missing.
    """
    if missing < 0:
        raise StatisticsError(f"There cannot be {missing} missing scores.")
    values = score_array(scores, scale)
    planned = len(values) + missing
    if planned == 0 or (scale is None and missing):
        return Bounds(None, None)
    low, high = scale or (0.0, 0.0)
    total = float(np.sum(values))
    ends = (total + missing * low) / planned, (total + missing * high) / planned
    return Bounds(*(ends if higher_is_better else reversed(ends)))


def _unbounded(values: Floats, of_cluster: Codes | None, units: int, level: float) -> Estimate:
    mean, stderr = float(np.mean(values)), _standard_error(values, of_cluster, units)
    half = t_quantile((1.0 + level) / 2.0, units - 1) * stderr
    return Estimate(
        value=mean,
        ci_low=mean - half,
        ci_high=mean + half,
        n=len(values),
        clusters=None if of_cluster is None else units,
        stderr=stderr,
        level=level,
        method="t",
        note=_note(stderr, of_cluster, units),
    )


def _bounded(values: Floats, of_cluster: Codes | None, units: int, scale: Scale, level: float) -> Estimate:
    low, width = scale[0], scale[1] - scale[0]
    scaled = (values - low) / width
    mean, stderr = float(np.mean(scaled)), _standard_error(scaled, of_cluster, units)
    # The spread of binary scores follows from their mean: there is nothing to estimate that a t would allow
    # for.
    binary = of_cluster is None and bool(np.all((scaled == 0.0) | (scaled == 1.0)))
    quantile = normal_quantile((1.0 + level) / 2.0) if binary else t_quantile((1.0 + level) / 2.0, units - 1)
    effective = float(units) if binary else _effective(scaled, mean, stderr, of_cluster, units)
    ends = wilson(mean, effective, quantile)
    return Estimate(
        value=float(np.mean(values)),
        ci_low=low + width * ends[0],
        ci_high=low + width * ends[1],
        n=len(values),
        clusters=None if of_cluster is None else units,
        stderr=stderr * width,
        n_effective=effective,
        level=level,
        method="wilson" if binary else "wilson-effective",
        note=_note(stderr, of_cluster, units),
    )


def _note(stderr: float, of_cluster: Codes | None, units: int) -> str | None:
    if of_cluster is not None and units < FEWEST_CLUSTERS:
        return FEW_CLUSTERS
    return CONSTANT if stderr == 0.0 else None


def _effective(scaled: Floats, mean: float, stderr: float, of_cluster: Codes | None, units: int) -> float:
    """How many rows of a binary score with this mean would have this standard error."""
    if stderr == 0.0:
        return float(units)
    variance = mean * (1.0 - mean)
    if of_cluster is None:
        return max(variance / stderr**2, float(units))
    independent = _standard_error(scaled, None, len(scaled))
    return min(variance / stderr**2, max(variance / independent**2, float(len(scaled))))


def _standard_error(values: Floats, of_cluster: Codes | None, units: int) -> float:
    largest = float(np.max(np.abs(values)))
    if largest == 0.0:
        return 0.0
    deviations: Floats = (values - np.mean(values)) / largest  # whose squares do not overflow
    if of_cluster is not None:
        deviations = np.bincount(of_cluster, deviations, units).astype(np.float64)
    stderr = sqrt(units / (units - 1) * float(deviations @ deviations)) / len(values)
    return 0.0 if stderr <= ROUNDING else stderr * largest
