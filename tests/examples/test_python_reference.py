"""The first evaluation: this Python's reference answers its questions, and its numbers are right."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib import import_module
from pathlib import Path
from pydoc_data.topics import topics as TOPICS  # noqa: N812  # constant, whatever the standard library calls it
from types import ModuleType

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


class TestScorers:
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
        assert evaluate.evidence_words(answer, evidence) == pytest.approx(expected)

    @pytest.mark.parametrize(
        ("expected", "retrieved", "scores"),
        [
            (["a"], ["a", "b"], (True, True, 1.0)),
            (["a", "c"], ["b", "c", "a"], (False, True, 0.5)),  # the first of several answers counts
            (["a"], ["b", "c", "d", "e", "a"], (False, True, 0.2)),
            (["a"], ["b", "c", "d", "e", "f", "g", "h", "a"], (False, False, 0.125)),
            (["a"], ["b"], (False, False, 0.0)),
            (["a"], [], (False, False, 0.0)),
        ],
    )
    def test_scores_of_one_question(self, evaluate, expected, retrieved, scores):
        names = ("first", "among_5", "reciprocal_rank")
        assert evaluate.topic(retrieved, expected) == dict(zip(names, scores, strict=True))


@pytest.mark.parametrize(
    ("readme", "line"),
    [
        (PYTHON_REFERENCE / "README.md", r"^\| ([a-z_.0-9]+) \| \d"),
        (PYTHON_REFERENCE.parents[1] / "README.md", r"^((?:topic\.|evidence)\w+) +\d"),
    ],
)
def test_a_table_in_a_readme_has_a_line_for_each_metric(readme: Path, line: str):
    named = re.findall(line, readme.read_text(encoding="utf-8"), re.MULTILINE)
    assert named == ["topic.first", "topic.among_5", "topic.reciprocal_rank", "evidence_words"]
