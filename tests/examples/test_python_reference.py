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


class TestQuestions:
    def test_there_are_enough_of_them_and_each_has_its_own_id_and_wording(self):
        assert len(QUESTIONS) >= 60
        for column in ("id", "question"):
            values = Counter(question[column] for question in QUESTIONS)
            assert [value for value, count in values.items() if count > 1] == []

    @pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question["id"])
    def test_the_listed_topics_are_those_that_hold_the_answer(self, question):
        """Every topic with one of the quoted answers is listed, also where text is repeated, and no other."""
        assert set(question) - {"expected"} == {"id", "question", "topics", "difficulty", "evidence"}
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


def test_an_expected_term_stands_in_the_topics_that_answer_its_question():
    expected = [question for question in QUESTIONS if "expected" in question]
    assert len(expected) == 20
    for question in expected:
        term = question["expected"]
        assert any(term in TOPICS[topic] for topic in question["topics"]), question["id"]
        assert term.lower() not in question["question"].lower(), question["id"]
