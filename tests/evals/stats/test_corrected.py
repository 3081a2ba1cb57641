"""A judge's mean, corrected by labels of people."""

from __future__ import annotations

import numpy as np
import pytest

from latent.errors import StatisticsError
from latent.evals.stats import corrected_mean, mean_interval


def test_by_hand():
    # 20 labels: 12 right; the judge says 16 of these, and 70 of the 80 others.
    labels = [1] * 12 + [0] * 8
    judged = [1] * 12 + [1] * 4 + [0] * 4
    others = [1] * 70 + [0] * 10
    corrected = corrected_mean(labels, judged, others)
    covariance = (12 - 20 * 0.6 * 0.8) / 19
    weight = covariance / ((1 + 20 / 80) * (20 * 0.8 * 0.2 / 19))
    assert corrected.weight == pytest.approx(weight)
    assert corrected.estimate.value == pytest.approx(0.6 + weight * (70 / 80 - 0.8))
    assert corrected.judged_mean == pytest.approx(0.86)
    assert (corrected.labels, corrected.estimate.n) == (20, 100)
    residuals = np.array(labels) - weight * np.array(judged)
    spread = (np.sum((residuals - residuals.mean()) ** 2) + 2 * weight**2) / 21
    variance = spread / 20 + weight**2 * (80 * 0.875 * 0.125 / 79) / 80
    assert corrected.estimate.stderr == pytest.approx(variance**0.5)


def test_a_perfect_judge_is_worth_nearly_as_much_as_labels_on_all_rows():
    truth = (np.random.default_rng(1).random(2000) < 0.7).astype(float)
    corrected = corrected_mean(truth[:300], truth[:300], truth[300:])
    assert corrected.weight == pytest.approx(0.85)
    width = corrected.estimate.ci_high - corrected.estimate.ci_low
    whole, labelled = mean_interval(truth), mean_interval(truth[:300])
    assert width < 1.2 * (whole.ci_high - whole.ci_low) < 0.5 * (labelled.ci_high - labelled.ci_low)


def test_twenty_agreements_do_not_prove_that_there_is_no_disagreement():
    # At most 3/20 of the rows may differ, by the rule of three: the interval reaches about as far.
    labels = [1] * 10 + [0] * 10
    estimate = corrected_mean(labels, labels, [1, 0] * 5000).estimate
    assert 0.10 < estimate.ci_high - 0.5 < 0.20


@pytest.mark.parametrize("judged", [np.ones(1000), np.zeros(1000)])
def test_a_constant_judge_is_not_followed(judged):
    labels = np.array([1, 0, 1, 1, 0] * 8)
    corrected = corrected_mean(labels, judged[:40], judged[40:])
    assert corrected.weight == 0.0
    assert corrected.estimate.value == mean_interval(labels).value
    assert corrected.estimate.note is not None


def test_a_judge_that_says_the_contrary_is_not_followed():
    labels = np.array([1, 0, 1, 1, 0] * 8)
    assert corrected_mean(labels, 1 - labels, [1.0, 0.0] * 50).weight == 0.0


def test_any_scale():
    labels, judged, others = [1, 5, 4, 4] * 8, [2, 5, 5, 4] * 8, [3, 5, 5] * 30
    stars = corrected_mean(labels, judged, others, scale=(1, 5))
    shares = corrected_mean(*([(x - 1) / 4 for x in each] for each in (labels, judged, others)))
    assert stars.estimate.ci_low == pytest.approx(1 + 4 * shares.estimate.ci_low)
    assert stars.judged_mean == pytest.approx(1 + 4 * shares.judged_mean)


def test_without_other_rows_labels_are_all_there_is():
    corrected = corrected_mean([1, 0] * 10, [1, 1] * 10, [])
    assert (corrected.weight, corrected.estimate.value, corrected.estimate.n) == (0.0, 0.5, 20)


def test_fewer_than_twenty_labels_are_refused():
    with pytest.raises(StatisticsError, match=r"19 labels are too few .* at least 20 rows, drawn at random"):
        corrected_mean([1] * 19, [1] * 19, [1] * 100)
    with pytest.raises(StatisticsError, match="20 labels and 19"):
        corrected_mean([1] * 20, [1] * 19, [1] * 100)
