"""What users' editors see: checked by mypy, never run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import assert_type

from pydantic import BaseModel

from latent.evals import Evaluation, Judge, Scorer, evaluate, evaluate_async, scorer, stats
from latent.llm import Answer, Model, prompt
from latent.prefect import checkpoint, clear_checkpoints, flow, log_metric, logger, params, task
from latent.prefect.futures import TaskFuture
from latent.prefect.rows.futures import MappedFutures


class Config(BaseModel):
    batch_size: int


@task
def bare(x: int) -> str:
    return str(x)


@task("named", output="out", cache_expiration=timedelta(days=1), retries=2, retry_on=(TimeoutError, 429))
def named(x: int, y: float = 1.0) -> list[float]:
    return [x * y]


@task("filled", input="rows")
def filled(rows: list[int], factor: int = 1) -> int:
    return sum(rows) * factor


@task
async def answered(x: int) -> bytes:
    return bytes(x)


@checkpoint
def paid(x: int) -> str:
    return str(x)


@checkpoint(name="other")
def paid_too(x: int) -> str:
    return str(x)


@flow("main", config_schema=Config)
def main(limit: int) -> int:
    logger.info("started")
    log_metric("rows", 1.0)
    assert_type(bare(1), str)
    assert_type(bare.submit(1), TaskFuture[str])
    assert_type(bare.submit(1).result(), str)
    assert_type(bare.map([1, 2]), MappedFutures[str])
    assert_type(bare.map([1, 2]).result(), list[str])
    assert_type(named(1, y=2.0), list[float])
    assert_type(filled(), int)
    assert_type(paid(1), str)
    assert_type(paid_too(1), str)
    assert_type(params.as_model(Config).batch_size, int)
    return limit


@flow("asked")
def asked(model: Model) -> str:
    assert_type(model.complete("a"), Answer)
    assert_type(model.complete(["a", "b"], output=Config, repeat=1, refresh="incomplete"), Answer)
    assert_type(model.map(["a"], output=Config, max_workers=5), MappedFutures[Answer])
    assert_type(model.map(["a"]).result(), list[Answer])
    return prompt("judge").render(answer="a")


@flow
async def later(x: int) -> bytes:
    return await answered(x)


@flow("fed", input=["rows"], output="total")
def fed(rows: list[int]) -> int:
    return sum(rows)


assert_type(main(3), int)
assert_type(fed(), int)
assert_type(clear_checkpoints(), int)
bare_function: Callable[..., str] = bare.fn


def numbers() -> None:
    estimate = stats.mean_interval([True, False], rows=["a", "b"], clusters=[1, 2])
    assert_type(estimate, stats.Estimate)
    assert_type(estimate.ci_low, float | None)
    assert_type(stats.paired_difference([1, 0], [0.5, 1]).p_value, float | None)
    assert_type(stats.cohen_kappa(["a"], ["b"], weights="linear"), float | None)
    assert_type(stats.bootstrap_interval(lambda a: float(a.max()), [1, 2]).seed, int | None)


@scorer
def plain_scorer(output: str, expected: str) -> bool:
    return expected in output


@scorer(kind="ordinal", scale=(1, 5), higher_is_better=False, name="grade", timeout_seconds=1.0)
def graded(output: str) -> int:
    return len(output)


async def evaluated(rows: list[dict[str, str]]) -> None:
    found = evaluate(
        rows, Model("openai:gpt-5-mini"), [plain_scorer, graded], prompt="{{ question }}", repeats=2
    )
    assert_type(found, Evaluation)
    assert_type(found["grade"].mean, float | None)
    assert_type(found.score(Judge("Is it right?", model="openai:gpt-5-mini")), Evaluation)
    assert_type(await evaluate_async(rows, lambda row: row, plain_scorer), Evaluation)
    assert_type(plain_scorer.with_options(name="other"), Scorer)
