"""
Evaluate a system over rows: ask it about each row, compare with what is expected, tabulate.

The system here routes support tickets by their words, so that the evaluation runs with no key and no
network. To evaluate a model, call it in `route`: each row is asked once and remembered, an interrupted run
goes on where it stopped, and rows that were not answered stay in the account.
"""

from math import sqrt

import pandas as pd

from latent.prefect import flow, logger, params, task


@task("route")
def route(text: str) -> str | None:
    """The system under test: the desk for one ticket, or None when it cannot tell."""
    for desk, words in params.desks.items():
        if any(word in text.lower() for word in words):
            return str(desk)
    return None


def tabulate(answers: pd.DataFrame) -> pd.DataFrame:
    """
    A line for each expected desk and one for all.

    Accuracy is that of the answered rows, with its 95 % interval; `worst` and `best` are what it would be
    over all rows if every missing answer were wrong, or right.
    """
    groups = [*answers.groupby("expected"), ("all", answers)]
    return pd.DataFrame([{"desk": desk, **accuracy(rows)} for desk, rows in groups])


def accuracy(rows: pd.DataFrame) -> dict[str, float | None]:
    """Counts and accuracy of some rows; None where nothing was answered."""
    n = len(rows)
    answered = int(rows["answer"].notna().sum())
    correct = int((rows["answer"] == rows["expected"]).sum())
    low, high = wilson(correct, answered) if answered else (None, None)
    return {
        "rows": n,
        "answered": answered,
        "correct": correct,
        "accuracy": correct / answered if answered else None,
        "ci_low": low,
        "ci_high": high,
        "worst": correct / n,
        "best": (correct + n - answered) / n,
    }


def wilson(correct: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a proportion. Source: Wilson 1927, doi:10.1080/01621459.1927.10502953."""
    share, spread = correct / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return centre - half, centre + half


@flow("routing", input="tickets", output=["answers", "scores"])
def routing(tickets: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Route every ticket, compare with the desk that is expected, tabulate."""
    answers = tickets.assign(answer=route.map(text=tickets["text"].tolist()).result())
    scores = tabulate(answers)
    logger.info("Scores:\n" + scores.round(2).to_string(index=False, na_rep="-"))
    return answers, scores
