"""
An evaluation by pydantic-evals, whose task asks with OpenAI's client, and which keeps nothing.

    python -m benchmarks.subjects.peers_pydantic eval BASE_URL FIRST ROWS LONGEST
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from openai import AsyncOpenAI
from pydantic_evals import Case, Dataset
from pydantic_evals.evaluators import Evaluator, EvaluatorContext

from benchmarks.subjects.peers_workload import AT_ONCE, MAX_TOKENS, MODEL, is_contained, is_short, rows_from
from benchmarks.subjects.workload import report


@dataclass
class Contained(Evaluator[str, str, None]):
    def evaluate(self, ctx: EvaluatorContext[str, str, None]) -> float:
        return float(is_contained(ctx.output, ctx.expected_output or ""))


@dataclass
class Short(Evaluator[str, str, None]):
    longest: int

    def evaluate(self, ctx: EvaluatorContext[str, str, None]) -> float:
        return float(is_short(ctx.output, self.longest))


def main(base_url: str, first: int, rows: int, longest: int) -> None:
    """Ask for all answers and score them; report the means of the metrics."""
    client = AsyncOpenAI(base_url=base_url, api_key="any", max_retries=0)

    async def ask(question: str) -> str:
        done = await client.chat.completions.create(
            model=MODEL, max_completion_tokens=MAX_TOKENS, messages=[{"role": "user", "content": question}]
        )
        return done.choices[0].message.content or ""

    cases = [
        Case(name=row["id"], inputs=row["question"], expected_output=row["expected"])
        for row in rows_from(first, rows)
    ]
    data = Dataset(name="measured", cases=cases, evaluators=[Contained(), Short(longest)])
    found = data.evaluate_sync(ask, max_concurrency=AT_ONCE, progress=False)
    assert not found.failures, found.failures[0]
    scores = found.averages().scores  # type: ignore[union-attr]  # there are cases
    report(contained=scores["Contained"], short=scores["Short"])


if __name__ == "__main__":
    main(sys.argv[2], *map(int, sys.argv[3:]))
