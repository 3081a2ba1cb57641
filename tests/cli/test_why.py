"""`latent why`: what kept results from being reused."""

from __future__ import annotations

import re

import pytest

from latent.config import Workspace
from latent.testing.plugin import MakeWorkspace
from latent.tracking import RowRecord
from tests.cli.conftest import Cli
from tests.cli.test_rows import told


@pytest.fixture
def workspace(make: MakeWorkspace) -> Workspace:
    workspace = make({})
    rows = [
        RowRecord("ask", 0, "q-0", "cached", 0, key="k0"),
        RowRecord("ask", 1, "q-1", "ok", key="k1", reason="code of 'build' in flows/asking/flow.py"),
        RowRecord("ask", 2, "q-2", "ok", key="k2", reason="code of 'build' in flows/asking/flow.py"),
        RowRecord("ask", 3, "q-3", "failed", key="k3", reason="expired"),
        RowRecord("rank", 0, "q-0", "cached", 0, key="r0"),
    ]
    told(workspace, rows, [])
    return workspace


def test_reasons_are_shown_with_the_first_row_of_each(latent: Cli, workspace: Workspace) -> None:
    ended = latent("why", "asking", "ask")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0] == "Task:    ask"
    assert lines[1].startswith("Run:     .latent/runs/r1 (20")
    assert lines[2:4] == ["Reused:  1 of 4", ""]
    assert [re.split(r"\s{2,}", line) for line in lines[4:]] == [
        ["NOT REUSED", "BECAUSE OF", "FIRST"],
        ["2", "code of 'build' in flows/asking/flow.py", "row 1 (q-1)"],
        ["1", "expired", "row 3 (q-3)"],
    ]


def test_one_row_is_told_by_itself(latent: Cli, workspace: Workspace) -> None:
    assert latent("why", "asking", "ask", "q-3").out.splitlines()[2:] == [
        "Result:      row 3 (q-3), failed",
        "Reused:      no",
        "Because of:  expired",
        "Key:         k3",
    ]
    assert latent("why", "asking", "rank").out.splitlines()[2:] == [
        "Result:  row 0 (q-0), cached",
        "Reused:  yes",
        "Key:     r0",
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["askin", "ask"], "did you mean 'asking'?"),
        (["asking", "aks"], "did you mean 'ask'?"),
        (["asking", "ask", "q-9"], "had no row 'q-9'"),
        (["asking"], "Missing argument"),
    ],
)
def test_wrong_use(latent: Cli, workspace: Workspace, args: list[str], message: str) -> None:
    ended = latent("why", *args)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
