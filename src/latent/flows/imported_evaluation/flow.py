"""Imported evaluation: what another tool has run, with our statistics, page and comparison."""

from __future__ import annotations

from pydantic import BaseModel, Field

from latent.config import find_workspace
from latent.errors import UsageError
from latent.evals import Evaluation, import_evaluation
from latent.flows.batch_evaluation.flow import flow_gates, gated_and_delivered
from latent.prefect import flow


class ImportConfig(BaseModel):
    """What `-p`, `parameters.yaml` and callers from Python may say; checked when the flow starts."""

    tool: str = Field(default="", description="inspect, lm-eval or promptfoo")
    file: str = Field(default="", description="A log, samples_....jsonl, or results.json")
    column: int | None = Field(default=None, ge=0, description="Of promptfoo's prompts by providers, which")


@flow("imported_evaluation", config_schema=ImportConfig)
def imported_evaluation(tool: str = "", file: str = "", column: int | None = None) -> Evaluation:
    """
    The evaluation of another tool, from the file that it wrote; nothing is asked and nothing scored.

    Gates under `gates` in its parameters.yaml are checked, and the run ends with their exit code.
    """
    if not tool or not file:
        raise UsageError("Whose results? Say -p tool=inspect -p file=LOG.")
    gates = flow_gates()
    found = import_evaluation(tool, find_workspace().root / file, column=column)
    return gated_and_delivered(found, gates)
