"""
How often intervals hold the true mean, in a few cells of the simulation of `benchmarks/coverage.py`.

The seeds are fixed, so that these are tests and not throws of dice. What docs/statistics.md promises, at
least 90 % everywhere and 94 to 97 % in the mean, is measured there.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from latent.evals.stats import corrected_mean, mean_interval, paired_difference

TRIES = 500
FIVES = ([0.0, 0.25, 0.5, 0.75, 1.0], [0.01, 0.01, 0.01, 0.02, 0.95])


def covered(estimates, truth):
    return float(np.mean([each.ci_low <= truth <= each.ci_high for each in estimates]))


def test_few_rows_near_the_end_of_the_scale():
    random = np.random.default_rng(1)
    truth = float(np.dot(*FIVES))
    samples = random.choice(FIVES[0], (TRIES, 30), p=FIVES[1])
    ours = covered([mean_interval(each) for each in samples], truth)
    stderr = samples.std(axis=1, ddof=1) / np.sqrt(30)
    half = scipy.stats.t.ppf(0.975, 29) * stderr
    usual = np.mean(np.abs(samples.mean(axis=1) - truth) <= half)
    assert ours >= 0.94
    assert usual < 0.75  # the usual interval fails, else this would be no test


@pytest.mark.parametrize("shape", [(8, 2), (0.4, 0.4), (2, 6)])
def test_graded_scores(shape):
    random = np.random.default_rng(2)
    samples = random.beta(*shape, (TRIES, 30))
    truth = shape[0] / sum(shape)
    assert 0.92 <= covered([mean_interval(each) for each in samples], truth) <= 0.98


def test_clusters_that_succeed_together():
    random = np.random.default_rng(3)
    of_cluster = random.beta(4, 1, (TRIES, 20, 1))
    samples = (random.random((TRIES, 20, 5)) < of_cluster).reshape(TRIES, 100)
    clusters = np.repeat(np.arange(20), 5)
    assert covered([mean_interval(each, clusters=clusters) for each in samples], 0.8) >= 0.93
    assert covered([mean_interval(each) for each in samples], 0.8) < 0.93  # as if they were independent


def test_a_judge_corrected_by_twenty_labels():
    random = np.random.default_rng(4)
    estimates = []
    for _ in range(TRIES):
        people = random.random(500) < 0.95
        judge = random.random(500) < np.where(people, 0.97, 0.3)
        estimates.append(corrected_mean(people[:20], judge[:20], judge[20:]).estimate)
    assert covered(estimates, 0.95) >= 0.92


def test_two_equal_systems_alarm_rarely():
    random = np.random.default_rng(5)
    alarms = {"binary": 0, "graded": 0}
    for _ in range(TRIES):
        skill = random.beta(4, 1, 18)
        first, second = random.random((2, 18)) < skill
        alarms["binary"] += paired_difference(first, second).p_value <= 0.05
        first, second = np.clip(skill + random.normal(0, 0.2, (2, 18)), 0, 1)
        alarms["graded"] += paired_difference(first, second).p_value <= 0.05
    # 5 % of 500 is 25; with 500 throws, up to 35 are no surprise (two standard errors).
    assert max(alarms.values()) <= 35
