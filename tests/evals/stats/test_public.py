"""What `latent.evals.stats` offers, and what it loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

from latent.evals import stats


@pytest.mark.parametrize("name", stats.__all__)
def test_every_name_is_there_and_says_what_it_is(name):
    assert getattr(stats, name).__doc__
    assert name in stats.__all__


def test_the_table_of_the_package_names_every_function():
    functions = {name for name in stats.__all__ if name[0].islower()}
    told = stats.__doc__ or ""
    assert {name for name in functions if f"`{name}`" not in told} <= {
        "alpha_interval",
        "kappa_interval",
        "ranked_by",
    }


def test_binary_scores_take_no_scipy():
    code = "\n".join(
        [
            "import sys",
            "from latent.evals import stats",
            "assert 'numpy' not in sys.modules",
            "assert stats.mean_interval([1, 0, 1]).n == 3",
            "assert not [name for name in sys.modules if name.startswith('scipy')]",
        ]
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'median'"):
        stats.median  # noqa: B018
