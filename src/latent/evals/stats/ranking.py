"""
How good a ranking is, by the ids of what is relevant.

    hit_at_k, recall_at_k, precision_at_k, reciprocal_rank, ndcg_at_k, average_precision
        (ranked, relevant, k=None) -> float | None
    ranked_by(scores) -> list of ids

`ranked` holds ids, the best first; `relevant` is a collection of ids, or a mapping of ids to grades, where
only grades above 0 are relevant. An id that is ranked twice counts where it stands first, and takes no
second place. None where nothing is relevant: such a row says nothing about the ranking. The means over rows
are MRR, MAP, and so on.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from itertools import islice
from math import isfinite, isnan, log2

from latent.errors import StatisticsError

Relevant = Collection[Hashable] | Mapping[Hashable, float]


def ranked_by(scores: Mapping[str, float]) -> list[str]:
    """
    Ids by their score, highest first; ties in the order of the ids, so that they are not chance.

    Raises:
        StatisticsError: A score is NaN, which has no place.
    """
    for id, score in scores.items():
        if isnan(score):
            raise StatisticsError(f"The score of {id!r} is NaN: it has no place in a ranking.")
    return sorted(scores, key=lambda id: (-scores[id], id))


def hit_at_k(ranked: Iterable[Hashable], relevant: Relevant, k: int | None = None) -> float | None:
    """1 if any of the first `k` is relevant, else 0 (success@k)."""
    found = _gains(ranked, relevant, k)
    return None if found is None else float(any(found))


def recall_at_k(ranked: Iterable[Hashable], relevant: Relevant, k: int | None = None) -> float | None:
    """Share of what is relevant that stands among the first `k`."""
    found = _gains(ranked, relevant, k)
    return None if found is None else sum(map(bool, found)) / len(_grades(relevant))


def precision_at_k(ranked: Iterable[Hashable], relevant: Relevant, k: int) -> float | None:
    """Share of the first `k` places that hold something relevant; empty places count as misses."""
    found = _gains(ranked, relevant, k)
    return None if found is None else sum(map(bool, found)) / k


def reciprocal_rank(ranked: Iterable[Hashable], relevant: Relevant, k: int | None = None) -> float | None:
    """1 / the place of the first relevant one, 0 without one; its mean is MRR. Source: Voorhees 1999."""
    found = _gains(ranked, relevant, k)
    if found is None:
        return None
    return next((1.0 / place for place, gain in enumerate(found, 1) if gain), 0.0)


def ndcg_at_k(ranked: Iterable[Hashable], relevant: Relevant, k: int | None = None) -> float | None:
    """
    Discounted gain of the first `k`, as a share of the best possible ranking's.

    The sum of grade / log2(place + 1). Source: Järvelin and Kekäläinen 2002, ACM TOIS 20:422, with the
    discount of trec_eval: linear gains, and places from 1.
    """
    found = _gains(ranked, relevant, k)
    if found is None:
        return None
    return _discounted(found) / _discounted(sorted(_grades(relevant).values(), reverse=True)[:k])


def average_precision(ranked: Iterable[Hashable], relevant: Relevant, k: int | None = None) -> float | None:
    """
    Mean, over what is relevant, of the precision at the place where it stands; 0 where it is not ranked.

    Source: Harman 1995 (TREC); Buckley and Voorhees 2000. Its mean over rows is MAP. Divided by all that is
        relevant,
    also by what more than `k` places could not hold, as in trec_eval.
    """
    found = _gains(ranked, relevant, k)
    if found is None:
        return None
    right, total = 0, 0.0
    for place, gain in enumerate(found, 1):
        if gain:
            right += 1
            total += right / place
    return total / len(_grades(relevant))


def _gains(ranked: Iterable[Hashable], relevant: Relevant, k: int | None) -> list[float] | None:
    """The grade of each of the first `k`, 0 where it is not relevant; None where nothing is relevant."""
    if k is not None and k < 1:
        raise StatisticsError(f"The first k places are at least one: got k = {k}.")
    grades = _grades(relevant)
    return [grades.get(id, 0.0) for id in islice(dict.fromkeys(ranked), k)] if grades else None


def _grades(relevant: Relevant) -> dict[Hashable, float]:
    if isinstance(relevant, Mapping):
        for id, grade in relevant.items():
            if not isfinite(grade):
                raise StatisticsError(
                    f"The grade of {id!r} is {grade}: grades are finite, relevant ones above 0."
                )
        return {id: float(grade) for id, grade in relevant.items() if grade > 0}
    return dict.fromkeys(relevant, 1.0)


def _discounted(gains: Iterable[float]) -> float:
    return sum(gain / log2(place + 1) for place, gain in enumerate(gains, 1) if gain)
