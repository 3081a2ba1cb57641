"""Answer: what does a model make of the passages that are found?"""

from __future__ import annotations

from typing import Any

from flows.search.flow import TOPICS, SearchConfig, found_for
from pydantic import Field

from latent.evals import Evaluation, evaluate
from latent.evals.scorers import contains, cut, retrieval
from latent.llm import Model, prompt
from latent.prefect import flow, params, task

Row = dict[str, Any]

could_know = contains(name="could_know").from_columns(output="passages")
"""Whether the passages hold what is expected: of the others, a model has to know it by itself."""

by_id = retrieval(k=TOPICS).from_columns(relevant="topics")


class AnswerConfig(SearchConfig):
    """What `parameters.yaml` may say; checked when the flow starts."""

    model: str = Field(default="local:smollm2", description="What answers, as latent.llm.Model takes it")
    max_tokens: int = Field(default=40, ge=1, description="Where an answer is cut")


@task("answer", input="prepare.index")
def answer(index: Row, question: str) -> Row:
    """What the model says about the question when it has read the best passages."""
    found = found_for(question, index)
    model = Model(params.model, max_tokens=params.max_tokens, temperature=0)
    told = model.complete(prompt("answer").render(question=question, passages=found["passages"]))
    return {"output": told, "retrieved": found["output"], "passages": found["passages"]}


@flow("answer", input="questions", config_schema=AnswerConfig)
def answer_questions(questions: list[Row]) -> Evaluation:
    """Have a model answer the questions that have an expected term, and score answers and passages."""
    asked = [row for row in questions if "expected" in row]
    return evaluate(asked, answer, [contains, cut, could_know, by_id], name="answer")
