"""The number that an answer ends on, and the letter that it chooses."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from latent.errors import ScorerError
from latent.evals import Abstain, scorers
from latent.evals.scorers.numbers import last_number

GSM8K = Path(__file__).parents[4] / "shared" / "data" / "qa" / "gsm8k" / "example_model_solutions.jsonl"


class TestNumeric:
    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("First 3, then 4.", "4"),
            ("It costs $1,234.50.", "1234.50"),
            ("1\u202f234\u202f567 people", "1234567"),
            ("a loss of -5", "-5"),
            ("\u22125 degrees", "-5"),
            ("-$3.20", "-3.20"),
            ("$-3", "-3"),
            ("between 5-7", "7"),
            ("10 - 4", "4"),
            ("1.5e3 kg", "1500"),
            (".5", "0.5"),
            ("50 %", "50"),
            ("worked out\n#### 18\nso not 20", "18"),
            ("#### 5\n#### 1,000", "1000"),
            ("1,2,3", "3"),
            ("\uff11\uff12", "12"),
            (7, "7"),
            (2.5, "2.5"),
        ],
    )
    def test_it_is_the_last_with_its_sign(self, text, number):
        assert last_number(text) == Decimal(number)

    @pytest.mark.parametrize("text", ["none", "", None, float("nan"), True, "\u00bd"])
    def test_there_may_be_none(self, text):
        assert last_number(text) is None

    def test_how_far_off_it_may_be(self):
        assert scorers.numeric("3.14", "3.14159").value is False
        assert scorers.numeric("3.14", "3.14159", tolerance=0.01).value is True
        assert scorers.numeric(relative=0.1)("-95", "-100").value is True
        assert scorers.numeric("0.3", 0.1 + 0.2, tolerance=1e-9).value is True

    def test_no_number_is_wrong_and_none_expected_cannot_be_scored(self):
        assert scorers.numeric("I don't know", "5").reason == "There is no number in the output."
        with pytest.raises(Abstain, match="'unknown' holds no number"):
            scorers.numeric("5", "unknown")
        assert scorers.numeric("5", None) is None

    @pytest.mark.parametrize(
        "number", ["1e400", "1e999999999", "1e9999999999999999999", "9" * 5000, "-" + "1" * 40]
    )
    def test_a_number_of_any_size_is_one(self, number):
        assert scorers.numeric(number, "5").value is False
        assert len(scorers.numeric(number, "5").answer) < 50

    def test_numbers_are_compared_exactly(self):
        assert (
            scorers.numeric("1000000000000000000000000000001", "1000000000000000000000000000000").value
            is False
        )
        assert scorers.numeric("0.10", "0.1").value is True

    def test_gsm8k_is_scored_as_its_authors_did(self):
        if not GSM8K.is_file():
            pytest.skip("GSM8K does not lie in ../shared/data")
        rows = [json.loads(line) for line in GSM8K.read_text(encoding="utf-8").splitlines()]
        for system in ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"):
            ours = [scorers.numeric(row[system]["solution"], row["ground_truth"]).value for row in rows]
            assert ours == [row[system]["is_correct"] for row in rows]


class TestMultipleChoice:
    @pytest.mark.parametrize(
        ("output", "letter"),
        [
            ("B", "B"),
            ("b.", "B"),
            ("**(B)**", "B"),
            ("Answer: B", "B"),
            ("The answer is (b) because it is.", "B"),
            ("answer is: c", "C"),
            ("\\boxed{C}", "C"),
            ("\\boxed{\\text{D}}", "D"),
            ("B) Paris", "B"),
            ("Option A is wrong, so the answer is **B**.", "B"),
            ("I think B) is right", "B"),
            ("Answer: A because the sum is even", "A"),
            ("\u7b54\u6848\u662fB", "B"),
            ("The answer is a river.", None),
            ("Answer: A river", None),
            ("A or B?", None),
            ("Paris", None),
            ("", None),
        ],
    )
    def test_the_letter_is_found_however_it_is_written(self, output, letter):
        assert scorers.multiple_choice(output, "A").answer == letter

    def test_no_letter_is_wrong(self):
        score = scorers.multiple_choice("I would rather not say", "B")
        assert (score.value, score.reason) == (False, "The output chooses no letter.")

    def test_the_choices_texts_count(self):
        cities = ["Paris", "New York", "New York City", "Rome"]
        assert scorers.multiple_choice("It must be Rome.", "D", cities).value is True
        assert scorers.multiple_choice("New York City", "C", cities).value is True
        assert scorers.multiple_choice("Paris or Rome", "A", cities).value is False
        assert scorers.multiple_choice("B", "New York", cities).value is True
        assert scorers.multiple_choice("D", 3, cities).value is True
        assert scorers.multiple_choice("F", "A", cities).answer is None

    def test_the_choices_are_a_list(self):
        with pytest.raises(ScorerError, match="a list of texts, not the text 'Paris, Rome'"):
            scorers.multiple_choice("A", "A", "Paris, Rome")

    def test_what_is_expected_must_be_a_choice(self):
        with pytest.raises(Abstain, match="not among the choices A, B"):
            scorers.multiple_choice("A", "Berlin", ["Paris", "Rome"])
        assert scorers.multiple_choice("A", None) is None
