"""
Prompts asked with `Model.map`, 200 at once, in the workspace of the current folder.

    python -m benchmarks.subjects.models_latent SPEC BASE_URL FIRST PROMPTS

FIRST is the first of the numbers of prompts that nobody asked before. Reports the requests a second, and how
many of the same prompts a second are there again when all are remembered.
"""

from __future__ import annotations

import logging
import sys

from benchmarks.subjects.workload import Stopwatch, report
from latent.llm import Model
from latent.prefect import flow
from latent.prefect.task_runners import ThreadPoolTaskRunner

AT_ONCE = 200

logging.disable(logging.INFO)


@flow("ask", task_runner=ThreadPoolTaskRunner(max_workers=AT_ONCE))
def ask(spec: str, base_url: str, first: int, prompts: int) -> float:
    """Seconds until all answers are there."""
    model = Model(spec, base_url=base_url, api_key="any", max_tokens=64)
    with Stopwatch() as watch:
        texts = [f"question {number}" for number in range(first, first + prompts)]
        answers = model.map(texts, max_workers=AT_ONCE).result()
    assert [answer.text for answer in answers] == texts
    return watch.seconds


def main(spec: str, base_url: str, first: int, prompts: int) -> None:
    """Ask, and ask again."""
    ask(spec, base_url, first, AT_ONCE)  # the connections are open, as in the peers' measurement
    fresh = ask(spec, base_url, first + AT_ONCE, prompts)
    again = ask(spec, base_url, first + AT_ONCE, prompts)
    report(fresh=prompts / fresh, remembered=prompts / again)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
