"""Rows that were asked several times: pass@k, pass^k, flaky rows."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from latent.errors import StatisticsError
from latent.evals.stats import flaky_rows, mean_interval, pass_at_k, pass_hat_k, pass_interval


@pytest.mark.parametrize(
    ("answers", "correct", "k", "at_least_one", "every"),
    [
        (4, 1, 2, 0.5, 0.0),  # by hand: 3 of the 6 pairs miss the one correct answer
        (4, 3, 2, 1.0, 0.5),  # one wrong answer: no pair can hold two, 3 of 6 pairs hold none
        (5, 5, 3, 1.0, 1.0),
        (5, 0, 1, 0.0, 0.0),
    ],
)
def test_draws_are_without_replacement(answers, correct, k, at_least_one, every):
    assert pass_at_k(answers, correct, k) == at_least_one
    assert pass_hat_k(answers, correct, k) == every


def test_both_equal_counting_all_draws():
    for answers in range(1, 8):
        for correct in range(answers + 1):
            outcomes = [True] * correct + [False] * (answers - correct)
            for k in range(1, answers + 1):
                draws = list(combinations(outcomes, k))
                assert pass_at_k(answers, correct, k) == pytest.approx(sum(map(any, draws)) / len(draws))
                assert pass_hat_k(answers, correct, k) == pytest.approx(sum(map(all, draws)) / len(draws))


def test_one_draw_is_the_mean():
    passed, rows = [1, 0, 1, 1, 1, 0, 0, 0], [1, 1, 2, 2, 3, 3, 4, 4]
    mean = mean_interval(passed, rows=rows)
    assert pass_interval(passed, rows, 1) == mean
    assert pass_interval(passed, rows, 1, every=True) == mean


def test_the_interval_is_over_rows():
    passed, rows = [1, 0, 1, 1, 0, 0], ["a", "a", "b", "b", "c", "c"]
    assert pass_interval(passed, rows, 2) == mean_interval([1, 1, 0])
    assert pass_interval(passed, rows, 2, every=True) == mean_interval([0, 1, 0])


def test_more_draws_than_answers_are_refused():
    with pytest.raises(StatisticsError, match="pass@k with k = 3 on a row with 2 answers: lower k"):
        pass_interval([1, 1, 1, 0, 0], ["a", "a", "a", "b", "b"], 3)
    with pytest.raises(StatisticsError, match="pass\\^k"):
        pass_hat_k(2, 1, 0)
    with pytest.raises(StatisticsError, match="3 of 2 answers"):
        pass_at_k(2, 3, 1)


def test_only_passed_or_not_can_be_counted():
    with pytest.raises(StatisticsError, match="true or false"):
        pass_interval([0.5, 1.0], ["a", "a"], 1)


def test_flaky_rows_are_those_whose_repeats_differ():
    assert flaky_rows([1, 1, 0, 1, 0, 0], ["a", "a", "b", "b", "c", "c"]) == ["b"]
    assert flaky_rows([0.5, 0.7], np.array([3, 3])) == [3]
    assert flaky_rows([], []) == []
