"""
How far raters agree: a judge and people, people among themselves, a judge and itself.

    confusion(first, second, *, labels=None) -> Confusion
    cohen_kappa(first, second, *, weights=None | "linear" | "quadratic", labels=None) -> float | None
    fleiss_kappa(ratings) -> float | None
    krippendorff_alpha(ratings, *, measure="nominal" | "ordinal" | "interval") -> float | None
    kappa_interval(first, second, ...), alpha_interval(ratings, ...) -> Estimate        by bootstrap

None where the ratings do not define the number: every rating is the same, so that chance would agree as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from latent.errors import StatisticsError
from latent.evals.stats.arrays import Codes, Floats, Labels, check_choice, plain, score_array
from latent.evals.stats.bootstrap import bootstrap_interval
from latent.evals.stats.estimate import Estimate

Weights = Literal["linear", "quadratic"]
Measure = Literal["nominal", "ordinal", "interval"]
Ratings = Sequence[Sequence[Any]] | npt.NDArray[Any]
"""One sequence of ratings a row, one rating a rater; None or NaN where a rater gave none."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often each label met each."""

    labels: tuple[Any, ...]
    counts: npt.NDArray[np.int64]
    """Shape (labels, labels): the first rater's labels (or the expected ones) by the second's."""


def confusion(first: Labels, second: Labels, *, labels: Sequence[Any] | None = None) -> Confusion:
    """
    The table of two raters' labels, in the order of `labels`.

    Args:
        labels: All that can be, in their order; by default those that appear, sorted, or in the order in
            which they first appear where they cannot be sorted.

    Raises:
        StatisticsError: Different lengths, or a label that `labels` does not have.
    """
    order, cells = label_cells(first, second, labels)
    return Confusion(order, cell_counts(cells, len(order)))


def cohen_kappa(
    first: Labels, second: Labels, *, weights: Weights | None = None, labels: Sequence[Any] | None = None
) -> float | None:
    """
    Agreement of two raters beyond chance: 1 is perfect, 0 what chance gives.

    1 - sum w o / sum w e, where o are the shares of label pairs, e those of raters who choose independently
    with the same frequencies, and w is 0 on the diagonal and 1, |i - j| or (i - j)^2 elsewhere. Source:
    Cohen 1960, Educational and Psychological Measurement 20:37; 1968, Psychological Bulletin 70:213, with
    weights.

    Args:
        weights: For labels that have an order, how disagreement grows with the distance of two labels: of
            numbers their difference, else of their positions.
        labels: All that can be, in their order, where distances are to be counted in positions of it.
    """
    table = confusion(first, second, labels=labels)
    return kappa_of(table.counts, weights, _places(table.labels, labels))


def kappa_interval(
    first: Labels,
    second: Labels,
    *,
    weights: Weights | None = None,
    labels: Sequence[Any] | None = None,
    clusters: Labels | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """`cohen_kappa` with the percentile interval of `bootstrap_interval`."""
    order, cells = label_cells(first, second, labels)
    places = _places(order, labels)
    return bootstrap_interval(
        lambda drawn: kappa_of(cell_counts(drawn, len(order)), weights, places),
        cells,
        clusters=clusters,
        level=level,
        resamples=resamples,
        seed=seed,
    )


def fleiss_kappa(ratings: Ratings) -> float | None:
    """
    Agreement of several raters beyond chance, with as many ratings for each row.

    (P - P_e) / (1 - P_e), where P is the mean share of agreeing pairs in a row, and P_e the sum of the
    squared shares of labels. Source: Fleiss 1971, Psychological Bulletin 76:378.

    Raises:
        StatisticsError: Rows with different numbers of ratings, or with fewer than two:
            `krippendorff_alpha` takes those.
    """
    rows = [[rating for rating in plain(row) if not _is_missing(rating)] for row in ratings]
    if not rows:
        return None
    raters = len(rows[0])
    if raters < 2 or any(len(row) != raters for row in rows):
        raise StatisticsError(
            "Fleiss' kappa takes the same number of ratings for each row, and at least two: with missing "
            "ratings, use krippendorff_alpha."
        )
    counts = _label_counts(rows, ordered([rating for row in rows for rating in row]))
    agreeing = float(np.mean((np.sum(counts**2, axis=1) - raters) / (raters * (raters - 1))))
    by_chance = float(np.sum((counts.sum(axis=0) / counts.sum()) ** 2))
    return None if by_chance == 1.0 else (agreeing - by_chance) / (1.0 - by_chance)


def krippendorff_alpha(ratings: Ratings, *, measure: Measure = "nominal") -> float | None:
    """
    Agreement of any number of raters, of whom any may leave rows out: 1 is perfect, 0 what chance gives.

    1 - D_o / D_e, the observed disagreement in rows over that between any two ratings, with squared
    distances: 0 and 1 (nominal), by ranks (ordinal) or by values (interval). Source: Krippendorff 2011,
    Computing Krippendorff's Alpha-Reliability.

    Args:
        measure: What the labels are: names, steps of an order, or numbers.
    """
    labels, counts = _counts_of_ratings(ratings)
    return _alpha(counts, labels, measure)


def alpha_interval(
    ratings: Ratings,
    *,
    measure: Measure = "nominal",
    clusters: Labels | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """`krippendorff_alpha` with the percentile interval of `bootstrap_interval`, which draws rows."""
    labels, counts = _counts_of_ratings(ratings)
    return bootstrap_interval(
        lambda drawn: _alpha(drawn, labels, measure),
        counts,
        clusters=clusters,
        level=level,
        resamples=resamples,
        seed=seed,
    )


def ordered(labels: Sequence[Any]) -> tuple[Any, ...]:
    """Each label once: sorted, or in the order in which they first appear where they cannot be sorted."""
    known = dict.fromkeys(labels)
    try:
        return tuple(sorted(known))
    except TypeError:
        return tuple(known)


def label_cells(
    first: Labels, second: Labels, labels: Sequence[Any] | None = None
) -> tuple[tuple[Any, ...], Codes]:
    """The labels in their order, and for each row the number of its cell in their table, row by row."""
    ours, theirs = plain(first), plain(second)
    if len(ours) != len(theirs):
        raise StatisticsError(f"Labels are compared row by row, and there are {len(ours)} and {len(theirs)}.")
    order = ordered([*ours, *theirs]) if labels is None else tuple(labels)
    index = {label: position for position, label in enumerate(order)}
    for label in (*ours, *theirs):
        if label not in index:
            raise StatisticsError(f"The label {label!r} is not among {', '.join(map(repr, order))}.")
    cells = [index[one] * len(order) + index[other] for one, other in zip(ours, theirs, strict=True)]
    return order, np.array(cells, dtype=np.intp)


def cell_counts(cells: Codes, labels: int) -> npt.NDArray[np.int64]:
    """How often each cell of the table occurs; shape (labels, labels)."""
    return np.bincount(cells, minlength=labels**2).reshape(labels, labels).astype(np.int64)


def kappa_of(
    counts: npt.NDArray[np.int64], weights: Weights | None = None, places: Floats | None = None
) -> float | None:
    """
    Cohen's kappa of a table; None where chance alone agrees perfectly.

    Args:
        places: Where each label stands, for weights; by default 0, 1, 2, ...
    """
    check_choice("weights", weights, (None, "linear", "quadratic"))
    total = counts.sum()
    if not total:
        return None
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / total
    places = np.arange(len(counts), dtype=np.float64) if places is None else places
    steps = np.abs(np.subtract.outer(places, places))
    weight = {None: steps > 0, "linear": steps, "quadratic": steps**2}[weights]
    by_chance = float(np.sum(weight * expected))
    return None if by_chance == 0.0 else 1.0 - float(np.sum(weight * counts)) / by_chance


def _places(order: Sequence[Any], labels: Sequence[Any] | None) -> Floats | None:
    """Numbers stand where they are, so that a grade that was not given still takes up its place."""
    if labels is None and all(isinstance(label, int | float) for label in order):
        return np.array(order, dtype=np.float64)
    return None


def _counts_of_ratings(ratings: Ratings) -> tuple[tuple[Any, ...], Floats]:
    rows = [[rating for rating in plain(row) if not _is_missing(rating)] for row in ratings]
    labels = ordered([rating for row in rows for rating in row])
    return labels, _label_counts(rows, labels)


def _alpha(counts: Floats, labels: Sequence[Any], measure: Measure) -> float | None:
    counts = counts[counts.sum(axis=1) > 1]  # a rating alone in its row agrees with nothing
    if not len(counts):
        return None
    shared = counts / (counts.sum(axis=1, keepdims=True) - 1.0)
    coincidences = shared.T @ counts - np.diag(shared.sum(axis=0))
    totals = counts.sum(axis=0)
    distance = _squared_distances(labels, totals, measure)
    by_chance = float(np.sum(np.outer(totals, totals) * distance)) / (float(totals.sum()) - 1.0)
    return None if by_chance == 0.0 else 1.0 - float(np.sum(coincidences * distance)) / by_chance


def _label_counts(rows: Sequence[Sequence[Any]], labels: Sequence[Any]) -> Floats:
    index = {label: position for position, label in enumerate(labels)}
    counts = np.zeros((len(rows), len(labels)))
    for number, row in enumerate(rows):
        for rating in row:
            counts[number, index[rating]] += 1.0
    return counts


def _squared_distances(labels: Sequence[Any], totals: Floats, measure: Measure) -> Floats:
    check_choice("measure", measure, ("nominal", "ordinal", "interval"))
    if measure == "nominal":
        return 1.0 - np.eye(len(labels))
    # The rank of a label is the middle of the places that its ratings take in the order of all.
    places = np.cumsum(totals) - totals / 2.0 if measure == "ordinal" else score_array(labels)
    return np.asarray(np.subtract.outer(places, places) ** 2, dtype=np.float64)


def _is_missing(rating: object) -> bool:
    return rating is None or (isinstance(rating, float) and isnan(rating))
