"""
Files that Inspect 0.3.285, lm-eval 0.4.13 and promptfoo 0.121 wrote, as evaluations of ours.

They asked a simulated provider about capitals. What they made of its answers is what we have to find.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from latent.errors import ImportedResultsError, UsageError
from latent.evals import compare, import_evaluation, load_evaluation

DATA = Path(__file__).parent / "data"
SAMPLES = DATA / "samples_capitals_2026-11-30T22-10-23.832799.jsonl"
CHOICES = DATA / "samples_choice_2026-11-30T22-10-49.231798.jsonl"


def test_a_log_of_inspect_has_the_numbers_that_inspect_itself_computed(quick):
    found = import_evaluation("inspect", DATA / "capitals.eval")
    # The log's own results: match 0.667 and length 0.09 over 6 samples of 2 epochs.
    assert found["match"].mean == pytest.approx(4 / 6)
    assert found["includes"].mean == pytest.approx(4 / 6)
    assert found["length"].mean == pytest.approx(0.09)
    assert found["manners.brief"].mean == pytest.approx(5 / 6)
    assert found["match"].kind == "binary"
    assert (found["match"].n, len(found.rows)) == (6, 12), "epochs are repeats"
    assert found.about["target"]["model"] == "openai/gpt-5-mini"


def test_rows_of_inspect_keep_their_columns_answers_reasons_and_tokens(quick):
    found = import_evaluation("inspect", DATA / "capitals.eval")
    row = found.rows[(found.rows["id"] == "spain") & (found.rows["repeat"] == 0)].iloc[0]
    assert (row["question"], row["expected"], row["output"]) == ("Capital of Spain?", "Madrid", "Barcelona")
    assert (row["continent"], row["finish_reason"]) == ("Europe", "stop")
    assert row["input_tokens"] == 9
    assert row["latency_seconds"] > 0
    scores = found.scores
    length = scores[(scores["metric"] == "length") & (scores["id"] == "spain")].iloc[0]
    assert length["reason"] == "characters, by the hundred"


def test_a_log_in_json_and_one_of_choices_are_read_like_the_others(quick):
    found = import_evaluation("inspect", DATA / "capitals.json")
    assert found["match"].mean == pytest.approx(2 / 3), "France and Italy are right, Spain is not"
    choices = import_evaluation("inspect", DATA / "choices.eval")
    assert choices["choice"].mean == 0.5
    assert choices.rows["choices"][0] == ["Paris", "Berlin", "Oslo"]


def test_a_sample_of_inspect_that_failed_is_a_row_without_an_answer(quick):
    found = import_evaluation("inspect", DATA / "tolerant.eval")
    assert (found["match"].n, found["match"].rows, found["match"].missing) == (5, 6, 1)
    assert "400" in found.failures.iloc[0]["reason"]
    assert found["match"].worst == pytest.approx(3 / 6), "the missing one could be wrong"


def test_an_evaluation_of_inspect_that_ended_early_counts_what_it_has_not_done_as_missing(quick):
    found = import_evaluation("inspect", DATA / "failed.eval")
    assert found["match"].rows == 6
    assert found["match"].n == found["match"].rows - found["match"].missing < 6
    assert "status 'error'" in found.about["warnings"][0]


def test_samples_of_lm_eval_have_a_metric_for_each_filter_and_its_numbers(quick):
    found = import_evaluation("lm-eval", SAMPLES)
    # The table of lm-eval: flexible 0.6667, strict 0.5.
    assert found["exact_match.flexible"].mean == pytest.approx(2 / 3)
    assert found["exact_match.strict"].mean == 0.5
    assert found.about["target"]["model"] == "gpt-5-mini"
    assert found.name == "capitals"
    assert list(found.rows["id"])[:2] == ["france", "italy"]
    scores = found.scores
    italy = scores[(scores["id"] == "italy") & (scores["metric"] == "exact_match.strict")].iloc[0]
    assert italy["answer"] == "[invalid]", "what the filter took from the output"


def test_choices_of_lm_eval_show_what_was_likeliest_and_leave_out_what_all_rows_make_together(quick):
    found = import_evaluation("lm-eval", CHOICES)
    lines = [json.loads(line) for line in CHOICES.read_text().splitlines()]
    assert found["acc"].mean == sum(line["acc"] for line in lines) / 4
    assert "brier_score" not in found.metrics
    assert "'brier_score' is made of all rows together" in found.about["warnings"][0]
    assert set(found.rows["output"]) <= {"Paris", "Rome", "Lima", "Oslo", "Nairobi"}
    right = found.rows["output"] == found.rows["expected"]
    assert list(right) == [line["acc"] == 1.0 for line in lines]


def test_each_column_of_promptfoo_is_an_evaluation_with_its_assertions_as_metrics(quick):
    found = import_evaluation("promptfoo", DATA / "promptfoo.json", column=0)
    assert found["pass"].mean == 0.75
    assert found["icontains"].mean == 0.75
    assert (found["length"].n, found["length"].not_applicable) == (1, 3)
    assert found["not-icontains"].n == 1
    assert found.rows["country"].tolist() == ["France", "Italy", "Spain", "Peru"]
    assert found.about["target"]["name"] == "mini"
    assert found.about["target"]["prompt"] == "Capital of {{country}}?"


def test_a_test_of_promptfoo_that_ended_in_an_error_is_missing_and_not_wrong(quick):
    found = import_evaluation("promptfoo", DATA / "promptfoo.json", column=1)
    assert (found["pass"].n, found["pass"].missing, found["pass"].mean) == (3, 1, 1.0)
    assert "400 Bad Request" in found.failures.iloc[0]["reason"]


def test_imported_evaluations_are_loaded_compared_gated_and_scored_further_like_our_own(quick):
    from latent.evals.scorers import contains

    one = import_evaluation("promptfoo", DATA / "promptfoo.json", column=0)
    two = import_evaluation("promptfoo", DATA / "promptfoo.json", column=2)
    assert load_evaluation(one.run_id)["pass"].mean == one["pass"].mean
    assert compare(one, two).metrics["pass"].difference.estimate.value == 0
    assert one.check({"pass": ">= 0.99"}).verdict == "inconclusive"
    inspect = import_evaluation("inspect", DATA / "capitals.eval")
    assert inspect.score(contains)["contains"].mean == pytest.approx(4 / 6)
    assert inspect.score(contains)["match"].mean == pytest.approx(4 / 6)


def broken(folder, name, content):
    """A file of a test's own."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def log_with(**changes):
    """Inspect's JSON log with other fields."""
    return json.dumps(json.loads((DATA / "capitals.json").read_text()) | changes)


def promptfoo_with(**changes):
    """promptfoo's results with other fields."""
    document = json.loads((DATA / "promptfoo.json").read_text())
    document["results"] |= changes
    return json.dumps(document)


@pytest.mark.parametrize(
    ("tool", "content", "says"),
    [
        ("inspect", "{", "not a whole JSON document"),
        ("inspect", "[1]", "but a list"),
        ("inspect", '{"results": {}}', "lacks `version` and `eval`"),
        ("inspect", log_with(version=3), "version 3 of the format, and 2 is the newest"),
        ("inspect", log_with(samples=[{"epoch": 1}]), "another form than inspect writes"),
        ("lm-eval", "", "it holds no rows"),
        ("lm-eval", SAMPLES.read_text()[:-40], "line 12 is not JSON, or cut off"),
        ("lm-eval", '{"results": {}}', "take the samples_....jsonl"),
        ("lm-eval", '{"question": 1}', "lacks 'doc_id'"),
        ("promptfoo", "{", "not a whole JSON document"),
        ("promptfoo", '{"version": 2}', "lacks `results.results`"),
        ("promptfoo", promptfoo_with(version=4), "version 4 of the format"),
        ("promptfoo", promptfoo_with(results=[]), "holds no rows"),
        (
            "promptfoo",
            promptfoo_with(),
            "say --column N\n  0  mini: Capital of {{country}}?\n  1  mini: Which",
        ),
    ],
)
def test_other_files_newer_versions_and_halves_are_refused_by_name(quick, tmp_path, tool, content, says):
    with pytest.raises(ImportedResultsError) as error:
        import_evaluation(tool, broken(tmp_path, "file.json", content))
    assert says in str(error.value)
    assert f"results of {tool}" in str(error.value)


def test_damaged_and_foreign_zip_files_are_refused(quick, tmp_path):
    whole = (DATA / "capitals.eval").read_bytes()
    with pytest.raises(ImportedResultsError, match="not a whole JSON"):
        import_evaluation("inspect", broken(tmp_path, "half.eval", whole[: len(whole) // 2]))
    with pytest.raises(ImportedResultsError, match="damaged"):
        import_evaluation("inspect", broken(tmp_path, "spoiled.eval", b"\0" * 3000 + whole[3000:]))
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(ImportedResultsError, match="not a log of Inspect"):
        import_evaluation("inspect", tmp_path / "other.zip")


def test_wrong_use_is_told(quick, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'inspect'"):
        import_evaluation("inspct", DATA / "capitals.eval")
    with pytest.raises(UsageError, match="it is not there"):
        import_evaluation("inspect", tmp_path / "gone.eval")
    with pytest.raises(UsageError, match="is for promptfoo"):
        import_evaluation("inspect", DATA / "capitals.eval", column=1)
    with pytest.raises(ImportedResultsError, match=r"no column 9: there are \[0, 1, 2, 3\]"):
        import_evaluation("promptfoo", DATA / "promptfoo.json", column=9)


@pytest.fixture
def command(quick, tmp_path):
    """A function that runs a command in a folder with the files."""
    import subprocess
    import sys

    shutil.copy(DATA / "capitals.eval", quick.root / "log.eval")

    def run(*words):
        return subprocess.run(
            [sys.executable, "-m", "latent", *words],
            cwd=quick.root,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def test_the_command_line_takes_a_log_over_shows_its_table_and_writes_its_page(quick, command):
    ended = command("eval", "--from", "inspect", "log.eval")
    assert ended.returncode == 0, ended.stderr
    assert "manners.brief" in ended.stdout
    assert (load_evaluation("last").folder / "report.html").exists()
    refused = command("eval", "log.eval", "--from", "inspect", "--score", "contains")
    assert refused.returncode == 2
    assert "latent score last --with" in refused.stderr
