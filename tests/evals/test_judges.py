"""The ready judges: what they ask, and the numbers that follow from the verdicts."""

from __future__ import annotations

import json

import pytest

from latent.errors import ScorerError
from latent.evals import evaluate, judges
from latent.llm import Model
from tests.evals.test_judging import JUDGE, RULES, fields_in

pytestmark = pytest.mark.usefixtures("quick")

ROW = {"id": "1", "question": "q", "output": "a. b. c.", "expected": "d. e.", "passages": ["P1", "P2", "P3"]}


def verdicts(key, values):
    return json.dumps({"verdicts": [{"reason": f"r{n}", key: value} for n, value in enumerate(values)]})


@pytest.fixture
def scripted(make_provider_simulator):
    """A judge that splits texts at full stops, and gives the verdicts that a test puts down."""
    given = {"supported": [True, False, True], "helps": [True, False, True], "yes": [True, False]}

    def answer(prompt):
        if RULES.search(prompt) is None:
            return "a. b. c."
        fields, task = fields_in(prompt)
        if task.startswith("Split"):
            text = fields.get("output", fields.get("expected"))
            return json.dumps({"claims": [each.strip() for each in text.split(".") if each.strip()]})
        key = "supported" if "follow from the context" in task else "helps" if "help to" in task else "yes"
        return verdicts(key, given[key])

    return make_provider_simulator(answer=answer), given


def score(scorer, row=ROW):
    found = evaluate([row], scorers=scorer)
    return found, found.scores.iloc[0]


def test_faithfulness_is_the_share_of_supported_claims(scripted):
    provider, _ = scripted
    found, first = score(judges.faithfulness(model=JUDGE))
    assert found["faithfulness"].mean == pytest.approx(2 / 3)
    assert first["reason"] == "2 of 3 claims are supported"
    assert [each["claim"] for each in json.loads(first["evidence"])] == ["a", "b", "c"]
    assert provider.record().requests == 2


def test_recall_is_the_share_of_the_expected_claims_that_the_passages_hold(scripted):
    _, given = scripted
    given["supported"] = [True, False]
    assert score(judges.context_recall(model=JUDGE))[0]["context_recall"].mean == 0.5


def test_relevancy_and_precision_count_and_order_the_helpful_passages(scripted):
    found = evaluate(
        [ROW], scorers=[judges.context_relevancy(model=JUDGE), judges.context_precision(model=JUDGE)]
    )
    assert found["context_relevancy"].mean == pytest.approx(2 / 3)
    assert found["context_precision"].mean == pytest.approx((1 / 1 + 2 / 3) / 2)  # helpful at ranks 1 and 3


def test_no_helpful_passage_is_no_precision(scripted):
    _, given = scripted
    given["helps"] = [False, False, False]
    assert score(judges.context_precision(model=JUDGE))[0]["context_precision"].mean == 0


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        ({**ROW, "output": "."}, "not_applicable"),  # no claims
        ({**ROW, "passages": []}, "not_applicable"),
        ({**ROW, "output": "a."}, "abstained"),  # three verdicts on one claim
    ],
)
def test_what_cannot_be_judged_is_told_apart(scripted, row, outcome):
    assert score(judges.faithfulness(model=JUDGE), row)[1]["outcome"] == outcome


def test_each_line_of_a_checklist_is_a_metric(scripted):
    provider, _ = scripted
    lines = {"polite": "Is it polite?", "short": "Is it short?"}
    found = evaluate([ROW], scorers=judges.checklist(lines, model=JUDGE))
    assert provider.record().requests == 1
    assert {name: metric.mean for name, metric in found.metrics.items()} == {
        "checklist.polite": 1, "checklist.short": 0,
    }  # fmt: skip
    assert {metric.kind for metric in found.metrics.values()} == {"binary"}


def test_a_checklist_without_lines_or_with_two_of_one_name_is_refused():
    for lines in ([], ["Is it polite?", "is it POLITE"]):
        with pytest.raises(ScorerError, match="a name of its own"):
            judges.checklist(lines, model=JUDGE)


def test_ready_rubrics_show_what_they_are_about(make_provider_simulator):
    provider = make_provider_simulator(answer='{"reason": "r", "score": 1}')
    row = {**ROW, "tool_calls": [{"name": "search", "arguments": "{}"}]}
    found = evaluate(
        [row],
        scorers=[
            judges.correctness(model=JUDGE),
            judges.answer_relevancy(model=JUDGE),
            judges.tool_calls(model=JUDGE),
        ],
    )
    shown = [fields_in(prompt)[0].keys() for prompt in provider.record().asked]
    assert {"input", "output", "expected"} in shown
    assert {"input", "output"} in shown
    assert {"input", "output", "expected", "context"} in shown
    assert (found["correctness"].mean, found["correctness"].scale) == (1, (0, 1))
    assert found["tool_calls_judged"].scale == (1, 5)


def test_a_judge_that_is_the_model_under_test_is_warned_of(scripted):
    found = evaluate([ROW], Model(JUDGE), judges.faithfulness(model=JUDGE), prompt="{{ question }}")
    assert "the model under test" in found.about["warnings"][0]
    calm = evaluate(
        [ROW], Model("openai:gpt-5-mini"), judges.faithfulness(model=JUDGE), prompt="{{ question }}"
    )
    assert calm.about["warnings"] == []
