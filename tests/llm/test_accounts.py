"""Tokens, money and calls by model: booked on rows and runs, shown, and kept in the run's folder."""

from __future__ import annotations

import pytest

from latent.llm import Model, Usage
from latent.llm.prices import context_window, cost_usd, known_models
from latent.prefect import flow, task
from latent.testing import Fault, Reply
from latent.tracking import list_runs
from tests.llm.conftest import SPECS, Provider


@pytest.mark.parametrize(
    ("provider_name", "model", "usage", "expected"),
    [
        # Anthropic's price list: Claude Opus 4.6 costs $5 for a million tokens in, $25 out, $0.50 cached.
        ("anthropic", "claude-opus-4-6", Usage(input_tokens=1_000, output_tokens=100), 0.0075),
        ("anthropic", "claude-opus-4-6", Usage(input_tokens=1_000, cached_tokens=1_000), 0.0005),
        # OpenAI's: GPT-5 mini $0.25 and $2; a dated name is the same model.
        ("openai", "gpt-5-mini", Usage(input_tokens=1_000, output_tokens=100), 0.00045),
        ("openai-responses", "gpt-5-mini-2025-08-07", Usage(input_tokens=1_000, output_tokens=100), 0.00045),
    ],
)
def test_costs_follow_from_the_price_list(provider_name: str, model: str, usage: Usage, expected: float):
    assert cost_usd(provider_name, model, usage) == pytest.approx(expected)


def test_an_unknown_price_is_none_and_a_model_of_ones_own_process_is_free():
    usage = Usage(input_tokens=1_000)
    assert cost_usd("openai", "gpt-99-turbo", usage) is None
    assert cost_usd("vllm", "llama", usage) is None
    assert cost_usd("local", "smollm2", usage) == 0.0
    assert context_window("anthropic", "claude-opus-4-6") is not None
    assert "gpt-5-mini" in known_models("openai")


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
        "amounts": {"input_tokens": 3_000, "output_tokens": 300, "cached_tokens": 0, "reasoning_tokens": 0},
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
