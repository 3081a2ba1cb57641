"""Means with intervals: known values, what the shape of the data changes, and what has no answer."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import statsmodels.api
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from latent.errors import StatisticsError
from latent.evals.stats.mean import mean_interval, missing_bounds, standard_error
from latent.evals.stats.proportions import clopper_pearson


class TestBinaryScores:
    def test_gsm8k_has_wilsons_interval(self):
        estimate = mean_interval([True] * 742 + [False] * 577)
        assert (estimate.n, estimate.method, estimate.clusters) == (1319, "wilson", None)
        # 742 of 1,319 solved; the interval by Wilson's formula on paper.
        assert estimate.value == pytest.approx(0.56255, abs=5e-6)
        assert (estimate.ci_low, estimate.ci_high) == pytest.approx((0.53563, 0.58910), abs=5e-6)

    def test_the_ends_of_any_scale_are_binary(self):
        ones, fives = mean_interval([1, 0, 1]), mean_interval([5, 1, 5], scale=(1, 5))
        assert fives.method == "wilson"
        assert fives.ci_low == pytest.approx(1 + 4 * ones.ci_low)
        assert fives.ci_high == pytest.approx(1 + 4 * ones.ci_high)

    def test_all_equal_scores_have_an_interval_that_begins_at_the_end(self):
        # Wilson at p = 1: n / (n + z^2), and 1.
        estimate = mean_interval([1] * 30)
        assert estimate.ci_low == pytest.approx(30 / (30 + 1.959964**2), abs=1e-6)
        assert estimate.ci_high == 1.0
        assert estimate.note == "all scores are equal"

    def test_wilson_and_clopper_pearson_equal_statsmodels(self):
        random = np.random.default_rng(1)
        for _ in range(1000):
            n = int(random.integers(2, 500))
            x = int(random.integers(0, n + 1))
            ours = mean_interval([1] * x + [0] * (n - x))
            theirs = proportion_confint(x, n, method="wilson")
            assert (ours.ci_low, ours.ci_high) == pytest.approx(theirs, abs=1e-9)
            exact = clopper_pearson(x, n)
            assert (exact.ci_low, exact.ci_high) == pytest.approx(
                proportion_confint(x, n, method="beta"), abs=1e-9
            )

    def test_one_sided_exact_bounds_put_the_whole_error_on_one_side(self):
        # Zero failures of n: 1 - 0.05^(1/n), the rule of three's exact form.
        assert clopper_pearson(0, 60, side="upper").ci_high == pytest.approx(1 - 0.05 ** (1 / 60), abs=1e-12)
        assert clopper_pearson(60, 60, side="lower").ci_low == pytest.approx(0.05 ** (1 / 60), abs=1e-12)
        assert clopper_pearson(3, 60, side="upper").ci_low == 0.0
        assert clopper_pearson(3, 60, side="lower").ci_high == 1.0
        assert clopper_pearson(0, 0).value is None


class TestScoresOnAScale:
    def test_the_interval_is_wilsons_with_the_effective_rows(self):
        scores = [0.2, 0.4, 0.6, 0.9]
        # By hand: m = 0.525, s^2 = 0.2675 / 3, SE^2 = s^2 / 4, n_eff = 0.249375 / SE^2, q = t(0.975, 3).
        effective, q = 0.249375 / (0.2675 / 3 / 4), 3.182446
        weight = q**2 / effective
        centre = 0.525 + weight / 2
        half = q * math.sqrt(0.249375 / effective + weight / (4 * effective))
        estimate = mean_interval(scores)
        assert estimate.n_effective == pytest.approx(effective)
        assert estimate.ci_low == pytest.approx((centre - half) / (1 + weight), abs=1e-6)
        assert estimate.ci_high == pytest.approx((centre + half) / (1 + weight), abs=1e-6)

    def test_it_is_never_wider_than_that_of_as_many_binary_scores(self):
        # Scores near both ends: m (1 - m) / SE^2 is 3.0 for these four, and there are four rows.
        assert mean_interval([0.0, 0.0, 1.0, 0.999]).n_effective == 4.0

    def test_it_stays_on_the_scale(self):
        estimate = mean_interval([5] * 19 + [4], scale=(1, 5))
        assert 1 < estimate.ci_low < 4.95 < estimate.ci_high <= 5

    def test_equal_scores_within_the_scale_are_taken_as_so_many_rows(self):
        estimate = mean_interval([0.5] * 30)
        assert estimate.n_effective == 30
        assert estimate.stderr == 0.0
        # Wilson at 0.5 with t(0.975, 29) = 2.045230: 0.5 ± q / (2 sqrt(n + q^2)).
        half = 2.045230 / (2 * math.sqrt(30 + 2.045230**2))
        assert (estimate.ci_low, estimate.ci_high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)

    def test_rounding_is_no_spread(self):
        # The mean of three times 0.1 is not 0.1 in binary fractions.
        rows = [0, 0, 0, 1, 1, 1, 2]
        estimate = mean_interval([0.1] * 7, rows=rows)
        assert (estimate.stderr, estimate.n_effective) == (0.0, 3.0)


class TestScoresWithoutAScale:
    def test_the_interval_is_students(self):
        scores = [1.5, 2.0, 4.0, 9.5]
        estimate = mean_interval(scores, scale=None)
        theirs = scipy.stats.ttest_1samp(scores, 0).confidence_interval(0.95)
        assert (estimate.ci_low, estimate.ci_high) == pytest.approx(tuple(theirs), abs=1e-9)
        assert estimate.method == "t"

    def test_it_equals_scipys(self):
        random = np.random.default_rng(4)
        for _ in range(1000):
            scores = random.gamma(2.0, 3.0, int(random.integers(2, 40)))
            stderr = scipy.stats.sem(scores)
            theirs = scipy.stats.t.interval(0.95, len(scores) - 1, scores.mean(), stderr)
            estimate = mean_interval(scores, scale=None)
            assert (estimate.ci_low, estimate.ci_high) == pytest.approx(theirs, abs=1e-9)
            assert standard_error(scores) == pytest.approx(stderr, abs=1e-9)

    def test_equal_values_have_a_width_of_zero_that_is_said(self):
        estimate = mean_interval([2.5, 2.5, 2.5], scale=None)
        assert (estimate.value, estimate.ci_low, estimate.ci_high) == (2.5, 2.5, 2.5)
        assert estimate.note == "all scores are equal"


class TestRepeats:
    def test_the_interval_is_over_rows(self):
        repeated = mean_interval([0.25, 0.75, 0.5, 0.9, 0.3, 0.3], rows=["a", "a", "b", "b", "c", "c"])
        assert repeated == mean_interval([0.5, 0.7, 0.3])

    def test_answers_that_repeat_themselves_add_nothing(self):
        once = mean_interval([1, 0, 1, 1, 0])
        assert mean_interval([1, 0, 1, 1, 0] * 3, rows=list(range(5)) * 3) == once
        assert mean_interval(np.repeat([1, 0, 1, 1, 0], 4), rows=np.repeat(np.arange(5), 4)) == once

    def test_a_row_with_fewer_repeats_counts_as_a_row(self):
        assert mean_interval([1, 1, 1, 0], rows=[1, 1, 1, 2]).value == 0.5


class TestClusters:
    def test_the_standard_error_equals_statsmodels_cr1(self):
        random = np.random.default_rng(2)
        for _ in range(1000):
            n = int(random.integers(10, 60))
            clusters = random.integers(0, 6, n)
            if len(set(clusters)) < 2:
                continue
            scores = random.random(n) + clusters * 0.3
            fit = statsmodels.api.OLS(scores, np.ones(n)).fit(
                cov_type="cluster", cov_kwds={"groups": clusters}
            )
            assert standard_error(scores, clusters) == pytest.approx(float(fit.bse[0]), abs=1e-9)

    def test_rows_of_a_cluster_that_agree_count_once(self):
        # Ten clusters of five rows, each all right or all wrong: as good as ten rows.
        scores, clusters = np.repeat([1, 0] * 5, 5), np.repeat(np.arange(10), 5)
        estimate = mean_interval(scores, clusters=clusters)
        assert estimate.n_effective == pytest.approx(9.0)  # (1/4) / SE^2, where SE^2 = (1/4) / 9
        assert (estimate.n, estimate.clusters, estimate.method) == (50, 10, "wilson-effective")

    def test_clusters_never_make_the_interval_narrower(self):
        # Each cluster holds one right and one wrong row, so that its mean never varies.
        scores, clusters = [1, 0] * 20, [i // 2 for i in range(40)]
        assert mean_interval(scores, clusters=clusters).n_effective == 20
        spread = [0.4, 0.6] * 20
        apart, together = mean_interval(spread), mean_interval([*spread[:-1], 0.61], clusters=clusters)
        assert together.ci_high - together.ci_low >= apart.ci_high - apart.ci_low

    def test_clusters_of_one_row_change_nothing(self):
        scores = np.random.default_rng(3).random(50)
        for each in (scores, scores > 0.5):
            assert mean_interval(each, clusters=list(range(50))) == mean_interval(each)

    def test_repeats_within_clusters_are_averaged_first(self):
        once = mean_interval([0.5, 0.25, 1.0, 0.75], clusters=["x", "x", "y", "z"])
        scores, rows = [0.4, 0.6, 0.25, 1.0, 0.7, 0.8], ["a", "a", "b", "c", "d", "d"]
        repeated = mean_interval(scores, rows=rows, clusters=["x", "x", "x", "y", "z", "z"])
        assert repeated.ci_low == pytest.approx(once.ci_low)
        assert (repeated.n, repeated.clusters) == (4, 3)

    def test_a_row_without_a_cluster_belongs_with_no_other(self):
        scores = [1, 0, 1, 1, 0, 1, 1, 0]
        known = mean_interval(scores, clusters=["a", "a", "b", "b", "c", "d", "e", "f"])
        for missing in (None, math.nan):
            clusters = ["a", "a", "b", "b", *[missing] * 4]
            assert mean_interval(scores, clusters=clusters) == known
        repeated = mean_interval([1, 0, 1, 1], rows=["x", "x", "y", "z"], clusters=[None, None, "b", "b"])
        assert (repeated.n, repeated.clusters) == (3, 2)

    def test_too_few_clusters_are_said(self):
        scores = [1, 0, 1, 1, 0, 1, 1, 0, 1, 1]
        assert "fewer than 6 clusters" in mean_interval(scores, clusters=[i // 2 for i in range(10)]).note
        assert mean_interval(scores, clusters=[i % 6 for i in range(10)]).note is None


class TestWhateverTheScores:
    @given(
        scores=st.lists(st.floats(0, 1), min_size=1, max_size=60),
        groups=st.integers(1, 20),
        shape=st.sampled_from(["plain", "rows", "clusters"]),
    )
    @settings(max_examples=300, deadline=None)
    def test_the_interval_holds_the_mean_and_stays_on_the_scale(self, scores, groups, shape):
        labels = [place % groups for place in range(len(scores))]
        estimate = mean_interval(scores, **({} if shape == "plain" else {shape: labels}))
        assert 0 <= estimate.ci_low <= estimate.value + 1e-12
        assert estimate.value - 1e-12 <= estimate.ci_high <= 1
        wider = mean_interval(scores, level=0.99, **({} if shape == "plain" else {shape: labels}))
        assert wider.ci_low <= estimate.ci_low + 1e-12
        assert estimate.ci_high <= wider.ci_high + 1e-12

    @given(scores=st.lists(st.sampled_from([0, 0.25, 0.5, 1]), min_size=2, max_size=40))
    @settings(max_examples=200, deadline=None)
    def test_neither_their_order_nor_their_scale_matters(self, scores):
        estimate, turned = mean_interval(scores), mean_interval(scores[::-1])
        stars = mean_interval([1 + 4 * score for score in scores], scale=(1, 5))
        worse = mean_interval([1 - score for score in scores])
        assert turned.ci_low == pytest.approx(estimate.ci_low)
        assert stars.ci_low == pytest.approx(1 + 4 * estimate.ci_low)
        assert worse.ci_low == pytest.approx(1 - estimate.ci_high)

    @given(
        scores=st.lists(st.floats(0, 1), max_size=30),
        hidden=st.lists(st.floats(0, 1), max_size=10),
    )
    @settings(max_examples=200, deadline=None)
    def test_bounds_hold_the_mean_of_all(self, scores, hidden):
        bounds = missing_bounds(scores, len(hidden))
        if scores or hidden:
            assert bounds.worst - 1e-12 <= np.mean([*scores, *hidden]) <= bounds.best + 1e-12

    def test_columns_of_a_frame_can_be_given(self):
        frame = pd.DataFrame(
            {"score": [1, 0, 1, 1], "row": ["a", "a", "b", "c"], "topic": ["x", "x", "y", "y"]}
        )
        frame.index = [9, 8, 7, 6]
        with pytest.raises(StatisticsError, match="Row 'a' lies in two clusters"):
            mean_interval(frame["score"], rows=frame["row"], clusters=pd.Series([1, 2, 3, 3]))
        from_frame = mean_interval(frame["score"], rows=frame["row"], clusters=frame["topic"])
        assert from_frame == mean_interval([1, 0, 1, 1], rows=list("aabc"), clusters=list("xxyy"))


class TestWhatHasNoAnswer:
    def test_nothing_scored_has_no_mean(self):
        estimate = mean_interval([])
        assert (estimate.value, estimate.ci_low, estimate.ci_high, estimate.n) == (None, None, None, 0)
        assert estimate.detectable is None

    @pytest.mark.parametrize("given", [{"scores": [0.7]}, {"scores": [0.6, 0.8], "clusters": ["a", "a"]}])
    def test_one_row_or_cluster_leaves_the_whole_scale(self, given):
        estimate = mean_interval(**given)
        assert (estimate.value, estimate.ci_low, estimate.ci_high) == (pytest.approx(0.7), 0.0, 1.0)

    def test_one_value_without_a_scale_has_no_interval(self):
        estimate = mean_interval([3.5], scale=None)
        assert (estimate.value, estimate.ci_low, estimate.ci_high) == (3.5, None, None)

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({"scores": [1.0, math.nan]}, "Score 1 is nan: leave out"),
            ({"scores": [1.0, None]}, "Score 1 is nan: leave out"),
            ({"scores": ["yes", "no"]}, "Scores are numbers or booleans"),
            ({"scores": [[1, 0], [0, 1]]}, "one flat sequence"),
            ({"scores": [0.5, 5]}, "Score 1 is 5, outside of its scale from 0 to 1"),
            ({"scores": [-math.inf], "scale": None}, "Score 0 is -inf"),
            ({"scores": [1], "scale": (1, 1)}, "its least and its highest"),
            ({"scores": [1], "level": 95}, "between 0 and 1"),
            ({"scores": [1, 0], "rows": [1]}, "2 scores and 1 rows"),
            ({"scores": [1, 0], "rows": ["a", "a"], "clusters": [1, 2]}, "Row 'a' lies in two clusters"),
        ],
    )
    def test_what_cannot_be_used_is_said(self, given, words):
        with pytest.raises(StatisticsError, match=words):
            mean_interval(**given)


class TestDetectable:
    def test_it_is_2_8_standard_errors(self):
        # The table: 169 of 200 is seen from 0.072 on.
        assert mean_interval([1] * 169 + [0] * 31).detectable == pytest.approx(0.072, abs=5e-4)

    def test_equal_scores_do_not_see_everything(self):
        assert 0.02 < mean_interval([1] * 100).detectable < 0.03


class TestMissingRows:
    def test_they_are_put_at_both_ends(self):
        bounds = missing_bounds([1, 1, 0], 1)
        assert (bounds.worst, bounds.best) == (0.5, 0.75)

    def test_on_another_scale_and_direction_the_worst_is_the_highest(self):
        bounds = missing_bounds([1, 3], 2, scale=(1, 5), higher_is_better=False)
        assert (bounds.worst, bounds.best) == (3.5, 1.5)

    def test_nothing_scored_leaves_the_whole_scale(self):
        bounds = missing_bounds([], 3, scale=(1, 5))
        assert (bounds.worst, bounds.best) == (1.0, 5.0)
        assert missing_bounds([], 0).worst is None

    def test_without_a_scale_missing_rows_leave_no_bounds(self):
        assert missing_bounds([10.0], 1, scale=None).best is None
        assert missing_bounds([10.0, 20.0], 0, scale=None).worst == 15.0

    def test_pandalm_judge(self):
        # 974 readable verdicts, 697 right; 25 could not be read: .6977 to .7227 of 999.
        bounds = missing_bounds([1] * 697 + [0] * 277, 25)
        assert (bounds.worst, bounds.best) == pytest.approx((0.6977, 0.7227), abs=5e-5)
