"""
Scoring with latent, in the workspace of the current folder: five deterministic scorers over given outputs.

    python -m benchmarks.subjects.evals_latent FIRST

FIRST is the first of 10,000 numbers that no other process has: answers of which no score is remembered.
"""

from __future__ import annotations

import logging
import sys

from benchmarks.subjects.workload import Stopwatch, report
from latent.evals import evaluate, scorer
from latent.prefect import Task, flow

ROWS = 10_000

# Prefect writes a line for each task run, also without latent.
logging.disable(logging.INFO)


def contained(output: str, expected: str) -> bool:
    return expected in output


def equal(output: str, expected: str) -> bool:
    return output == expected


def length(output: str) -> int:
    return len(output)


def word_share(output: str) -> float:
    return len(output.split()) / 10


def parity(output: str) -> str:
    return "even" if len(output) % 2 == 0 else "odd"


FUNCTIONS = (contained, equal, length, word_share, parity)


@flow("mapped")
def mapped(outputs: list[str], expected: list[str]) -> None:
    """The same functions over the same columns, as plain maps of tasks."""
    for function in FUNCTIONS:
        columns = {"output": outputs, "expected": expected}
        if function not in (contained, equal):
            del columns["expected"]
        Task(function, f"mapped_{function.__name__}", retry=False).map(**columns).result()


def main(first: int) -> None:
    """Report the seconds of maps and of evaluations of the same rows, new and remembered."""
    numbers = range(first, first + ROWS)
    rows = [{"id": n, "output": f"The answer to it is {n} and no other", "expected": f"{n}"} for n in numbers]
    scorers = [scorer(function) for function in FUNCTIONS]
    evaluate(rows[:1], scorers=scorer(name="first")(length))  # what the first run of a process starts
    outputs, expected = [row["output"] for row in rows], [row["expected"] for row in rows]
    seconds = {}
    for name in ("new", "remembered"):
        with Stopwatch() as watch:
            mapped(outputs, expected)
        seconds[f"mapped_{name}"] = watch.seconds
        with Stopwatch() as watch:
            evaluate(rows, scorers=scorers)
        seconds[f"evaluated_{name}"] = watch.seconds
    report(**seconds)


if __name__ == "__main__":
    main(int(sys.argv[1]))
