"""Calls where they could wait for ever: in a forked child, on the rows' own event loop, in two orders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from latent.errors import FailedRowsError, UsageError
from latent.llm import Embedder, Model
from latent.prefect import flow, task
from tests.llm.conftest import SPECS, Provider

FORKS = """
    import os
    from latent.llm import Model
    from latent.prefect import flow

    model = Model("openai:gpt-5-mini")

    @flow("asking")
    def asking(who):
        model.complete(f"{who} alone")
        return [answer.text for answer in model.map([f"{who} {n}" for n in range(3)]).result()]

    print(asking("parent"), flush=True)
    if (child := os.fork()) == 0:
        print(asking("child"), flush=True)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
LIMITED = "[tracking]\nenabled = false\n[tasks]\nretry_delay_seconds = 0\n[limits.one]\nconcurrency = 1\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_forked_child_asks_as_its_parent_did(provider: Provider) -> None:
    provider.says(lambda call: call.prompt)
    done = subprocess.run(
        [sys.executable, "-c", dedent(FORKS)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == [
        "['parent 0', 'parent 1', 'parent 2']", "['child 0', 'child 1', 'child 2']", "0",
    ]  # fmt: skip
    assert "Unclosed" not in done.stderr


@pytest.mark.parametrize("limit", [None, "one"])
def test_plain_call_in_an_async_row_is_refused_before_it_waits_for_a_limit(provider: Provider, limit):
    Path("config/latent.toml").write_text(LIMITED)
    model = Model(SPECS[0], limit=limit)

    @task("mixed", batch_size=10)
    async def mixed(n: int) -> str:
        answer = model.complete(f"plain {n}") if n % 2 else await model.complete_async(f"async {n}")
        return answer.text

    @flow("mixing")
    def mixing() -> object:
        return mixed.map(range(20)).result()

    with pytest.raises(FailedRowsError) as failed:
        mixing()
    assert len(failed.value.exceptions) == 10
    assert all(isinstance(error, UsageError) for error in failed.value.exceptions)
    assert provider.requests == 10


def test_plain_embedding_of_many_batches_in_an_async_row_is_refused(provider: Provider):
    embedder = Embedder("openai:text-embedding-3-small", batch_size=1)

    @task("embedded", batch_size=10)
    async def embedded(n: int) -> int:
        return len(embedder.embed([f"{n} one", f"{n} two"]))

    @flow("embedding")
    def embedding() -> object:
        return embedded.map(range(4)).result()

    with pytest.raises(FailedRowsError, match="embed_async"):
        embedding()
    assert provider.requests == 0


@pytest.mark.parametrize("how", [{"row_runs": "all"}, {"batch_size": 3}], ids=["runs", "batches"])
def test_rows_that_hold_a_place_do_not_wait_for_rows_that_wait_for_one(provider: Provider, how):
    """One row has the only place and wants an answer; the row that is to bring it waits for the place."""
    Path("config/latent.toml").write_text(LIMITED)
    model = Model(SPECS[0], limit="one")
    prompts = [f"prompt {n}" for n in range(6)]

    @task("quoted", limit="one", **how)
    def quoted(prompt: str) -> str:
        return model.complete(prompt).text

    @flow("both ways")
    def both_ways() -> tuple[list[str], list[str]]:
        quotes = quoted.map(prompts[::-1])
        answers = model.map(prompts)
        return quotes.result()[::-1], [answer.text for answer in answers.result()]

    quotes, answers = both_ways()
    assert quotes == answers
    assert provider.requests == len(prompts), "nothing was paid for twice"
