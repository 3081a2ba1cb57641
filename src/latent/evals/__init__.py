"""Evaluation: scorers, judges, statistics, and what an evaluation leaves behind."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.evals.comparing.compare import compare as compare
    from latent.evals.comparing.comparison import Comparison as Comparison
    from latent.evals.comparing.ranking import Ranking as Ranking
    from latent.evals.evaluating import evaluate as evaluate
    from latent.evals.evaluating import evaluate_async as evaluate_async
    from latent.evals.evaluation import Evaluation as Evaluation
    from latent.evals.evaluation import load_evaluation as load_evaluation
    from latent.evals.imports.reading import import_evaluation as import_evaluation
    from latent.evals.judging import Judge as Judge
    from latent.evals.metrics import Metric as Metric
    from latent.evals.scoring import Abstain as Abstain
    from latent.evals.scoring import Score as Score
    from latent.evals.scoring import Scorer as Scorer
    from latent.evals.scoring import scorer as scorer

_HOME = {
    "Abstain": "scoring",
    "Comparison": "comparing.comparison",
    "compare": "comparing.compare",
    "Evaluation": "evaluation",
    "Judge": "judging",
    "Metric": "metrics",
    "Ranking": "comparing.ranking",
    "Score": "scoring",
    "Scorer": "scoring",
    "evaluate": "evaluating",
    "evaluate_async": "evaluating",
    "import_evaluation": "imports.reading",
    "load_evaluation": "evaluation",
    "scorer": "scoring",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    if (module := _HOME.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
