"""Judge agreement: the digits that PandaLM publishes, and those that stand beside them in the README."""

from __future__ import annotations

from pathlib import Path

import pytest

from latent.evals import Evaluation, load_evaluation
from latent.prefect.running import run
from tests.examples.conftest import EXAMPLES, files_of, forget_flows

README = (EXAMPLES / "judge_agreement" / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def evaluations(make_workspace) -> dict[str, Evaluation]:
    """The evaluation of each judge; the flow's own result under no name."""
    forget_flows()
    result = run(make_workspace(files_of("judge_agreement")), "judge_agreement")
    assert result.error is None
    # Published (PandaLM, README): kappa of the annotators .85, .88, .86.
    assert [*result.value.values()] == [0.852, 0.879, 0.862]
    return {name: load_evaluation("last", name) for name in ("gpt_35_turbo", "pandalm_7b")}


def test_the_published_figures_are_met_and_unreadable_verdicts_are_taken_out_of_them(evaluations):
    # Published (PandaLM, README): accuracy, precision, recall, F1 of both judges against people.
    names = ("as_published", "as_published.precision", "as_published.recall", "as_published.f1")
    shown = {judge: [round(found[name].mean, 4) for name in names] for judge, found in evaluations.items()}
    assert shown["gpt_35_turbo"] == [0.7107, 0.5879, 0.5736, 0.5755]
    assert shown["pandalm_7b"] == [0.6677, 0.5738, 0.5750, 0.5743]

    read = evaluations["gpt_35_turbo"]["agrees"]
    # 697 of 974 readable verdicts; bounds (697 + 0) / 999 and (697 + 25) / 999.
    assert (read.n, read.rows, read.missing) == (974, 999, 25)
    assert [round(value, 4) for value in (read.mean, read.worst, read.best)] == [0.7156, 0.6977, 0.7227]
    assert round(evaluations["gpt_35_turbo"]["agrees.kappa"].mean, 4) == 0.4929
    assert evaluations["pandalm_7b"]["agrees"].missing == 0


def test_the_readme_shows_what_comes_out(evaluations):
    found = evaluations["gpt_35_turbo"]
    read = found["agrees"]
    assert f"{read.ci_low:.4f} to {read.ci_high:.4f}" in README
    macro = [found[f"agrees.{name}"].mean for name in ("precision", "recall", "f1")]
    assert ", ".join(f"{value:.4f}" for value in macro) in README


def test_the_extract_is_small():
    assert Path(EXAMPLES / "judge_agreement/data/verdicts.csv").stat().st_size < 100_000
