"""What statistics cannot be computed from is told in a sentence, not in the words of numpy."""

from __future__ import annotations

import pytest

from latent.errors import StatisticsError
from latent.evals import stats


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: stats.mean_interval([1, 0], clusters=[["a"], ["b"]]), "named by texts or numbers"),
        (lambda: stats.missing_bounds([1], -1), "cannot be -1 missing"),
        (lambda: stats.wilson(0.5, 0, 1.96), "not a share of some rows"),
        (lambda: stats.wilson(1.5, 10, 1.96), "not a share of some rows"),
        (lambda: stats.clopper_pearson(5, 3), "5 of 3 rows"),
        (lambda: stats.clopper_pearson(1, 3, side="left"), "`side` is one of 'both', 'lower', 'upper'"),
        (lambda: stats.pass_interval([1, 0], ["a"], 1), "2 scores and 1 rows"),
        (lambda: stats.flaky_rows([1, 0], ["a"]), "2 scores and 1 rows"),
        (lambda: stats.mcnemar_mid_p(-1, 3), "-1 rows cannot be gained"),
        (lambda: stats.rows_needed(0.1, -1.0), "variance is not below 0"),
        (lambda: stats.detectable_difference(-1.0), "standard error is not below 0"),
        (lambda: stats.detectable_difference(0.1, power=80), "between 0 and 1"),
        (lambda: stats.sample_size(0.1, between=0.1, repeats=(0, 1)), "at least one answer"),
        (lambda: stats.cohen_kappa(["a"], ["a"], weights="cubic"), "`weights` is one of None, 'linear'"),
        (lambda: stats.krippendorff_alpha([[1, 2]], measure="ratio"), "`measure` is one of 'nominal'"),
        (lambda: stats.krippendorff_alpha([["a", "b"]], measure="interval"), "numbers or booleans"),
        (lambda: stats.bootstrap_interval(lambda a: 1.0, [1, 2], resamples=0), "takes resamples"),
        (lambda: stats.standard_error([1]), "at least two rows"),
    ],
)
def test_a_slip_is_told(call, words):
    with pytest.raises(StatisticsError, match=words):
        call()


def test_values_of_any_size_have_a_mean():
    estimate = stats.mean_interval([1e300, 3e307, 2e307], scale=None)
    assert estimate.stderr == pytest.approx(stats.mean_interval([1e-7, 3, 2], scale=None).stderr * 1e307)
    assert stats.mean_interval([0.0, 0.0], scale=None).stderr == 0.0
