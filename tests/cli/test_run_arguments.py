"""`latent run` with `--refresh`, `--only-failed` and a budget."""

from __future__ import annotations

import re

import pytest

from latent.config import Workspace
from latent.testing.plugin import MakeWorkspace
from tests.cli.conftest import Cli

ASKING = """
    from latent.prefect import flow, params, task
    from flows.asking import parts

    @task("ask", retry=False)
    def ask(text):
        if text in params.get("refused", []):
            raise ValueError(f"{text} is refused")
        return text

    @flow("asking")
    def asking():
        rows = [f"q{number}" for number in range(params.rows)]
        found = ask.map(
            rows, on_error="collect", max_failures=params.get("most"), max_workers=params.get("at_once")
        )
        return len(found.result()) + parts.score(1)
"""
PARTS = """
    from latent.prefect import task

    @task("score: fast")
    def score(number):
        return number
"""


@pytest.fixture
def asking(make: MakeWorkspace) -> Workspace:
    return make(
        {
            "flows/asking/flow.py": ASKING,
            "flows/asking/parts.py": PARTS,
            "flows/asking/parameters.yaml": "rows: 6\nrefused: []",
        }
    )


def outcomes(latent: Cli, *args: str) -> str:
    """What a run says of task `ask`."""
    ended = latent("run", "asking", *args)
    assert ended.code == 0, ended.err
    (line,) = [line for line in ended.out.splitlines() if line.startswith("ask ")]
    return re.split(r"\s{2,}", line)[1]


def resume(out: str) -> str:
    return next((line for line in out.splitlines() if line.startswith("Resume:")), "")


def test_rows_that_are_reused_are_counted_in_the_headline(latent: Cli, asking: Workspace) -> None:
    latent("run", "asking", "-p", "rows=4")
    headline = latent("run", "asking").out.splitlines()[0]
    assert headline.endswith(": 5 cached, 2 ok. 4 of 6 rows reused.")


def test_budget_that_is_used_up_ends_the_run_and_says_how_to_go_on(latent: Cli, asking: Workspace) -> None:
    ended = latent("run", "asking", "--max-calls", "4", "--max-minutes", "2.5", "--max-cost", "0.5")
    assert ended.code == 3
    assert "What is finished is kept." in ended.out.splitlines()[0]
    assert "Stopped:  The budget of 4 calls is used up.\n" in ended.out
    assert "Skipped:  2 rows, not begun\n" in ended.out
    assert resume(ended.out) == ("Resume:   latent run asking --max-cost 0.5 --max-calls 4 --max-minutes 2.5")


def test_a_run_that_its_budget_ends_was_stopped_and_did_not_fail(latent: Cli, make: MakeWorkspace) -> None:
    flow = ASKING.replace('on_error="collect"', 'on_error="raise"')
    files = {"flow.py": flow, "parts.py": PARTS, "parameters.yaml": "rows: 6"}
    make({f"flows/asking/{name}": text for name, text in files.items()})
    ended = latent("run", "asking", "--max-calls", "4")
    assert ended.code == 3
    assert re.match(r"Flow 'asking' stopped after .*: 4 ok, 2 skipped\.", ended.out), ended.out
    assert "2 of 6 rows were skipped, all others are kept." in ended.err


def test_a_map_that_ended_early_says_why(latent: Cli, asking: Workspace) -> None:
    ended = latent("run", "asking", "-p", "refused=[q0]", "-p", "most=0", "-p", "at_once=1")
    assert ended.code == 0, "code that collects errors takes them for results"
    assert re.search(r"^Stopped: +Stopped early: more than 0 rows failed", ended.out, re.MULTILINE)


def test_all_rows_of_a_task_are_computed_again(latent: Cli, asking: Workspace) -> None:
    latent("run", "asking")
    assert outcomes(latent, "--refresh", "ask") == "6 ok"


def test_rows_that_a_condition_selects_are_computed_again(latent: Cli, asking: Workspace) -> None:
    latent("run", "asking")
    conditions = ["--refresh", "ask:index < 1", "--refresh", "ask: text in ['q4', 'q5']"]
    assert outcomes(latent, *conditions) == "3 cached, 3 ok"


def test_only_rows_that_failed_run_again(latent: Cli, asking: Workspace) -> None:
    assert "2 failed" in outcomes(latent, "-p", "refused=[q1,q2]")
    latent("cache", "clear", "--task", "ask", "-y")  # the others are not remembered any more either
    assert outcomes(latent, "--only-failed") == "4 skipped, 2 ok"


def test_rows_left_out_by_only_failed_are_run_by_the_command_that_is_told(
    latent: Cli, asking: Workspace
) -> None:
    """Rows that a budget left are not failures: with `--only-failed` they would never have their turn."""
    given = ("-p", "refused=[q0]", "-p", "at_once=1")
    latent("run", "asking", *given, "--max-calls", "3")
    out = latent("run", "asking", *given, "--only-failed", "--max-calls", "30").out
    assert "Skipped:   3 rows, left out by --only-failed\n" in out
    assert resume(out) == "Resume:    latent run asking -p 'refused=[q0]' -p at_once=1 --max-calls 30"
    assert outcomes(latent, *given, "--max-calls", "30") == "3 ok, 2 cached, 1 failed"


def test_rows_left_out_are_told_apart_from_those_not_begun(latent: Cli, asking: Workspace) -> None:
    given = ("-p", "refused=[q0,q1]", "-p", "at_once=1")
    latent("run", "asking", *given, "--max-calls", "3")
    out = latent("run", "asking", *given, "--only-failed", "--max-calls", "1").out
    assert "Skipped:   1 row, not begun; 3 rows, left out by --only-failed\n" in out


def test_only_failed_is_said_again_where_it_left_no_row_out(latent: Cli, asking: Workspace) -> None:
    given = ("-p", "refused=[q0,q1]", "-p", "at_once=1")
    latent("run", "asking", *given)
    out = latent("run", "asking", *given, "--only-failed", "--max-calls", "1").out
    assert "Skipped:   1 row, not begun\n" in out
    assert resume(out).endswith(" --only-failed --max-calls 1")


def test_resumed_run_keeps_what_was_asked_for(latent: Cli, asking: Workspace) -> None:
    ended = latent(
        "run", "asking", "-p", "refused=[q1]", "--refresh", "ask", "--max-calls", "3", "--only-failed"
    )
    assert ended.code == 2, "it has not run yet"
    latent("run", "asking")
    given = ["-p", "refused=[]", "--refresh", "ask:index < 4", "--max-calls", "3"]
    out = latent("run", "asking", *given).out
    shown = resume(out)
    assert "Note:     rows that --refresh ask:index < 4 did not reach keep what is remembered" in out
    # Three rows were computed again: refreshed once more, the same ones would be paid for again.
    assert shown == "Resume:   latent run asking -p 'refused=[]' --max-calls 3"


def test_task_with_a_colon_in_its_name_can_be_named(latent: Cli, asking: Workspace) -> None:
    latent("run", "asking")
    assert latent("run", "asking", "--refresh", "score: fast").code == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--refresh", "aks"], "--refresh: flow 'asking' has no task 'aks': did you mean 'ask'?"),
        (["--refresh", "zz:index < 3"], "has no task 'zz': it has score: fast, ask."),
        (["--refresh", ""], "has no task ''"),
        (["--refresh", "ask:"], "The condition '' cannot be used: it is empty"),
        (["--refresh", "ask:index <"], "The condition 'index <' cannot be used: invalid syntax"),
        (["--refresh", "ask:indx < 3"], "there is no 'indx', did you mean 'index'?"),
        (["--only-failed"], "--only-failed: flow 'asking' has not run yet, so nothing has failed."),
        (["--max-cost", "0"], "--max-cost is an amount in US dollars, more than 0, not 0."),
        (["--max-cost", "-1"], "--max-cost is an amount in US dollars, more than 0, not -1."),
        (["--max-calls", "0"], "--max-calls is a number of rows, more than 0, not 0."),
        (["--max-calls", "1.5"], "Invalid value for '--max-calls'"),
        (["--max-minutes", "nan"], "--max-minutes is a time in minutes, more than 0, not nan."),
        (["--max-minutes", "soon"], "Invalid value for '--max-minutes'"),
    ],
)
def test_arguments_that_cannot_be_are_wrong_use(
    latent: Cli, asking: Workspace, args: list[str], message: str
) -> None:
    ended = latent("run", "asking", *args)
    assert ended.code == 2
    assert message in ended.err


def test_unknown_flow_is_told_before_its_tasks(latent: Cli, asking: Workspace) -> None:
    ended = latent("run", "askin", "--refresh", "ask")
    assert ended.code == 2
    assert "There is no flow 'askin'" in ended.err
