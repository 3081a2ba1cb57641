"""What the command line says about models: what a run used, and what one would use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from latent.testing import ProviderSimulator
from latent.testing.plugin import MakeProviderSimulator, MakeWorkspace
from tests.cli.conftest import Cli

QUIZ = """
    from latent.llm import Model
    from latent.prefect import flow, params, task

    model = Model("anthropic:claude-opus-4-6", max_tokens=100, limit="api")

    @task("prepare", output="prepared")
    def prepare():
        return [f"question {n}" for n in range(5)]

    @task("shout")
    def shout(answer):
        return answer.text.upper()

    @flow("quiz", output="answers")
    def quiz():
        how = params.get("on_error", "raise")
        answers = model.map(prepare(), on_error=how).result()
        return [shout(answer) for answer in answers if hasattr(answer, "text")]
"""
PICTURE = """
    from pydantic import BaseModel
    from latent.llm import Image, Message, Model
    from latent.prefect import flow

    model = Model("anthropic:claude-opus-4-6", max_tokens=100)

    class Seen(BaseModel):
        what: str

    @flow("quiz")
    def quiz(typed=False):
        picture = Image.of(b"\\x89PNG\\r\\n\\x1a\\n")
        model.complete([Message("user", ("look", picture))], output=Seen if typed else None)
"""
FILES = {
    "config/latent.toml": "[limits.api]\nrequests_per_minute = 6000\n",
    "flows/quiz/flow.py": QUIZ,
    "flows/quiz/catalog.yaml": "answers: data/answers.json\nprepared: data/prepared.json\n",
}


@pytest.fixture
def provider(make_provider_simulator: MakeProviderSimulator) -> Iterator[ProviderSimulator]:
    with make_provider_simulator() as provider:
        yield provider


def test_a_run_tells_calls_tokens_and_money_by_model(latent: Cli, make: MakeWorkspace, provider):
    make(FILES)
    out = latent("run", "quiz").out
    lines = [line.split() for line in out.splitlines()]
    assert ["MODEL", "CALLS", "TOKENS", "IN", "TOKENS", "OUT", "COST"] in lines
    # 10 characters are 3 tokens: 5 x 3 in and out, at $5 and $25 a million.
    assert ["anthropic:claude-opus-4-6", "5", "15", "15", "$0.0005"] in lines
    assert "anthropic:claude-opus-4-6  5      15" in latent("runs", "show", "last").out
    assert "MODEL" not in latent("run", "quiz").out  # everything is remembered


def test_a_plan_counts_what_is_not_remembered_and_sends_nothing(latent: Cli, make: MakeWorkspace, provider):
    workspace = make(FILES)
    planned = latent("run", "quiz", "--plan")
    assert planned.code == 0
    assert "would make 5 calls" in planned.out
    assert "5 to 500" in planned.out  # tokens out: at least one each, at most max_tokens
    assert "question 0" in planned.out
    assert "at least" not in planned.out  # 5 requests at 6,000 a minute: they may all begin at once
    assert provider.requests == 0
    assert not (workspace.root / "data" / "answers.json").exists()
    assert "no run" in latent("runs", "list").out.lower()
    latent("run", "quiz")
    assert "would pay for nothing" in latent("run", "quiz", "--plan").out
    assert provider.requests == 5


def test_a_plan_counts_pictures_and_schemas(latent: Cli, make: MakeWorkspace, provider):
    make({**FILES, "flows/quiz/flow.py": PICTURE})
    assert "1,201 to 2,036" in latent("run", "quiz", "--plan").out  # 1,500 for it, and 4 characters
    assert "1,201 to 2,036" not in latent("run", "quiz", "--plan", "-p", "typed=true").out


def test_a_plan_saves_no_output_that_lacks_what_it_left_out(latent: Cli, make: MakeWorkspace, provider):
    workspace = make({**FILES, "flows/quiz/parameters.yaml": "on_error: collect"})
    latent("run", "quiz", "--plan")
    assert (workspace.root / "data" / "prepared.json").exists()
    assert not (workspace.root / "data" / "answers.json").exists()


def test_a_plan_of_single_calls_ends_at_the_first(latent: Cli, make: MakeWorkspace, provider):
    single = QUIZ.replace(
        "answers = model.map(prepare(), on_error=how).result()", 'answers = [model.complete("a")]'
    )
    make({**FILES, "flows/quiz/flow.py": single})
    planned = latent("run", "quiz", "--plan")
    assert "would make 1 call." in planned.out
    assert "depends on them" in planned.out


def test_a_plan_of_rows_that_call_models_counts_the_calls_inside(latent: Cli, make: MakeWorkspace, provider):
    inside = """
        from latent.llm import Model
        from latent.prefect import flow, task

        @task("grade")
        def grade(text):
            return Model("openai:gpt-99").complete(text).text

        @flow("quiz")
        def quiz():
            return grade.map([f"text {n}" for n in range(300)]).result()
    """
    make({"flows/quiz/flow.py": inside})
    planned = latent("run", "quiz", "--plan")
    assert "would make 300 calls" in planned.out
    assert "unknown" in planned.out  # its price
    assert provider.requests == 0


def test_tasks_under_a_limit_are_taken_for_paid(latent: Cli, make: MakeWorkspace):
    limited = """
        from latent.prefect import flow, task

        @task("call", limit="api")
        def call(text):
            raise AssertionError("a plan calls nothing")

        @flow("quiz")
        def quiz():
            call("one")
    """
    make({"config/latent.toml": "[limits.api]\n", "flows/quiz/flow.py": limited})
    planned = latent("run", "quiz", "--plan")
    assert (planned.code, "would make 1 call." in planned.out) == (0, True)


BROKEN = """
    from latent.prefect import flow

    @flow("quiz")
    def quiz():
        return 1 / 0
"""


def test_a_plan_that_fails_by_itself_fails(latent: Cli, make: MakeWorkspace):
    make({"flows/quiz/flow.py": BROKEN})
    assert latent("run", "quiz", "--plan").code == 1


def test_a_plan_that_fails_midway_shows_what_it_counted_and_the_error(
    latent: Cli, make: MakeWorkspace, provider
):
    broken = QUIZ.replace("return [shout(answer) for", "1 / 0\n        return [shout(answer) for")
    make({**FILES, "flows/quiz/flow.py": broken})
    planned = latent("run", "quiz", "--plan", "-p", "on_error=collect")
    assert "would make 5 calls." in planned.out
    assert "depends on them" not in planned.out
    assert "ZeroDivisionError" in planned.err
    assert planned.code == 1
