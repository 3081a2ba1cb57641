"""More than two evaluations: ranked, with the sets that cannot be told apart, and no winner without proof."""

from __future__ import annotations

import pytest

from latent.errors import ComparisonError
from latent.evals import Ranking, compare, evaluate, scorer
from latent.evals.comparing.ranking import groups_of, letters_of
from latent.evals.comparing.text import ranking_markdown
from tests.evals.comparing.test_comparison import marks, right, rows, seconds

pytestmark = pytest.mark.usefixtures("quick")


def answers(correct, of=200):
    return ["yes"] * correct + ["no"] * (of - correct)


def named(outputs, name, scorers=right):
    return evaluate(rows(outputs), None, scorers, name=name)


def test_systems_are_ranked_and_those_that_cannot_be_told_apart_are_tied():
    good, same, bad = (named(answers(n), name) for n, name in ((180, "good"), (178, "same"), (100, "bad")))
    found = compare(bad, good, same)
    assert isinstance(found, Ranking)
    metric = found.metrics["right"]
    assert [(each.name, each.letters) for each in metric.standings] == [
        ("good", "a"), ("same", "a"), ("bad", "b"),
    ]  # fmt: skip
    assert metric.groups == ((1, 2), (0,))
    assert metric.standings[0].estimate.value == 0.9
    # 2 of 200 rows differ, all one way: mid-p 0.5^2 = 0.25; of three p values it is the largest.
    assert metric.p_values[1, 2] == pytest.approx(0.25)
    text = str(found)
    assert "right: good is ahead of bad." in text and "right: same is ahead of bad." in text
    assert "right: good, same are tied: these rows do not tell them apart" in text
    assert "| good | 0.900 |" in ranking_markdown(found)


def test_p_values_of_pairs_are_adjusted_by_holm():
    """Six more of 200 right: p = 0.5^6 = 0.0156 alone, and three times that among three pairs."""
    one, other, third = (named(answers(n), name) for n, name in ((100, "a"), (106, "b"), (103, "c")))
    assert compare(one, other).metrics["right"].verdict == "better"
    metric = compare(one, other, third).metrics["right"]
    assert metric.p_values[0, 1] == pytest.approx(3 * 0.5**6)
    assert len(metric.groups) == 1 + (metric.p_values[0, 1] <= 0.05)


def test_the_lowest_comes_first_where_lower_is_better():
    data = [["x" * 60, "x" * 50] * 20, ["x" * 6, "x" * 5] * 20, ["x" * 30, "x" * 20] * 20]
    found = compare(*(named(each, f"n{at}", [seconds, marks_free]) for at, each in enumerate(data)))
    assert [each.name for each in found.metrics["seconds"].standings] == ["n1", "n2", "n0"]
    assert [each.letters for each in found.metrics["seconds"].standings] == ["a", "b", "c"]
    assert found.metrics["seconds"].unit == "s"


@scorer
def marks_free(output: str) -> float:
    return float(len(output))


def test_a_system_does_not_win_by_leaving_hard_rows_out():
    def evaluated(outputs, name):
        table = {f"r{place}": out for place, out in enumerate(outputs)}

        def answer(row):
            if (said := table[row["id"]]) is None:
                raise ConnectionError("no answer")
            return said

        data = [{"id": key, "expected": "yes"} for key in table]
        return evaluate(data, answer, right, name=name)

    honest, evasive, low = (
        evaluated(outputs, name)
        for outputs, name in (
            (answers(70, 100), "honest"),
            (["yes"] * 60 + [None] * 40, "evasive"),
            (answers(5, 100), "low"),
        )
    )
    metric = compare(honest, evasive, low).metrics["right"]
    assert metric.standings[0].name == "evasive" and metric.standings[0].missing == 40
    assert metric.p_values[0, 1] == 1.0
    assert metric.groups == ((1, 0), (2,))


def test_evaluations_of_one_name_are_told_apart_by_their_runs():
    once, twice = named(answers(10, 20), "same"), named(answers(11, 20), "same")
    found = compare(once, twice, named(answers(12, 20), "other"))
    assert found.names == [f"same {once.run_id[:8]}", f"same {twice.run_id[:8]}", "other"]


def test_every_two_must_be_about_the_same_rows_and_scorers():
    once = named(answers(10, 20), "a")
    other = evaluate(rows(answers(10, 20), topic="x"), None, right, name="b")
    with pytest.raises(ComparisonError, match="not one row is the same in both"):
        compare(once, named(answers(11, 20), "c"), other)
    with pytest.raises(ComparisonError, match="no metric in common: right in the one, marks in the other"):
        compare(once, once, named(answers(11, 20), "c", marks))


@pytest.mark.parametrize(
    ("apart", "groups", "letters"),
    [
        # By hand. Nothing told apart; a chain, in which the middle one is tied with both; all told apart.
        (set(), ((0, 1, 2),), ["a", "a", "a"]),
        ({(0, 2)}, ((0, 1), (1, 2)), ["a", "ab", "b"]),
        ({(0, 1), (0, 2), (1, 2)}, ((0,), (1,), (2,)), ["a", "b", "c"]),
        ({(0, 1)}, ((0, 2), (1, 2)), ["a", "b", "ab"]),
    ],
)
def test_letters_are_those_of_the_largest_sets_that_are_tied(apart, groups, letters):
    assert groups_of([0, 1, 2], apart) == groups
    found = letters_of(groups)
    assert [found[place] for place in (0, 1, 2)] == letters
