"""The flows `batch_evaluation` and `rescoring`: from configuration, from Python, and what they leave."""

from __future__ import annotations

import json

import pytest

from latent.errors import ConfigValidationError, ScorerError, UsageError
from latent.evals import load_evaluation
from latent.flows import READY
from latent.flows.batch_evaluation import batch_evaluation
from latent.flows.rescoring import rescoring
from latent.prefect.running import run
from latent.registry import TaskRegistry

ROWS = [
    {"id": n, "question": f"number {n}", "expected": str(n), "kind": "odd" if n % 2 else "even"}
    for n in range(6)
]
QUICK = {"config/latent.toml": "[tracking]\nenabled = false\n[tasks]\nretry_delay_seconds = 0\n"}
CATALOG = "questions: data/q.jsonl\nresults: data/results.json\nreport: data/report.md\n"
PARAMETERS = """
dataset: questions
model: openai:gpt-5-mini
model_options: {temperature: 0}
prompt: ask.md
scorers:
  - contains
  - numeric: {tolerance: 0.5}
judge: {model: "anthropic:claude-opus-4-6", rubric: Is it right?, scale: [0, 1], recheck: 0, name: right}
slices: [kind]
"""


def says(prompt):
    if prompt.startswith("You grade"):
        return '{"reason": "clear", "score": 1}'
    return f"It is {prompt.split()[-1]}"


@pytest.fixture
def project(make_workspace, make_provider_simulator):
    TaskRegistry.clear()
    provider = make_provider_simulator(answer=says)
    files = {
        "flows/batch_evaluation/parameters.yaml": PARAMETERS,
        "flows/batch_evaluation/catalog.yaml": CATALOG,
        "flows/batch_evaluation/prompts/ask.md": "Say {{ question }}",
        "data/q.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
    }
    yield make_workspace(QUICK | files), provider
    TaskRegistry.clear()


def test_all_of_it_comes_from_configuration(project):
    workspace, provider = project
    done = run(workspace, "batch_evaluation", ready=READY)
    assert done.error is None
    found = load_evaluation()
    assert {name: metric.mean for name, metric in found.metrics.items()} == {
        "contains": 1, "numeric": 1, "right": 1,
    }  # fmt: skip
    assert "Say number 3" in provider.record().asked
    assert found.slices["kind", "odd"]["contains"].n == 3
    results = json.loads((workspace.root / "data/results.json").read_text())
    assert results[3] == results[3] | {
        "id": "3", "question": "number 3", "response": "It is 3", "score": 1, "reason": "clear",
        "contains": 1,
    }  # fmt: skip
    assert results[3]["input_tokens"] > 0
    report = (workspace.root / "data/report.md").read_text()
    assert report == (found.folder / "report.md").read_text()
    for title in ("## Metrics", "## Distributions", "## By kind", "## Cost"):
        assert title in report
    assert "judge not checked against people" in report
    before = provider.record().requests
    again = run(workspace, "batch_evaluation", ready=READY)
    assert (again.executed, provider.record().requests) == (0, before)


def test_it_is_a_function_that_python_calls(project):
    found = batch_evaluation("questions", "openai:gpt-5-mini", "Say {{ question }}", ["contains"])
    assert found["contains"].mean == 1
    scored = rescoring(found.run_id, scorers=["exact_match"])
    assert [scored["contains"].mean, scored["exact_match"].mean] == [1, 0]


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"dataset": ""}, UsageError, "Which rows"),
        ({"dataset": "questoins"}, KeyError, "questions"),
        ({"prompt": "asc.md"}, UsageError, "asc.md"),
        ({"scorers": ["numerik"]}, ScorerError, "did you mean 'numeric'"),
        ({"scorers": [{"numeric": {"tolerence": 1}}]}, ScorerError, "did you mean 'tolerance'"),
        ({"judge": {"modle": "x"}}, ScorerError, "did you mean 'model'"),
        ({"repeats": 0}, ConfigValidationError, "repeats"),
        ({"model_options": {"temprature": 0}}, ValueError, "did you mean `temperature`"),
    ],
)
def test_slips_are_told_before_anything_is_paid(project, changes, error, said):
    workspace, provider = project
    done = run(workspace, "batch_evaluation", changes, ready=READY)
    assert isinstance(done.error, error)
    assert said in str(done.error)
    assert provider.record().requests == 0
