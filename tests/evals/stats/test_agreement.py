"""Agreement of raters: published examples, oracles, and ratings that define nothing."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, confusion_matrix
from statsmodels.stats import inter_rater

from latent.errors import StatisticsError
from latent.evals.stats import (
    alpha_interval,
    cohen_kappa,
    confusion,
    fleiss_kappa,
    kappa_interval,
    krippendorff_alpha,
)


class TestConfusion:
    def test_rows_are_the_first_rater(self):
        table = confusion(["a", "a", "b", "b"], ["a", "b", "b", "b"])
        assert table.labels == ("a", "b")
        assert table.counts.tolist() == [[1, 1], [0, 2]]

    def test_the_order_can_be_given_and_holds_labels_that_nobody_chose(self):
        table = confusion([3, 1], [1, 1], labels=[1, 2, 3])
        assert table.counts.tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 0]]

    def test_labels_of_several_types_are_told_apart(self):
        assert confusion(["1", 1, None], ["1", "1", None]).labels == ("1", 1, None)

    def test_it_equals_sklearn(self):
        random = np.random.default_rng(1)
        for _ in range(1000):
            first, second = random.integers(0, 4, (2, 30))
            assert confusion(first, second).counts.tolist() == confusion_matrix(first, second).tolist()

    @pytest.mark.parametrize(
        ("first", "second", "labels", "words"),
        [
            (["a"], ["a", "b"], None, "there are 1 and 2"),
            (["a"], ["x"], ["a", "b"], "'x' is not among 'a', 'b'"),
        ],
    )
    def test_what_cannot_be_compared_is_said(self, first, second, labels, words):
        with pytest.raises(StatisticsError, match=words):
            confusion(first, second, labels=labels)


class TestKappa:
    def test_by_hand(self):
        # 20 both yes, 5 and 10 apart, 15 both no: p_o = 0.7, p_e = 0.5 (Cohen's formula on paper).
        first = ["yes"] * 25 + ["no"] * 25
        second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
        assert cohen_kappa(first, second) == pytest.approx(0.4)

    @pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
    def test_it_equals_sklearn(self, weights):
        random = np.random.default_rng(2)
        for _ in range(350):
            first, second = random.integers(1, 6, (2, 40))
            theirs = cohen_kappa_score(first, second, weights=weights)
            assert cohen_kappa(first, second, weights=weights) == pytest.approx(theirs, abs=1e-9)

    def test_weights_count_positions_of_all_labels_that_can_be(self):
        first, second = [1, 1, 5, 5], [1, 5, 5, 5]
        assert cohen_kappa(first, second, weights="linear", labels=range(1, 6)) == pytest.approx(0.5)
        apart = cohen_kappa([1, 3, 5, 5], [1, 5, 5, 5], weights="linear", labels=range(1, 6))
        near = cohen_kappa([1, 4, 5, 5], [1, 5, 5, 5], weights="linear", labels=range(1, 6))
        assert near > apart

    def test_a_grade_that_was_not_given_takes_up_its_place(self):
        first, second = [1, 1, 5, 5, 2], [1, 2, 5, 1, 2]
        of_all = cohen_kappa(first, second, weights="quadratic", labels=[1, 2, 3, 4, 5])
        assert cohen_kappa(first, second, weights="quadratic") == pytest.approx(of_all)
        assert kappa_interval(first, second, weights="quadratic").value == pytest.approx(of_all)
        words = cohen_kappa(list("aaeeb"), list("abeab"), weights="quadratic")
        assert words == pytest.approx(cohen_kappa_score(list("aaeeb"), list("abeab"), weights="quadratic"))
        assert words != pytest.approx(of_all)

    def test_a_rater_who_always_says_the_same_agrees_no_better_than_chance(self):
        assert cohen_kappa(["a", "b", "a"], ["a", "a", "a"]) == 0.0

    def test_where_nothing_varies_there_is_no_kappa(self):
        assert cohen_kappa(["a", "a"], ["a", "a"]) is None
        assert cohen_kappa([], []) is None
        estimate = kappa_interval(["a", "a"], ["a", "a"])
        assert (estimate.value, estimate.note) == (None, "these rows do not define it")

    def test_the_interval_holds_the_value(self):
        random = np.random.default_rng(3)
        first = random.integers(1, 6, 200)
        second = np.where(random.random(200) < 0.7, first, random.integers(1, 6, 200))
        estimate = kappa_interval(first, second, weights="quadratic", labels=range(1, 6))
        assert estimate.ci_low < estimate.value < estimate.ci_high
        assert estimate.value == cohen_kappa(first, second, weights="quadratic")


class TestFleiss:
    def test_his_own_example(self):
        # Fleiss 1971 as worked in Wikipedia's article: 10 subjects, 14 raters, 5 categories: 0.210.
        counts = [
            [0, 0, 0, 0, 14],
            [0, 2, 6, 4, 2],
            [0, 0, 3, 5, 6],
            [0, 3, 9, 2, 0],
            [2, 2, 8, 1, 1],
            [7, 7, 0, 0, 0],
            [3, 2, 6, 3, 0],
            [2, 5, 3, 2, 2],
            [6, 5, 2, 1, 0],
            [0, 2, 2, 3, 7],
        ]
        ratings = [[label for label, count in enumerate(row) for _ in range(count)] for row in counts]
        assert fleiss_kappa(ratings) == pytest.approx(0.210, abs=5e-4)

    def test_it_equals_statsmodels(self):
        random = np.random.default_rng(4)
        for _ in range(1000):
            ratings = random.integers(0, 3, (20, 4))
            theirs = inter_rater.fleiss_kappa(inter_rater.aggregate_raters(ratings)[0])
            assert fleiss_kappa(ratings) == pytest.approx(theirs, abs=1e-9)

    def test_where_nothing_varies_there_is_none(self):
        assert fleiss_kappa([["a", "a"], ["a", "a"]]) is None
        assert fleiss_kappa([]) is None

    @pytest.mark.parametrize("ratings", [[["a", "b"], ["a", None]], [["a"], ["b"]]])
    def test_each_row_needs_as_many_ratings(self, ratings):
        with pytest.raises(StatisticsError, match="use krippendorff_alpha"):
            fleiss_kappa(ratings)


MANUAL = [
    # Krippendorff 2011, part C: 12 units, 4 observers, with missing values.
    [1, 1, None, 1],
    [2, 2, 3, 2],
    [3, 3, 3, 3],
    [3, 3, 3, 3],
    [2, 2, 2, 2],
    [1, 2, 3, 4],
    [4, 4, 4, 4],
    [1, 1, 2, 1],
    [2, 2, 2, 2],
    [None, 5, 5, 5],
    [None, None, 1, 1],
    [None, None, 3, None],
]


class TestAlpha:
    @pytest.mark.parametrize(
        ("measure", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
    )
    def test_krippendorffs_manual(self, measure, alpha):
        assert krippendorff_alpha(MANUAL, measure=measure) == pytest.approx(alpha, abs=5e-4)

    def test_the_nominal_example_of_the_library(self):
        # The README of krippendorff 0.8 (and Wikipedia): 3 coders, 15 units: 0.691358.
        coders = [
            "* * * * * 3 4 1 2 1 1 3 3 * 3",
            "1 * 2 1 3 3 4 3 * * * * * * *",
            "* * 2 1 3 4 4 * 2 1 1 3 3 * 4",
        ]
        columns = [[None if each == "*" else each for each in coder.split()] for coder in coders]
        ratings = list(zip(*columns, strict=True))
        assert krippendorff_alpha(ratings) == pytest.approx(0.691358, abs=5e-7)

    @pytest.mark.parametrize("measure", ["nominal", "ordinal", "interval"])
    def test_it_equals_the_library(self, measure):
        random = np.random.default_rng(5)
        for _ in range(350):
            ratings = random.integers(1, 6, (15, 3)).astype(float)
            ratings[random.random((15, 3)) < 0.2] = np.nan
            theirs = krippendorff.alpha(ratings.T, level_of_measurement=measure)
            assert krippendorff_alpha(ratings, measure=measure) == pytest.approx(theirs, abs=1e-9)

    def test_where_nothing_varies_or_nothing_is_paired_there_is_none(self):
        assert krippendorff_alpha([[1, 1], [1, 1]]) is None
        assert krippendorff_alpha([[1, None], [None, 2]]) is None
        assert krippendorff_alpha([]) is None

    def test_the_interval_draws_rows(self):
        estimate = alpha_interval(MANUAL, measure="ordinal", resamples=500)
        assert estimate.ci_low < 0.815 < estimate.ci_high
        assert (estimate.n, estimate.method) == (12, "percentile bootstrap")
