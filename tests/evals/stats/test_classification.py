"""Predicted labels, by scikit-learn's definitions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_fscore_support

from latent.evals.stats import classify, f1_interval


def test_by_hand():
    #            expected                predicted
    metrics = classify(["a", "a", "a", "b", "b"], ["a", "a", "b", "b", "a"])
    a, b = metrics.by_label
    assert (a.label, a.precision, a.recall, a.f1, a.support) == ("a", 2 / 3, 2 / 3, 2 / 3, 3)
    assert (b.label, b.precision, b.recall, b.f1, b.support) == ("b", 0.5, 0.5, 0.5, 2)
    assert (metrics.accuracy, metrics.n) == (0.6, 5)
    assert metrics.f1 == pytest.approx((2 / 3 + 0.5) / 2)


def test_it_equals_sklearn():
    random = np.random.default_rng(1)
    for _ in range(1000):
        expected, predicted = random.integers(0, 4, (2, 25))
        ours = classify(expected, predicted)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            precision, recall, f1, support = precision_recall_fscore_support(
                expected, predicted, zero_division=0
            )
        # Macro averages are plain means by scikit-learn's documentation.
        assert (ours.precision, ours.recall, ours.f1) == pytest.approx(
            (precision.mean(), recall.mean(), f1.mean()), abs=1e-9
        )
        assert [label.f1 for label in ours.by_label] == pytest.approx(list(f1), abs=1e-9)
        assert [label.support for label in ours.by_label] == list(support)
        assert ours.accuracy == np.mean(expected == predicted)


def test_what_was_never_predicted_has_no_precision():
    a, b = classify(["a", "b"], ["a", "a"]).by_label
    assert (b.precision, b.recall, b.f1) == (None, 0.0, 0.0)
    assert a.recall == 1.0


def test_labels_that_appear_nowhere_are_not_averaged():
    metrics = classify(["a", "b"], ["a", "b"], labels=["a", "b", "c"])
    assert (metrics.f1, metrics.by_label[2].f1) == (1.0, None)


def test_no_rows_have_no_accuracy():
    metrics = classify([], [])
    assert (metrics.accuracy, metrics.f1, metrics.kappa, metrics.n) == (None, None, None, 0)


def test_the_interval_of_f1_holds_it():
    random = np.random.default_rng(2)
    expected = random.integers(0, 3, 300)
    predicted = np.where(random.random(300) < 0.8, expected, random.integers(0, 3, 300))
    estimate = f1_interval(expected, predicted, resamples=500)
    assert estimate.value == pytest.approx(f1_score(expected, predicted, average="macro"))
    assert estimate.ci_low < estimate.value < estimate.ci_high
