"""Evaluate: does searching the chunks by meaning find the topic that answers a question?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.embedding import embed
from flows.evaluate.reporting import METRICS, Row, report, with_interval
from pydantic import BaseModel, Field

from latent.prefect import flow, log_metric, logger, params, task

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd


class EvaluateConfig(BaseModel):
    """What `parameters.yaml` may say; checked when the flow starts."""

    depth: int = Field(default=10, ge=5, description="Topics retrieved for each question")
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    resamples: int = Field(default=9999, ge=999)
    seed: int = 0
    misses_shown: int = Field(default=12, ge=0)


@task("retrieve", input="prepare.chunks", span_type="RETRIEVER")
def retrieve(chunks: pd.DataFrame, question: str) -> list[str]:
    """The `depth` topics with the chunks most similar to the question, best first."""
    import numpy as np

    similarity = np.stack(chunks["embedding"].to_list()) @ embed([question], params.dimensions)[0]
    best_first = chunks["topic"].iloc[np.argsort(-similarity, kind="stable")]
    return best_first.drop_duplicates().head(params.depth).to_list()


@task("score")
def score(questions: list[Row], retrieved: list[list[str]]) -> list[Row]:
    """Each question with the topics retrieved for it and its scores."""
    return [
        {**question, "retrieved": topics, **scores(question["topics"], topics)}
        for question, topics in zip(questions, retrieved, strict=True)
    ]


@task("summarise")
def summarise(scored: list[Row]) -> list[Row]:
    """Each metric over all questions and by difficulty: its mean, interval and coverage."""
    groups = {"all": scored}
    for row in scored:
        groups.setdefault(row["difficulty"], []).append(row)
    return [
        {"group": group, "metric": metric, "questions": len(rows)}
        | estimate([row[metric] for row in rows], params.confidence, params.resamples, params.seed)
        for group, rows in groups.items()
        for metric in METRICS
    ]


@task("write_report")
def write_report(summary: list[Row], scored: list[Row]) -> str:
    """The summary and the worst misses, in Markdown."""
    misses = sorted((row for row in scored if row["rank"] != 1), key=lambda row: row["reciprocal_rank"])
    return report(summary, misses[: params.misses_shown], depth=params.depth, confidence=params.confidence)


@flow("evaluate", input="questions", output=["scores", "report"], config_schema=EvaluateConfig)
def evaluate(questions: list[Row]) -> tuple[list[Row], str]:
    """Ask every question, and say how far the answers can be trusted."""
    retrieved = retrieve.map(question=[question["question"] for question in questions]).result()
    scored = score(questions, retrieved)
    summary = summarise(scored)
    for row in summary:
        if row["group"] == "all" and row["mean"] is not None:
            log_metric(row["metric"], row["mean"])
            logger.info(f"{METRICS[row['metric']]}: {with_interval(row)}")
    return scored, write_report(summary, scored)


def scores(expected: Sequence[str], retrieved: Sequence[str]) -> Row:
    """
    How well a ranking of topics answers a question that any of the `expected` ones answers.

    `rank` is that of the first expected topic, from 1; None when none was retrieved.
    """
    rank = next((rank for rank, topic in enumerate(retrieved, 1) if topic in expected), None)
    return {
        "rank": rank,
        "hit_at_1": float(rank == 1),
        "hit_at_5": float(rank is not None and rank <= 5),
        "reciprocal_rank": 1 / rank if rank else 0.0,
    }


def estimate(values: Sequence[float], confidence: float, resamples: int, seed: int) -> Row:
    """
    The mean of the scored rows (`n` of them) and its BCa bootstrap interval.

    `mean` is None when nothing was scored; `ci_low` and `ci_high` are None when all values are the same,
    since resampling cannot tell then how different the next question might be.
    """
    import numpy as np
    from scipy.stats import bootstrap

    sample = np.asarray(values, dtype=float)
    result = {
        "n": len(sample),
        "mean": float(sample.mean()) if len(sample) else None,
        "ci_low": None,
        "ci_high": None,
    }
    if len(np.unique(sample)) > 1:
        interval = bootstrap(
            (sample,),
            np.mean,
            confidence_level=confidence,
            n_resamples=resamples,
            rng=np.random.default_rng(seed),
        ).confidence_interval
        result |= {"ci_low": float(interval.low), "ci_high": float(interval.high)}
    return result
