"""Rankings by id: by hand, against trec_eval's measures, and what has no answer."""

from __future__ import annotations

import math

import ir_measures
import numpy as np
import pytest
from ir_measures import AP, RR, P, R, Success, nDCG

from latent.errors import StatisticsError
from latent.evals.stats import (
    average_precision,
    hit_at_k,
    ndcg_at_k,
    precision_at_k,
    ranked_by,
    recall_at_k,
    reciprocal_rank,
)

OURS = {
    Success: hit_at_k,
    R: recall_at_k,
    P: precision_at_k,
    RR: reciprocal_rank,
    nDCG: ndcg_at_k,
    AP: average_precision,
}


def test_by_hand():
    ranked, relevant = ["x", "a", "y", "b"], {"a", "b", "c"}
    assert hit_at_k(ranked, relevant, 1) == 0.0
    assert hit_at_k(ranked, relevant, 2) == 1.0
    assert recall_at_k(ranked, relevant, 4) == pytest.approx(2 / 3)
    assert precision_at_k(ranked, relevant, 4) == 0.5
    assert reciprocal_rank(ranked, relevant) == 0.5
    assert average_precision(ranked, relevant) == pytest.approx((1 / 2 + 2 / 4) / 3)
    best = 1 + 1 / math.log2(3) + 1 / 2
    assert ndcg_at_k(ranked, relevant) == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / best)


@pytest.mark.parametrize("k", [1, 5, 10])
def test_they_equal_ir_measures(k):
    random = np.random.default_rng(k)
    qrels, run, rankings, judged = [], [], {}, {}
    for number in range(350):
        query = str(number)
        ranked = [f"d{each}" for each in random.permutation(30)[: random.integers(1, 20)]]
        relevant = {f"d{each}": int(random.integers(0, 4)) for each in random.permutation(30)[:8]}
        relevant["d0"] = 1
        rankings[query], judged[query] = ranked, relevant
        qrels += [ir_measures.Qrel(query, id, grade) for id, grade in relevant.items()]
        # No ties: each place has a score of its own.
        run += [ir_measures.ScoredDoc(query, id, -float(place)) for place, id in enumerate(ranked)]
    theirs = ir_measures.iter_calc([measure @ k for measure in OURS], qrels, run)
    count = 0
    for metric in theirs:
        kind = type(metric.measure)
        ours = next(
            function for measure, function in OURS.items() if isinstance(metric.measure, type(measure))
        )
        assert kind is not None
        assert ours(rankings[metric.query_id], judged[metric.query_id], k) == pytest.approx(
            metric.value, abs=1e-9
        )
        count += 1
    assert count == 350 * len(OURS)


def test_with_one_relevant_the_first_place_is_all_the_same():
    for ranked in (["a", "b"], ["b", "a"], []):
        first = precision_at_k(ranked, ["a"], 1)
        assert reciprocal_rank(ranked, ["a"], 1) == hit_at_k(ranked, ["a"], 1) == first


def test_recall_rises_with_k():
    random = np.random.default_rng(9)
    for _ in range(200):
        ranked = random.permutation(20).tolist()
        relevant = random.permutation(40)[:10].tolist()
        values = [recall_at_k(ranked, relevant, k) for k in range(1, 25)]
        assert values == sorted(values)


def test_an_id_that_is_ranked_twice_takes_one_place():
    assert precision_at_k(["a", "a", "b"], ["a", "b"], 2) == 1.0
    assert recall_at_k(["a", "a", "a"], ["a", "b"], 3) == 0.5
    assert ndcg_at_k(["a", "a"], ["a"], 2) == 1.0


def test_a_row_without_anything_relevant_is_not_applicable():
    for function in OURS.values():
        assert function(["a", "b"], [], 5) is None
        assert function(["a", "b"], {"a": 0, "b": -1}, 5) is None


def test_a_ranking_of_nothing_finds_nothing():
    for function in OURS.values():
        assert function([], ["a"], 5) == 0.0


def test_equal_scores_are_ordered_by_id():
    assert ranked_by({"c": 0.5, "a": 0.5, "b": 0.9}) == ["b", "a", "c"]


def test_what_has_no_place_or_grade_is_told():
    # nasty/retrieval/run_ties.txt: two documents of one score, one that is not a number.
    with pytest.raises(StatisticsError, match="The score of '3' is NaN"):
        ranked_by({"d1": 0.5, "d2": 0.5, "3": math.nan})
    assert ranked_by({"d1": 0.5, "d2": math.inf}) == ["d2", "d1"]
    for grade in (math.nan, math.inf):
        with pytest.raises(StatisticsError, match="grades are finite"):
            ndcg_at_k(["a"], {"a": grade}, 5)


def test_k_is_at_least_one():
    with pytest.raises(StatisticsError, match="got k = 0"):
        recall_at_k(["a"], ["a"], 0)
