"""
An evaluation by latent, in the workspace of the current folder.

    python -m benchmarks.subjects.peers_latent eval BASE_URL FIRST ROWS LONGEST
"""

from __future__ import annotations

import logging
import sys

from benchmarks.subjects.peers_workload import MAX_TOKENS, MODEL, is_contained, is_short, rows_from
from benchmarks.subjects.workload import report
from latent.evals import evaluate, scorer
from latent.llm import Model

# The peers are silent, too.
logging.disable(logging.INFO)


@scorer
def contained(output: str, expected: str) -> bool:
    return is_contained(output, expected)


@scorer
def short(output: str, *, longest: int) -> bool:
    return is_short(output, longest)


def main(base_url: str, first: int, rows: int, longest: int) -> None:
    """Ask for the answers that are not remembered, and compute the scores that are not."""
    model = Model(f"openai:{MODEL}", base_url=base_url, api_key="any", max_tokens=MAX_TOKENS)
    scorers = [contained, short(longest=longest)]
    found = evaluate(rows_from(first, rows), model, scorers, prompt="{{ question }}", name="measured")
    report(contained=found["contained"].mean, short=found["short"].mean)


if __name__ == "__main__":
    main(sys.argv[2], *map(int, sys.argv[3:]))
