"""`@scorer`: which functions can be scorers, how they are set up, and what their scores may be."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import numpy as np
import pytest

from latent.errors import ScorerError, ScoringError
from latent.evals import Abstain, Score, scorer
from latent.evals.scoring import bounds_of, checked, kind_of


@scorer
def names_a_source(output: str, passages: list[str] | None = None) -> bool | None:
    """Whether the output quotes a passage."""
    return None if passages is None else any(p[:40] in output for p in passages)


@scorer(scale=(1, 5), higher_is_better=False, unit="points")
def grade(output: str, expected: str, *, strict: bool = False, words: list[str] | None = None) -> int:
    return 5 if (output == expected if strict else output.lower() == expected.lower()) else 1


def measured(output):
    return len(output)


def test_a_scorer_stays_a_function():
    assert names_a_source("see: a long passage", ["a long passage"]) is True
    assert names_a_source(output="nothing", passages=["a long passage"]) is False
    assert names_a_source.__doc__ == "Whether the output quotes a passage."
    assert names_a_source.name == names_a_source.__name__ == "names_a_source"


def test_options_alone_make_another_scorer():
    strict = grade(strict=True, name="strictly")
    assert (strict.name, dict(strict.options)) == ("strictly", {"strict": True})
    assert (grade("A", "a"), strict("A", "a")) == (5, 1)
    assert strict.unit == "points"
    assert strict.higher_is_better is False


def test_a_column_can_be_an_option_for_all_rows():
    yes = grade(expected="yes")
    assert yes("YES") == 5
    assert yes.parameters == {"output": ("output", True)}


def test_what_is_read_of_a_row_is_what_can_be_given_by_position():
    assert grade.parameters == {"output": ("output", True), "expected": ("expected", True)}
    assert names_a_source.parameters["passages"] == ("passages", False)
    renamed = grade.from_columns(expected="gold")
    assert renamed.parameters["expected"] == ("gold", True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: grade(stric=True), "did you mean 'strict'"),
        (lambda: grade.with_options(outptu="x"), "did you mean 'output'"),
        (lambda: grade.from_columns(expectd="gold"), "did you mean 'expected'"),
        (lambda: scorer(kind="binry")(measured), "did you mean 'binary'"),
        (lambda: scorer(scale=(5, 1))(lambda output: 1), "a scale is"),
        (lambda: scorer(scale={1: "only"})(lambda output: 1), "a scale is"),
        (lambda: scorer(kind="label", scale=(1, 2))(lambda output: "a"), "have no scale"),
        (lambda: scorer(lambda *outputs: 1), r"come by name, and '\*outputs'"),
        (lambda: scorer(lambda scoring: 1), "can be called 'scoring'"),
    ],
)
def test_a_slip_is_told_where_it_is_made(change, said):
    with pytest.raises(ScorerError, match=said):
        change()


def test_the_version_follows_code_options_and_meaning():
    def make(body):
        space = {}
        exec(f"def f(output, *, limit=3):\n    return {body}", space)
        return scorer(space["f"])

    assert make("len(output)").version == make("len(output)  # the same").version
    assert make("len(output)").version != make("len(output) + 1").version
    assert make("len(output)").version != make("len(output)")(limit=4).version
    scaled = scorer(scale=(0, 9))(make("len(output)").fn)
    assert scaled.version != make("len(output)").version
    assert scorer(revision=1)(measured).version != scorer(revision=2)(measured).version


def test_the_version_follows_the_class_of_an_option():
    def make(mark):
        @dataclass
        class Rubric:
            text: str

            def render(self):
                return self.text + mark

        @scorer
        def graded(output, *, rubric):
            return rubric.render() in output

        return graded(rubric=Rubric("a")).version

    assert make("?") == make("?") != make("!")


@pytest.mark.parametrize(
    "value",
    [True, 3, 0.5, "red", None, Score(2, reason="because"), {"a": 1, "b": Score(None, abstained=True)}],
)
def test_values_scores_and_mappings_are_scores(value):
    assert checked(names_a_source, value) == value


def test_numbers_of_numpy_become_pythons():
    assert type(checked(names_a_source, np.float32(0.5))) is float
    assert type(checked(names_a_source, np.bool_(True))) is bool


@pytest.mark.parametrize(
    ("made", "value", "said"),
    [
        (names_a_source, float("nan"), "nan, which is not a score"),
        (names_a_source, float("inf"), "inf, which is not a score"),
        (names_a_source, [1], "a list"),
        (names_a_source, {"a": {"b": 1}}, "a mapping inside"),
        (grade, 6, "6, which is not on its scale of 1 to 5"),
        (grade, {"a": 0.5}, "not on its scale"),
        (scorer(scale={1: "no", 3: "yes"})(measured), 2, "not on its scale of 1, 3"),
        (scorer(kind="binary")(measured), 2, "its scores are binary"),
        (scorer(kind="ordinal")(measured), "five", "its scores are ordinal"),
    ],
)
def test_what_is_no_score_is_told_with_the_scorers_name(made, value, said):
    with pytest.raises(ScoringError, match=said) as caught:
        checked(made, value)
    assert made.name in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    ("made", "values", "kind", "bounds"),
    [
        (names_a_source, [True, None, False], "binary", (0, 1)),
        (names_a_source, [1, 2], "continuous", None),
        (names_a_source, [True, 0.5], "continuous", None),
        (names_a_source, ["a", None], "label", None),
        (grade, [1, 5], "ordinal", (1, 5)),
        (grade, [1.5, 2], "continuous", (1, 5)),
        (scorer(scale={1: "no", 3: "yes"})(measured), [1], "ordinal", (1, 3)),
        (scorer(kind="binary")(measured), [1, 0], "binary", (0, 1)),
    ],
)
def test_the_types_of_values_tell_the_kind(made, values, kind, bounds):
    assert kind_of(values, made) == kind
    assert bounds_of(kind, made.scale) == bounds


def test_the_task_of_a_scorer_calls_it_with_its_options():
    body = grade(strict=True).task.fn
    assert body(output="A", expected="a", strict=True, words=None, scoring=None) == 1


def test_abstaining_is_a_result_without_a_value():
    @scorer
    def unsure(output):
        raise Abstain("too short")

    found = unsure.task.fn(output="x", scoring=None)
    assert (found.value, found.reason, found.abstained) == (None, "too short", True)


async def test_a_scorer_may_be_async():
    @scorer
    async def later(output):
        return len(output)

    assert await later.task.fn(output="abc", scoring=None) == 3
    assert await later("ab") == 2
