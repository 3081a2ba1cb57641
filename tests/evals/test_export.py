"""Evaluations for other programs: tables that spreadsheets may open, XML that CI reads."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest

from latent.errors import EvaluationNotFoundError, UsageError
from latent.evals import Abstain, evaluate, load_evaluation, scorer
from latent.evals.export import csv_text, long_table

pytestmark = pytest.mark.usefixtures("quick")

FORMULAS = ['=HYPERLINK("http://x")', "+1", "-1+1", "@SUM(A1)", "\t=1", " =1"]


@scorer
def right(output: str, expected: str) -> bool:
    if output == "unclear":
        raise Abstain("it cannot be told")
    return output == expected


@scorer
def topic(output: str) -> str:
    return output[:3]


@scorer
def length(output: str, limit: int) -> int:
    return len(output)


def made():
    rows = [
        {"id": "a", "expected": "yes", "output": "yes", "limit": 4},
        {"id": "b", "expected": "yes", "output": "no\x00\x1b[31m & <b>", "limit": None},
        {"id": "c", "expected": "yes", "output": "unclear", "limit": 4},
    ]
    return evaluate(rows, None, [right, topic, length], name="tea & rye")


def test_the_long_table_has_a_line_for_each_row_repeat_and_metric():
    found = evaluate(
        [{"id": "a", "n": 1, "expected": "1"}, {"id": "b", "n": 2, "expected": "1"}],
        lambda n: str(n),
        [right, topic],
        repeats=2,
    ).long()
    assert len(found) == 2 * 2 * 2
    line = found[(found["id"] == "b") & (found["repeat"] == 1) & (found["metric"] == "right")].iloc[0]
    assert (line["value"], line["output"], line["answer_outcome"]) == (0, "2", "ok")
    assert line["input"] == '{"id":"b","n":2}'
    assert found[found["metric"] == "topic"]["label"].tolist() == ["1", "2", "1", "2"]


def test_rows_without_scorers_have_a_line_too():
    assert long_table(evaluate([{"id": "a", "output": "x"}], None)).to_pylist()[0]["metric"] is None


@pytest.mark.parametrize("text", FORMULAS)
def test_text_in_csv_is_no_formula_and_numbers_stay_numbers(text):
    @scorer(scale=(-5, 5))
    def value(output: str) -> int:
        return -1

    found = csv_text(evaluate([{"id": text, "output": text, "expected": text}], None, value))
    (line,) = csv.DictReader(io.StringIO(found))
    assert all(line[name].startswith("'") for name in ("id", "output", "expected"))
    assert line["value"] == "-1.0"


def test_csv_spells_control_characters_out_and_keeps_lines():
    found = csv_text(evaluate([{"id": "a", "output": 'one\n"two"\x00\x1b,three'}], None, topic))
    (line,) = csv.DictReader(io.StringIO(found))
    assert line["output"] == 'one\n"two"\\x00\\x1b,three'


def test_junit_tells_failures_from_what_is_missing_and_from_what_does_not_apply(tmp_path):
    root = ElementTree.fromstring(made().export(tmp_path / "report.xml").read_text())
    suites = {suite.get("name"): suite for suite in root}
    counts = {
        name: [suite.get(kind) for kind in ("tests", "failures", "errors", "skipped")]
        for name, suite in suites.items()
    }
    assert counts == {
        "tea & rye.right": ["3", "1", "1", "0"],
        "tea & rye.topic": ["3", "0", "0", "0"],
        "tea & rye.length": ["3", "0", "0", "1"],
    }
    cases = suites["tea & rye.right"].findall("testcase")
    assert [case.get("name") for case in cases] == ["a", "b", "c"]
    assert cases[1].find("failure").text == "expected: yes\noutput: no\\x00\\x1b[31m & <b>"
    assert cases[2].find("error").get("message") == "abstained: it cannot be told"
    # What Ant's schema asks of each suite beside Jenkins', in this order.
    assert [child.tag for child in suites["tea & rye.topic"]] == [
        "properties", "testcase", "testcase", "testcase", "system-out", "system-err",
    ]  # fmt: skip
    for suite in root:
        assert {"package", "id", "timestamp", "hostname", "time"} <= set(suite.keys())


def test_a_file_is_written_as_its_suffix_says(tmp_path):
    evaluation = made()
    assert pq.read_table(evaluation.export(tmp_path / "all.parquet")).num_rows == 9
    assert evaluation.export(tmp_path / "all.csv").read_text().startswith("id,repeat,metric,")
    assert evaluation.export(tmp_path / "all.md").read_text().startswith("# tea & rye")
    assert evaluation.export(tmp_path / "all.html").read_text().startswith("<!doctype html>")
    with pytest.raises(UsageError, match=r"suffix is one of \.html"):
        evaluation.export(tmp_path / "all.xlsx")


def test_secrets_are_masked_in_every_format(tmp_path, monkeypatch):
    monkeypatch.setenv("SUPPORT_API_KEY", "hush-hush-hush")
    evaluation = evaluate([{"id": "a", "output": "hush-hush-hush"}], None, topic)
    for suffix in ("csv", "md", "xml", "html"):
        assert "hush-hush-hush" not in evaluation.export(tmp_path / f"all.{suffix}").read_text()
    (line,) = pq.read_table(evaluation.export(tmp_path / "all.parquet")).to_pylist()
    assert line["output"] == "***"


def test_the_command_prints_text_and_writes_tables(quick):
    folder = made().folder

    def latent(*words):
        return subprocess.run(
            [sys.executable, "-m", "latent", "report", *words], cwd=quick.root, capture_output=True, text=True
        )

    assert latent("--csv").stdout.startswith("id,repeat,metric,")
    assert latent("--junit").stdout.startswith("<?xml")
    assert "report.parquet" in latent("--parquet").stdout and (folder / "report.parquet").exists()
    assert latent("-o", "all.xml").returncode == 0
    assert (quick.root / "all.xml").read_text().startswith("<?xml")
    refused = latent("--csv", "--junit")
    assert refused.returncode == 2 and "one at a time" in refused.stderr


@pytest.mark.parametrize(("state", "said"), [("running", "still running"), ("failed", "it failed before")])
def test_a_run_without_an_evaluation_says_why(quick, make_workspace, state, said):
    from latent.files import read_json, replace_json

    evaluation = made()
    run = evaluation.folder.parent.parent
    (evaluation.folder / "evaluation.json").unlink()
    record = read_json(run / "run.json")
    replace_json(run / "run.json", {**record, "state": state})
    said = said if state != "running" else "(still running|it crashed)"
    with pytest.raises(EvaluationNotFoundError, match=said):
        load_evaluation(evaluation.run_id)
