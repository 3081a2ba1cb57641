"""Whether an answer is what was expected, or holds it."""

from __future__ import annotations

import pytest

from latent.errors import ScorerError, ScoringError
from latent.evals import Score, scorer, scorers


class TestExactMatch:
    @pytest.mark.parametrize(
        ("output", "expected", "right"),
        [
            ("Paris", "Paris", True),
            (" paris.\n", "Paris", True),
            ("**Paris**", "Paris", True),
            ("\u201cParis\u201d.", "Paris", True),  # quotes, then a stop
            ("New  York", "New\u00a0York", True),
            ("\uff30\uff41\uff52\uff49\uff53", "Paris", True),  # full width
            ("STRASSE", "stra\u00dfe", True),
            ("cafe\u0301", "caf\u00e9", True),  # composed and decomposed
            ("\u5317\u4eac\u3002", "\u5317\u4eac", True),
            ("Paris, France", "Paris", False),
            ("-5", "5", False),  # SQuAD's rule would make them equal
            ("3.5", "35", False),
            ("C++", "C", False),
            (".", "", False),
            ("Rome", ["Paris", "Rome"], True),
            ("42", 42, True),
            ("Bern", ["Paris", "Rome"], False),
        ],
    )
    def test_what_does_not_change_an_answer_does_not_count(self, output, expected, right):
        assert scorers.exact_match(output, expected).value is right

    def test_strict_counts_everything(self):
        strict = scorers.exact_match(strict=True)
        assert strict("Paris.", "Paris").value is False
        assert strict("Paris", "Paris").value is True

    def test_nothing_expected_is_not_applicable(self):
        assert scorers.exact_match("Paris", None) is None
        assert scorers.exact_match("Paris", []) is None

    def test_what_was_compared_is_kept(self):
        assert scorers.exact_match(" PARIS!", "Rome").answer == "paris"


class TestContains:
    @pytest.mark.parametrize(
        ("scored", "right"),
        [
            (scorers.contains("It is Paris, of course.", "paris"), True),
            (scorers.contains("It is Paris.", "paris", ignore_case=False), False),
            (scorers.contains("a category", "cat"), True),
            (scorers.contains("a category", "cat", whole_words=True), False),
            (scorers.contains("I like C++ best", "C++", whole_words=True), True),
            (
                scorers.contains("\u8fd9\u662f\u6b63\u9762\u7684", "\u6b63\u9762", whole_words=True),
                True,
            ),  # no spaces
            (scorers.contains("either", ["neither", "either"]), True),
            (scorers.contains("red and blue", ["green", "yellow"]), False),
            (scorers.contains(expected="yes")("Yes, it is."), True),
            (scorers.contains_all("red and blue", ["blue", "red"]), True),
            (scorers.contains_all("red and blue", ["blue", "green"]), False),
            (scorers.starts_with("  Yes, it is.", "yes"), True),
            (scorers.starts_with("No, yes.", ["yes", "maybe"]), False),
            (scorers.ends_with("It is so.\n", "so."), True),
            (scorers.ends_with("It is so.", "It"), False),
            (scorers.contains({"city": "Z\u00fcrich"}, "z\u00fcrich"), True),  # an output that is not text
        ],
    )
    def test_texts_are_found(self, scored, right):
        assert scored.value is right

    def test_what_is_missing_is_said(self):
        assert scorers.contains_all("red", ["red", "green"]).reason == "Missing: 'green'."

    def test_nothing_expected_is_not_applicable(self):
        for name in ("contains", "contains_all", "starts_with", "ends_with"):
            assert getattr(scorers, name)("text", None) is None


class TestRegex:
    def test_what_matched_is_kept(self):
        score = scorers.regex("Call 555-1234 now", pattern=r"\d{3}-\d{4}")
        assert (score.value, score.answer) == (True, "555-1234")
        assert scorers.regex("none", pattern=r"\d").value is False

    def test_the_last_group_that_matches_is_the_answer(self):
        by_tag = scorers.regex_answer(pattern=r"<answer>(.*?)</answer>")
        score = by_tag("<answer>Rome</answer> no: <answer> Paris. </answer>", "paris")
        assert (score.value, score.answer) == (True, " Paris. ")
        assert by_tag("Paris", "Paris").reason == "The pattern does not match."
        assert scorers.regex_answer("k=7", "7", pattern=r"k=(?P<k>\d)", group="k").value is True
        assert scorers.regex_answer("x", None, pattern="(x)") is None

    def test_a_pattern_that_is_none_is_told(self):
        with pytest.raises(ScorerError, match="is not a regular expression: missing"):
            scorers.regex("x", pattern="(")
        with pytest.raises(ScorerError, match="no group 1"):
            scorers.regex_answer("x", "x", pattern="x")


class TestOpposites:
    def test_every_binary_scorer_has_one_by_name(self):
        polite = scorers.not_contains(expected="sorry")
        assert polite.name == "not_contains"
        assert polite("Sorry!").value is False
        assert polite("With pleasure.").value is True
        assert scorers.not_exact_match("a", None) is None

    def test_of_what_should_be_low_it_should_be_high(self):
        assert scorers.refused.higher_is_better is False
        assert scorers.not_refused.higher_is_better is True

    def test_own_scorers_have_one(self):
        @scorer
        def short(output):
            return len(output) < 5

        long = scorers.not_(short)
        assert (long("abc"), long("abcdef")) == (False, True)
        assert long.version != short.version

    def test_numbers_and_labels_have_none(self):
        with pytest.raises(ScorerError, match="its scores are continuous"):
            scorers.not_(scorers.token_f1)

        @scorer
        def graded(output):
            return 0.5

        with pytest.raises(ScoringError, match=r"not_graded.*0\.5"):
            scorers.not_(graded)("x")

    async def test_async_ones_have_one(self):
        @scorer
        async def asked(output):
            return Score(output == "yes", reason="asked")

        assert await scorers.not_(asked)("yes") == Score(False, reason="asked")
