"""
Shares of rows, exactly or by Wilson's score interval.

    wilson(share, n, quantile) -> (low, high)
    clopper_pearson(successes, trials, *, level=0.95, side="both" | "lower" | "upper") -> Estimate
"""

from __future__ import annotations

from math import inf, sqrt
from typing import Literal

from latent.errors import StatisticsError
from latent.evals.stats.arrays import check_choice
from latent.evals.stats.distributions import beta_quantile, check_level
from latent.evals.stats.estimate import Estimate


def wilson(share: float, n: float, quantile: float) -> tuple[float, float]:
    """
    Wilson's score interval of a share of `n` rows.

    (p + q^2/2n ± q sqrt(p (1 - p) / n + q^2/4n^2)) / (1 + q^2/n). Source: Wilson 1927, JASA 22:209; Brown,
    Cai and DasGupta 2001, Statistical Science 16:101, equation 4.

    Args:
        share: 0 to 1.
        n: Rows, or their effective number, which may be a fraction.
        quantile: Of the normal distribution, or of Student's: 1.96 for 95 % both sides. Infinite: the whole
            scale.
    """
    if not (0.0 <= share <= 1.0 and n > 0):
        raise StatisticsError(f"{share!r} of {n!r} rows is not a share of some rows.")
    if quantile == inf:
        return 0.0, 1.0
    weight = quantile**2 / n
    centre = share + weight / 2.0
    half = quantile * sqrt(max(share * (1.0 - share), 0.0) / n + weight / (4.0 * n))
    # At the ends the exact value is 0 or 1, from which rounding would stray.
    low = 0.0 if share <= 0.0 else max((centre - half) / (1.0 + weight), 0.0)
    high = 1.0 if share >= 1.0 else min((centre + half) / (1.0 + weight), 1.0)
    return low, high


def clopper_pearson(
    successes: int, trials: int, *, level: float = 0.95, side: Literal["both", "lower", "upper"] = "both"
) -> Estimate:
    """
    The exact interval of a share: its error is never over 1 - `level`, whatever the true share.

    Bounds are quantiles of beta(x, n - x + 1) and beta(x + 1, n - x). Source: Clopper and Pearson 1934,
    Biometrika 26:404.

    Args:
        side: `lower` and `upper` put the whole error on one side, the other end being 1 or 0: for gates.

    Raises:
        StatisticsError: More successes than trials, or fewer than none.
    """
    check_level(level)
    check_choice("side", side, ("both", "lower", "upper"))
    if not 0 <= successes <= trials:
        raise StatisticsError(f"{successes} of {trials} rows cannot have succeeded.")
    if trials == 0:
        return Estimate(value=None, n=0, level=level, method="none", note="nothing was scored")
    error = (1.0 - level) / (2.0 if side == "both" else 1.0)
    low, high = 0.0, 1.0
    if successes > 0 and side != "upper":
        low = beta_quantile(error, successes, trials - successes + 1)
    if successes < trials and side != "lower":
        high = beta_quantile(1.0 - error, successes + 1, trials - successes)
    share = successes / trials
    return Estimate(
        value=share,
        ci_low=low,
        ci_high=high,
        n=trials,
        stderr=sqrt(share * (1.0 - share) / trials),
        level=level,
        method="clopper-pearson",
    )
