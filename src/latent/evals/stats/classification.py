"""
How well labels are predicted.

    classify(expected, predicted, *, labels=None) -> Classification
    f1_interval(expected, predicted, ...) -> Estimate           of the macro average, by bootstrap
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from latent.evals.stats.agreement import Confusion, cell_counts, confusion, kappa_of, label_cells
from latent.evals.stats.arrays import Labels
from latent.evals.stats.bootstrap import bootstrap_interval
from latent.evals.stats.estimate import Estimate

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMetrics:
    """How well one label is predicted."""

    label: Any
    precision: float | None
    """Right among the rows predicted so; None where none was."""
    recall: float | None
    """Found among the rows that are so; None where none is."""
    f1: float | None
    """2 TP / (2 TP + FP + FN); None where the label is neither expected nor predicted."""
    support: int
    """Rows that are so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """How well labels are predicted, in all and each by itself, by scikit-learn's definitions."""

    n: int
    accuracy: float | None
    precision: float | None
    """Macro average: the plain mean over labels, where an undefined one counts 0."""
    recall: float | None
    f1: float | None
    kappa: float | None
    """Cohen's: agreement beyond chance. None where expected and predicted are all one label."""
    by_label: tuple[LabelMetrics, ...]
    confusion: Confusion


def classify(expected: Labels, predicted: Labels, *, labels: Sequence[Any] | None = None) -> Classification:
    """
    Accuracy, precision, recall, F1 and kappa of predicted labels.

    Source: van Rijsbergen 1979, chapter 7; Sokolova and Lapalme 2009 for averages. Over labels that appear
    neither among the expected nor among the predicted, nothing is averaged.

    Args:
        labels: All that can be, in their order; by default those that appear.

    Raises:
        StatisticsError: Different lengths, or a label that `labels` does not have.
    """
    table = confusion(expected, predicted, labels=labels)
    right, are, said = np.diag(table.counts), table.counts.sum(axis=1), table.counts.sum(axis=0)
    precision, recall, f1 = _shares(right, said), _shares(right, are), _shares(2 * right, are + said)
    n = int(table.counts.sum())
    seen = (are + said) > 0
    return Classification(
        n=n,
        accuracy=int(right.sum()) / n if n else None,
        precision=_macro(precision, seen),
        recall=_macro(recall, seen),
        f1=_macro(f1, seen),
        kappa=kappa_of(table.counts),
        by_label=tuple(
            LabelMetrics(label=label, precision=p, recall=r, f1=f, support=int(support))
            for label, p, r, f, support in zip(table.labels, precision, recall, f1, are, strict=True)
        ),
        confusion=table,
    )


def f1_interval(
    expected: Labels,
    predicted: Labels,
    *,
    labels: Sequence[Any] | None = None,
    clusters: Labels | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """The macro average of F1 with the percentile interval of `bootstrap_interval`."""
    order, cells = label_cells(expected, predicted, labels)
    return bootstrap_interval(
        lambda drawn: _macro_f1(cell_counts(drawn, len(order))),
        cells,
        clusters=clusters,
        level=level,
        resamples=resamples,
        seed=seed,
    )


def _macro_f1(counts: Counts) -> float | None:
    both = counts.sum(axis=1) + counts.sum(axis=0)
    seen = both > 0
    return float(np.mean(2 * np.diag(counts)[seen] / both[seen])) if seen.any() else None


def _shares(parts: Counts, wholes: Counts) -> list[float | None]:
    both = zip(parts.tolist(), wholes.tolist(), strict=True)
    return [part / whole if whole else None for part, whole in both]


def _macro(values: list[float | None], seen: npt.NDArray[np.bool_]) -> float | None:
    counted = [value or 0.0 for value, kept in zip(values, seen, strict=True) if kept]
    return sum(counted) / len(counted) if counted else None
