"""Evaluate: does searching the reference find what answers a question, and what does a model make of it?"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from flows.evaluate.reporting import METRICS, Row, report, with_interval
from pydantic import BaseModel, Field

from latent.llm import Model, prompt
from latent.prefect import flow, log_metric, logger, params, task
from latent.rag import open_store
from latent.rag import retrieve as search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from latent.rag import Store


class EvaluateConfig(BaseModel):
    """What `parameters.yaml` may say; checked when the flow starts."""

    mode: Literal["vector", "bm25", "hybrid"] = Field(default="vector", description="How passages are found")
    depth: int = Field(default=10, ge=5, description="Topics retrieved for each question")
    passages: int = Field(default=2, ge=1, le=20, description="Passages that the model reads")
    model: str = Field(default="local:smollm2", description="What answers, as latent.llm.Model takes it")
    max_tokens: int = Field(default=48, ge=1, description="Where an answer is cut")
    questions_answered: int = Field(default=6, ge=0, description="Questions that the model is asked")
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    resamples: int = Field(default=9999, ge=999)
    seed: int = 0
    misses_shown: int = Field(default=12, ge=0)


@task("retrieve", input="prepare.index", span_type="RETRIEVER")
def retrieve(index: dict[str, Any], question: str) -> Row:
    """The `depth` topics whose passages fit the question best, best first, and the best passages."""
    store = opened(index["name"], index["fingerprint"])
    # A topic has some twenty passages, and seldom are they all among the best: so many hold `depth` topics.
    matches = search(store, question, params.depth * 30, mode=params.mode)
    topics = dict.fromkeys(Path(match.source).stem for match in matches)
    return {
        "topics": list(topics)[: params.depth],
        "passages": [match.text for match in matches[: params.passages]],
    }


@task("score")
def score(questions: list[Row], found: list[Row], answers: list[str]) -> list[Row]:
    """Each question with the topics retrieved for it, the model's answer if it was asked, and the scores."""
    asked = answers + [None] * (len(questions) - len(answers))
    return [
        {**question, "retrieved": each["topics"], "answer": answer}
        | scores(question["topics"], each["topics"])
        | {"evidence_words": None if answer is None else evidence_words(question["evidence"], answer)}
        for question, each, answer in zip(questions, found, asked, strict=True)
    ]


@task("summarise")
def summarise(scored: list[Row]) -> list[Row]:
    """Each metric over all questions and by difficulty: its mean, interval and coverage."""
    groups = {"all": scored}
    for row in scored:
        groups.setdefault(row["difficulty"], []).append(row)
    return [
        {"group": group, "metric": metric, "questions": len(rows)}
        | estimate(
            [row[metric] for row in rows if row[metric] is not None],
            params.confidence,
            params.resamples,
            params.seed,
        )
        for group, rows in groups.items()
        for metric in METRICS
    ]


@task("write_report")
def write_report(summary: list[Row], scored: list[Row]) -> str:
    """The summary, the model's answers and the worst misses, in Markdown."""
    misses = sorted((row for row in scored if row["rank"] != 1), key=lambda row: row["reciprocal_rank"])
    return report(
        summary,
        [row for row in scored if row["answer"] is not None],
        misses[: params.misses_shown],
        mode=params.mode,
        model=params.model,
        depth=params.depth,
        confidence=params.confidence,
    )


@flow("evaluate", input="questions", output=["scores", "report"], config_schema=EvaluateConfig)
def evaluate(questions: list[Row]) -> tuple[list[Row], str]:
    """Ask every question, and say how far the answers can be trusted."""
    questions = spread(questions, params.questions_answered)
    found = retrieve.map(question=[question["question"] for question in questions]).result()
    scored = score(questions, found, answered(questions[: params.questions_answered], found))
    summary = summarise(scored)
    for row in summary:
        if row["group"] == "all" and row["mean"] is not None:
            log_metric(row["metric"], row["mean"])
            logger.info(f"{METRICS[row['metric']]}: {with_interval(row)}")
    return scored, write_report(summary, scored)


def answered(questions: list[Row], found: list[Row]) -> list[str]:
    """What the model says to each question, with the passages found for it before its eyes."""
    template = prompt("answer")
    prompts = [
        template.render(question=question["question"], passages=each["passages"])
        for question, each in zip(questions, found, strict=False)
    ]
    if not prompts:
        return []
    model = Model(params.model, max_tokens=params.max_tokens, temperature=0)
    return [answer.text.strip() for answer in model.map(prompts).result()]


def spread(questions: list[Row], first: int) -> list[Row]:
    """The questions in an order whose first ones come from all parts of the list, at equal distances."""
    if not 0 < first < len(questions):
        return questions
    chosen = {number * len(questions) // first for number in range(first)}
    rest = [question for number, question in enumerate(questions) if number not in chosen]
    return [questions[number] for number in sorted(chosen)] + rest


@lru_cache(maxsize=1)
def opened(index_name: str, fingerprint: str) -> Store:
    """The index, opened once for all questions; `fingerprint` tells one state of it from the next."""
    return open_store("lancedb", index_name, create=False)


def evidence_words(evidence: Sequence[str], answer: str) -> float:
    """The largest share of a quote's words that stand in the answer: crude, but it takes no judge."""
    said = set(words(answer))
    return max(len(said & set(words(quote))) / len(set(words(quote))) for quote in evidence)


def words(text: str) -> list[str]:
    """The words of a text that are long enough to mean something, in lower case."""
    return [word for word in re.findall(r"\w+", text.lower()) if len(word) > 3]


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
