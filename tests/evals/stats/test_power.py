"""How many rows are enough."""

from __future__ import annotations

import math

import pytest
from statsmodels.stats.power import NormalIndPower

from latent.errors import StatisticsError
from latent.evals.stats import detectable_difference, paired_difference, rows_needed, sample_size


def test_millers_example_with_expected_scores():
    # Miller 2024, section 5: d = 0.03, w^2 = 1/9, K infinite.
    within, repeats = (1 / 6, 1 / 6), (math.inf, math.inf)
    assert sample_size(0.03, between=1 / 9, within=within, repeats=repeats) == 969
    assert sample_size(0.03, between=1 / 9) == 969


def test_millers_example_with_ten_answers_each():
    assert sample_size(0.03, between=1 / 9, within=(1 / 6, 1 / 6), repeats=(10, 10)) == 1260


def test_what_can_be_seen_and_what_it_takes_are_one_formula():
    # 100 rows whose differences have a variance of 0.25 have a standard error of 0.05.
    smallest = detectable_difference(0.05)
    assert smallest == pytest.approx(0.14, abs=1e-3)
    assert rows_needed(smallest, 0.25) == 100


def test_rows_equal_statsmodels():
    for difference in (0.02, 0.05, 0.1, 0.3):
        for power in (0.8, 0.9):
            # ratio 0: one sample. Statsmodels also counts the power of the wrong side, which is nothing here.
            exact = NormalIndPower().solve_power(difference / 0.5, alpha=0.05, power=power, ratio=0)
            assert rows_needed(difference, 0.25, power=power) == math.ceil(exact - 1e-6)


def test_an_observed_difference_says_how_many_rows_would_show_it():
    old = [True] * 8 + [False] * 12
    new = [True] * 10 + [False] * 10
    difference = paired_difference(new, old)
    # 2 of 20 gained: d = 0.1, variance 0.1 - 0.01 = 0.09; (2.8016 / 0.1)^2 * 0.09 = 70.6
    assert difference.rows_needed == 71
    assert difference.detectable == pytest.approx(2.8016 * 0.3 / math.sqrt(20), abs=1e-4)


def test_no_number_of_rows_shows_nothing():
    with pytest.raises(StatisticsError, match="No number of rows"):
        rows_needed(0.0, 0.25)
