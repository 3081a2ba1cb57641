"""Search: how often does searching the reference find a topic that answers the question?"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field

from latent.evals import Evaluation, evaluate
from latent.evals.scorers import retrieval
from latent.prefect import flow, params, task
from latent.rag import open_store
from latent.rag import retrieve as best_passages

if TYPE_CHECKING:
    from latent.rag import Store

Row = dict[str, Any]

TOPICS = 5
"""So many topics are looked at: `hit_at_5`, `mrr_at_5` and so on."""


class SearchConfig(BaseModel):
    """What `parameters.yaml` may say; checked when the flow starts."""

    mode: Literal["vector", "bm25", "hybrid"] = Field(default="vector", description="How passages are found")
    passages: int = Field(
        default=2, ge=1, le=20, description="Passages that are kept, and that a model reads"
    )


@task("retrieve", input="prepare.index", span_type="RETRIEVER")
def retrieve(index: Row, question: str) -> Row:
    """The topics whose passages fit the question best, best first, and the best passages."""
    return found_for(question, index)


@flow("search", input="questions", config_schema=SearchConfig)
def search(questions: list[Row]) -> Evaluation:
    """Search for every question, and score the topics that are found by their names."""
    by_id = retrieval(k=TOPICS).from_columns(retrieved="output", relevant="topics")
    return evaluate(questions, retrieve, by_id, slices="difficulty", name="search")


def found_for(question: str, index: Row) -> Row:
    """What is found for one question; the flow `answer` searches by it, too."""
    # A topic has some twenty passages, and seldom are they all among the best: so many hold five topics.
    store = opened(index["name"], index["fingerprint"])
    matches = best_passages(store, question, TOPICS * 30, mode=params.mode)
    topics = list(dict.fromkeys(Path(match.source).stem for match in matches))
    return {"output": topics[:TOPICS], "passages": [match.text for match in matches[: params.passages]]}


@lru_cache(maxsize=1)
def opened(index_name: str, fingerprint: str) -> Store:
    """The index, opened once for all questions; `fingerprint` tells one state of it from the next."""
    return open_store("lancedb", index_name, create=False)
