"""The first evaluation from start to end, with its first questions only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from latent.config import Workspace
from latent.evals import load_evaluation
from latent.prefect.running import run
from latent.rag import open_store
from tests.examples.conftest import PYTHON_REFERENCE, forget_flows

QUESTIONS = 6


@pytest.fixture
def workspace(make_workspace: Any) -> Workspace:
    """A copy of the example, without tracking: that is tested elsewhere."""
    patterns = ("config/*.yaml", "flows/**/*.py", "flows/**/*.yaml", "flows/**/*.md")
    files = [path for pattern in patterns for path in PYTHON_REFERENCE.glob(pattern)]
    questions = (PYTHON_REFERENCE / "data" / "questions.jsonl").read_bytes().splitlines(keepends=True)
    forget_flows()
    return make_workspace(
        {path.relative_to(PYTHON_REFERENCE).as_posix(): path.read_bytes() for path in files}
        | {
            "data/questions.jsonl": b"".join(questions[:QUESTIONS]),
            "config/latent.toml": "[tracking]\nenabled = false",
        }
    )


def test_topics_are_ranked_by_their_best_passage_and_a_second_run_computes_nothing(
    workspace, provider_simulator
):
    """The model is a simulated one here, as `-p model=...` allows; the bundled one is tested elsewhere."""
    asking = {"model": "openai:gpt-5-mini", "questions_answered": 2}
    first = [run(workspace, "prepare"), run(workspace, "evaluate", asking)]
    assert [result.error for result in first] == [None, None]
    index, (scored, report) = first[0].value, first[1].value
    assert len(scored) == QUESTIONS
    assert load_evaluation("last", "answers")["evidence_words"].n == 2
    assert provider_simulator.requests == 2
    store = open_store("lancedb", index["name"], create=False)
    assert index["records"] == store.count() > 1_000
    for row in scored:
        # By another way than the flow's: a topic is as good as its best passage.
        best = {}
        for match in store.query(row["question"], index["records"]):
            topic = Path(match.source).stem
            best[topic] = max(match.score, best.get(topic, -1.0))
        retrieved = [best[topic] for topic in json.loads(row["response"])]
        assert retrieved == sorted(best.values(), reverse=True)[:10]
    assert (workspace.root / "data/evaluate/report.md").read_text(encoding="utf-8") == report

    again = [run(workspace, "prepare"), run(workspace, "evaluate", asking)]
    assert [result.error for result in again] == [None, None]
    assert again[0].counts == {"cached": 1, "ok": 1}  # only the index is described anew
    assert again[1].executed == 0
    names = ("id", "response", "topic.first", "topic.reciprocal_rank")
    again_scored, _ = again[1].value
    assert [[row[name] for name in names] for row in again_scored] == [
        [row[name] for name in names] for row in scored
    ]
    assert provider_simulator.requests == 2
