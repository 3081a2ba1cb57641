"""`latent eval` and `latent score`: an evaluation without a line of code, in any folder."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from latent.evals import load_evaluation
from tests.cli.conftest import Cli, environment

ROWS = [
    {"id": "a", "question": "2 + 2", "expected": "4", "output": "It is 4"},
    {"id": "b", "question": "3 + 3", "expected": "6", "output": "It is 7"},
    {"id": "c", "question": "5 + 5", "expected": "10", "output": "10"},
]
ASK = ("--model", "openai:gpt-5-mini", "--prompt", "What is {{ question }}?")


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def folder(make):
    """A workspace with rows whose outputs are there, and rows to be asked."""
    bare = [{key: value for key, value in row.items() if key != "output"} for row in ROWS]
    return make({"answers.jsonl": lines(ROWS), "questions.jsonl": lines(bare)})


@pytest.fixture
def provider(make_provider_simulator):
    def answer(said):
        if said.startswith("You grade"):
            return '{"reason": "because", "score": 3}'
        return "4" if "2 + 2" in said else None

    return make_provider_simulator(answer=answer)


def test_answers_are_scored_in_any_folder_without_a_key(cli: Cli, tmp_path):
    (tmp_path / "answers.jsonl").write_text(lines(ROWS))
    first = cli("eval", "answers.jsonl", "--score", "contains", "--score", "numeric")
    assert first.code == 0, first.err
    assert f"No workspace here: results are kept in {tmp_path / '.latent'}." in first.out
    assert re.search(
        r"^METRIC +MEAN +95 % INTERVAL +ROWS +IF MISSING ARE WORST / BEST +VISIBLE FROM", first.out, re.M
    )
    assert re.search(r"^contains +0\.667 +0\.208 to 0\.939 +3 of 3 +0\.667 / 0\.667", first.out, re.M)
    assert re.search(r"^Saved: +batch_evaluation\.report \(\.latent/runs/", first.out, re.M)
    again = cli("eval", "answers.jsonl", "--score", "contains", "--score", "numeric")
    assert "No workspace here" not in again.out
    assert "everything was reused" in again.out
    shown = cli("runs", "show", "last")
    assert re.search(r"^contains +0\.667", shown.out, re.M)


def test_a_prompt_may_be_longer_than_a_files_name(latent: Cli, folder, provider):
    long = "Think. " * 60 + "{{ question }}"
    done = latent(
        "eval", "questions.jsonl", "--model", "openai:gpt-5-mini", "--prompt", long, "--score", "contains"
    )
    assert done.code == 0, done.err
    assert provider.record().requests == 3


def test_a_model_is_asked_judged_and_scored_again(latent: Cli, folder, provider):
    judge = ("--judge", "Is it right?", "--judge-model", "anthropic:claude-opus-4-6")
    done = latent("eval", "questions.jsonl", *ASK, "--score", "contains", *judge)
    assert re.search(r"^contains +0\.333", done.out, re.M)
    assert re.search(r"^judge ", done.out, re.M)
    asked = provider.record().asked
    assert sorted(prompt for prompt in asked if prompt.startswith("What is")) == [
        f"What is {row['question']}?" for row in ROWS
    ]
    before = provider.record().requests
    scored = latent("score", "--with", "exact_match", "--with", "contains")
    assert scored.code == 0, scored.err
    assert provider.record().requests == before
    metrics = load_evaluation().metrics
    assert [name for name in metrics if "." not in name] == ["judge", "exact_match", "contains"]
    assert metrics["exact_match"].mean == pytest.approx(1 / 3)


def test_recorded_answers_are_replayed_without_a_provider(latent: Cli, folder, provider, monkeypatch):
    recorded = latent("eval", "questions.jsonl", *ASK, "--score", "contains", "--record")
    assert recorded.code == 0, recorded.err
    assert (folder.root / "recordings" / "openai-gpt-5-mini.jsonl").exists()
    provider.stop()
    monkeypatch.delenv("OPENAI_API_KEY")
    replayed = latent("eval", "questions.jsonl", *ASK, "--score", "contains", "--replay")
    assert replayed.code == 0, replayed.err
    (line,) = re.findall(r"^contains.*", recorded.out, re.M)[-1:]
    assert line in replayed.out
    assert "LATENT_RECORDINGS__MODE" not in os.environ
    both = latent("eval", "questions.jsonl", *ASK, "--record", "--replay")
    assert both.code == 2
    assert "exclude one another" in both.err


def test_a_plan_tells_the_price_and_sends_nothing(latent: Cli, folder, provider):
    judge = ("--judge", "Is it right?", "--judge-model", "anthropic:claude-opus-4-6")
    planned = latent("eval", "questions.jsonl", *ASK, "--score", "contains", *judge, "--plan")
    assert planned.code == 0, planned.err
    assert re.search(r"openai:gpt-5-mini +3 ", planned.out)
    assert re.search(r"anthropic:claude-opus-4-6 +[34] ", planned.out)  # a row may be judged twice
    assert provider.record().requests == 0


def test_own_scorers_come_from_a_file(latent: Cli, folder, make):
    head = "from latent.evals import scorer"
    make({"mine.py": f"{head}\n\n@scorer\ndef short(output):\n    return len(output) < 3\n"})
    done = latent("eval", "answers.jsonl", "--score", "mine.py:short")
    assert re.search(r"^short +0\.333", done.out, re.M)
    missing = latent("eval", "answers.jsonl", "--score", "mine.py:shrt")
    assert (missing.code, "did you mean 'short'" in missing.err) == (2, True)


def test_own_scorers_come_from_the_flows_file(latent: Cli, folder, make):
    assert latent("new", "flow", "quiz", "--from", "batch_evaluation").code == 0
    file = folder.root / "flows/quiz/flow.py"
    file.write_text(
        file.read_text()
        + "\nfrom latent.evals import scorer\n\n@scorer\ndef long(output):\n    return len(output) > 3\n"
    )
    make({"flows/quiz/catalog.yaml": "results: data/results.json\nreport: data/report.md\n"})
    done = latent(
        "run", "quiz", "-p", "dataset=answers.jsonl", "-p", "scorers=[long, {contains: {ignore_case: true}}]"
    )
    assert done.code == 0, done.err
    assert re.search(r"^long +0\.667", done.out, re.M)
    results = json.loads((folder.root / "data/results.json").read_text())
    assert results[0]["response"] == "It is 4"
    assert {"id", "response", "input_tokens", "output_tokens", "score", "reason", "long", "contains"} <= set(
        results[0]
    )
    assert "## Metrics" in (folder.root / "data/report.md").read_text()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere.jsonl", "--score", "contains"], "no such file"),
        (["answers.jsonl", "--score", "contain"], "did you mean 'contains'"),
        (["answers.jsonl", "--score", "contains(any=1)"], "no option 'any'"),
        (["answers.jsonl", "--score", "contains('x')"], "options are written"),
        (["answers.jsonl", "--score", "nowhere.py:f"], "no file 'nowhere.py'"),
        (["questions.jsonl", "--score", "contains"], "needs a column 'output'"),
        (["answers.jsonl", "--judge", "Is it right?"], "--judge needs --judge-model"),
        (["answers.jsonl", "--judge-model", "local:smollm2"], "--judge-model needs to know"),
        (["questions.jsonl", "--model", "openai:gpt-5-mini", "--prompt", "missing.md"], "missing.md"),
        (["questions.jsonl", "--model", "openai:gpt-5-mini", "--prompt", "{{ qestion }}"], "mean 'question'"),
        (["answers.jsonl", "--score", "contains", "--cluster", "doc"], "column 'doc'"),
        (["answers.jsonl", "-p", "judge={model: local:smollm2}"], "needs a rubric"),
        (
            ["answers.jsonl", "-p", "judge={model: local:smollm2, rubric: Ok?, modle: x}"],
            "did you mean 'model'",
        ),
        (["answers.jsonl", "--repeats", "0"], "repeats"),
    ],
)
def test_slips_are_told_and_end_with_2(latent: Cli, folder, provider, args, said):
    ended = latent("eval", *args)
    assert said in ended.err
    assert ended.code == 2
    assert provider.record().requests == 0


def test_a_scorer_that_scored_nothing_ends_with_1(latent: Cli, folder, make):
    make({"mine.py": "def broken(output):\n    raise ZeroDivisionError('no')\n"})
    ended = latent("eval", "answers.jsonl", "--score", "mine.py:broken")
    assert ended.code == 1
    assert "'broken' has scored none of 3 rows. ZeroDivisionError: no" in ended.err
    assert re.search(r"^broken +not scored +0 of 3", ended.out, re.M)


def test_scoring_a_run_that_is_not_there_says_so(latent: Cli, folder):
    assert latent("score", "nothing", "--with", "contains").code == 2
    none = latent("score", "--with", "contains")
    assert "no run of this workspace has an evaluation" in none.err
    latent("eval", "answers.jsonl", "--score", "contains")
    assert "Which scorers?" in latent("score").err


def test_a_budget_stops_cleanly_and_the_rest_is_told(latent: Cli, folder, make, provider):
    rows = [{"id": n, "question": f"{n} + 1", "expected": str(n + 1)} for n in range(60)]
    make({"many.jsonl": lines(rows)})
    ended = latent("eval", "many.jsonl", *ASK, "--score", "contains", "--max-calls", "20")
    assert ended.code == 3
    metric = load_evaluation()["contains"]
    assert (metric.n, metric.rows, metric.outcomes["skipped"]) == (20, 60, 40)
    assert metric.worst < metric.mean < metric.best
    assert latent("eval", "many.jsonl", *ASK, "--score", "contains").code == 0
    assert provider.record().requests == 60
    assert not provider.record().duplicates


def test_a_refreshed_judge_is_asked_again_once_for_each_grade(latent: Cli, folder, provider):
    judge = ("--judge", "Is it right?", "--judge-model", "anthropic:claude-opus-4-6")
    latent("eval", "questions.jsonl", *ASK, *judge)
    latent("eval", "questions.jsonl", *ASK, "--slice", "nothing", *judge)  # the last run has no tasks

    def graded(*given):
        provider.clear()
        assert latent("eval", "questions.jsonl", *ASK, *judge, *given).code == 0
        assert not [prompt for prompt in provider.record().asked if prompt.startswith("What is")]
        return provider.record().requests

    assert graded() == 0
    assert graded("--refresh", "judge:index < 2") == 2
    assert (
        "would make 3 calls"
        in latent("eval", "questions.jsonl", *ASK, *judge, "--refresh", "judge", "--plan").out
    )
    assert graded("--refresh", "judge") == 3


@pytest.mark.chaos
def test_killed_evaluation_pays_only_what_was_under_way_again(tmp_path, make_provider_simulator):
    """kill -9 at 60 % of the answers: the next run asks for the other 40 %, and for those in flight."""
    provider = make_provider_simulator(latency=0.05)
    rows = [{"id": n, "question": f"number {n}", "expected": str(n)} for n in range(200)]
    (tmp_path / "many.jsonl").write_text(lines(rows))
    command = [sys.executable, "-m", "latent", "eval", "many.jsonl", *ASK, "--score", "contains"]
    env = environment(**provider.environment)
    child = subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while sum(provider.record().answered.values()) < 120:
        assert child.poll() is None, "it ended before it was killed"
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    again = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert sum(provider.record().duplicates.values()) <= 32  # rows under way at once
    assert len(provider.record().answered) == 200
    assert re.search(r"200 of 200", again.stdout)
