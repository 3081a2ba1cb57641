"""`latent eval` and `latent run batch_evaluation` check the flow's gates, and end with their exit code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from latent.evals import load_evaluation
from tests.cli.conftest import Cli

EVAL = ("eval", "rows.jsonl", "--score", "exact_match")


@pytest.fixture
def gated(make):
    """A workspace in which 82 of 100 rows are right, with these gates of `batch_evaluation`."""

    def workspace(*gates, flow="batch_evaluation"):
        rows = [{"id": f"q{n}", "expected": "yes", "output": "yes" if n < 82 else "no"} for n in range(100)]
        lines = "".join(f"  {name}: {condition!r}\n" for name, condition in gates)
        return make(
            {
                "rows.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
                f"flows/{flow}/parameters.yaml": f"gates:\n{lines}",
            }
        )

    return workspace


@pytest.mark.parametrize(
    ("condition", "code"), [(">= 0.70", 0), (">= 0.95", 4), (">= 0.80", 5), ("not worse than main", 5)]
)
def test_an_evaluation_ends_with_the_code_of_its_gates(latent: Cli, gated, condition, code):
    gated(("exact_match", condition), ("coverage", ">= 0.98"))
    ended = latent(*EVAL)
    assert ended.code == code, ended.err
    verdict = {0: "pass", 4: "fail", 5: "inconclusive"}[code]
    assert re.search(rf"^exact_match +{re.escape(condition)} .*{verdict}", ended.out, re.M)
    found = load_evaluation("last")
    assert found.gates.verdict == verdict
    assert f"<h2>Gates: {verdict}</h2>" in (found.folder / "report.html").read_text()
    assert (
        latent("run", "batch_evaluation", "-p", "dataset=rows.jsonl", "-p", "scorers=[exact_match]").code
        == code
    )


def test_inconclusive_gates_are_taken_for_what_an_option_says(latent: Cli, gated):
    gated(("exact_match", ">= 0.80"))
    assert latent(*EVAL, "--inconclusive", "pass").code == 0
    assert latent(*EVAL, "--inconclusive", "fail").code == 4


@pytest.mark.parametrize(("condition", "code"), [(">= 0.70", 5), (">= 0.97", 4), ("<= 0.97", 0)])
def test_what_another_tool_has_evaluated_is_held_to_gates_as_well(latent: Cli, make, condition, code):
    """4 of 6 rows match, of which the exact bounds are 0.223 and 0.957."""
    make({"flows/imported_evaluation/parameters.yaml": f"gates:\n  match: {condition!r}\n"})
    log = Path(__file__).parent.parent / "evals" / "imports" / "data" / "capitals.eval"
    ended = latent("eval", "--from", "inspect", str(log))
    assert ended.code == code, ended.err
    found = load_evaluation("last")
    assert found.gates.verdict == {0: "pass", 4: "fail", 5: "inconclusive"}[code]
    assert f"<h2>Gates: {found.gates.verdict}</h2>" in (found.folder / "report.html").read_text()


def test_a_run_to_compare_with_that_is_not_there_is_told_also_where_no_gate_compares(latent: Cli, gated):
    gated(("exact_match", ">= 0.70"))
    assert latent(*EVAL).code == 0
    ended = latent("gate", "--against", "mian")
    assert ended.code == 2 and "There is no run 'mian'" in ended.err


def test_a_gate_that_cannot_be_read_is_told_before_anything_is_asked(latent: Cli, gated):
    gated(("exact_match", "> 0.80"))
    ended = latent(*EVAL)
    assert ended.code == 2 and "is not a gate" in ended.err
    assert "0.820" not in ended.out


def test_a_gate_on_a_metric_that_is_not_there_names_the_nearest_and_loses_nothing(latent: Cli, gated):
    gated(("exact_mach", ">= 0.80"))
    ended = latent(*EVAL)
    assert ended.code == 2 and "did you mean 'exact_match'" in ended.err
    assert (load_evaluation("last").folder / "report.html").exists()
