"""Support: does the bot send each ticket to the team that it belongs to?"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from latent.evals import Evaluation, evaluate
from latent.evals.scorers import exact_match
from latent.llm import Model, prompt
from latent.prefect import flow, params


class SupportConfig(BaseModel):
    """What `parameters.yaml` may say; checked when the flow starts."""

    model: str
    prompt: str = "plain"


@flow("support", input="tickets", config_schema=SupportConfig)
def support(tickets: list[dict[str, Any]]) -> Evaluation:
    """Ask a model for the team of every ticket, and compare it with the right one."""
    model = Model(params.model, limit="support-bot")
    return evaluate(
        tickets, model, exact_match, prompt=prompt(params.prompt), slices="expected", name="support"
    )
