"""
Intervals for what has no formula: medians, percentiles, F1, kappa, alpha.

    bootstrap_interval(statistic, *columns, clusters=None, level=0.95, resamples=2000, seed=0) -> Estimate
    quantile_interval(scores, share=0.5, *, rows=None, clusters=None, ...) -> Estimate
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from latent.errors import StatisticsError
from latent.evals.stats.arrays import ROUNDING, Codes, Labels, Values, cluster_codes, row_means, score_array
from latent.evals.stats.distributions import check_level
from latent.evals.stats.estimate import NOTHING_SCORED, ONE_UNIT, Estimate

Statistic = Callable[..., float | None]
"""Computes the number from the columns of some rows; None where these rows do not define it."""

UNDEFINED = "these rows do not define it"
CONSTANT = "no resample changes it: a point, no interval"


def bootstrap_interval(
    statistic: Statistic,
    *columns: Values | Labels,
    clusters: Labels | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """
    A statistic of rows with its percentile bootstrap interval; with clusters, whole clusters are drawn.

    Source: Efron and Tibshirani 1993, chapter 13; Davison and Hinkley 1997, section 3.8, for clusters. For
        means,
    `mean_interval` is better: with few rows, or rows at an end of the scale, percentile intervals are too
    narrow (docs/statistics.md).

    Args:
        statistic: Called with the columns, as arrays, of all rows, then of each resample.
        columns: One value a row each, all of one length.
        resamples: Draws; each calls `statistic` once.
        seed: What the draws begin with. The same seed gives the same interval.

    Raises:
        StatisticsError: Columns of different lengths.
    """
    check_level(level)
    if resamples < 1:
        raise StatisticsError(f"An interval takes resamples, at least some hundreds: got {resamples}.")
    arrays = [_array(column) for column in columns]
    if len({len(array) for array in arrays} | ({len(clusters)} if clusters is not None else set())) != 1:
        raise StatisticsError("The columns, and the clusters, hold one value a row: their lengths differ.")
    n = len(arrays[0])
    of_cluster, groups = (None, None) if clusters is None else cluster_codes(clusters)
    if n == 0:
        return Estimate(value=None, n=0, clusters=groups, level=level, method="none", note=NOTHING_SCORED)
    value = statistic(*arrays)
    units = n if groups is None else groups
    if value is None or units == 1:
        why = UNDEFINED if value is None else ONE_UNIT
        return Estimate(value=value, n=n, clusters=groups, level=level, method="none", note=why)
    drawn = [
        statistic(*(array[chosen] for array in arrays))
        for chosen in _resamples(n, of_cluster, units, resamples, seed)
    ]
    defined = np.array([each for each in drawn if each is not None])
    if not len(defined):
        return Estimate(value=value, n=n, clusters=groups, level=level, method="none", note=UNDEFINED)
    low, high = np.quantile(defined, [(1.0 - level) / 2.0, (1.0 + level) / 2.0]).tolist()
    note = None
    if high - low <= ROUNDING * max(abs(low), abs(high)):
        note = CONSTANT
    elif undefined := resamples - len(defined):
        note = f"{undefined:,} of {resamples:,} resamples do not define it"
    return Estimate(
        value=value,
        ci_low=low,
        ci_high=high,
        n=n,
        clusters=groups,
        stderr=float(np.std(defined, ddof=1)) if len(defined) > 1 else None,
        level=level,
        method="percentile bootstrap",
        seed=seed,
        note=note,
    )


def quantile_interval(
    scores: Values,
    share: float = 0.5,
    *,
    rows: Labels | None = None,
    clusters: Labels | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """
    The median, or another quantile, with its percentile bootstrap interval.

    Repeats of a row are averaged first. Between two scores it is interpolated (numpy's default; Hyndman and
    Fan 1996, type 7).

    Args:
        share: Of the scores that lie below: 0.5 is the median, 0.95 the 95th percentile.

    Raises:
        StatisticsError: A score is NaN or infinite, a row lies in two clusters, or `share` is not between 0
            and 1.
    """
    if not 0.0 <= share <= 1.0:
        raise StatisticsError(f"A quantile is that of a share from 0 to 1: got {share!r}.")
    values, of_cluster, _ = row_means(score_array(scores), rows, clusters)
    return bootstrap_interval(
        lambda drawn: float(np.quantile(drawn, share)),
        values,
        clusters=of_cluster,
        level=level,
        resamples=resamples,
        seed=seed,
    )


def _resamples(
    n: int, of_cluster: Codes | None, units: int, resamples: int, seed: int
) -> Iterator[npt.NDArray[np.intp]]:
    random = np.random.default_rng(seed)
    every = np.arange(n)
    for _ in range(resamples):
        drawn = random.integers(0, units, units)
        if of_cluster is None:
            yield drawn
        else:
            yield np.repeat(every, np.bincount(drawn, minlength=units)[of_cluster])


def _array(column: Values | Labels) -> npt.NDArray[Any]:
    if isinstance(column, np.ndarray):
        return column
    array = np.asarray(column)
    # Labels of several types stay what they are: numpy would make strings of 1 and "a".
    return array if array.dtype.kind in "biuf" else _objects(column)


def _objects(column: Values | Labels) -> npt.NDArray[Any]:
    array = np.empty(len(column), dtype=object)
    array[:] = list(column)
    return array
