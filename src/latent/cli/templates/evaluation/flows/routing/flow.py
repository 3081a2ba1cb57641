"""
Evaluate a system over rows: ask it about each row, compare with what is expected, tabulate.

The system here routes support tickets by their words, so that the evaluation runs with no key and no
network. To evaluate a model, pass a `Model` with a `prompt` in the place of `route`: each row is asked once
and remembered, an interrupted run goes on where it stopped, and rows without an answer stay in the account.
"""

import pandas as pd

from latent.evals import evaluate
from latent.evals.scorers import exact_match
from latent.prefect import flow, params, task


@task("route")
def route(text: str) -> str | None:
    """The system under test: the desk for one ticket, or None when it cannot tell."""
    for desk, words in params.desks.items():
        if any(word in text.lower() for word in words):
            return str(desk)
    return None


@flow("routing", input="tickets", output=["answers", "scores"])
def routing(tickets: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Route every ticket, and score the desk against the one that is expected, in all and desk by desk."""
    found = evaluate(tickets, route, exact_match, slices="expected")
    return found.to_pandas(), found.summary()
