"""The first evaluation from start to end, with its first questions only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from latent.config import Workspace
from latent.prefect.running import run
from tests.examples.conftest import PYTHON_REFERENCE, forget_flows

QUESTIONS = 6


@pytest.fixture
def workspace(make_workspace: Any) -> Workspace:
    """A copy of the example, without tracking: that is tested elsewhere."""
    patterns = ("config/*.yaml", "flows/**/*.py", "flows/**/*.yaml")
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


def test_topics_are_ranked_by_their_best_chunk_and_a_second_run_computes_nothing(workspace):
    first = [run(workspace, name) for name in ("prepare", "evaluate")]
    assert [result.error for result in first] == [None, None]
    chunks, (scored, report) = first[0].value, first[1].value
    assert len(scored) == QUESTIONS
    from flows.embedding import embed  # of the workspace, which can be imported from since the run

    for row in scored:
        # By another way than the flow's: a topic is as good as its best chunk. Twins share their place.
        similarity = np.stack(chunks["embedding"]) @ embed([row["question"]], 256)[0]
        best = chunks.assign(similarity=similarity).groupby("topic")["similarity"].max()
        assert best[row["retrieved"]].tolist() == best.nlargest(10).tolist()
    assert (workspace.root / "data/evaluate/report.md").read_text(encoding="utf-8") == report

    again = [run(workspace, name) for name in ("prepare", "evaluate")]
    assert [(result.error, result.executed) for result in again] == [(None, 0), (None, 0)]
    assert [result.reused for result in again] == [3, QUESTIONS + 3]
    assert again[1].value == first[1].value
