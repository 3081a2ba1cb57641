"""Scripts written for Prefect run unchanged once their imports name `latent.prefect`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import asyncio
from datetime import timedelta

from prefect import flow, get_run_logger, tags, task, unmapped
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import INPUTS, TASK_SOURCE
from prefect.concurrency.asyncio import concurrency as async_concurrency
from prefect.concurrency.sync import concurrency
from prefect.context import FlowRunContext
from prefect.futures import as_completed, wait
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import exponential_backoff, task_input_hash
from prefect.variables import Variable


@task
def bare(x):
    return x + 1


@task(
    name="Hashed", retries=2, retry_delay_seconds=[0, 0], cache_key_fn=task_input_hash,
    cache_expiration=timedelta(hours=1), tags=["one"], log_prints=True,
)
def hashed(x, y=2):
    print(f"hashing {x}")
    return x * y


@task(cache_policy=INPUTS + TASK_SOURCE, persist_result=True, task_run_name="limited-{x}")
def limited(x):
    logger = get_run_logger()
    with concurrency("a-limit", occupy=1):
        logger.info("inside the limit")
        return x


@task(retries=2, retry_delay_seconds=exponential_backoff(backoff_factor=0))
def flaky(seen=[]):
    seen.append(1)
    if len(seen) < 3:
        raise RuntimeError("flaky")
    return len(seen)


@task
async def slow(x):
    async with async_concurrency("another-limit"):
        await asyncio.sleep(0)
    return x


@task
def declined():
    return Failed(message="declined")


@task
def report(total):
    create_markdown_artifact(key="report", markdown=f"# {total}")
    return total


@flow
def child(xs: list[int]) -> int:
    return sum(bare.map(xs).result())


@flow(name="async child")
async def async_child():
    futures = slow.map([1, 2])
    return [await slow(3), *[f.result() for f in futures]]


@flow(name="A Prefect script", log_prints=True, task_runner=ThreadPoolTaskRunner(max_workers=4))
def main(n: int = 3):
    print("printing")
    with tags("tagged"):
        first = bare.submit(n)
    second = hashed.submit(first, y=10)
    third = hashed.with_options(name="again")(second, wait_for=[first])
    done, _ = wait([first, second])
    mapped = limited.map([1, 2, 3])
    rows = sorted(f.result() for f in as_completed(mapped))
    state = declined(return_state=True)
    assert state.is_failed() and state.message == "declined"
    Variable.set("answer", 42, overwrite=True)
    assert FlowRunContext.get().flow.name == "A Prefect script"
    return {
        "first": first.result(), "second": second.result(), "third": third, "rows": rows,
        "child": child([1, 2]), "async": asyncio.run(async_child()), "flaky": flaky(),
        "variable": Variable.get("answer"), "shared": hashed.map([1, 2], y=unmapped(5)).result(),
        "report": report(7), "done": len(done),
    }


if __name__ == "__main__":
    state = main(4, return_state=True)
    print("RESULT", sorted(state.result().items()))
"""


def run(script, folder):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LATENT_", "PREFECT_"))}
    environment |= {"LATENT_TRACKING__ENABLED": "false", "PREFECT_HOME": str(folder / "prefect")}
    path = folder / "script.py"
    path.write_text(script)
    done = subprocess.run(
        [sys.executable, str(path)], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))


@pytest.mark.parametrize("runs", [2])
def test_script_gives_the_same_with_only_its_imports_changed(tmp_path, runs):
    """In a folder that is not a workspace: none is needed to run a script."""
    changed = SCRIPT.replace("from prefect", "from latent.prefect")
    expected = (
        "RESULT [('async', [3, 1, 2]), ('child', 5), ('done', 2), ('first', 5), ('flaky', 3), ('report', 7), "
        "('rows', [1, 2, 3]), ('second', 50), ('shared', [5, 10]), ('third', 100), ('variable', 42)]"
    )
    for _ in range(runs):
        assert run(changed, tmp_path) == expected
