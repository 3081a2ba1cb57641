"""Scores of one judge for all sides: answers of several evaluations, scored with the last one's scorers."""

from __future__ import annotations

from collections.abc import Sequence

from latent.evals.evaluation import Evaluation
from latent.evals.recipes import scorer_of


def judged_by_the_last(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """
    The evaluations, each with the scores of the last one's scorers.

    Only what has other scores so far is scored again, each in a run of its own, unless a flow is running.
    Where a scorer's code has changed since the last evaluation, all are scored with what it is now.

    Raises:
        RecipeError: A scorer cannot be made again.
    """
    last = evaluations[-1]
    wanted = {
        each["name"]: scorer_of(each.get("recipe"), each["name"])
        for each in last.about["scorers"]
        if any(_version(other, each["name"]) != each["version"] for other in evaluations)
    }
    found = []
    for evaluation in evaluations:
        others = [scorer for name, scorer in wanted.items() if _version(evaluation, name) != scorer.version]
        found.append(evaluation.score(others) if others else evaluation)
    return found


def _version(evaluation: Evaluation, name: str) -> str | None:
    """The version of one of its scorers; None when it has none of this name."""
    return next((each["version"] for each in evaluation.about["scorers"] if each["name"] == name), None)
