"""Quantiles and probabilities, the only part of the statistics that knows scipy."""

from __future__ import annotations

from functools import lru_cache
from math import exp, inf, lgamma, log, log1p
from statistics import NormalDist
from typing import Any

from latent.errors import StatisticsError

_NORMAL = NormalDist()


def check_level(level: float) -> None:
    """
    Check that a confidence level is a probability.

    Raises:
        StatisticsError: It does not lie between 0 and 1, as 95 (percent) does not.
    """
    if not 0.0 < level < 1.0:
        raise StatisticsError(f"A confidence level lies between 0 and 1, as 0.95 does: got {level!r}.")


def normal_quantile(probability: float) -> float:
    """The point under which this share of the standard normal distribution lies."""
    return _NORMAL.inv_cdf(probability)


@lru_cache(maxsize=1024)
def t_quantile(probability: float, df: float) -> float:
    """The same of Student's distribution with `df` degrees of freedom; infinite for none."""
    if df <= 0:
        return inf if probability > 0.5 else -inf
    return float(_special().stdtrit(df, probability))


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The same of the beta distribution."""
    return float(_special().betaincinv(a, b, probability))


def binomial_cdf(successes: int, trials: int, probability: float) -> float:
    """Probability of at most `successes` in `trials`."""
    return float(_special().bdtr(successes, trials, probability)) if successes >= 0 else 0.0


def binomial_pmf(successes: int, trials: int, probability: float) -> float:
    """Probability of exactly `successes` in `trials`; for 0 < `probability` < 1."""
    ways = lgamma(trials + 1) - lgamma(successes + 1) - lgamma(trials - successes + 1)
    return exp(ways + successes * log(probability) + (trials - successes) * log1p(-probability))


def _special() -> Any:
    # Here, since scipy takes a quarter of a second to import and a binary score needs none of it.
    from scipy import special  # type: ignore[import-untyped]

    return special
