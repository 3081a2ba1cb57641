"""
Rows that were asked several times.

    pass_at_k(answers, correct, k) -> float             at least one of k is right
    pass_hat_k(answers, correct, k) -> float            all of k are right
    pass_interval(passed, rows, k, *, every=False, clusters=None, level=0.95) -> Estimate
    flaky_rows(passed, rows) -> list
"""

from __future__ import annotations

from collections.abc import Hashable
from math import comb
from typing import Any

import numpy as np

from latent.errors import StatisticsError
from latent.evals.stats.arrays import Labels, Values, check_lengths, codes_of, plain, score_array
from latent.evals.stats.estimate import Estimate
from latent.evals.stats.mean import mean_interval


def pass_at_k(answers: int, correct: int, k: int) -> float:
    """
    Probability that at least one of `k` answers, drawn without replacement, is correct.

    The unbiased estimate 1 - C(answers - correct, k) / C(answers, k). Source: Chen et al. 2021,
    arXiv:2107.03374, equation 1.

    Args:
        answers: Answers given for one row.
        correct: How many of them passed, 0 to `answers`.
        k: Size of the draw, 1 to `answers`.

    Raises:
        StatisticsError: `k` answers cannot be drawn from `answers`.
    """
    _check_draw(answers, correct, k, "pass@k")
    return 1.0 - comb(answers - correct, k) / comb(answers, k)


def pass_hat_k(answers: int, correct: int, k: int) -> float:
    """
    Probability that all of `k` answers, drawn without replacement, are correct (pass^k).

    The unbiased estimate C(correct, k) / C(answers, k). Source: Yao et al. 2024 (tau-bench),
    arXiv:2406.12045, section 3.

    Raises:
        StatisticsError: `k` answers cannot be drawn from `answers`.
    """
    _check_draw(answers, correct, k, "pass^k")
    return comb(correct, k) / comb(answers, k)


def pass_interval(
    passed: Values,
    rows: Labels,
    k: int,
    *,
    every: bool = False,
    clusters: Labels | None = None,
    level: float = 0.95,
) -> Estimate:
    """
    The mean over rows of pass@k, or with `every` of pass^k, with the interval of `mean_interval`.

    Args:
        passed: Whether each answer passed.
        rows: The row of each answer.

    Raises:
        StatisticsError: A row has fewer than `k` answers, or a value is neither true nor false.
    """
    values = score_array(passed, (0.0, 1.0))
    if not np.all((values == 0.0) | (values == 1.0)):
        raise StatisticsError("pass@k and pass^k count answers that passed: scores must be true or false.")
    check_lengths(len(values), rows=rows)
    of_row, count = codes_of(rows)
    answers, correct = np.bincount(of_row, minlength=count), np.bincount(of_row, values, count)
    of_k = pass_hat_k if every else pass_at_k
    each = np.array([of_k(int(n), int(c), k) for n, c in zip(answers, correct, strict=True)])
    return mean_interval(each[of_row], rows=of_row, clusters=clusters, level=level)


def flaky_rows(passed: Values, rows: Labels) -> list[Any]:
    """Rows whose repeats did not all get the same score, in the order in which they first appear."""
    values = score_array(passed)
    check_lengths(len(values), rows=rows)
    first: dict[Hashable, float] = {}
    flaky: dict[Hashable, None] = {}
    for row, value in zip(plain(rows), values.tolist(), strict=True):
        if first.setdefault(row, value) != value:
            flaky[row] = None
    return [row for row in first if row in flaky]


def _check_draw(answers: int, correct: int, k: int, name: str) -> None:
    if not 0 <= correct <= answers:
        raise StatisticsError(f"{correct} of {answers} answers cannot have passed.")
    if not 1 <= k <= answers:
        raise StatisticsError(
            f"{name} with k = {k} on a row with {answers} answers: "
            "lower k, or ask each row more often (repeats)."
        )
