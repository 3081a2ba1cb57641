"""`latent why`: what kept results from being reused."""

from __future__ import annotations

import re
import sys

import pytest

from latent.config import Workspace
from latent.registry import TaskRegistry
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


def test_without_a_task_all_tasks_of_the_last_run_are_told(latent: Cli, workspace: Workspace) -> None:
    ended = latent("why", "asking")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0].startswith("Run:  .latent/runs/r1 (20")
    assert [re.split(r"\s{2,}", line.strip()) for line in lines[2:]] == [
        ["TASK", "REUSED", "NOT REUSED", "BECAUSE OF"],
        ["ask", "1 of 4", "2", "code of 'build' in flows/asking/flow.py"],
        ["-", "-", "1", "expired"],
        ["rank", "1 of 1", "-", "-"],
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
        (["askin"], "did you mean 'asking'?"),
    ],
)
def test_wrong_use(latent: Cli, workspace: Workspace, args: list[str], message: str) -> None:
    ended = latent("why", *args)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err


ASKING = """
    from latent.prefect import flow, params, task

    {constant}

    def build(text):
        return PROMPT + text

    @task("ask")
    def ask(text):
        return build(text) + str(params.get("model"))

    @task("load", input="corpus")
    def load(corpus, size):
        return corpus[:size]

    @flow("asking")
    def asking():
        load(size=params.size)
        return ask.map([{rows}], row_id="text").result()
"""


def test_what_has_changed_is_found_in_real_runs(latent: Cli, make: MakeWorkspace) -> None:
    """Parameter, code, argument, dataset and rows, each changed between two runs."""

    def run(constant: str = "Say: ", rows: str = "'a', 'b'", parameters: str = "", corpus: str = "") -> None:
        code = ASKING.format(constant=f"PROMPT = {constant!r}", rows=rows)
        files: dict[str, str | bytes] = {"flows/asking/flow.py": code}
        files |= {"flows/asking/parameters.yaml": parameters} if parameters else {}
        files |= {"data/corpus.txt": corpus} if corpus else {}
        make(files)
        for module in [name for name in sys.modules if name.startswith("flows")]:
            del sys.modules[module]
        TaskRegistry.clear()
        assert latent("run", "asking").code == 0

    def because(task: str, *row: str) -> str:
        lines = latent("why", "asking", task, *row).out.splitlines()
        told = dict(line.split(":", 1) for line in lines)
        return told.get("Because of", told["Reused"]).strip()

    make({"flows/asking/catalog.yaml": "corpus: data/corpus.txt"})
    run(parameters="model: small\nsize: 3", corpus="to be")
    assert because("ask", "a") == "it is the first run of the task that is recorded"
    run()
    assert because("ask", "a").startswith("yes, computed 20")
    assert because("load").startswith("yes, computed 20")
    run(parameters="model: large\nsize: 4")
    assert because("ask", "a") == "parameter 'model'"
    assert because("load") == "argument 'size'"
    run("Answer: ", "'a', 'c'", corpus="or not to be")
    assert because("ask", "a") == "code of 'PROMPT' in flows/asking/flow.py"
    assert because("ask", "c") == "the row is new"
    assert because("load") == "dataset 'corpus'"
