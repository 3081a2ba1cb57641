"""
Inspect's log of the rows, and its viewer with it as a bundle of files.

    python -m benchmarks.subjects.page_inspect ROWS
"""

from __future__ import annotations

import sys
from pathlib import Path

from inspect_ai import Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import bundle_log_dir
from inspect_ai.scorer import Score, Target, accuracy, scorer
from inspect_ai.solver import Generate, TaskState, solver

from benchmarks.subjects import page_rows
from benchmarks.subjects.workload import Stopwatch, report


@solver
def given():  # type: ignore[no-untyped-def]  # Inspect's own way of writing them
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        state.output.completion = state.metadata["output"]
        return state

    return solve


@scorer(metrics=[accuracy()])
def right():  # type: ignore[no-untyped-def]
    async def score(state: TaskState, target: Target) -> Score:
        is_right = page_rows.right(state.output.completion)
        return Score(value=int(is_right), explanation=state.metadata["reason"])

    return score


def main(count: int) -> None:
    """Evaluate given outputs, and bundle the viewer apart from that."""
    samples = [
        Sample(id=row["id"], input=row["question"], target=row["expected"], metadata=row)
        for row in page_rows.rows(count, 0)
    ]
    task = Task(dataset=MemoryDataset(samples), solver=given(), scorer=right())
    eval(task, model="mockllm/model", log_dir="logs", display="none", score_display=False)
    with Stopwatch() as watch:
        bundle_log_dir(log_dir="logs", output_dir="bundle", overwrite=True)
    size = sum(file.stat().st_size for file in Path("bundle").rglob("*") if file.is_file())
    report(seconds=watch.seconds, size_bytes=size)


if __name__ == "__main__":
    main(int(sys.argv[1]))
