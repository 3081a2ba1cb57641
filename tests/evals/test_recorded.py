"""Evaluations whose answers and grades were recorded: the same numbers, without a provider or a key."""

from __future__ import annotations

import json

import pytest

from latent.errors import RecordingMissError
from latent.evals import Judge, evaluate
from latent.evals.scorers import exact_match
from latent.llm import Model
from latent.testing import ProviderSimulator

ROWS = [{"id": word, "prompt": word, "expected": word} for word in ("tea", "rye", "oak")]
GRADE = json.dumps({"reason": "because", "score": 4})


def graded(prompt):
    """The judge gives every answer the same grade; the model under test repeats its prompt."""
    return GRADE if "<data-" in prompt else None


def run(rubric="Is it right?"):
    judge = Judge(rubric, model="anthropic:claude-opus-4-6", name="right")
    return evaluate(ROWS, Model("openai:gpt-5-mini"), [exact_match, judge])


@pytest.fixture
def recorded(quick, monkeypatch):
    """An evaluation that was recorded, replayed from here on: its provider is gone, and its keys are too."""
    with ProviderSimulator(answer=graded) as provider:
        environment = provider.environment
        for name, value in {**environment, "LATENT_RECORDINGS__MODE": "record"}.items():
            monkeypatch.setenv(name, value)
        made = run()
    for name in environment:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LATENT_RECORDINGS__MODE", "replay")
    return made


def test_answers_and_grades_are_replayed_with_the_same_numbers_and_nothing_is_paid(recorded):
    replayed = run()
    assert replayed["right"].mean == recorded["right"].mean == 4
    assert replayed["exact_match"].mean == 1
    assert replayed["right"].missing == 0
    assert replayed.cost.total_usd == 0
    assert replayed.cost.saved_usd == pytest.approx(recorded.cost.answers_usd)
    assert replayed.about["warnings"] == recorded.about["warnings"], "no key is needed, and none is missed"


def test_grades_that_were_not_recorded_end_the_evaluation_and_are_not_missing_scores(recorded):
    with pytest.raises(RecordingMissError) as error:
        run(rubric="Is it polite?")
    assert error.value.spec == "anthropic:claude-opus-4-6"
    assert "[-right-]{+polite+}" in str(error.value)
