"""Tokens, money and calls by model: booked on rows and runs, shown, and kept in the run's folder."""

from __future__ import annotations

import pytest

from latent.cache import open_memory
from latent.errors import RunStoppedError
from latent.llm import Embedder, Model, Usage
from latent.llm.prices import cost_usd, known_models
from latent.prefect import flow, task
from latent.prefect.run_options import RunOptions
from latent.prefect.running import run as run_flow
from latent.testing import Fault, Reply
from latent.tracking import list_runs, load_rows
from tests.llm.conftest import QUICK, SPECS, Provider


@pytest.mark.parametrize(
    ("provider_name", "model", "usage", "expected"),
    [
        # Anthropic's price list: Claude Opus 4.6 costs $5 for a million tokens in, $25 out, $0.50 cached.
        ("anthropic", "claude-opus-4-6", Usage(input_tokens=1_000, output_tokens=100), 0.0075),
        ("anthropic", "claude-opus-4-6", Usage(input_tokens=1_000, cached_tokens=1_000), 0.0005),
        # OpenAI's: GPT-5 mini $0.25 and $2; a dated name is the same model.
        ("openai", "gpt-5-mini", Usage(input_tokens=1_000, output_tokens=100), 0.00045),
        # More tokens from the cache than there were: what it cost cannot be told.
        ("openai", "gpt-5-mini", Usage(input_tokens=10, cached_tokens=20), None),
        ("openai-responses", "gpt-5-mini-2025-08-07", Usage(input_tokens=1_000, output_tokens=100), 0.00045),
    ],
)
def test_costs_follow_from_the_price_list(
    provider_name: str, model: str, usage: Usage, expected: float | None
):
    assert cost_usd(provider_name, model, usage) == pytest.approx(expected)


def test_an_unknown_price_is_none_and_a_model_of_ones_own_process_is_free():
    usage = Usage(input_tokens=1_000)
    assert cost_usd("openai", "gpt-99-turbo", usage) is None
    assert cost_usd("vllm", "llama", usage) is None
    assert cost_usd("local", "smollm2", usage) == 0.0
    assert cost_usd("xai", "grok-4", usage) is not None
    assert "gpt-5-mini" in known_models("openai")


@pytest.mark.parametrize("name", ["local-openai", "my-openai", "gateway-anthropic", "openai-decisions-too"])
def test_prices_of_a_provider_are_not_those_of_a_server_whose_name_only_holds_its_own(name: str):
    usage = Usage(input_tokens=1_000)
    assert [cost_usd(name, model, usage) for model in ("gpt-5-mini", "claude-opus-4-6")] == [None, None]


def test_an_answer_knows_its_cost_and_a_remembered_one_costs_nothing_again(provider: Provider):
    provider.says(lambda call: Reply("x", input_tokens=1_000, output_tokens=100))
    model, unknown = Model(SPECS[2]), Model("vllm:meta/llama-3", base_url=provider.simulator.openai_base_url)

    @flow("spending")
    def spending() -> None:
        model.complete("a")
        model.map(["a", "b", "c"]).result()
        unknown.complete("d")

    spending()
    spending()
    assert model.complete("a").cost_usd == pytest.approx(0.0075)
    assert unknown.complete("d").cost_usd is None
    second, first = list_runs(provider_workspace(), flow="spending")
    assert first.models["anthropic:claude-opus-4-6"] == {
        "calls": 3,
        "unpriced": 0,
        "amounts": {
            "input_tokens": 3_000,
            "output_tokens": 300,
            "cached_tokens": 0,
            "cache_write_tokens": 0,
            "reasoning_tokens": 0,
        },
        "cost_usd": pytest.approx(0.0225),
    }
    assert first.models["vllm:meta/llama-3"]["cost_usd"] is None
    assert first.models["vllm:meta/llama-3"]["unpriced"] == 1
    assert second.models == {}


def provider_workspace():
    from latent.config import find_workspace

    return find_workspace()


def test_calls_inside_of_a_row_are_booked_on_the_row(provider: Provider):
    provider.says(lambda call: Reply("x", input_tokens=1_000, output_tokens=100))
    provider.behaves(faults=[Fault(500, first=1)])
    model = Model(SPECS[2])

    @task("grade")
    def grade(text: str) -> str:
        return model.complete(text).text + model.complete(text + "!").text

    @flow("grading")
    def grading() -> list[str]:
        return grade.map([f"text {n}" for n in range(250)]).result()

    grading()
    (run,) = list_runs(provider_workspace(), flow="grading")
    (grades,) = run.tasks
    assert grades["cost_usd"] == pytest.approx(250 * 2 * 0.0075)
    assert run.models["anthropic:claude-opus-4-6"]["calls"] == 500


def test_repairs_are_paid_and_booked(provider: Provider):
    from pydantic import BaseModel

    class Word(BaseModel):
        word: str

    provider.says_in_turn(
        Reply("{}", input_tokens=10, output_tokens=10),
        Reply('{"word": "x"}', input_tokens=20, output_tokens=5),
    )
    answer = Model(SPECS[0]).complete("a word", output=Word)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (30, 15)


@pytest.mark.parametrize("limit", [None, "api"])
def test_calls_of_models_count_in_the_budget_and_rows_of_free_tasks_do_not(
    provider: Provider, make_workspace, limit
):
    workspace = make_workspace(QUICK | {"flows/asking/flow.py": f"""
from latent.llm import Embedder, Model
from latent.prefect import flow, task

model, embedder = Model("openai:gpt-5-mini", limit={limit!r}), Embedder("openai:text-embedding-3-small")

@task("prepare")
def prepare(n):
    return f"prompt {{n}}"

@flow("asking")
def asking():
    prompts = prepare.map(range(20)).result()
    embedder.embed(prompts)
    model.complete("alone")
    return model.map(prompts, on_error="collect", max_workers=1).result()
""", "config/latent.toml": QUICK["config/latent.toml"] + "[limits.api]\nconcurrency = 4\n"})  # fmt: skip
    result = run_flow(workspace, "asking", options=RunOptions(max_calls=6))
    assert provider.requests == 6
    assert result


@pytest.mark.parametrize("rows_as_runs", [0, 200])
@pytest.mark.parametrize(("task_limit", "asked"), [("", 3), (', limit="api"', 6)])
def test_calls_of_models_inside_of_rows_count_unless_the_row_does(
    provider: Provider, make_workspace, rows_as_runs, task_limit, asked
):
    settings = f"[limits.api]\nconcurrency = 4\n[rows]\nrows_as_runs = {rows_as_runs}\n"
    workspace = make_workspace(QUICK | {"flows/asking/flow.py": f"""
from latent.llm import Model
from latent.prefect import flow, task

model = Model("openai:gpt-5-mini")

@task("ask"{task_limit})
def ask(n):
    return model.complete(f"{{n}}").text + model.complete(f"{{n}} again").text

@flow("asking")
def asking():
    return len(ask.map(range(20), on_error="collect", max_workers=1).result())
""", "config/latent.toml": QUICK["config/latent.toml"] + settings})  # fmt: skip
    result = run_flow(workspace, "asking", options=RunOptions(max_calls=3))
    assert provider.requests == asked
    assert result.counts == {"ok": asked // 2, "skipped": 20 - asked // 2}
    assert result.stopped_by == "The budget of 3 calls is used up."
    (run,) = list_runs(workspace)
    assert run.outcomes == result.counts
    errors = load_rows(workspace, run.run_id)["error"].to_pylist()
    assert {error for error in errors if error is not None} == {result.stopped_by}


def test_calls_of_models_inside_of_a_task_count(provider: Provider, make_workspace):
    workspace = make_workspace(
        QUICK
        | {
            "flows/asking/flow.py": """
from latent.llm import Model
from latent.prefect import flow, task

model = Model("openai:gpt-5-mini")

@task("ask")
def ask():
    return [model.complete(f"{n}").text for n in range(20)]

@flow("asking")
def asking():
    return ask()
"""
        }
    )
    result = run_flow(workspace, "asking", options=RunOptions(max_calls=3))
    assert provider.requests == 3
    assert isinstance(result.error, RunStoppedError)


def test_a_memory_that_is_full_ends_what_is_paid_for(provider: Provider):
    model, embedder = Model(SPECS[0]), Embedder("openai:text-embedding-3-small", batch_size=1)

    @flow("filling")
    def filling() -> int:
        store = open_memory(provider_workspace()).store
        store._database.write(lambda db: db.execute("PRAGMA max_page_count = 20").fetchall())
        for n in range(200):
            model.complete(f"{n} " + "x" * 10_000)
        return 0

    @flow("embedding")
    def embedding() -> None:
        store = open_memory(provider_workspace()).store
        store._database.write(lambda db: db.execute("PRAGMA max_page_count = 20").fetchall())
        embedder.embed([f"text {n}" for n in range(500)])

    for ending in (filling, embedding):
        before = provider.requests
        with pytest.raises(RunStoppedError, match="memory cannot be written any more"):
            ending()
        assert provider.requests < before + 100
