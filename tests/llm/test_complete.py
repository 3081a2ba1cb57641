"""One call: what is sent, what comes back, and that it is paid for once."""

from __future__ import annotations

import asyncio
from threading import Thread

import pytest

from latent.config import find_workspace
from latent.errors import ModelConnectionError, ModelRefusedError, ModelSpecError, RunStoppedError, UsageError
from latent.llm import Answer, Message, Model, Usage
from latent.llm.attempts import policy_for
from latent.llm.estimates import estimate_of
from latent.llm.tokens import rough_tokens, token_bound
from latent.prefect import flow, task
from latent.prefect.retries import policy_of
from latent.prefect.run_options import RunOptions
from latent.prefect.running import run
from latent.testing import Fault, Reply
from tests.llm.conftest import SPECS, Provider

every_api = pytest.mark.parametrize("spec", SPECS)


@every_api
def test_an_answer_carries_text_usage_and_where_it_came_from(provider: Provider, spec: str):
    provider.says(lambda call: Reply("four", input_tokens=11, output_tokens=7, cached_tokens=3))
    answer = Model(spec).complete("two and two?")
    assert answer.text == str(answer) == "four"
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.cached_tokens) == (11, 7, 3)
    assert answer.model == spec.partition(":")[2]
    assert (answer.finish_reason, answer.attempts, answer.from_memory) == ("stop", 1, False)
    assert answer.latency_seconds > 0
    assert answer.request_id


@every_api
def test_the_same_call_is_paid_for_once(provider: Provider, spec: str):
    first = Model(spec).complete("hello")
    again = Model(spec).complete("hello")
    assert again == first
    assert (first.from_memory, again.from_memory) == (False, True)
    assert provider.requests == 1


@every_api
def test_sampling_is_sent_as_each_api_names_it(provider: Provider, spec: str):
    Model(spec, max_tokens=9, temperature=0.5, top_p=0.9, system="Be brief.", metadata={"a": "b"}).complete(
        "hi"
    )
    (body,) = provider.bodies
    assert (body["temperature"], body["top_p"], body["metadata"]) == (0.5, 0.9, {"a": "b"})
    assert {"max_tokens", "max_completion_tokens", "max_output_tokens"} & set(body) != set()
    told = body.get("system") or body.get("instructions") or body["messages"][0]["content"]
    assert told == "Be brief."


def test_stop_and_seed_are_sent(provider: Provider):
    Model(SPECS[0], stop=["END"], seed=4).complete("hi")
    Model(SPECS[2], stop="END").complete("hi")
    assert (provider.bodies[0]["stop"], provider.bodies[0]["seed"]) == (["END"], 4)
    assert provider.bodies[1]["stop_sequences"] == ["END"]


@pytest.mark.parametrize(
    ("spec", "sent"),
    [
        (SPECS[0], {"reasoning_effort": "low"}),
        (SPECS[1], {"reasoning": {"effort": "low"}}),
        (SPECS[2], {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
    ],
)
def test_reasoning_is_an_effort_in_every_api(provider: Provider, spec: str, sent: dict):
    Model(spec, reasoning="low").complete("hi")
    assert sent.items() <= provider.bodies[0].items()


def test_other_servers_get_the_older_name_of_the_limit_on_tokens(provider: Provider):
    base_url = provider.simulator.openai_base_url
    Model("vllm:llama", base_url=base_url, max_tokens=5).complete("hi")
    Model(SPECS[0], max_tokens=5).complete("hi")
    assert "max_tokens" in provider.bodies[0]
    assert "max_completion_tokens" in provider.bodies[1]


@every_api
def test_an_answer_that_was_cut_or_refused_says_so_and_is_kept(provider: Provider, spec: str):
    provider.says_in_turn(Reply("half a sen", "length"), Reply("I cannot.", "refusal"))
    model = Model(spec)
    cut, refused = model.complete("tell"), model.complete("how?")
    assert (cut.finish_reason, cut.is_complete) == ("length", False)
    assert (refused.finish_reason, refused.text) == ("refusal", "I cannot.")
    assert model.complete("tell").from_memory
    assert model.complete("how?").from_memory


def test_answers_are_asked_for_again_only_on_request(provider: Provider):
    provider.says_in_turn(Reply("half", "length"), "whole", "another")
    model = Model(SPECS[0])
    assert model.complete("tell").text == "half"
    assert model.complete("tell", refresh="incomplete").text == "whole"
    assert model.complete("tell", refresh="incomplete").from_memory
    assert model.complete("tell", refresh=True).text == "another"
    assert model.complete("tell").text == "another"


def test_a_repeat_is_another_answer(provider: Provider):
    provider.says_in_turn("a", "b")
    model = Model(SPECS[0], temperature=1.0)
    assert [model.complete("x", repeat=n).text for n in (0, 1, 0, 1)] == ["a", "b", "a", "b"]


@every_api
def test_failures_that_pass_are_retried_by_one_layer(provider: Provider, spec: str):
    provider.behaves(faults=[Fault(500, first=1), Fault("malformed", first=2), Fault("reset", first=3)])
    answer = Model(spec).complete("hello")
    assert (answer.text, answer.attempts) == ("hello", 4)
    assert provider.requests == 4


def test_what_does_not_pass_is_not_retried(provider: Provider):
    provider.behaves(faults=[Fault(400)])
    with pytest.raises(ModelRefusedError, match="HTTP 400"):
        Model(SPECS[0]).complete("hello")
    assert provider.requests == 1


def test_the_number_of_retries_can_be_chosen(provider: Provider):
    provider.behaves(faults=[Fault("reset")])
    with pytest.raises(ModelConnectionError):
        Model(SPECS[0], retries=0).complete("hello")
    assert provider.requests == 1


@every_api
async def test_calls_of_coroutines_do_the_same(provider: Provider, spec: str):
    model = Model(spec)
    answers = await asyncio.gather(*(model.complete_async(f"q{n % 3}") for n in range(9)))
    assert [answer.text for answer in answers] == [f"q{n % 3}" for n in range(9)]
    assert provider.requests == 3
    assert (await model.complete_async("q1")).from_memory


def test_threads_that_ask_the_same_pay_once(provider: Provider):
    provider.behaves(latency=0.1)
    model, answers = Model(SPECS[0]), []
    threads = [Thread(target=lambda: answers.append(model.complete("same"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.text for answer in answers} == {"same"}
    assert provider.requests == 1


def test_a_conversation_is_sent_in_its_order(provider: Provider):
    turns = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "one"},
        Message("assistant", ("two",)),
        {"role": "user", "content": "three"},
    ]
    for spec in SPECS:
        Model(spec).complete(turns)
    chat, responses, anthropic = provider.bodies
    said = [("user", "one"), ("assistant", "two"), ("user", "three")]
    assert [(each["role"], each["content"]) for each in chat["messages"][1:]] == said
    assert [(each["role"], each["content"]) for each in responses["input"]] == said
    assert [(each["role"], each["content"]) for each in anthropic["messages"]] == said
    assert chat["messages"][0]["content"] == responses["instructions"] == anthropic["system"] == "Be kind."


def test_a_map_asks_on_the_row_engine_and_shares_its_memory_with_single_calls(provider: Provider):
    model = Model(SPECS[0])
    model.complete("q1")

    @flow
    def ask() -> list[Answer]:
        return model.map([f"q{n}" for n in range(5)]).result()

    first, second = ask(), ask()
    assert [answer.text for answer in first] == [f"q{n}" for n in range(5)]
    assert [answer.from_memory for answer in first] == [False, True, False, False, False]
    assert all(answer.from_memory for answer in second)
    assert model.complete("q4").from_memory
    assert provider.requests == 5


def test_a_map_of_many_prompts_goes_in_batches_and_retries_each_row(provider: Provider):
    provider.behaves(faults=[Fault(500, first=1, only="7")])
    model = Model(SPECS[2])

    @flow
    def ask() -> list[Answer]:
        return model.map((f"q{n}" for n in range(250)), max_workers=50).result()

    answers = ask()
    assert [answer.text for answer in answers] == [f"q{n}" for n in range(250)]
    assert answers[7].attempts == 2
    assert answers[8].attempts == 1


def test_a_map_can_ask_for_several_answers_and_again_for_incomplete_ones(provider: Provider):
    provider.says(lambda call: Reply("half", "length") if len(provider.bodies) <= 2 else "whole")
    model = Model(SPECS[0])

    @flow
    def ask(refresh: bool | str = False) -> list[str]:
        answers = model.map(["x", "x", "x"], repeat=[0, 1, 2], refresh=refresh, max_workers=1).result()
        return sorted(answer.text for answer in answers)

    assert ask() == ["half", "half", "whole"]
    assert ask() == ["half", "half", "whole"]
    assert ask("incomplete") == ["whole"] * 3
    assert provider.requests == 5


def test_what_is_asked_again_is_forgotten_only_for_something_newer(provider: Provider):
    provider.says(lambda call: Reply("half", "length"))
    model = Model(SPECS[0], retries=0)

    @flow
    def ask(count: int, refresh: bool | str) -> list[Answer]:
        rows = model.map([f"x{n}" for n in range(count)], refresh=refresh, on_error="collect")
        return list(rows.result())

    for count in (3, 250):
        ask(count, False)
        provider.behaves(faults=[Fault(500)])
        assert not any(isinstance(each, Answer) for each in ask(count, "incomplete"))
        provider.behaves(faults=[])
        assert all(answer.from_memory and answer.text == "half" for answer in ask(count, False))


def test_prompts_and_repeats_that_cannot_be_are_named_by_their_place(provider: Provider):
    @flow
    def ask(prompts: list[str], repeat: list[int]) -> None:
        Model(SPECS[0]).map(prompts, repeat=repeat)

    with pytest.raises(ModelSpecError, match=r"prompts\[1\] is empty"):
        ask(["a", "", "b"], [0, 0, 0])
    with pytest.raises(ModelSpecError, match="2 numbers for 3 prompts"):
        ask(["a", "b", "c"], [0, 1])


def test_a_map_outside_of_a_flow_is_an_error_that_says_so(provider: Provider):
    with pytest.raises(UsageError, match="inside of a flow"):
        Model(SPECS[0]).map(["a"])


def test_a_blocking_call_in_an_async_row_is_refused_before_it_stops_all_others(provider: Provider):
    model = Model(SPECS[0])

    @task("wrong", retry=False)
    async def wrong(prompt: str) -> str:
        return model.complete(prompt).text

    @task("right", retry=False)
    async def right(prompt: str) -> str:
        return (await model.complete_async(prompt)).text

    @flow
    def ask(step: str) -> list:
        prompts = [f"{step} {n}" for n in range(250)]
        return (wrong if step == "wrong" else right).map(prompts, on_error="collect").result()

    assert ask("right") == [f"right {n}" for n in range(250)]
    assert all("complete_async" in str(error) for error in ask("wrong"))


def test_calls_under_a_limit_wait_for_it(provider: Provider, make_workspace):
    make_workspace(
        {
            "config/latent.toml": "[tracking]\nenabled = false\n[tasks]\nretry_delay_seconds = 0\n"
            "[limits.api]\nconcurrency = 2\nadaptive = false\n"
        }
    )
    provider.behaves(latency=0.03)
    model = Model(SPECS[0], limit="api")

    @flow
    def ask() -> list[Answer]:
        return model.map([f"q{n}" for n in range(12)], max_workers=12).result()

    ask()
    threads = [Thread(target=model.complete, args=(f"r{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert provider.simulator.record().peak_in_flight <= 2


def test_a_used_up_budget_ends_calls_of_the_flow_itself(provider: Provider, make_workspace):
    make_workspace({"config/latent.toml": "[tracking]\nenabled = false\n[budget]\nmax_cost_usd = 0.000001\n"})
    model = Model(SPECS[0])

    @flow
    def ask() -> None:
        for n in range(5):
            model.complete(f"q{n}")

    with pytest.raises(RunStoppedError, match="used up"):
        ask()
    assert provider.requests == 1


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("a" * 400, 100, 100),  # four characters of English a token
        ("\u65e5\u672c\u8a9e" * 100, 200, 300),  # a token each or a little less
        ("\u043f\u0440\u0438\u0432\u0435\u0442" * 100, 250, 350),
    ],
)
def test_tokens_are_estimated_by_the_length_of_a_text_in_any_script(text: str, least: int, most: int):
    assert least <= rough_tokens(text) <= most <= token_bound(text) * 1.5
    model = Model(SPECS[0])
    estimate = estimate_of(model._request(None), text)
    assert estimate.input_tokens[0] <= rough_tokens(text) <= estimate.input_tokens[1]


ANTHROPIC = "anthropic:claude-opus-4-6"


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, 4096),
        ({"reasoning": "low"}, 4096),
        ({"reasoning": 8000}, 12_096),
        ({"reasoning": {"type": "enabled", "budget_tokens": 8000}}, 12_096),
        ({"reasoning": 8000, "max_tokens": 9000}, 9000),
    ],
)
def test_tokens_to_think_with_come_on_top_of_those_of_the_answer(provider: Provider, options, sent: int):
    model = Model(ANTHROPIC, **options)
    model.complete("think")
    assert provider.bodies[0]["max_tokens"] == sent
    assert estimate_of(model._request(None), "think").output_tokens == (1, sent)


@pytest.mark.parametrize("most", [100, 8000])
def test_a_limit_that_leaves_nothing_for_the_answer_is_refused(most: int):
    with pytest.raises(ModelSpecError, match=rf"`max_tokens={most}` leaves nothing .* 8,000 tokens"):
        Model(ANTHROPIC, reasoning=8000, max_tokens=most)


@pytest.mark.parametrize("retries", [None, 0, 1, 3, 70])
def test_calls_alone_and_repairs_are_tried_again_alike(provider: Provider, retries: int | None):
    model, settings = Model(SPECS[0], retries=retries), find_workspace().settings
    assert policy_for(retries, settings) == policy_of(model._task, settings)


def test_usage_adds_up():
    total = Usage(input_tokens=1, cached_tokens=1) + Usage(input_tokens=2, output_tokens=5)
    assert (total.input_tokens, total.output_tokens, total.cached_tokens) == (3, 5, 1)


def test_a_task_that_uses_another_model_is_computed_again(provider: Provider):
    made: list[str] = []

    def run(model: Model) -> str:
        @task("ask")
        def ask(prompt: str) -> str:
            made.append(model.spec)
            return model.complete(prompt).text

        return ask("hello")

    for temperature in (0.0, 0.0, 1.0, 0.0):
        run(Model(SPECS[0], temperature=temperature))
    assert len(made) == 2


ASKING = """
from latent.llm import Model
from latent.prefect import flow, task
from prefect.runtime import task_run

@task("grade", retries=1, retry_delay_seconds=0)
def grade(text):
    answer = Model("openai:gpt-5-mini").complete(text).text
    if task_run.run_count == 1:
        raise RuntimeError("not yet")
    return answer

@task("other")
def other(text):
    return Model("openai:gpt-5-mini").complete("other " + text).text

@flow("asking")
def asking():
    return grade.map(text=["a", "b"]).result(), other("a")
"""


def test_a_refreshed_task_asks_its_models_again_and_once_though_it_is_tried_twice(
    provider: Provider, make_workspace
):
    workspace = make_workspace({"flows/asking/flow.py": ASKING})

    def requests(refresh: dict[str, str | None]) -> int:
        before = provider.requests
        assert run(workspace, "asking", options=RunOptions(refresh=refresh)).error is None
        return provider.requests - before

    assert requests({}) == 3
    assert requests({}) == 0
    assert requests({"grade": None}) == 2
    assert requests({"grade": "text == 'b'"}) == 1
    assert requests({"other": None}) == 1
