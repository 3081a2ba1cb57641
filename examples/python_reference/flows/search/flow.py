"""Evaluate: does searching the reference find what answers a question, and what does a model make of it?"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

from latent.evals import Evaluation, evaluate, scorer
from latent.evals.report import markdown_report
from latent.llm import Model, prompt
from latent.prefect import flow, params, task
from latent.rag import open_store
from latent.rag import retrieve as search

if TYPE_CHECKING:
    from latent.rag import Store

Row = dict[str, Any]


class EvaluateConfig(BaseModel):
    """What `parameters.yaml` may say; checked when the flow starts."""

    mode: Literal["vector", "bm25", "hybrid"] = Field(default="vector", description="How passages are found")
    depth: int = Field(default=10, ge=5, description="Topics retrieved for each question")
    passages: int = Field(default=2, ge=1, le=20, description="Passages that the model reads")
    model: str = Field(default="local:smollm2", description="What answers, as latent.llm.Model takes it")
    max_tokens: int = Field(default=48, ge=1, description="Where an answer is cut")
    questions_answered: int = Field(default=6, ge=1, description="Questions that the model is asked")


@task("retrieve", input="prepare.index", span_type="RETRIEVER")
def retrieve(index: Row, question: str) -> Row:
    """The `depth` topics whose passages fit the question best, best first, and the best passages."""
    store = opened(index["name"], index["fingerprint"])
    # A topic has some twenty passages, and seldom are they all among the best: so many hold `depth` topics.
    matches = search(store, question, params.depth * 30, mode=params.mode)
    found = list(dict.fromkeys(Path(match.source).stem for match in matches))
    return {"output": found[: params.depth], "passages": [match.text for match in matches[: params.passages]]}


@scorer(scale=(0, 1))
def topic(output: list[str], topics: list[str]) -> dict[str, bool | float]:
    """Whether a topic that answers the question is first, is among the first five, and 1 / its rank."""
    rank = next((rank for rank, found in enumerate(output, 1) if found in topics), None)
    return {
        "first": rank == 1,
        "among_5": rank is not None and rank <= 5,
        "reciprocal_rank": 1 / rank if rank else 0.0,
    }


@scorer(scale=(0, 1))
def evidence_words(output: str, evidence: list[str]) -> float:
    """The largest share of a quote's words that stand in the answer: crude, but it takes no judge."""
    said = words(output)
    return max(len(said & words(quote)) / len(words(quote)) for quote in evidence)


@flow("evaluate", input="questions", output=["scores", "report"], config_schema=EvaluateConfig)
def evaluate_search(questions: list[Row]) -> tuple[list[Row], str]:
    """Search for every question and score the ranking; have a model answer some from what was found."""
    found = evaluate(questions, retrieve, topic, slices="difficulty", name="search")
    asked = spread(found, params.questions_answered)
    model = Model(params.model, max_tokens=params.max_tokens, temperature=0)
    answered = evaluate(asked, model, evidence_words, prompt=prompt("answer"), name="answers")
    return found.results(), markdown_report(found) + "\n" + markdown_report(answered)


def spread(found: Evaluation, number: int) -> list[Row]:
    """So many questions from all parts of the list, at equal distances, with the passages found for them."""
    rows = found.answered()
    chosen = sorted({place * len(rows) // number for place in range(number)})
    return [{**rows[place].item.values, "passages": rows[place].values["passages"]} for place in chosen]


@lru_cache(maxsize=1)
def opened(index_name: str, fingerprint: str) -> Store:
    """The index, opened once for all questions; `fingerprint` tells one state of it from the next."""
    return open_store("lancedb", index_name, create=False)


def words(text: str) -> set[str]:
    """The words of a text that are long enough to mean something, in lower case."""
    return {word for word in re.findall(r"\w+", text.lower()) if len(word) > 3}
