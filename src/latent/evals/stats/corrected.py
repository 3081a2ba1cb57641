"""
The mean that people would give, from a judge on all rows and people's labels on some.

    corrected_mean(labels, judged, unlabelled, *, scale=(0, 1), level=0.95) -> CorrectedMean
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from latent.errors import StatisticsError
from latent.evals.stats.arrays import ROUNDING, Floats, Scale, Values, score_array
from latent.evals.stats.distributions import check_level, t_quantile
from latent.evals.stats.estimate import Estimate
from latent.evals.stats.proportions import wilson

LEAST_LABELS = 20
"""With fewer, what the judge is worth cannot be told from chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectedMean:
    """A mean of people's labels that a judge has helped to estimate."""

    estimate: Estimate
    weight: float
    """How far the judge is followed (PPI++'s lambda): 0 not at all, 1 as if it were as good as a person."""
    judged_mean: float
    """What the judge alone says, over all rows: its bias is in it."""
    labels: int


def corrected_mean(
    labels: Values,
    judged: Values,
    unlabelled: Values,
    *,
    scale: Scale = (0.0, 1.0),
    level: float = 0.95,
) -> CorrectedMean:
    """
    The mean of people's labels over all rows, by prediction-powered inference (PPI++) with Wilson's interval.

    mean(Y) + w (mean(F) - mean(f)), with w = cov(Y, f) / ((1 + n/N) var(f)), kept within 0 to 1, and
    SE^2 = var(Y - w f) / n + w^2 var(F) / N. The interval is that of `mean_interval` with this SE and n - 1
    degrees of freedom. Source: Angelopoulos, Duchi and Zrnic 2023, arXiv:2311.01453, section 6; for rates of
    judges also Lee et al. 2025, arXiv:2511.21140.

    Twenty labels without a disagreement do not prove that the judge makes no mistakes. So var(Y - w f)
    counts one more disagreement each way, of the usual size, as Bonett and Price 2012 (Journal of
    Educational and Behavioral Statistics 37:479) do for paired shares: without, the interval of a good
    judge would hold the true mean in 87 of 100 cases (docs/statistics.md).

    The labelled rows must have been drawn at random from all: labels on the rows that looked odd say
    nothing about the others, and no formula mends that.

    Args:
        labels: Y: people's scores of the labelled rows.
        judged: f: the judge's scores of the same rows, in the same order.
        unlabelled: F: the judge's scores of all other rows.

    Raises:
        StatisticsError: Fewer than 20 labels, or scores outside of the scale.
    """
    check_level(level)
    low, width = scale[0], scale[1] - scale[0]
    people, judge, others = (
        (score_array(each, scale) - low) / width for each in (labels, judged, unlabelled)
    )
    n = len(people)
    if len(judge) != n:
        raise StatisticsError(
            f"There are {n} labels and {len(judge)} of the judge's scores for the same rows."
        )
    if n < LEAST_LABELS:
        raise StatisticsError(
            f"{n} labels are too few to correct a judge by: label at least {LEAST_LABELS} rows, "
            "drawn at random."
        )
    weight = _weight(people, judge, len(others))
    shift = weight * (float(np.mean(others)) - float(np.mean(judge))) if weight else 0.0
    mean = min(max(float(np.mean(people)) + shift, 0.0), 1.0)
    if weight:
        variance = _residual_variance(people, judge, weight) / n + weight**2 * _variance(others) / len(others)
    else:
        variance = _variance(people) / n
    # As in `mean_interval`: no score between 0 and 1 varies more than a binary one.
    effective = float(n) if variance == 0.0 else max(mean * (1.0 - mean) / variance, float(n))
    ends = wilson(mean, effective, t_quantile((1.0 + level) / 2.0, n - 1))
    estimate = Estimate(
        value=low + width * mean,
        ci_low=low + width * ends[0],
        ci_high=low + width * ends[1],
        n=n + len(others),
        stderr=width * sqrt(variance),
        n_effective=effective,
        level=level,
        method="prediction-powered",
        note=None if weight else "the judge tells rows apart no better than chance: people's labels alone",
    )
    everyone = np.concatenate([judge, others])
    return CorrectedMean(
        estimate=estimate, weight=weight, judged_mean=low + width * float(np.mean(everyone)), labels=n
    )


def _weight(people: Floats, judge: Floats, others: int) -> float:
    n, spread = len(people), _variance(judge)
    if not others or spread == 0.0:
        return 0.0
    covariance = float((people - np.mean(people)) @ (judge - np.mean(judge))) / (n - 1)
    return min(max(covariance / ((1.0 + n / others) * spread), 0.0), 1.0)


def _residual_variance(people: Floats, judge: Floats, weight: float) -> float:
    residuals, disagreements = people - weight * judge, (people - judge)[people != judge]
    usual = float(np.mean(disagreements**2)) if len(disagreements) else 1.0
    deviations = residuals - np.mean(residuals)
    return (float(deviations @ deviations) + 2.0 * weight**2 * usual) / (len(people) + 1)


def _variance(values: Floats) -> float:
    if len(values) < 2:
        return 0.0
    variance = float(np.var(values, ddof=1))
    return 0.0 if variance <= ROUNDING**2 else variance
