"""
How many rows are enough: what a difference takes to be seen, and what can be seen.

    detectable_difference(stderr, *, power=0.8, level=0.95) -> float
    rows_needed(difference, variance, *, power=0.8, level=0.95) -> int
    sample_size(difference, *, between, within=(0, 0), repeats=(1, 1), power=0.8, level=0.95) -> int
"""

from __future__ import annotations

from math import ceil, inf

from latent.errors import StatisticsError
from latent.evals.stats.distributions import check_level, normal_quantile
from latent.evals.stats.estimate import POWER


def detectable_difference(stderr: float, *, power: float = POWER, level: float = 0.95) -> float:
    """
    Smallest true difference that is seen with probability `power`: (z_level + z_power) SE, 2.8 SE as a rule.

    Source: Miller 2024, arXiv:2411.00640, section 5; Cohen 1988.

    Args:
        stderr: Standard error of the mean, or of the mean difference of pairs.
    """
    if stderr < 0.0:
        raise StatisticsError(f"A standard error is not below 0: got {stderr!r}.")
    return _quantiles(power, level) * stderr


def rows_needed(difference: float, variance: float, *, power: float = POWER, level: float = 0.95) -> int:
    """
    Rows on which a difference of this size is seen with probability `power`: ((z_level + z_power) / d)^2 s^2.

    Args:
        difference: True mean, or mean difference, that is to be told from 0.
        variance: Of one row's score, or of one row's difference, as observed.

    Raises:
        StatisticsError: No difference: no number of rows shows it.
    """
    if difference == 0.0:
        raise StatisticsError("No number of rows tells a difference of 0 from 0.")
    if variance < 0.0:
        raise StatisticsError(f"A variance is not below 0: got {variance!r}.")
    exact = (_quantiles(power, level) / difference) ** 2 * variance
    return max(ceil(round(exact, 9)), 2)


def sample_size(
    difference: float,
    *,
    between: float,
    within: tuple[float, float] = (0.0, 0.0),
    repeats: tuple[float, float] = (1, 1),
    power: float = POWER,
    level: float = 0.95,
) -> int:
    """
    Rows that an evaluation needs before it is made, for two systems on the same rows.

    ((z_level + z_power) / d)^2 (w^2 + s_A^2 / K_A + s_B^2 / K_B). Source: Miller 2024, arXiv:2411.00640,
    equation 9.

    Args:
        difference: Smallest true difference that matters.
        between: w^2: variance, over rows, of the difference of the two systems' expected scores.
        within: s_A^2 and s_B^2: variance of the repeats of one row, averaged over rows.
        repeats: K_A and K_B: answers to each row; `math.inf` for expected scores themselves.
    """
    if min(repeats) < 1:
        raise StatisticsError(f"Each row has at least one answer: got repeats={repeats!r}.")
    noise = sum(
        0.0 if count == inf else spread / count for spread, count in zip(within, repeats, strict=True)
    )
    return rows_needed(difference, between + noise, power=power, level=level)


def _quantiles(power: float, level: float) -> float:
    check_level(level)
    check_level(power)
    return normal_quantile((1.0 + level) / 2.0) + normal_quantile(power)
