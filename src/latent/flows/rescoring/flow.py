"""Rescoring: new or changed scorers over the answers of a finished run; no answer is asked for."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from latent.errors import UsageError
from latent.evals import Evaluation, load_evaluation
from latent.evals.finding import find_judge, find_scorer
from latent.prefect import flow


class RescoringConfig(BaseModel):
    """What `-p`, `parameters.yaml` and callers from Python may say; checked when the flow starts."""

    run: str = Field(default="last", description="The run whose answers are scored")
    evaluation: str | None = Field(default=None, description="Which of its evaluations; none: the last")
    scorers: list[str | dict[str, Any]] = Field(default=[], description="By name, with options")
    judge: dict[str, Any] | list[dict[str, Any]] | None = Field(
        default=None, description="`model`, `rubric`, and what else latent.evals.Judge takes"
    )


@flow("rescoring", config_schema=RescoringConfig)
def rescoring(
    run: str = "last", evaluation: str | None = None, scorers: list[Any] | None = None, judge: Any = None
) -> Evaluation:
    """The evaluation of a run with further scores, or newer ones of the same names; the others stay."""
    judges = [find_judge(each) for each in ([judge] if isinstance(judge, dict) else judge or [])]
    found = [*(find_scorer(each) for each in scorers or []), *judges]
    if not found:
        raise UsageError("Which scorers? Say --with NAME, or --judge with a rubric.")
    return load_evaluation(run, evaluation).score(found)
