"""
latent's page of an evaluation, in the workspace of the current folder.

    python -m benchmarks.subjects.page_latent ROWS PASSAGES
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from benchmarks.subjects import page_rows
from benchmarks.subjects.workload import Stopwatch, report
from latent.evals import Score, evaluate, scorer
from latent.evals.page.document import write_page

logging.disable(logging.INFO)


@scorer
def right(output: str) -> bool:
    return page_rows.right(output)


@scorer(scale=(1, 5))
def graded(output: str, reason: str) -> Score:
    return Score(page_rows.grade(output), reason=reason)


def main(count: int, passages: int) -> None:
    """Evaluate given outputs, and write the page apart from that."""
    evaluation = evaluate(page_rows.rows(count, passages), None, [right, graded])
    path = Path(f"latent-{count}-{passages}.html").absolute()
    with Stopwatch() as watch:
        write_page(evaluation, str, path)
    report(
        path=str(path), seconds=watch.seconds, cpu_seconds=watch.cpu_seconds, size_bytes=path.stat().st_size
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
