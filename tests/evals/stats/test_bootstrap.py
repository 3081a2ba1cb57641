"""Percentile bootstrap: the same numbers for the same seed, whole clusters, and what cannot be drawn."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from latent.errors import StatisticsError
from latent.evals.stats import bootstrap_interval, f1_interval, kappa_interval, quantile_interval


def test_the_median_is_numpys():
    scores = np.random.default_rng(1).random(101)
    estimate = quantile_interval(scores)
    assert estimate.value == np.median(scores)
    assert (estimate.method, estimate.seed, estimate.n) == ("percentile bootstrap", 0, 101)


def test_the_interval_of_a_median_is_near_that_by_order_statistics():
    # 95 % by the binomial distribution: from the 40th to the 61st of 100 scores (Conover 1999, section 3.2).
    scores = np.arange(1, 101)
    estimate = quantile_interval(scores)
    assert estimate.ci_low == pytest.approx(40.5, abs=1.5)
    assert estimate.ci_high == pytest.approx(60.5, abs=1.5)


def test_the_interval_of_a_mean_is_scipys():
    scores = np.random.default_rng(2).gamma(2.0, 1.0, 80)
    ours = bootstrap_interval(lambda drawn: float(np.mean(drawn)), scores, resamples=9999)
    theirs = scipy.stats.bootstrap((scores,), np.mean, method="percentile", rng=3).confidence_interval
    # Two runs of 9,999 draws: each end within a tenth of the width.
    assert (ours.ci_low, ours.ci_high) == pytest.approx(tuple(theirs), abs=(theirs.high - theirs.low) / 10)


def test_the_same_seed_draws_the_same():
    scores = np.random.default_rng(3).random(50)
    assert quantile_interval(scores, 0.9, seed=7) == quantile_interval(scores, 0.9, seed=7)
    assert quantile_interval(scores, 0.9, seed=7).ci_low != quantile_interval(scores, 0.9, seed=8).ci_low


def test_clusters_are_drawn_whole():
    # Five clusters of twenty equal scores: as uncertain as five scores, not as a hundred.
    scores, clusters = np.repeat([0.1, 0.3, 0.5, 0.7, 0.9], 20), np.repeat(list("abcde"), 20)
    together = bootstrap_interval(lambda drawn: float(np.mean(drawn)), scores, clusters=clusters)
    apart = bootstrap_interval(lambda drawn: float(np.mean(drawn)), scores)
    assert together.stderr == pytest.approx(np.std([0.1, 0.3, 0.5, 0.7, 0.9]) / np.sqrt(5), rel=0.1)
    assert apart.stderr == pytest.approx(np.std(scores) / 10, rel=0.1)
    assert (together.n, together.clusters) == (100, 5)


def test_a_row_without_a_cluster_is_drawn_by_itself():
    scores, clusters = [0.1, 0.1, 0.5, 0.9, 0.7], ["a", "a", None, float("nan"), None]
    estimate = quantile_interval(scores, clusters=clusters)
    assert estimate == quantile_interval(scores, clusters=["a", "a", "b", "c", "d"])


def test_columns_stay_together():
    estimate = bootstrap_interval(lambda a, b: float(np.max(np.abs(a - b))), [1, 2, 3], [1, 2, 3])
    assert (estimate.value, estimate.ci_low, estimate.ci_high) == (0.0, 0.0, 0.0)


def test_equal_scores_are_a_point_and_marked():
    estimate = quantile_interval([0.3] * 20)
    assert (estimate.value, estimate.ci_low, estimate.ci_high) == (0.3, 0.3, 0.3)
    assert estimate.note == "no resample changes it: a point, no interval"


def test_resamples_that_do_not_define_the_number_are_counted():
    expected = ["yes"] * 9 + ["no"]
    estimate = kappa_interval(expected, expected)
    assert estimate.value == 1.0
    # Without the "no", about 0.9^10 of all resamples, chance alone agrees perfectly.
    assert f1_interval(expected, ["yes"] * 10).ci_low is not None
    uneven = kappa_interval(expected, ["yes"] * 8 + ["no"] * 2)
    assert uneven.note is not None
    assert "resamples do not define it" in uneven.note


def test_nothing_and_one_row_have_no_interval():
    assert quantile_interval([0.2]).ci_low is None
    with pytest.raises(StatisticsError, match="share from 0 to 1"):
        quantile_interval([0.2], 95)
    nothing = bootstrap_interval(lambda drawn: float(np.mean(drawn)), [])
    assert (nothing.value, nothing.n) == (None, 0)
    with pytest.raises(StatisticsError, match="lengths differ"):
        bootstrap_interval(lambda a, b: 0.0, [1, 2], [1])
