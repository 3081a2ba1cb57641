"""
An evaluation by Inspect, which keeps its logs in the current folder.

    python -m benchmarks.subjects.peers_inspect eval|cached|score BASE_URL FIRST ROWS LONGEST

`eval` asks for all answers, `cached` for those that its cache lacks; `score` scores those of the last log.
"""

from __future__ import annotations

import sys
from typing import Any

from inspect_ai import Task, eval, score
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog, list_eval_logs, read_eval_log, write_eval_log
from inspect_ai.model import get_model
from inspect_ai.scorer import Score, Target, mean, scorer
from inspect_ai.solver import TaskState, generate

from benchmarks.subjects.peers_workload import AT_ONCE, MAX_TOKENS, MODEL, is_contained, is_short, rows_from
from benchmarks.subjects.workload import report

LOGS = "logs"


@scorer(metrics=[mean()])
def contained() -> Any:
    async def of(state: TaskState, target: Target) -> Score:
        return Score(value=int(is_contained(state.output.completion, target.text)))

    return of


@scorer(metrics=[mean()])
def short(longest: int) -> Any:
    async def of(state: TaskState, target: Target) -> Score:
        return Score(value=int(is_short(state.output.completion, longest)))

    return of


def evaluated(base_url: str, first: int, rows: int, longest: int, *, cache: bool) -> EvalLog:
    """All rows asked and scored."""
    samples = [Sample(id=r["id"], input=r["question"], target=r["expected"]) for r in rows_from(first, rows)]
    task = Task(samples, solver=generate(cache=cache), scorer=[contained(), short(longest)], name="measured")
    model = get_model(f"openai/{MODEL}", base_url=base_url, api_key="any", responses_api=False)
    return eval(
        task,
        model=model,
        max_tokens=MAX_TOKENS,
        max_connections=AT_ONCE,
        max_samples=AT_ONCE,
        display="none",
        log_dir=LOGS,
    )[0]


def scored(longest: int) -> EvalLog:
    """The changed scorer over the answers of the last log, kept in the log beside the other's scores."""
    path = max(list_eval_logs(LOGS), key=lambda log: log.mtime or 0)
    log = score(read_eval_log(path), [short(longest)], action="append", display="none")
    write_eval_log(log, path.name)
    return log


def main(way: str, base_url: str, first: int, rows: int, longest: int) -> None:
    """Evaluate or score; report the means of the metrics."""
    if way == "score":
        log = scored(longest)
    else:
        log = evaluated(base_url, first, rows, longest, cache=way == "cached")
    assert log.status == "success" and log.results is not None, log.error
    # The scores that were appended stand last, under their scorer's name with a 1 behind it.
    report(**{each.name.removesuffix("1"): each.metrics["mean"].value for each in log.results.scores})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
