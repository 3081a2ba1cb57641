"""
The numbers of an evaluation: pure functions on arrays, each with its formula and its source.

| question | function |
|---|---|
| a mean, with repeats, clusters, and missing rows | `mean_interval`, `missing_bounds`, `standard_error` |
| a share, exactly | `clopper_pearson`, `wilson` |
| a median, a percentile, anything else | `quantile_interval`, `bootstrap_interval` |
| a difference of two systems on the same rows | `paired_difference`, `tango`, `mcnemar_mid_p`,
`sign_flip_p` | | many metrics | `holm` | | how many rows, how small a difference | `detectable_difference`,
`rows_needed`, `sample_size` | | repeats | `pass_at_k`, `pass_hat_k`, `pass_interval`, `flaky_rows` | | a
judge against people | `cohen_kappa`, `fleiss_kappa`, `krippendorff_alpha`, `confusion`, `corrected_mean` |
| labels | `classify`, `f1_interval` | | rankings | `hit_at_k`, `recall_at_k`, `precision_at_k`,
`reciprocal_rank`, `ndcg_at_k`, `average_precision` |

Nothing here draws random numbers, but the bootstrap and sign flips of many rows: those begin with a seed,
which stands in the result. A number that the data does not define is None, never 0 and never NaN.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.evals.stats.agreement import Confusion as Confusion
    from latent.evals.stats.agreement import alpha_interval as alpha_interval
    from latent.evals.stats.agreement import cohen_kappa as cohen_kappa
    from latent.evals.stats.agreement import confusion as confusion
    from latent.evals.stats.agreement import fleiss_kappa as fleiss_kappa
    from latent.evals.stats.agreement import kappa_interval as kappa_interval
    from latent.evals.stats.agreement import krippendorff_alpha as krippendorff_alpha
    from latent.evals.stats.bootstrap import bootstrap_interval as bootstrap_interval
    from latent.evals.stats.bootstrap import quantile_interval as quantile_interval
    from latent.evals.stats.classification import Classification as Classification
    from latent.evals.stats.classification import LabelMetrics as LabelMetrics
    from latent.evals.stats.classification import classify as classify
    from latent.evals.stats.classification import f1_interval as f1_interval
    from latent.evals.stats.corrected import CorrectedMean as CorrectedMean
    from latent.evals.stats.corrected import corrected_mean as corrected_mean
    from latent.evals.stats.estimate import Bounds as Bounds
    from latent.evals.stats.estimate import Estimate as Estimate
    from latent.evals.stats.mean import mean_interval as mean_interval
    from latent.evals.stats.mean import missing_bounds as missing_bounds
    from latent.evals.stats.mean import standard_error as standard_error
    from latent.evals.stats.paired import Difference as Difference
    from latent.evals.stats.paired import holm as holm
    from latent.evals.stats.paired import mcnemar_mid_p as mcnemar_mid_p
    from latent.evals.stats.paired import paired_difference as paired_difference
    from latent.evals.stats.paired import sign_flip_p as sign_flip_p
    from latent.evals.stats.paired import tango as tango
    from latent.evals.stats.power import detectable_difference as detectable_difference
    from latent.evals.stats.power import rows_needed as rows_needed
    from latent.evals.stats.power import sample_size as sample_size
    from latent.evals.stats.proportions import clopper_pearson as clopper_pearson
    from latent.evals.stats.proportions import wilson as wilson
    from latent.evals.stats.ranking import average_precision as average_precision
    from latent.evals.stats.ranking import hit_at_k as hit_at_k
    from latent.evals.stats.ranking import ndcg_at_k as ndcg_at_k
    from latent.evals.stats.ranking import precision_at_k as precision_at_k
    from latent.evals.stats.ranking import ranked_by as ranked_by
    from latent.evals.stats.ranking import recall_at_k as recall_at_k
    from latent.evals.stats.ranking import reciprocal_rank as reciprocal_rank
    from latent.evals.stats.repeats import flaky_rows as flaky_rows
    from latent.evals.stats.repeats import pass_at_k as pass_at_k
    from latent.evals.stats.repeats import pass_hat_k as pass_hat_k
    from latent.evals.stats.repeats import pass_interval as pass_interval

_HOME = {
    "Bounds": "estimate",
    "Classification": "classification",
    "Confusion": "agreement",
    "CorrectedMean": "corrected",
    "Difference": "paired",
    "Estimate": "estimate",
    "LabelMetrics": "classification",
    "alpha_interval": "agreement",
    "average_precision": "ranking",
    "bootstrap_interval": "bootstrap",
    "classify": "classification",
    "clopper_pearson": "proportions",
    "cohen_kappa": "agreement",
    "confusion": "agreement",
    "corrected_mean": "corrected",
    "detectable_difference": "power",
    "f1_interval": "classification",
    "flaky_rows": "repeats",
    "fleiss_kappa": "agreement",
    "hit_at_k": "ranking",
    "holm": "paired",
    "kappa_interval": "agreement",
    "krippendorff_alpha": "agreement",
    "mcnemar_mid_p": "paired",
    "mean_interval": "mean",
    "missing_bounds": "mean",
    "ndcg_at_k": "ranking",
    "paired_difference": "paired",
    "pass_at_k": "repeats",
    "pass_hat_k": "repeats",
    "pass_interval": "repeats",
    "precision_at_k": "ranking",
    "quantile_interval": "bootstrap",
    "ranked_by": "ranking",
    "recall_at_k": "ranking",
    "reciprocal_rank": "ranking",
    "rows_needed": "power",
    "sample_size": "power",
    "sign_flip_p": "paired",
    "standard_error": "mean",
    "tango": "paired",
    "wilson": "proportions",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    if (module := _HOME.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
