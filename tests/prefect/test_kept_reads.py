"""Parameters that a call uses without reading them itself, or reads where its own context does not reach."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from latent.testing.plugin import MakeWorkspace

KEEPERS = """
import functools
import json

from latent.prefect import checkpoint, flow, params, task


@functools.lru_cache(maxsize=None)
def cached():
    return params.factor

kept = None

def in_module():
    global kept
    if kept is None:
        kept = params.factor
    return kept

in_dict = {}

class Registry:
    def __init__(self):
        self.values = {}

    def put(self, value):
        self.values["factor"] = value

registry = Registry()

def registered():
    if not registry.values:
        registry.put(params.factor)
    return registry.values["factor"]

class Settings:
    @functools.cached_property
    def factor(self):
        return params.factor

settings = Settings()

@functools.lru_cache
def prepared():
    return params.factor

def remembering(fn):
    known = []

    @functools.wraps(fn)
    def wrapper():
        if not known:
            known.append(fn())
        return known[0]

    return wrapper

@remembering
def by_decorator():
    return params.factor

@task
def with_cached(n):
    return n * cached()

@task
def with_module(n):
    return n * in_module()

@task
def with_dict(n):
    if "factor" not in in_dict:
        in_dict["factor"] = params.factor
    return n * in_dict["factor"]

@task
def with_registry(n):
    return n * registered()

own_registry = Registry()

@task
def with_object(n):
    if not own_registry.values:
        own_registry.put(params.factor)
    return n * own_registry.values["factor"]

@task
def with_property(n):
    return n * settings.factor

@task
def with_prepared(n):
    return n * prepared()

@task
def with_decorator(n):
    return n * by_decorator()

@task
def other_with_cached(n):
    return n + cached()

@task
def outer(n):
    return with_cached(n) + 0

@checkpoint
def inside(n):
    return n * cached()

@task
def with_checkpoint(n):
    return [inside(n), inside(n + 1)]

@task
async def asynchronous(n):
    return n * cached()

@task
def unrelated(n):
    print("computed unrelated")
    return n * params.other

@flow("x")
def x():
    prepared()  # in the flow, where no task reads it
    mapped = [
        with_cached, with_module, with_dict, with_registry, with_property, with_prepared, with_decorator,
        with_object,
    ]
    found = {each.name: each.map([1, 2], max_workers=1).result() for each in mapped}
    batched = with_cached.map(range(10, 80), max_workers=1).result()
    found |= {"batched": batched[-1], "other": other_with_cached(1), "outer": outer(5), "again": outer(6)}
    found |= {"checkpoint": with_checkpoint(1), "async": asynchronous.map([3, 4], max_workers=1).result()}
    print("FOUND", json.dumps(found | {"unrelated": unrelated.map([1, 2]).result()}))
"""


def right(factor: int) -> dict[str, Any]:
    mapped = ["cached", "module", "dict", "registry", "property", "prepared", "decorator", "object"]
    return {
        **{f"with_{name}": [factor, 2 * factor] for name in mapped},
        "batched": 79 * factor, "other": 1 + factor, "outer": 5 * factor, "again": 6 * factor,
        "checkpoint": [factor, 2 * factor], "async": [3 * factor, 4 * factor], "unrelated": [7, 14],
    }  # fmt: skip


Run = Callable[..., tuple[Any, str]]


@pytest.fixture
def run_flow(make_workspace: MakeWorkspace) -> Callable[[str, str], Run]:
    """A function: the text of `flows/x/flow.py` and its parameters in, what runs it in a process out."""

    def make(code: str, parameters: str) -> Run:
        settings = 'environment = "dev"\n[tracking]\nenabled = false\n'
        workspace = make_workspace(
            {"config/latent.toml": settings, "flows/x/flow.py": code, "flows/x/parameters.yaml": parameters}
        )
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LATENT_")}

        def run(*options: str) -> tuple[Any, str]:
            command = [sys.executable, "-m", "latent", "run", "x", *options]
            ended = subprocess.run(
                command, cwd=workspace.root, env=inherited, capture_output=True, text=True, timeout=120
            )
            result = re.search(r"^FOUND (.*)$", ended.stdout, re.MULTILINE)
            assert result is not None, ended.stdout + ended.stderr
            return json.loads(result[1]), ended.stdout

        return run

    return make


def test_what_functions_keep_of_parameters_counts_for_every_call_that_uses_it(run_flow) -> None:
    run = run_flow(KEEPERS, "factor: 3\nother: 7\n")
    assert run()[0] == right(3)
    found, printed = run("-p", "factor=5")
    assert found == right(5)
    assert "computed unrelated" not in printed  # it reads another parameter
    assert "everything was reused" in run("-p", "factor=5")[1]


PROMPTS = """
import functools
import json

from latent.llm import prompt as load
from latent.prefect import flow, task

@functools.cache
def prompt():
    return load("ask")

@task
def ask(n):
    return prompt().render() + str(n)

@flow("x")
def x():
    print("FOUND", json.dumps(ask.map([1, 2], max_workers=1).result()))
"""


BESIDE = """
import json
import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

from latent.prefect import checkpoint, flow, params, task

FORK = multiprocessing.get_context("fork")
pool = None

def go(n):
    return n * params.factor

@task
def inner(n):
    return go(n)

@task
def innermost(n):
    return inner(n)

@checkpoint
def noted(n):
    return go(n)

@task
def threads(numbers):
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(inner, numbers))

@task
def nested_in_threads(numbers):
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(innermost, numbers))

@task
def checkpoints_in_threads(numbers):
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(noted, numbers))

@task
def forked(numbers):
    with ProcessPoolExecutor(2, mp_context=FORK) as pool:
        return list(pool.map(go, numbers))

def call_inner(n):
    return inner(n)

@task
def tasks_in_forked(numbers):
    with ProcessPoolExecutor(1, mp_context=FORK) as pool:
        return list(pool.map(call_inner, numbers))

@task
def forked_by_a_thread(numbers):
    def work():
        with ProcessPoolExecutor(1, mp_context=FORK) as pool:
            found.extend(pool.map(go, numbers))

    found = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found

def fork_again(n):
    with ProcessPoolExecutor(1, mp_context=FORK) as pool:
        return pool.submit(go, n).result()

@task
def forked_twice(numbers):
    with ProcessPoolExecutor(1, mp_context=FORK) as pool:
        return list(pool.map(fork_again, numbers))

@task
def kept_pool(numbers):
    global pool
    if pool is None:
        pool = ProcessPoolExecutor(1, mp_context=FORK)
    return list(pool.map(go, numbers))

@flow("x")
def x():
    several = [
        threads, nested_in_threads, checkpoints_in_threads, forked, tasks_in_forked, forked_by_a_thread,
        forked_twice,
    ]
    found = {each.name: each([1, 2]) for each in several}
    found["kept pool"] = kept_pool.map([[1], [2], [3]], max_workers=1).result()
    if pool is not None:
        pool.shutdown()
    print("FOUND", json.dumps(found))
"""


def beside(factor: int) -> dict[str, Any]:
    names = [
        "threads", "nested_in_threads", "checkpoints_in_threads", "forked", "tasks_in_forked",
        "forked_by_a_thread", "forked_twice",
    ]  # fmt: skip
    return {name: [factor, 2 * factor] for name in names} | {
        "kept pool": [[factor], [2 * factor], [3 * factor]]
    }


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked here")
def test_what_threads_and_forked_processes_read_counts_for_the_task_that_started_them(run_flow) -> None:
    run = run_flow(BESIDE, "factor: 3\n")
    assert run()[0] == beside(3)
    assert run("-p", "factor=5")[0] == beside(5)
    assert "everything was reused" in run("-p", "factor=5")[1]


def test_a_prompt_that_is_kept_counts_for_every_call_that_uses_it(run_flow, make_workspace) -> None:
    run = run_flow(PROMPTS, "")
    file = make_workspace({}).root / "flows/x/prompts/ask.md"
    file.parent.mkdir(parents=True)
    file.write_text("old")
    assert run()[0] == ["old1", "old2"]
    file.write_text("new")
    assert run()[0] == ["new1", "new2"]
