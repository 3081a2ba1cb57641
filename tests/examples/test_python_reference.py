"""The first evaluation: this Python's reference answers its questions, and its numbers are right."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib import import_module
from pathlib import Path
from pydoc_data.topics import topics as TOPICS  # noqa: N812  # constant, whatever the standard library calls it
from types import ModuleType
from typing import Any

import pytest

from tests.examples.conftest import PYTHON_REFERENCE

QUESTION_LINES = (PYTHON_REFERENCE / "data" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
QUESTIONS = [json.loads(line) for line in QUESTION_LINES]


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", text)


PLAIN_TOPICS = {name: plain(text) for name, text in TOPICS.items()}


@pytest.fixture(scope="module")
def prepare(flows: Path) -> ModuleType:
    return import_module("flows.prepare.flow")


@pytest.fixture(scope="module")
def evaluate(flows: Path) -> ModuleType:
    return import_module("flows.evaluate.flow")


@pytest.fixture(scope="module")
def reporting(flows: Path) -> ModuleType:
    return import_module("flows.evaluate.reporting")


class TestQuestions:
    def test_there_are_enough_of_them_and_each_has_its_own_id_and_wording(self):
        assert len(QUESTIONS) >= 60
        for column in ("id", "question"):
            values = Counter(question[column] for question in QUESTIONS)
            assert [value for value, count in values.items() if count > 1] == []

    @pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question["id"])
    def test_the_listed_topics_are_those_that_hold_the_answer(self, question):
        """Every topic with one of the quoted answers is listed, also where text is repeated, and no other."""
        assert set(question) == {"id", "question", "topics", "difficulty", "evidence"}
        assert question["difficulty"] in {"easy", "paraphrased", "hard"}
        quotes = [plain(quote) for quote in question["evidence"]]
        answering = {name for name, text in PLAIN_TOPICS.items() if any(quote in text for quote in quotes)}
        assert set(question["topics"]) == answering != set()
        assert [quote for quote in quotes if not any(quote in text for text in PLAIN_TOPICS.values())] == []

    def test_every_topic_of_the_reference_answers_some_question(self):
        assert set(TOPICS) - {topic for question in QUESTIONS for topic in question["topics"]} == set()


class TestPrepare:
    def test_an_overlap_that_leaves_little_new_is_refused(self, prepare):
        with pytest.raises(ValueError, match="at most half of chunk_size"):
            prepare.PrepareConfig(chunk_size=200, overlap=150)


class TestAnswers:
    @pytest.mark.parametrize(
        ("evidence", "answer", "expected"),
        [
            (
                ["a tuple cannot be changed"],
                "It cannot change: a tuple stays.",
                2 / 3,
            ),  # tuple, cannot; not changed
            (["no such words", "tuple cannot"], "Tuple, cannot!", 1.0),
            (["tuple cannot"], "", 0.0),
        ],
    )
    def test_evidence_words_are_those_of_the_quote_that_fits_best(self, evaluate, evidence, answer, expected):
        assert evaluate.evidence_words(evidence, answer) == pytest.approx(expected)

    def test_the_questions_that_are_answered_come_from_all_parts_of_the_list(self, evaluate):
        numbers = list(range(10))
        assert evaluate.spread(numbers, 3) == [0, 3, 6, 1, 2, 4, 5, 7, 8, 9]
        assert evaluate.spread(numbers, 0) == evaluate.spread(numbers, 10) == numbers


class TestScores:
    @pytest.mark.parametrize(
        ("expected", "retrieved", "scores"),
        [
            (["a"], ["a", "b"], (1, 1.0, 1.0, 1.0)),
            (["a", "c"], ["b", "c", "a"], (2, 0.0, 1.0, 0.5)),  # the first of several answers counts
            (["a"], ["b", "c", "d", "e", "a"], (5, 0.0, 1.0, 0.2)),
            (["a"], ["b", "c", "d", "e", "f", "g", "h", "a"], (8, 0.0, 0.0, 0.125)),
            (["a"], ["b"], (None, 0.0, 0.0, 0.0)),
            (["a"], [], (None, 0.0, 0.0, 0.0)),
        ],
    )
    def test_scores_of_one_question(self, evaluate, expected, retrieved, scores):
        names = ("rank", "hit_at_1", "hit_at_5", "reciprocal_rank")
        assert evaluate.scores(expected, retrieved) == dict(zip(names, scores, strict=True))

    def test_the_mean_lies_in_its_interval(self, evaluate):
        found = evaluate.estimate([1.0] * 30 + [0.0] * 10, 0.95, 999, seed=0)
        assert (found["n"], found["mean"]) == (40, 0.75)
        # Normal approximation by hand: 0.75 -+ 1.96 * sqrt(0.75 * 0.25 / 40) = 0.616 and 0.884.
        assert found["ci_low"] == pytest.approx(0.616, abs=0.05)
        assert found["ci_high"] == pytest.approx(0.884, abs=0.05)

    def test_the_interval_is_the_same_each_time(self, evaluate):
        values = [1.0, 0.5, 0.0, 0.25]
        assert evaluate.estimate(values, 0.95, 999, seed=7) == evaluate.estimate(values, 0.95, 999, seed=7)

    @pytest.mark.parametrize(("values", "mean"), [([], None), ([0.5], 0.5), ([1.0, 1.0, 1.0], 1.0)])
    def test_alike_values_have_no_interval(self, evaluate, values, mean):
        """A certainty that resampling cannot know is not claimed: 29 hits of 29 are not 100 % for ever."""
        found = evaluate.estimate(values, 0.95, 999, seed=0)
        assert found == {"n": len(values), "mean": mean, "ci_low": None, "ci_high": None}


def summary_row(group: str, metric: str, mean: float | None, low: float | None, high: float | None) -> Any:
    return {
        "group": group,
        "metric": metric,
        "questions": 4,
        "n": 3,
        "mean": mean,
        "ci_low": low,
        "ci_high": high,
    }


class TestReport:
    @pytest.mark.parametrize(
        ("mean", "low", "high", "expected"),
        [
            (0.5, 0.25, 0.75, "0.500 (0.250 to 0.750)"),
            (1.0, None, None, "1.000 (no interval: all alike)"),
            (None, None, None, "not scored"),
        ],
    )
    def test_how_a_number_is_written(self, reporting, mean, low, high, expected):
        assert reporting.with_interval(summary_row("all", "hit_at_1", mean, low, high)) == expected

    def test_the_report_shows_coverage_difficulty_and_misses(self, reporting):
        groups = [(group, metric) for group in ("all", "easy") for metric in reporting.METRICS]
        summary = [summary_row(*names, 0.5, 0.25, 0.75) for names in groups]
        misses = [
            {"question": "What is a | b?", "topics": ["bitwise"], "rank": None, "retrieved": list("abcd")},
            {"question": "Why?", "topics": ["x", "y"], "rank": 7, "retrieved": ["z"]},
        ]
        said = [{"question": "Why?", "answer": "Because\nit is.", "rank": None}]
        text = reporting.report(
            summary, said, misses, mode="bm25", model="a:model", depth=10, confidence=0.95
        )
        lines = text.splitlines()
        assert "| Why? | Because it is. | - |" in lines
        assert "| metric | mean (95% interval) | coverage |" in lines
        assert "| hit@5 | 0.500 (0.250 to 0.750) | 3 of 4 |" in lines
        assert "| easy | 4 | " + " | ".join(["0.500 (0.250 to 0.750)"] * 4) + " |" in lines
        assert "| What is a \\| b? | bitwise | > 10 | a, b, c |" in lines
        assert "| Why? | x, y | 7 | z |" in lines

    def test_without_misses_it_says_so(self, reporting):
        summary = [summary_row("all", metric, 1.0, None, None) for metric in reporting.METRICS]
        text = reporting.report(summary, [], [], mode="vector", model="m", depth=10, confidence=0.9)
        assert "None: every question" in text
        assert "It was not asked." in text


@pytest.mark.parametrize("folder", [PYTHON_REFERENCE, PYTHON_REFERENCE.parents[1]])
def test_a_table_in_a_readme_has_a_line_for_each_metric_of_the_report(reporting, folder: Path):
    text = (folder / "README.md").read_text(encoding="utf-8")
    table = text[text.index("| metric") :].partition("\n\n")[0]
    named = re.findall(r"^\| (.+?) +\| \d", table, re.MULTILINE)
    assert named == list(reporting.METRICS.values())
