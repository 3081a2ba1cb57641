"""Differences of two systems on the same rows: known values, oracles, and systems that do not differ."""

from __future__ import annotations

import gc
import math

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from latent.errors import StatisticsError
from latent.evals.stats import (
    holm,
    mcnemar_mid_p,
    mean_interval,
    paired_difference,
    sign_flip_p,
    tango,
)


class TestBinaryDifferences:
    @pytest.mark.parametrize(
        ("gained", "lost", "n", "difference", "interval", "p"),
        [
            # GSM8K, four systems (Cobbe et al. 2021): 175b verification against finetuning, ...
            (360, 76, 1319, 0.2153, (0.1866, 0.2442), 1.75e-45),
            # ... and 175b finetuning against 6b verification.
            (152, 209, 1319, -0.0432, (-0.0715, -0.0151), 0.00269),
        ],
    )
    def test_gsm8k(self, gained, lost, n, difference, interval, p):
        estimate = tango(gained, lost, n)
        assert estimate.value == pytest.approx(difference, abs=5e-5)
        assert (estimate.ci_low, estimate.ci_high) == pytest.approx(interval, abs=5e-5)
        assert mcnemar_mid_p(gained, lost) == pytest.approx(p, rel=2e-3)

    @pytest.mark.parametrize(("gained", "lost", "n"), [(1, 0, 44), (12, 30, 200), (5, 5, 20), (0, 9, 30)])
    def test_both_ends_solve_tangos_equation(self, gained, lost, n):
        # Tango 1998, equation 8: |b - c - n d| = z sqrt(n (2 p + d (1 - d))).
        estimate = tango(gained, lost, n)
        for end in (estimate.ci_low, estimate.ci_high):
            b = (2 * n - gained + lost) * end - gained - lost
            p = (math.sqrt(b * b + 8 * n * lost * end * (1 - end)) - b) / (4 * n)
            distance = abs(gained - lost - n * end) / math.sqrt(n * (2 * p + end * (1 - end)))
            assert distance == pytest.approx(1.959964, abs=1e-5)

    def test_the_interval_is_mirrored_when_the_systems_change_places(self):
        one, other = tango(30, 12, 200), tango(12, 30, 200)
        assert (one.ci_low, one.ci_high) == pytest.approx((-other.ci_high, -other.ci_low), abs=1e-12)

    def test_it_reaches_the_ends_and_no_further(self):
        everything, nothing = tango(10, 0, 10), tango(0, 0, 10)
        assert everything.ci_high == pytest.approx(1.0)
        # No discordant pair: z^2 / (n + z^2) on both sides.
        end = 1.959964**2 / (10 + 1.959964**2)
        assert (nothing.ci_low, nothing.ci_high) == pytest.approx((-end, end), abs=1e-6)

    def test_mid_p_is_the_exact_p_less_half_the_probability_of_what_was_seen(self):
        random = np.random.default_rng(4)
        for _ in range(1000):
            gained, lost = (int(x) for x in random.integers(0, 60, 2))
            if gained == lost:
                assert mcnemar_mid_p(gained, lost) == 1.0
                continue
            exact = mcnemar([[0, gained], [lost, 0]], exact=True).pvalue
            seen = scipy.stats.binom.pmf(gained, gained + lost, 0.5)
            assert mcnemar_mid_p(gained, lost) == pytest.approx(exact - seen, abs=1e-9)

    def test_pairs_of_bools_are_counted(self):
        old = [True] * 76 + [False] * 360 + [True] * 883
        new = [False] * 76 + [True] * 360 + [True] * 883
        difference = paired_difference(new, old)
        assert (difference.gained, difference.lost, difference.p_method) == (360, 76, "mid-p McNemar")
        assert difference.estimate == tango(360, 76, 1319)

    def test_impossible_counts_are_refused(self):
        with pytest.raises(StatisticsError, match="Of 10 rows, 8 cannot be gained and 3 lost"):
            tango(8, 3, 10)


class TestOtherDifferences:
    def test_few_differences_are_tested_exactly_as_by_scipy(self):
        random = np.random.default_rng(5)
        for _ in range(1000):
            differences = (
                np.round(random.normal(1.2, 4.0, int(random.integers(2, 9)))) / 4
            )  # ties, no rounding
            zeros = np.zeros_like(differences)
            theirs = scipy.stats.permutation_test(
                (differences, zeros),
                lambda a, b, axis: np.mean(a - b, axis=axis),
                permutation_type="samples",
                vectorized=True,
                n_resamples=np.inf,
            )
            assert sign_flip_p(differences) == pytest.approx(min(theirs.pvalue, 1.0), abs=1e-9)

    @pytest.mark.parametrize(
        ("differences", "p"),
        [
            ([1, 1, 1], 0.25),  # by hand: 2 of the 8 patterns are all of one sign
            ([1, 1, 1, 0, 0], 0.25),  # zeros have no sign
            ([0.1, 0.2, -0.3], 1.0),  # a sum of 0 but for rounding: every pattern is as far
            ([2, 1], 0.5),
        ],
    )
    def test_sign_flips_by_hand(self, differences, p):
        assert sign_flip_p(differences) == p

    def test_many_differences_are_tested_with_a_seed(self):
        differences = np.random.default_rng(6).normal(0.1, 1.0, 500)
        assert sign_flip_p(differences, seed=1) == sign_flip_p(differences, seed=1)
        # As many: by the normal distribution, within five standard errors of 20,000 draws.
        theirs = scipy.stats.ttest_1samp(differences, 0.0).pvalue
        assert sign_flip_p(differences) == pytest.approx(theirs, abs=5 * math.sqrt(theirs / 20_000))
        assert paired_difference(differences + 5, np.full(500, 5), scale=None).estimate.seed == 0

    def test_a_difference_beyond_all_draws_is_not_impossible(self):
        assert sign_flip_p([1.0] * 100) == 1 / 20_001

    def test_clusters_are_flipped_as_one(self):
        clusters = ["a", "a", "a", "b", "b", "c"]
        assert sign_flip_p([0.1, 0.2, 0.3, 0.4, 0.1, 0.2], clusters=clusters) == 0.25
        assert sign_flip_p([0.1, 0.2, 0.3, 0.4], clusters=[None, "a", None, "a"]) == 0.25

    def test_the_interval_is_that_of_differences_on_their_scale(self):
        new, old = [5, 4, 4, 2, 5], [3, 4, 5, 1, 2]
        difference = paired_difference(new, old, scale=(1, 5))
        halves = mean_interval([(n - o) / 8 + 0.5 for n, o in zip(new, old, strict=True)])
        assert difference.estimate.ci_low == pytest.approx(8 * halves.ci_low - 4)
        assert difference.estimate.ci_high == pytest.approx(8 * halves.ci_high - 4)
        assert (difference.estimate.value, difference.gained, difference.lost) == (1.0, 3, 1)

    def test_clustered_binary_scores_are_not_treated_as_independent(self):
        new, old = [1, 1, 1, 1, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0, 1, 1]
        difference = paired_difference(new, old, clusters=[1, 1, 2, 2, 3, 3, 4, 4])
        assert (difference.estimate.method, difference.estimate.clusters) == ("wilson-effective", 4)
        assert difference.p_value == 0.5  # two clusters differ: 2 of 4 patterns

    def test_without_a_scale_the_interval_is_students(self):
        new, old = [1.5, 2.0, 4.0, 9.5], [1.0, 2.5, 3.0, 4.5]
        theirs = scipy.stats.ttest_rel(new, old).confidence_interval(0.95)
        estimate = paired_difference(new, old, scale=None).estimate
        assert (estimate.ci_low, estimate.ci_high) == pytest.approx(tuple(theirs), abs=1e-9)

    def test_lengths_must_fit(self):
        with pytest.raises(StatisticsError, match="row by row, and there are 1 scores and 2"):
            paired_difference([1], [1, 0])


class TestASystemAgainstItself:
    @pytest.mark.parametrize(
        "given",
        [
            {"new": [1, 0, 1, 1, 0] * 8},
            {"new": [1, 0, 1, 1, 0] * 8, "clusters": [i // 5 for i in range(40)]},
            {"new": [1, 2, 5, 4] * 10, "scale": (1, 5)},
            {"new": [0.1, 0.7, 0.3] * 10},
            {"new": [3.5, 120.0, 0.01], "scale": None},
            {"new": [0.4]},
            {"new": [True]},
        ],
        ids=["binary", "clustered", "ordinal", "continuous", "unbounded", "one row", "one binary row"],
    )
    def test_p_is_1_and_the_interval_holds_0(self, given):
        difference = paired_difference(old=given["new"], **given)
        assert (difference.p_value, difference.gained, difference.lost) == (1.0, 0, 0)
        assert difference.estimate.value == 0.0
        if difference.estimate.ci_low is not None:
            assert difference.estimate.ci_low <= 0.0 <= difference.estimate.ci_high
        assert difference.rows_needed is None

    def test_that_nothing_changed_is_known_as_well_for_any_scale_as_for_binary_scores(self):
        graded = paired_difference([0.1, 0.7, 0.4, 0.9] * 50, [0.1, 0.7, 0.4, 0.9] * 50).estimate
        assert graded.ci_high == pytest.approx(tango(0, 0, 200).ci_high, rel=0.02)
        assert graded.note == "no row differs"

    def test_no_rows_have_no_difference(self):
        difference = paired_difference([], [])
        assert (difference.p_value, difference.estimate.value, difference.p_method) == (None, None, "none")


class TestManyMetrics:
    def test_holm_by_hand(self):
        # 0.01 * 3, then 0.02 * 2, then 0.03, which may not be below what came before.
        assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])

    def test_holm_equals_statsmodels(self):
        random = np.random.default_rng(7)
        gc.freeze()  # statsmodels collects garbage in every call: nothing of the suite's is to be looked at
        try:
            for _ in range(1000):
                p_values = random.random(int(random.integers(1, 12))) ** 3
                theirs = multipletests(p_values, method="holm")[1]
                assert holm(p_values) == pytest.approx(theirs, abs=1e-9)
        finally:
            gc.unfreeze()

    def test_a_p_value_must_be_one(self):
        with pytest.raises(StatisticsError, match=r"Score 1 is 1\.2"):
            holm([0.5, 1.2])
        assert holm([]) == []
