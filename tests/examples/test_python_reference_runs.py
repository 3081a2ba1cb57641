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
from tests.examples.conftest import files_of, forget_flows

QUESTIONS = 8
ASKING = {"model": "openai:gpt-5-mini"}
"""The model is a simulated one here, as `-p model=...` allows; the bundled one is tested elsewhere."""


@pytest.fixture
def workspace(make_workspace: Any) -> Workspace:
    """A copy of the example with its first questions, two of which have an expected term."""
    forget_flows()
    files = files_of("python_reference")
    questions = files["data/questions.jsonl"].splitlines(keepends=True)
    with_terms = [line for line in questions if b'"expected"' in line][:2]
    return make_workspace(files | {"data/questions.jsonl": b"".join(questions[: QUESTIONS - 2] + with_terms)})


def test_topics_are_ranked_by_their_best_passage_and_a_second_run_computes_nothing(
    workspace, provider_simulator
):
    first = [run(workspace, "prepare"), run(workspace, "search"), run(workspace, "answer", ASKING)]
    assert [result.error for result in first] == [None] * 3
    searched, answered = first[1].value, first[2].value
    assert (searched["retrieval.hit_at_5"].n, answered["contains"].n) == (QUESTIONS, 2)
    assert provider_simulator.requests == 2

    index = json.loads((workspace.root / "data/prepare/index.json").read_text(encoding="utf-8"))
    store = open_store("lancedb", index["name"], create=False)
    assert index["records"] == store.count() > 1_000
    for row in searched.results():
        # By another way than the flow's: a topic is as good as its best passage.
        best: dict[str, float] = {}
        for match in store.query(row["question"], index["records"]):
            topic = Path(match.source).stem
            best[topic] = max(match.score, best.get(topic, -1.0))
        retrieved = [best[topic] for topic in json.loads(row["response"])]
        assert retrieved == sorted(best.values(), reverse=True)[:5]

    again = [run(workspace, "prepare"), run(workspace, "search"), run(workspace, "answer", ASKING)]
    assert [result.error for result in again] == [None] * 3
    assert again[0].counts == {"cached": 1, "ok": 1}  # only the index is described again
    assert [again[1].executed, again[2].executed] == [0, 0]
    assert provider_simulator.requests == 2


def test_the_model_reads_the_passages_and_they_are_kept_for_scorers(workspace, make_provider_simulator):
    provider = make_provider_simulator(answer="It is the AttributeError, I think.")
    assert run(workspace, "prepare").error is None
    assert run(workspace, "answer", {**ASKING, "passages": 3}).error is None
    for answered in load_evaluation("last").answered():
        passages = answered.values["passages"]
        (asked,) = [
            prompt for prompt in provider.record().asked if answered.item.values["question"] in prompt
        ]
        assert len(passages) == 3
        assert all(passage.strip() in asked for passage in passages)
