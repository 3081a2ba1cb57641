"""Gates: passed or failed when the whole interval says so; noise and missing rows leave them inconclusive."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from latent.errors import ConfigError, GateError, RunNotFoundError, UsageError
from latent.evals import evaluate, load_evaluation, scorer
from latent.tracking import load_run, tag_run
from tests.evals.comparing.test_comparison import marks, right, rows, seconds, topic

pytestmark = pytest.mark.usefixtures("quick")


def shares(correct, of, missing=0):
    """An evaluation in which so many of so many rows are right, and further ones have no answer."""
    data = [
        {"id": f"r{place}", "expected": "yes", "said": "yes" if place < correct else "no"}
        for place in range(of)
    ]
    data += [{"id": f"m{place}", "expected": "yes", "said": None} for place in range(missing)]

    def answer(said):
        if said is None:
            raise ConnectionError("no answer")
        return said

    return evaluate(data, answer, right, name=f"{correct}-of-{of}-{missing}")


def only(report):
    (result,) = report.results
    return result


@pytest.mark.parametrize(
    ("correct", "of", "verdict"),
    [
        # Clopper-Pearson, one-sided at 97.5 % (scipy's beta quantiles): 180 of 200 from 0.8498 to 0.9378.
        (180, 200, "pass"),
        (140, 200, "fail"),  # to 0.7626
        (165, 200, "inconclusive"),  # 0.7651 to 0.8750
        (8, 8, "inconclusive"),  # from 0.6306: eight of eight say little
        (20, 20, "pass"),  # from 0.8316
    ],
)
def test_a_binary_metric_is_held_to_its_line_by_exact_bounds(correct, of, verdict):
    result = only(shares(correct, of).check({"right": ">= 0.80"}))
    assert result.verdict == verdict
    assert (result.rows_needed is not None) == (verdict == "inconclusive" and correct < of)


def test_exact_bounds_are_those_of_clopper_and_pearson():
    result = only(shares(165, 200).check({"right": ">= 80 %"}))
    assert [round(result.low, 4), round(result.high, 4)] == [0.7651, 0.875]
    # ((1.96 + 0.8416) / 0.025)^2 * 0.825 * 0.175 rows
    assert result.rows_needed == pytest.approx(1813.2, rel=0.01)


@pytest.mark.parametrize(("missing", "verdict"), [(0, "pass"), (4, "pass"), (30, "inconclusive")])
def test_missing_rows_that_could_turn_it_leave_a_gate_inconclusive(missing, verdict):
    assert only(shares(180, 200, missing).check({"right": ">= 0.80"})).verdict == verdict
    assert only(shares(20, 200, missing).check({"right": "<= 0.20"})).verdict == verdict


def test_a_gate_fails_whatever_the_missing_rows_are():
    assert only(shares(100, 200, 10).check({"right": ">= 0.80"})).verdict == "fail"


def test_scores_on_a_scale_and_without_one_go_by_their_interval():
    found = evaluate(rows(["x" * (5 + place % 3) for place in range(60)]), None, [marks, seconds, topic])
    assert only(found.check({"marks": ">= 5"})).verdict == "pass"
    assert only(found.check({"marks": ">= 6"})).verdict == "inconclusive"
    assert only(found.check({"marks": ">= 8"})).verdict == "fail"
    assert only(found.check({"seconds": "<= 1"})).verdict == "pass"
    assert only(found.check({"seconds": "<= 0.5"})).verdict == "fail"
    with pytest.raises(GateError, match="labels"):
        found.check({"topic": ">= 1"})


@pytest.mark.parametrize(
    ("gate", "verdict"),
    [("coverage: >= 0.98", "fail"), ("coverage: >= 0.9", "pass"), ("cost_usd: <= 1.50", "pass")],
)
def test_coverage_and_cost_hold_or_do_not(gate, verdict):
    name, condition = gate.split(": ")
    assert only(shares(180, 190, 10).check({name: condition})).verdict == verdict


def test_the_worst_verdict_is_the_reports():
    found = shares(180, 200)
    assert found.check({"right": ">= 0.80", "coverage": ">= 1"}).verdict == "pass"
    assert found.check({"right": ">= 0.88"}).verdict == "inconclusive"
    assert shares(180, 200, missing=1).check({"right": ">= 0.88", "coverage": ">= 1"}).verdict == "fail"
    assert found.check(right=">= 0.80", max_cost_usd=1).verdict == "pass"


def test_a_run_is_held_against_another_pair_by_pair():
    old = evaluate(rows(["yes"] * 150 + ["no"] * 50), None, right)
    same = evaluate(rows(["yes"] * 149 + ["no"] * 51), None, right)
    worse = evaluate(rows(["yes"] * 120 + ["no"] * 80), None, right)
    better = evaluate(rows(["yes"] * 190 + ["no"] * 10), None, right)
    asks = {"right": "not worse than main by 0.05"}
    assert only(same.check(asks, against=old)).verdict == "pass"
    assert only(worse.check(asks, against=old)).verdict == "fail"
    assert only(same.check({"right": "not worse than main"}, against=old)).verdict == "inconclusive"
    assert only(better.check({"right": "better than main"}, against=old)).verdict == "pass"
    assert only(better.check({"right": "better than main by 0.3"}, against=old)).verdict == "fail"
    assert only(same.check({"right": "better than main"}, against=old)).verdict != "pass"
    # The tag names the run where nothing else does.
    tag_run_of(old, "main")
    assert only(worse.check(asks)).verdict == "fail"


def tag_run_of(evaluation, tag):
    from latent.config import find_workspace

    return tag_run(find_workspace(), evaluation.run_id, tag)


def test_a_run_against_itself_passes_and_is_never_better():
    once = shares(150, 200)
    assert only(once.check({"right": "not worse than main by 0.05"}, against=once)).verdict == "pass"
    assert only(once.check({"right": "better than main"}, against=once)).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        ({"rihgt": ">= 0.8"}, "did you mean 'right'"),
        ({"right": "good"}, "is not a gate"),
        ({"right": "> 0.8"}, "is not a gate"),
        ({"right": 0.8}, "is not a gate"),
        ({"coverage": "not worse than main"}, "compared with a number alone"),
    ],
)
def test_gates_that_cannot_be_checked_are_refused(gates, message):
    found = shares(8, 10)
    with pytest.raises(GateError, match=message):
        found.check(gates, against=found)


def test_a_run_that_no_tag_names_yet_leaves_a_gate_inconclusive():
    """The first run of a flow is checked before any can be tagged; but a run that is named must be there."""
    found = shares(8, 10)
    result = only(found.check({"right": "not worse than main by 0.1"}))
    assert result.verdict == "inconclusive" and "latent runs tag RUN main" in result.why
    with pytest.raises(RunNotFoundError):
        found.check({"right": "not worse than main by 0.1"}, against="nothing")


def test_what_gates_said_is_kept_with_the_evaluation_and_shown_in_its_reports():
    from latent.evals.comparing.gates import keep_gates
    from latent.evals.page.document import html_page
    from latent.evals.records import REPORT

    found = shares(165, 200)
    assert found.gates is None
    report = found.check({"right": ">= 0.80", "coverage": ">= 0.9"})
    kept = keep_gates(found, report)
    read = load_evaluation(found.folder).gates
    assert read is not None and kept.gates is not None
    assert read.results == kept.gates.results == report.results and read.verdict == "inconclusive"
    markdown = (found.folder / REPORT).read_text()
    assert "## Gates: inconclusive" in markdown and "| right | >= 0.80 | 0.825 |" in markdown
    assert "<h2>Gates: inconclusive</h2>" in html_page(load_evaluation(found.folder))
    assert found.score(marks).gates is None, "they were checked on other scores"


def test_gates_are_test_cases_of_junit():
    from xml.etree import ElementTree

    from latent.evals.comparing.gate_text import gates_junit

    report = shares(165, 200).check({"right": ">= 0.80", "coverage": ">= 0.9", "cost_usd": ">= 1"})
    suite = ElementTree.fromstring(gates_junit(report)).find("testsuite")
    assert suite is not None
    assert {name: suite.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "3", "failures": "1", "errors": "1",
    }  # fmt: skip
    right_case, coverage_case, cost_case = suite.findall("testcase")
    assert coverage_case.find("failure") is None and coverage_case.find("error") is None
    assert "rows would settle it" in right_case.find("error").get("message")
    assert cost_case.find("failure").get("message") == "cost_usd is 0.000, asked for >= 1"


def test_nothing_scored_is_inconclusive():
    @scorer
    def never(output: str) -> bool | None:
        return None

    found = evaluate(rows(["yes"] * 5), None, never)
    assert only(found.check({"never": ">= 0"})).verdict == "inconclusive"


@pytest.mark.parametrize("tag", ["last", "3f2a", "", "a b", "../x", "-x"])
def test_tags_that_could_be_something_else_are_refused(tag):
    once = shares(3, 4)
    with pytest.raises(UsageError):
        tag_run_of(once, tag)


def test_a_tag_stands_for_one_run_and_moves():
    from latent.config import find_workspace

    first, second = shares(3, 4), shares(4, 4)
    tag_run_of(first, "main")
    assert load_evaluation("main").run_id == first.run_id
    tag_run_of(second, "main")
    assert load_run(find_workspace(), "main").run_id == second.run_id
    with pytest.raises(RunNotFoundError):
        load_run(find_workspace(), "other")


FLOW = """
from latent.evals import evaluate, scorer
from latent.prefect import flow, params

@scorer
def right(output: str, expected: str) -> bool:
    return output == expected

@flow("quiz")
def quiz():
    assert "gates" not in params
    said = ["yes" if n < params.right else "no" for n in range(100)]
    evaluate([{"id": str(n), "expected": "yes", "output": said[n]} for n in range(100)], None, right)
"""


def test_the_command_ends_with_the_verdicts_code(quick):
    def write(name, text):
        path = quick.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def latent(*words):
        return subprocess.run(
            [sys.executable, "-m", "latent", *words], cwd=quick.root, capture_output=True, text=True,
            env=os.environ,
        )  # fmt: skip

    write("flows/quiz/flow.py", FLOW)
    write("flows/quiz/parameters.yaml", "right: 95\n")
    assert latent("run", "quiz").returncode == 0
    refused = latent("gate")
    assert refused.returncode == 2 and "flows/quiz/parameters.yaml" in refused.stderr
    assert latent("gate", "--gate", "right: >= 0.8").returncode == 0
    write("flows/quiz/parameters.yaml", "right: 95\ngates:\n  right: '>= 0.94'\n")
    assert latent("run", "quiz").returncode == 0
    ended = latent("gate")
    assert ended.returncode == 5 and "inconclusive" in ended.stdout and "would settle it" in ended.stdout
    assert latent("gate", "--inconclusive", "pass").returncode == 0
    assert latent("gate", "--inconclusive", "fail").returncode == 4
    printed = latent("gate", "--junit", "-")
    assert printed.returncode == 5 and printed.stdout.startswith("<?xml")
    assert latent("gate", "--junit", "gates.xml").returncode == 5
    assert (quick.root / "gates.xml").read_text() == printed.stdout
    assert "## Gates: inconclusive" in latent("report", "--md").stdout
    failed = latent("gate", "--gate", "right: >= 0.99", "--md")
    assert failed.returncode == 4 and failed.stdout.startswith("# Gates: fail")
    assert latent("runs", "tag", "last", "main").returncode == 0
    for margin, code in (("0.1", 0), ("0.01", 5)):
        assert latent("gate", "--gate", f"right: not worse than main by {margin}").returncode == code
    assert latent("gate", "main", "--gate", "right: >= 0.8").returncode == 0


def test_gates_that_are_no_mapping_name_their_file(quick):
    from latent.config import load_gates

    file = quick.root / "flows/quiz/parameters.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("gates: [right]\n")
    with pytest.raises(ConfigError, match=r"flows/quiz/parameters.yaml: `gates`"):
        load_gates(quick, "quiz")


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ({"right": ">= 80"}, "beyond its scale, 0.000 to 1.000: is '>= 80 %' meant"),
        ({"coverage": ">= 98"}, "is '>= 98 %' meant"),
        ({"right": "<= -0.1"}, "beyond its scale"),
    ],
)
def test_a_line_that_no_score_can_be_on_both_sides_of_is_refused(gate, said):
    with pytest.raises(GateError, match=said):
        shares(8, 10).check(gate)
