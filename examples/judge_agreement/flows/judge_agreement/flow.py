"""Judge agreement: how often do two LLM judges say what most people say?"""

from __future__ import annotations

from statistics import mode
from typing import TYPE_CHECKING, Any

from latent.evals import evaluate
from latent.evals.scorers import classification
from latent.evals.stats import cohen_kappa
from latent.prefect import flow

if TYPE_CHECKING:
    import pandas as pd

PEOPLE = ["annotator1", "annotator2", "annotator3"]
JUDGES = ["gpt_35_turbo", "pandalm_7b"]
UNREADABLE = "garbage"

agrees = classification(labels=["1", "2", "tie"], name="agrees")
"""A verdict that cannot be read abstains: it is missing, and the bounds say what it could have been."""

published = classification(name="as_published").from_columns(output="published")
"""As in the paper's code: whatever cannot be read is a tie."""


@flow("judge_agreement", input="verdicts")
def judge_agreement(verdicts: pd.DataFrame) -> dict[str, float]:
    """Hold each judge against the majority of people, in both ways; Cohen's kappa of each two people."""
    people = verdicts[PEOPLE].astype(str)
    majority = [mode(each) for each in people.itertuples(index=False)]
    for judge in JUDGES:
        evaluate(rows_of(verdicts, judge, majority), None, [agrees, published], name=judge)
    pairs = [("annotator1", "annotator2"), ("annotator1", "annotator3"), ("annotator2", "annotator3")]
    return {f"kappa of {a} and {b}": round(cohen_kappa(people[a], people[b]), 3) for a, b in pairs}


def rows_of(verdicts: pd.DataFrame, judge: str, majority: list[str]) -> list[dict[str, Any]]:
    """One row for each pair of answers: what the judge said, and what most people said."""
    said = verdicts[judge].astype(str)
    return [
        {
            "id": str(row_id),
            "output": verdict,
            "published": "tie" if verdict == UNREADABLE else verdict,
            "expected": expected,
        }
        for row_id, verdict, expected in zip(verdicts["id"], said, majority, strict=True)
    ]
