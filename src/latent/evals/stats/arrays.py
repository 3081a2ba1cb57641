"""Scores, rows and clusters as they are given, checked and made into arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from latent.errors import StatisticsError

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

Values = Sequence[float] | Sequence[bool] | npt.NDArray[Any]
"""Numbers or booleans, one a score."""
Labels = Sequence[Any] | npt.NDArray[Any]
"""One hashable name a score: of its row, of its cluster, of its class."""
Scale = tuple[float, float]
"""The least and the highest score that can be."""

ROUNDING = 1e-12
"""Differences below this share of the scale are rounding, as between 0.1 and the mean of three times 0.1."""


def score_array(scores: Values, scale: Scale | None = None) -> Floats:
    """
    The scores as float64, shape (scores,).

    Raises:
        StatisticsError: One is NaN or infinite, or lies outside of the scale; or the scale is not one.
    """
    try:
        values = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise StatisticsError(
            f"Scores are numbers or booleans: {error}. Leave out scores that are missing, and count them."
        ) from error
    if values.ndim != 1:
        raise StatisticsError(f"Scores are given as one flat sequence: got the shape {values.shape}.")
    finite = np.isfinite(values)
    if not finite.all():
        at = int(np.argmin(finite))
        raise StatisticsError(
            f"Score {at} is {values[at]}: leave out scores that are missing, and count them as missing."
        )
    if scale is None:
        return values
    low, high = scale
    if not low < high:
        raise StatisticsError(f"A scale is its least and its highest score, as (0, 1): got {scale!r}.")
    outside = (values < low) | (values > high)
    if outside.any():
        at = int(np.argmax(outside))
        raise StatisticsError(f"Score {at} is {values[at]:g}, outside of its scale from {low:g} to {high:g}.")
    return values


def plain(labels: Labels) -> list[Any]:
    """Labels as Python's own values: numpy's would be other keys in messages."""
    return labels.tolist() if isinstance(labels, np.ndarray) else list(labels)


def codes_of(labels: Labels) -> tuple[Codes, int]:
    """Labels as numbers from 0, in the order in which they first appear, and how many there are."""
    seen: dict[Any, int] = {}
    try:
        numbers = (seen.setdefault(label, len(seen)) for label in plain(labels))
        return np.fromiter(numbers, np.intp, len(labels)), len(seen)
    except TypeError as error:
        raise StatisticsError(f"Rows and clusters are named by texts or numbers: {error}.") from error


def check_lengths(count: int, **columns: Labels | None) -> None:
    """
    Check that every column holds one value a score.

    Raises:
        StatisticsError: One has another length.
    """
    for name, column in columns.items():
        if column is not None and len(column) != count:
            raise StatisticsError(f"There are {count} scores and {len(column)} {name}.")


def check_choice(name: str, value: object, known: Sequence[object]) -> None:
    """
    Check that an argument is one of the values that it can have.

    Raises:
        StatisticsError: It is another.
    """
    if value not in known:
        raise StatisticsError(f"`{name}` is one of {', '.join(map(repr, known))}: got {value!r}.")


def cluster_codes(clusters: Labels, of_row: Codes | None = None) -> tuple[Codes, int]:
    """The same for clusters; a row whose cluster is None or NaN is a cluster of its own."""
    named = plain(clusters)
    alone = [place for place, cluster in enumerate(named) if cluster is None or cluster != cluster]
    if alone:
        named = [(cluster,) for cluster in named]
        for place in alone:
            named[place] = ("row", place if of_row is None else int(of_row[place]))
    return codes_of(named)


def row_means(
    values: Floats, rows: Labels | None, clusters: Labels | None
) -> tuple[Floats, Codes | None, int]:
    """
    One value a row, the mean of its repeats; the cluster of each row, and how many clusters there are.

    A row whose cluster is None or NaN is a cluster of its own. Where all rows are, they are not clustered.

    Raises:
        StatisticsError: A row lies in two clusters, or `rows` or `clusters` have another length than the
            scores.
    """
    check_lengths(len(values), rows=rows, clusters=clusters)
    of_row, count = (None, len(values)) if rows is None else codes_of(rows)
    of_cluster, groups = (None, 0) if clusters is None else cluster_codes(clusters, of_row)
    if of_row is not None and count < len(values):
        values = np.bincount(of_row, values, count) / np.bincount(of_row, minlength=count)
        if rows is not None and of_cluster is not None:
            of_cluster = _cluster_of_rows(of_cluster, of_row, count, rows)
    if groups == len(values):
        return values, None, 0
    return values, of_cluster, groups


def _cluster_of_rows(of_cluster: Codes, of_row: Codes, count: int, rows: Labels) -> Codes:
    found = np.empty(count, np.intp)
    found[of_row] = of_cluster
    if (torn := found[of_row] != of_cluster).any():
        raise StatisticsError(f"Row {plain(rows)[int(np.argmax(torn))]!r} lies in two clusters.")
    return found
