"""`latent compare` as a user meets it: two runs, several, why they differ, and what finding out costs."""

from __future__ import annotations

import json
import re

import pytest

from latent.evals import load_evaluation
from tests.cli.conftest import Cli

ROWS = [{"id": f"q{n}", "question": f"number {n}", "expected": "yes"} for n in range(20)]
MODEL = "openai:gpt-5-mini"


class Simulated:
    """The new prompt mends rows 0 to 4, the new model 5 to 7; Yes is for the scorer to judge."""

    def respond(self, call):
        n = int(re.search(r"number (\d+)", call.prompt).group(1))
        if n < 5:
            return "yes" if "Think" in call.prompt else "no"
        if n < 8:
            return "yes" if call.model == "gpt-5" else "no"
        return "Yes" if n < 10 else "yes"


@pytest.fixture
def provider(make_provider_simulator):
    return make_provider_simulator(answer=Simulated())


@pytest.fixture
def runs(latent: Cli, make, provider):
    make({"rows.jsonl": "\n".join(map(json.dumps, ROWS)), "flows/x/flow.py": ""})

    def evaluated(model, prompt, scorer):
        ended = latent("eval", "rows.jsonl", "--model", model, "--prompt", prompt, "--score", scorer)
        assert ended.code == 0, ended.err
        return load_evaluation("last").run_id

    return [
        evaluated(MODEL, "{{ question }}", "exact_match(strict=True)"),
        evaluated("openai:gpt-5", "Think. {{ question }}", "exact_match"),
        evaluated("openai:gpt-5", "Think. {{ question }}", "exact_match(strict=True)"),
    ]


def test_causes_are_planned_paid_once_and_told(latent: Cli, runs, provider):
    old, new, _ = runs
    refused = latent("compare", old, new)
    assert refused.code == 2
    assert "'exact_match' is another one now" in refused.err and "--rejudge" in refused.err
    before = provider.record().requests
    planned = latent("compare", old, new, "--causes", "--plan")
    assert planned.code == 0, planned.err
    # Two cells of 20 rows, and 10 flips once more on each side.
    assert "would make 60 calls" in planned.out and re.search(r"^Total", planned.out, re.M)
    assert provider.record().requests == before
    told = latent("compare", old, new, "--causes")
    assert told.code == 0, told.err
    assert provider.record().requests == before + 60
    counts = dict(re.findall(r"^(prompt|model|scorer|noise|all) +(\d+)", told.out, re.M))
    assert counts == {"prompt": "5", "model": "3", "scorer": "2", "noise": "0", "all": "10"}
    again = latent("compare", old, new, "--causes", "--md")
    assert again.out.startswith("# Comparison") and "| prompt | 5 |" in again.out
    assert provider.record().requests == before + 60


def test_rejudged_runs_are_scored_with_the_newer_scorers(latent: Cli, runs, provider):
    before = provider.record().requests
    told = latent("compare", *runs[:2], "--rejudge")
    assert told.code == 0, told.err
    # 10 to 19 and the two that said Yes are right in the old run by the new scorer.
    assert re.search(r"^exact_match +0\.600 +1\.000 ", told.out, re.M)
    assert provider.record().requests == before


def test_more_than_two_runs_are_ranked(latent: Cli, runs):
    told = latent("compare", *runs, "--rejudge")
    assert told.code == 0, told.err
    assert "20 rows are the same in all 3." in told.out
    assert re.search(r"exact_match: batch_evaluation \w+, batch_evaluation \w+ are tied", told.out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--causes"], "name two"),
        (["--plan"], "Only --causes and --rejudge ask for anything"),
    ],
)
def test_what_makes_no_sense_together_is_refused(latent: Cli, runs, words, said):
    given = runs if words == ["--causes"] else runs[:2]
    ended = latent("compare", *given, *words)
    assert ended.code == 2 and said in ended.err
