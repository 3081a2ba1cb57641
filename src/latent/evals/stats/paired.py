"""
The difference of two systems on the same rows.

    paired_difference(new, old, *, scale=(0, 1) | None, clusters=None, level=0.95, seed=0) -> Difference
    tango(gained, lost, n, *, level=0.95) -> Estimate
    mcnemar_mid_p(gained, lost) -> float
    sign_flip_p(differences, *, clusters=None, seed=0) -> float
    holm(p_values) -> list[float]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Literal

import numpy as np

from latent.errors import StatisticsError
from latent.evals.stats.arrays import ROUNDING, Floats, Labels, Scale, Values, cluster_codes, score_array
from latent.evals.stats.distributions import (
    binomial_cdf,
    binomial_pmf,
    check_level,
    normal_quantile,
    t_quantile,
)
from latent.evals.stats.estimate import NOTHING_SCORED, Estimate
from latent.evals.stats.mean import mean_interval
from latent.evals.stats.power import rows_needed
from latent.evals.stats.proportions import wilson

PMethod = Literal["mid-p McNemar", "exact sign flips", "random sign flips", "none"]

EXACT_FLIPS = 20
"""So many differences that are not zero have about a million sign patterns, which are all looked at."""
FLIPS = 20_000
CHUNK = 500
"""Sign patterns in memory at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How two systems differ on the same rows, and whether that may be chance."""

    estimate: Estimate
    """Of the mean difference, new - old."""
    p_value: float | None
    """Probability of a difference at least as large if neither system were better; None without rows."""
    p_method: PMethod
    gained: int
    """Rows on which the new one is better."""
    lost: int
    rows_needed: int | None
    """Rows that would show the observed difference with 80 % probability; None for a difference of 0."""

    @property
    def detectable(self) -> float | None:
        """Smallest true difference that these rows show with 80 % probability, by their paired variance."""
        return self.estimate.detectable


def paired_difference(
    new: Values,
    old: Values,
    *,
    scale: Scale | None = (0.0, 1.0),
    clusters: Labels | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """
    The mean of new - old over rows that both have, with its interval and its p-value.

    - Binary scores without clusters: Tango's interval, mid-p McNemar.
    - Other scores on a scale: the interval of `mean_interval` on the differences, whose scale is (-width,
      width); sign flips, of whole clusters where there are any. What is tested is what is shown, the mean
      difference.
    - Without a scale: Student's interval of the differences, and sign flips.

    Args:
        new: One score a row (the mean of its repeats), in the order of `old`.
        seed: For sign flips, where there are too many rows to look at all.

    Raises:
        StatisticsError: Different lengths, or scores that `mean_interval` refuses.
    """
    check_level(level)
    ours, theirs = score_array(new, scale), score_array(old, scale)
    if len(ours) != len(theirs):
        raise StatisticsError(
            f"Differences are taken row by row, and there are {len(ours)} scores and {len(theirs)}."
        )
    differences = ours - theirs
    differences[np.abs(differences) <= ROUNDING * np.maximum(np.abs(ours), np.abs(theirs))] = 0.0
    gained, lost = int(np.sum(differences > 0)), int(np.sum(differences < 0))
    if clusters is None and scale is not None and _binary(ours, scale) and _binary(theirs, scale):
        estimate = _stretched(tango(gained, lost, len(ours), level=level), scale[1] - scale[0])
        p_value = mcnemar_mid_p(gained, lost)
        p_method: PMethod = "mid-p McNemar"
    else:
        estimate = _mean_difference(differences, scale, clusters, level)
        p_value, exact = _sign_flips(differences, clusters, seed)
        p_method = "exact sign flips" if exact else "random sign flips"
        estimate = estimate if exact else replace(estimate, seed=seed)
    if not len(ours):
        return Difference(
            estimate=estimate, p_value=None, p_method="none", gained=0, lost=0, rows_needed=None
        )
    return Difference(
        estimate=estimate,
        p_value=p_value,
        p_method=p_method,
        gained=gained,
        lost=lost,
        rows_needed=_rows_needed(estimate),
    )


def tango(gained: int, lost: int, n: int, *, level: float = 0.95) -> Estimate:
    """
    Score interval of the difference of two paired shares, (gained - lost) / n.

    The differences d for which |gained - lost - n d| / sqrt(n (2 p + d (1 - d))) is at most the normal
    quantile, where p is the share of `lost` that is likeliest under d. Source: Tango 1998, Statistics in
    Medicine 17:891; recommended by Fagerland, Lydersen and Laake 2014, Statistics in Medicine 33:2850.

    Args:
        gained: Rows that only the new system solves.
        lost: Rows that only the old one solves.
        n: All rows.

    Raises:
        StatisticsError: More rows changed than there are.
    """
    check_level(level)
    if min(gained, lost) < 0 or gained + lost > n:
        raise StatisticsError(f"Of {n} rows, {gained} cannot be gained and {lost} lost.")
    if n == 0:
        return Estimate(value=None, n=0, level=level, method="none", note=NOTHING_SCORED)
    value = (gained - lost) / n
    quantile = normal_quantile((1.0 + level) / 2.0)
    low = -_tango_end(lost, gained, n, quantile)
    high = _tango_end(gained, lost, n, quantile)
    spread = (gained + lost) / n - value**2
    return Estimate(
        value=value,
        ci_low=low,
        ci_high=high,
        n=n,
        stderr=sqrt(max(spread, 0.0) / n),
        level=level,
        method="tango",
    )


def mcnemar_mid_p(gained: int, lost: int) -> float:
    """
    Two-sided mid-p value of McNemar's exact test; 1 when no row changed.

    2 P(X < k) + P(X = k) with k = min(gained, lost) and X binomial(gained + lost, 1/2). Source: Fagerland,
    Lydersen and Laake 2013, BMC Medical Research Methodology 13:91.
    """
    if min(gained, lost) < 0:
        raise StatisticsError(f"{gained} rows cannot be gained and {lost} lost.")
    changed, fewer = gained + lost, min(gained, lost)
    if gained == lost:
        return 1.0
    return min(2.0 * binomial_cdf(fewer - 1, changed, 0.5) + binomial_pmf(fewer, changed, 0.5), 1.0)


def sign_flip_p(differences: Values, *, clusters: Labels | None = None, seed: int = 0) -> float:
    """
    Probability that the mean is at least as far from 0 if each difference had its sign by chance.

    Exact for up to 20 rows (or clusters) whose differences are not zero; else (1 + as far) / (1 + 20,000)
    over random signs. Source: Fisher 1935, The Design of Experiments, section 21; the added one: Phipson
    and Smyth 2010, arXiv:1603.05766.

    Args:
        clusters: Rows of one cluster keep together: their signs are flipped as one.
    """
    return _sign_flips(score_array(differences), clusters, seed)[0]


def holm(p_values: Sequence[float]) -> list[float]:
    """
    P-values adjusted for how many there are: below 0.05, at most 5 % of such families hold a false alarm.

    Source: Holm 1979, Scandinavian Journal of Statistics 6:65.

    Raises:
        StatisticsError: One lies outside of 0 to 1, or is NaN.
    """
    values = score_array(p_values, (0.0, 1.0))
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    stepped = values[order] * np.arange(len(values), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return [float(value) for value in adjusted]


def _tango_end(gained: int, lost: int, n: int, quantile: float) -> float:
    """The upper end: where the score falls to -quantile, by bisection."""
    low, high = (gained - lost) / n, 1.0
    while high - low > 1e-13:
        middle = (low + high) / 2.0
        b = (2 * n - gained + lost) * middle - gained - lost
        root = sqrt(max(b * b + 8.0 * n * lost * middle * (1.0 - middle), 0.0))
        likeliest = (root - b) / (4.0 * n)
        spread = n * (2.0 * likeliest + middle * (1.0 - middle))
        if n * middle - (gained - lost) <= quantile * sqrt(max(spread, 0.0)):
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def _stretched(estimate: Estimate, width: float) -> Estimate:
    """The same on a scale of this width."""
    if estimate.value is None or width == 1.0:
        return estimate
    assert estimate.ci_low is not None and estimate.ci_high is not None and estimate.stderr is not None
    return replace(
        estimate,
        value=estimate.value * width,
        ci_low=estimate.ci_low * width,
        ci_high=estimate.ci_high * width,
        stderr=estimate.stderr * width,
    )


def _mean_difference(
    differences: Floats, scale: Scale | None, clusters: Labels | None, level: float
) -> Estimate:
    if scale is None:
        return mean_interval(differences, scale=None, clusters=clusters, level=level)
    width = scale[1] - scale[0]
    estimate = mean_interval(differences, scale=(-width, width), clusters=clusters, level=level)
    if not len(differences) or differences.any() or estimate.stderr is None:
        return estimate
    # Nothing changed: how large can the share of rows be that change, each by the whole scale? Tango's
    # answer too.
    units = len(differences) if estimate.clusters is None else estimate.clusters
    end = width * wilson(0.0, units, t_quantile((1.0 + level) / 2.0, units - 1))[1]
    return replace(estimate, ci_low=-end, ci_high=end, note="no row differs")


def _sign_flips(differences: Floats, clusters: Labels | None, seed: int) -> tuple[float, bool]:
    """The p-value, and whether it is exact."""
    units: Floats = differences
    if clusters is not None:
        of_cluster, groups = cluster_codes(clusters)
        units = np.bincount(of_cluster, differences, groups).astype(np.float64)
    largest = float(np.max(np.abs(units), initial=0.0))
    units = units[np.abs(units) > ROUNDING * max(largest, float(np.max(np.abs(differences), initial=0.0)))]
    if not len(units):
        return 1.0, True
    # Sums that differ by rounding alone count as equal.
    reached = abs(float(np.sum(units))) - 1e-9 * float(np.sum(np.abs(units)))
    if len(units) <= EXACT_FLIPS:
        sums = units[:1]  # the first keeps its sign: all others mirrored give the other half
        for each in units[1:]:
            sums = np.concatenate([sums + each, sums - each])
        return float(np.mean(np.abs(sums) >= reached)), True
    # A random byte chooses the signs of eight differences at once: their 256 sums are looked up.
    signs = 1.0 - 2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    groups_of_eight = np.append(units, np.zeros(-len(units) % 8)).reshape(-1, 8)
    sums_of_eight = signs @ groups_of_eight.T
    random, every, as_far = np.random.default_rng(seed), np.arange(len(groups_of_eight)), 0
    for _ in range(FLIPS // CHUNK):
        chosen = random.integers(0, 256, (CHUNK, len(every)), np.uint8)
        as_far += int(np.sum(np.abs(sums_of_eight[chosen, every].sum(axis=1)) >= reached))
    return (1 + as_far) / (1 + FLIPS), False


def _rows_needed(estimate: Estimate) -> int | None:
    if not estimate.value or not estimate.stderr:
        return None
    return rows_needed(estimate.value, estimate.stderr**2 * estimate.n, level=estimate.level)


def _binary(values: Floats, scale: Scale) -> bool:
    return bool(np.all((values == scale[0]) | (values == scale[1])))
