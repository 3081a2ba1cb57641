"""Whether an answer names the right label, and how well each label is predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from latent.evals.scorers.words import folded_text, holds_words, normalized, text_of
from latent.evals.scoring import Abstain, Score, scorer


def label_metrics(scores: Sequence[Score], *, clusters: Sequence[Any] | None = None) -> Mapping[str, Any]:
    """Precision, recall, F1 and kappa of all rows, from the labels that their scores hold."""
    from latent.evals.stats import classify, f1_interval, kappa_interval

    predicted = [str(score.answer) for score in scores]
    expected = [str(score.evidence["expected"]) for score in scores]
    found = classify(expected, predicted)
    return {
        "precision": found.precision,
        "recall": found.recall,
        "f1": f1_interval(expected, predicted, clusters=clusters),
        "kappa": kappa_interval(expected, predicted, clusters=clusters),
    }


@scorer(kind="binary", revision=1, aggregate=label_metrics)
def classification(output: Any, expected: Any, *, labels: Sequence[str] | None = None) -> Score | None:
    """
    Whether the output is the expected label: its mean is the accuracy.

    All rows together also have macro averages of precision, recall and F1, and Cohen's kappa, by
    scikit-learn's definitions (`latent.evals.stats.classify`).

    With `labels`, the output may be a sentence that names exactly one of them; one that names none or several
    abstains, since a label that cannot be read must not count as one of the others. Without, the whole
    output is the label, compared as `exact_match` does.

    Unit: share of rows, higher is better.
    """
    if expected is None:
        return None
    wanted = normalized(text_of(expected))
    answer = normalized(text_of(output))
    if labels is not None:
        known = [normalized(text_of(label)) for label in labels]
        if wanted not in known:
            raise Abstain(
                f"The expected label {text_of(expected)!r:.80} is not among {', '.join(map(str, labels))}."
            )
        answer = answer if answer in known else _named(text_of(output), known)
    return Score(answer == wanted, answer=answer, evidence={"expected": wanted})


def _named(text: str, labels: Sequence[str]) -> str:
    folded = folded_text(text)
    found = [label for label in labels if holds_words(folded, label)]
    # "not spam" also holds "spam": what is part of a longer one that was named does not count.
    longest = [one for one in found if not any(one != other and one in other for other in found)]
    if len(longest) != 1:
        named = f"names {', '.join(longest)}" if longest else f"names none of {', '.join(labels)}"
        raise Abstain(f"The output {named}.")
    return longest[0]
