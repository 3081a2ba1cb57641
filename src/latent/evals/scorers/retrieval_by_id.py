"""How good the passages are that were found, by their ids."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from latent.errors import ScorerError
from latent.evals.scoring import scorer


@scorer(kind="continuous", scale=(0, 1), revision=1)
def retrieval(retrieved: Sequence[Any], relevant: Any, *, k: int = 10) -> dict[str, float] | None:
    """
    Hit, recall, precision, reciprocal rank, nDCG and average precision of the first `k`: a metric each.

    The means over rows are the hit rate, MRR, nDCG and MAP at `k`. Definitions and sources:
    `latent.evals.stats.ranking` (Järvelin and Kekäläinen 2002; Voorhees 1999). Unit: share, higher is better.

    Args:
        retrieved: Ids, the best first; or passages that have an `id`. Where the target itself retrieves,
            its output: `retrieval.from_columns(retrieved="output")`.
        relevant: The ids that should be found; with a mapping, their grades. A row without any is not
            applicable.
        k: How many of the first count.
    """
    from latent.evals.stats import ranking

    if relevant is None:
        return None
    if isinstance(retrieved, str):
        raise ScorerError("retrieval", f"`retrieved` is a list of ids, not the text {retrieved!r:.80}.")
    ranked = [_id_of(each) for each in retrieved]
    wanted = relevant if isinstance(relevant, Mapping) else _collection(relevant)
    found = {
        f"hit_at_{k}": ranking.hit_at_k(ranked, wanted, k),
        f"recall_at_{k}": ranking.recall_at_k(ranked, wanted, k),
        f"precision_at_{k}": ranking.precision_at_k(ranked, wanted, k),
        f"mrr_at_{k}": ranking.reciprocal_rank(ranked, wanted, k),
        f"ndcg_at_{k}": ranking.ndcg_at_k(ranked, wanted, k),
        f"map_at_{k}": ranking.average_precision(ranked, wanted, k),
    }
    defined = {name: value for name, value in found.items() if value is not None}
    return defined or None


def _collection(relevant: Any) -> list[Hashable]:
    """Ids as a list; one text is one id, not its letters."""
    return [relevant] if isinstance(relevant, str | int) else [_id_of(each) for each in relevant]


def _id_of(passage: Any) -> Hashable:
    if isinstance(passage, Mapping):
        for name in ("id", "_id", "doc_id"):
            if name in passage:
                return passage[name]  # type: ignore[no-any-return]  # checked when it is looked up
    elif not isinstance(passage, str | int) and hasattr(passage, "id"):
        return passage.id  # type: ignore[no-any-return]
    if not isinstance(passage, Hashable):
        raise ScorerError("retrieval", f"{passage!r:.80} is not an id and has no `id`.")
    return passage
