"""Causes apart: prompt, model and judge changed together, and each flip is due to one of them, or to none."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from latent.errors import RecipeError
from latent.evals import Judge, compare, evaluate, judges, scorer, scorers
from latent.evals.comparing.causes import NOISE, TOGETHER, cause_of, known_ways
from latent.evals.recipes import model_of, recipe_of_model, recipe_of_scorer, scorer_of
from latent.llm import Model
from tests.evals.comparing.test_comparison import right, rows

pytestmark = pytest.mark.usefixtures("quick")

OLD, NEW = "openai:gpt-5-mini", "openai:gpt-5"
QUESTIONS = [{"id": f"q{n}", "question": f"number {n}", "expected": "yes"} for n in range(40)]


@scorer
def lenient(output: str, expected: str) -> bool:
    return expected in output.lower()


@scorer
def strict(output: str, expected: str) -> bool:
    return output == expected


class Simulated:
    """
    Rows 0 to 9 need the new prompt, 10 to 14 the new model, 15 and 16 both; 17 to 19 say Yes, not yes.

    20 to 22 change with each time of asking: old and new differ at first, and not when they are asked again.
    """

    def __init__(self):
        self.asked = Counter()

    def respond(self, call):
        n = int(re.search(r"number (\d+)", call.prompt).group(1))
        is_new_prompt, is_new_model = "Think" in call.prompt, call.model == "gpt-5"
        self.asked[call.model, call.prompt] += 1
        if 17 <= n < 20:
            return "Yes"
        if 20 <= n < 23:
            is_first = self.asked[call.model, call.prompt] % 2 == 1
            is_old = not is_new_prompt and not is_new_model
            return "no" if is_old == is_first else "yes"
        needs_prompt, needs_model = n < 10 or n in (15, 16), 10 <= n < 17
        return "yes" if (is_new_prompt or not needs_prompt) and (is_new_model or not needs_model) else "no"


@pytest.fixture
def provider(make_provider_simulator):
    return make_provider_simulator(answer=Simulated())


def ask(model, prompt, scorers=right, **more):
    return evaluate(QUESTIONS, Model(model), scorers, prompt=prompt, **more)


def changed_all(**more):
    old = ask(OLD, "{{ question }}", strict(name="right"), name="old", **more)
    new = ask(NEW, "Think. {{ question }}", lenient(name="right"), name="new", **more)
    return compare(old, new, force=True)


def test_flips_are_told_apart_by_prompt_model_judge_and_noise(provider):
    comparison = changed_all()
    before = provider.record().requests
    causes = comparison.causes()
    found = causes.metrics["right"]
    assert found.flips == 23 == len(comparison.flips)
    assert {each.cause: each.flips for each in found.shares} == {"prompt": 10, "model": 5, "scorer": 3}
    assert (found.together, found.noise, found.unknown) == (2, 3, 0)
    assert found.rows["q15"] == TOGETHER and found.rows["q21"] == NOISE and found.rows["q17"] == "scorer"
    # By hand: what both make is halved between them, and so are the rows of noise, which either flips.
    effects = [each.effect.value for each in found.shares]
    assert effects == pytest.approx([12.5 / 40, 7.5 / 40, 3 / 40])
    assert sum(effects) == pytest.approx(comparison.metrics["right"].difference.estimate.value)
    # Two cells between, and each side once more about the rows that flipped.
    assert provider.record().requests - before == 2 * 40 + 2 * 23
    assert re.search(r"^prompt +10 +\+0\.31\d +\+0\.\d+ to", str(causes), re.M)
    assert comparison.causes().metrics == causes.metrics
    assert provider.record().requests - before == 2 * 40 + 2 * 23


def test_one_change_needs_no_cells_but_the_repeats(provider):
    old = ask(OLD, "{{ question }}")
    new = ask(OLD, "Think. {{ question }}")
    before = provider.record().requests
    found = compare(old, new).causes().metrics["right"]
    assert [(each.cause, each.flips) for each in found.shares] == [("prompt", 10)]
    assert (found.flips, found.noise, found.together) == (13, 3, 0)
    assert provider.record().requests - before == 2 * 13


def test_recorded_repeats_show_noise_without_asking_again(provider):
    old = ask(OLD, "{{ question }}", repeats=3)
    new = ask(OLD, "Think. {{ question }}", repeats=3)
    before = provider.record().requests
    found = compare(old, new).causes().metrics["right"]
    assert [(each.cause, each.flips) for each in found.shares] == [("prompt", 10)]
    assert found.noise == found.flips - 10
    assert provider.record().requests == before


def test_functions_are_one_cause_and_their_scores_another():
    old = evaluate(QUESTIONS, careless, strict(name="right"), name="old")
    new = evaluate(QUESTIONS, careful, lenient(name="right"), name="new")
    found = compare(old, new, force=True).causes()
    metric = found.metrics["right"]
    # 0 to 9 are mended by the function; 10 to 19 say Yes in both, which the new scorer takes for right.
    assert [(each.cause, each.flips) for each in metric.shares] == [("target", 10), ("scorer", 10)]
    assert (metric.noise, metric.unknown, found.notes) == (0, 0, [])


def careless(question: str) -> str:
    n = int(question.split()[1])
    return "no" if n < 10 else "Yes" if n < 20 else "yes"


def careful(question: str) -> str:
    return "Yes" if 10 <= int(question.split()[1]) < 20 else "yes"


def test_what_is_gone_is_told_and_the_rest_is_still_computed():
    @scorer(name="right")
    def passing(output: str, expected: str) -> bool:
        return output == expected

    old = evaluate(QUESTIONS, lambda question: careless(question), passing, name="old")
    new = evaluate(QUESTIONS, careful, lenient(name="right"), name="new")
    found = compare(old, new, force=True).causes()
    told = "\n".join(found.notes)
    assert "Scorer 'right' cannot be made again" in told and "Target 'target' cannot be made again" in told
    metric = found.metrics["right"]
    assert metric.noise is None and "not known" in str(found)
    # The way over the old answers under the new scorer is left.
    assert [(each.cause, each.flips) for each in metric.shares] == [("target", 10), ("scorer", 10)]


def test_answers_that_stood_in_the_data_are_a_cause_of_their_own():
    old, new = (evaluate(rows(["yes"] * n + ["no"] * (20 - n)), None, right) for n in (12, 15))
    found = compare(old, new).causes()
    assert [(each.cause, each.flips) for each in found.metrics["right"].shares] == [("answers", 3)]
    assert found.metrics["right"].noise is None


def test_an_evaluation_against_itself_has_no_causes():
    once = evaluate(rows(["yes"] * 5 + ["no"] * 5), None, right)
    found = compare(once, once).causes()
    assert found.metrics["right"].flips == 0 and str(found) == "No score is another one now."


@pytest.mark.parametrize(
    ("cells", "cause"),
    [
        ({"": 0, "a": 1, "b": 0, "ab": 1}, "a"),
        ({"": 0, "a": 0, "b": 0, "ab": 1}, TOGETHER),
        ({"": 0, "a": 1, "b": 1, "ab": 1}, TOGETHER),
        ({"": 0, "b": 0, "ab": 1}, "a"),  # one way is known
        ({"": 0, "ab": 1}, None),
        ({"": "x", "a": "x", "b": "y", "ab": "y"}, "b"),
        ({"": 1.0, "a": 1.5, "b": 1.5, "ab": 2.0}, TOGETHER),
    ],
)
def test_a_flip_is_due_to_the_cause_that_makes_it_on_every_way(cells, cause):
    assert cause_of({frozenset(cell): value for cell, value in cells.items()}, ["a", "b"]) == cause


def test_ways_with_an_unknown_cell_are_left_out():
    known = [frozenset(cell) for cell in ("", "a", "ab", "abc", "b")]
    assert known_ways(["a", "b", "c"], dict.fromkeys(known)) == [("a", "b", "c"), ("b", "a", "c")]


class TestRejudging:
    def test_both_sides_are_scored_with_the_newer_scorers(self):
        data = rows(["yes"] * 10 + ["Yes"] * 10 + ["no"] * 10)
        old = evaluate(data, None, strict(name="right"))
        new = evaluate(data, None, lenient(name="right"))
        found = compare(old, new, rejudge=True)
        assert found.metrics["right"].verdict == "no difference seen" and found.flips == []
        assert found.metrics["right"].old == found.metrics["right"].new == pytest.approx(2 / 3)
        assert found.old["right"].version == new["right"].version
        assert compare(old, new, old, rejudge=True).metrics["right"].groups == ((0, 1, 2),)

    def test_a_scorer_inside_of_a_function_is_told(self):
        data = rows(["yes"] * 10)

        @scorer(name="right")
        def mine(output: str) -> bool:
            return True

        with pytest.raises(RecipeError, match="'right' cannot be made again from the records"):
            compare(evaluate(data, None, right), evaluate(data, None, mine), rejudge=True)


MODEL = Model("openai:gpt-5-mini", temperature=0, max_tokens=50, system="Be brief.", stop=["x", "y"])


@pytest.mark.parametrize(
    "made",
    [
        right,
        strict(name="right"),
        scorers.contains(expected=["yes", "ja"]),
        scorers.not_contains,
        scorers.not_(scorers.regex(pattern="a+")),
        scorers.numeric(tolerance=0.5).from_columns(expected="gold"),
        Judge("Is it right?", model=MODEL, scale={"good": "it is", "bad": "it is not"}, votes=3),
        Judge("Is it right?", model=MODEL, scale=(0, 3)).pairwise("other", swap=False),
        judges.correctness(model=MODEL),
        judges.faithfulness(model=MODEL, context="found"),
        judges.checklist(["Is it short?", "Is it polite?"], model=MODEL),
    ],
    ids=lambda made: made.name,
)
def test_a_scorer_is_made_again_from_its_records(made):
    recipe = json.loads(json.dumps(recipe_of_scorer(made)))
    again = scorer_of(recipe, made.name)
    assert (again.name, again.version, again.columns) == (made.name, made.version, made.columns)
    assert type(again) is type(made)


def test_a_model_is_made_again_without_its_key():
    model = Model("openai:gpt-5", base_url="http://localhost:9/v1", api_key="sk-secret", temperature=1)
    recipe = json.loads(json.dumps(recipe_of_model(model)))
    assert "sk-secret" not in str(recipe)
    assert model_of(recipe).settings == model.settings
    gateway = recipe_of_model(Model("openai:gpt-5", headers={"x-team": "one"}))
    with pytest.raises(RecipeError, match="headers are not recorded"):
        model_of(gateway)
