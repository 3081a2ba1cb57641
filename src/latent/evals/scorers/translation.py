"""BLEU and chrF, by sacrebleu (the extra `bleu`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from latent.config import import_extra
from latent.evals.scorers.words import references_of, text_of
from latent.evals.scoring import Score, scorer


def corpus_bleu(scores: Sequence[Score]) -> Mapping[str, Any]:
    """BLEU of all rows together, from the counts that their scores hold: not the mean of the sentences."""
    counts = _totals(scores)
    if not counts:
        return {"corpus": None}
    hypothesis, reference, *rest = counts
    order = len(rest) // 2
    found = _metrics().BLEU.compute_bleu(
        rest[:order], rest[order:], hypothesis, reference, smooth_method="exp"
    )
    return {"corpus": float(found.score)}


def corpus_chrf(scores: Sequence[Score]) -> Mapping[str, Any]:
    """chrF of all rows together, from the counts that their scores hold."""
    counts = _totals(scores)
    return {"corpus": float(_metrics().CHRF()._compute_f_score(counts)) if counts else None}


@scorer(kind="continuous", scale=(0, 100), unit="points", revision=1, aggregate=corpus_bleu)
def bleu(output: Any, expected: Any, *, tokenize: str = "13a") -> Score | None:
    """
    BLEU of each sentence, of 100, with effective order and exponential smoothing; and of all rows, `corpus`.

    Published figures are those of the corpus. Source: Papineni et al. 2002; Post 2018 (sacrebleu), whose
    signature is in `evidence`. Needs the extra `bleu`. Higher is better.

    Args:
        expected: A text, or a list of several translations that are all right.
        tokenize: How sacrebleu takes words apart: `zh`, `ja-mecab`, `flores200`, `char` for other scripts.
    """
    if not (references := references_of(expected)):
        return None
    metric = _metrics().BLEU(effective_order=True, tokenize=tokenize)
    found = metric.sentence_score(text_of(output), references)
    counts = [found.sys_len, found.ref_len, *found.counts, *found.totals]
    return Score(min(float(found.score), 100.0), evidence=_evidence(metric, counts))


@scorer(kind="continuous", scale=(0, 100), unit="points", revision=1, aggregate=corpus_chrf)
def chrf(output: Any, expected: Any) -> Score | None:
    """
    chrF of each sentence, of 100: F2 of runs of up to 6 characters; and of all rows, `corpus`.

    Source: Popović 2015; Post 2018 (sacrebleu). Needs the extra `bleu`. Higher is better.

    Args:
        expected: A text, or a list of several translations that are all right.
    """
    if not (references := references_of(expected)):
        return None
    metric = _metrics().CHRF()
    found = metric.sentence_score(text_of(output), references)
    counts = metric._extract_corpus_statistics([text_of(output)], [[each] for each in references])[0]
    return Score(min(float(found.score), 100.0), evidence=_evidence(metric, counts))


def _evidence(metric: Any, counts: Sequence[int]) -> dict[str, Any]:
    return {"counts": [int(count) for count in counts], "signature": str(metric.get_signature())}


def _totals(scores: Sequence[Score]) -> list[int]:
    told = [score.evidence["counts"] for score in scores if isinstance(score.evidence, Mapping)]
    return [sum(column) for column in zip(*told, strict=True)]


def _metrics() -> Any:
    return import_extra("sacrebleu.metrics", extra="bleu", purpose="BLEU and chrF")
