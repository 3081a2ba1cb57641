"""How near an answer comes to the expected text: by letters, by words, by meaning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from latent.evals.scorers.words import references_of, text_of, without_articles, words_of
from latent.evals.scoring import Score, scorer

if TYPE_CHECKING:
    from latent.llm import Embedder


@scorer(kind="continuous", scale=(0, 1), revision=1)
def edit_similarity(output: Any, expected: Any, *, ignore_case: bool = False) -> float | None:
    """
    1 - Levenshtein distance / length of the longer text; of several expected texts, the nearest.

    Source: Levenshtein 1966, by the library rapidfuzz. Unit: share of characters, higher is better.
    """
    from rapidfuzz.distance import Levenshtein

    texts = [text_of(output), *references_of(expected)]
    found, *accepted = [text.casefold() for text in texts] if ignore_case else texts
    return max((Levenshtein.normalized_similarity(found, each) for each in accepted), default=None)


@scorer(kind="continuous", scale=(0, 1), revision=1)
def token_f1(output: Any, expected: Any, *, articles: bool = False) -> Score | None:
    """
    Harmonic mean of the share of the output's words that were expected, and of expected words that are there.

    Source: Rajpurkar et al. 2016 (SQuAD), arXiv:1606.05250, section 6.1; words in any script. Where neither
        holds
    a word, 1. Of several expected texts, the best counts. Unit: share of words, higher is better.

    Args:
        articles: Whether `a`, `an` and `the` count as words; SQuAD leaves them out.
    """

    def words(text: str) -> list[str]:
        return words_of(text) if articles else without_articles(words_of(text))

    return _best_f1(output, expected, partial(_shared_runs, n=1), words=words)


@scorer(kind="continuous", scale=(0, 1), revision=1)
def rouge_l(output: Any, expected: Any) -> Score | None:
    """
    ROUGE-L: F1 of the longest common subsequence of words; the best of several expected texts.

    Source: Lin 2004, section 3.1, sentence level; equal to the library rouge-score without stemming for
        ASCII, and
    with words in any script. Unit: share of words, higher is better.
    """
    return _best_f1(output, expected, _longest_common)


@scorer(kind="continuous", scale=(0, 1), revision=1)
def rouge_n(output: Any, expected: Any, *, n: int = 2) -> Score | None:
    """
    ROUGE-N: F1 of the runs of `n` words that both texts share; the best of several expected texts.

    Texts with fewer words are 1 if they are equal. Source: Lin 2004, section 2; otherwise equal to the
    library rouge-score without stemming for ASCII, and with words in any script. Unit: share of runs of
    words, higher is better.
    """
    return _best_f1(output, expected, partial(_shared_runs, n=n), n=n)


@scorer(kind="continuous", scale=(-1, 1), revision=1)
async def embedding_similarity(
    output: Any, expected: Any, *, embedder: str | Embedder = "local:wordllama"
) -> float | None:
    """
    Cosine of the vectors of the output and the expected text; the nearest of several.

    It is not a probability, and 0.8 means another thing with each embedder: compare only numbers of one
    embedder, and look at pairs of your own before you set a threshold. Source: Salton et al. 1975. Unit:
    cosine, higher is better. A coroutine, so that rows wait for their vectors side by side.

    Args:
        embedder: `latent.llm.Embedder`, or its name. The default needs the extra `local` and no key. Vectors
            are remembered: none is paid for twice.
    """
    import numpy as np

    accepted = references_of(expected)
    texts = [text_of(output), *accepted]
    if not accepted:
        return None
    if not all(text.strip() for text in texts):
        return 0.0  # nothing has no meaning, and embedders refuse it
    vectors = np.asarray(await _embedder(embedder).embed_async(texts), dtype=np.float64)
    lengths = np.linalg.norm(vectors, axis=1)
    cosines = (
        vectors[1:] @ vectors[0] / np.where(lengths[1:] * lengths[0] == 0.0, 1.0, lengths[1:] * lengths[0])
    )
    return float(np.clip(np.max(cosines), -1.0, 1.0))


def _best_f1(
    output: Any,
    expected: Any,
    shared: Callable[[list[str], list[str]], int],
    *,
    words: Callable[[str], list[str]] = words_of,
    n: int = 1,
) -> Score | None:
    """The highest F1 with any of the expected texts; `shared` counts what two texts have in common."""
    found = words(text_of(output))
    scored = [_f1(found, wanted, shared, n) for wanted in map(words, references_of(expected))]
    return max(scored, key=lambda score: float(score.value or 0.0), default=None)


def _f1(found: list[str], wanted: list[str], shared: Callable[[list[str], list[str]], int], n: int) -> Score:
    of_found, of_wanted = len(found) - n + 1, len(wanted) - n + 1
    if of_found < 1 or of_wanted < 1:
        return Score(float(found == wanted), reason=f"Too short for runs of {n} words." if n > 1 else None)
    common = shared(found, wanted)
    precision, recall = common / of_found, common / of_wanted
    f1 = 2.0 * precision * recall / (precision + recall) if common else 0.0
    return Score(f1, evidence={"precision": precision, "recall": recall})


def _longest_common(found: list[str], wanted: list[str]) -> int:
    from rapidfuzz.distance import LCSseq

    return int(LCSseq.similarity(found, wanted))


def _shared_runs(found: list[str], wanted: list[str], n: int) -> int:
    return sum((_runs(found, n) & _runs(wanted, n)).values())


def _runs(words: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(words[start:] for start in range(n)), strict=False))


def _embedder(embedder: str | Embedder) -> Embedder:
    from latent.llm import Embedder

    return embedder if isinstance(embedder, Embedder) else Embedder(embedder)
