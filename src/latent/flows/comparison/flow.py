"""Comparison: evaluations of finished runs, with what has to be asked and scored to tell why they differ."""

from __future__ import annotations

from pydantic import BaseModel, Field

from latent.evals import Comparison, Ranking, load_evaluation
from latent.evals.comparing.causes import Causes
from latent.evals.comparing.compare import compared
from latent.evals.comparing.rejudging import judged_by_the_last
from latent.prefect import flow


class ComparisonConfig(BaseModel):
    """What `-p`, `parameters.yaml` and callers from Python may say; checked when the flow starts."""

    runs: list[str] = Field(default=[], min_length=2, description="The runs, the old one first")
    causes: bool = Field(default=False, description="Say which change made which rows flip")
    rejudge: bool = Field(default=False, description="Score all with the last one's scorers first")
    force: bool = Field(default=False, description="Compare also where rows or scorers are not the same")


@flow("comparison", config_schema=ComparisonConfig)
def comparison(
    runs: list[str], *, causes: bool = False, rejudge: bool = False, force: bool = False
) -> Comparison | Ranking | Causes:
    """
    Compare the evaluations of runs; with `causes`, say which change made which rows flip.

    What is missing for that is asked and scored, as far as it is not remembered.
    """
    evaluations = [load_evaluation(each) for each in runs]
    if rejudge:
        evaluations = judged_by_the_last(evaluations)
    found = compared(evaluations, force=force, same_scorers=not causes)
    return found.causes() if causes and isinstance(found, Comparison) else found
