"""Published numbers of public data sets, computed from the data themselves."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from statistics import mode
from typing import Any

import pytest

from latent.evals.stats import (
    classify,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    mean_interval,
    missing_bounds,
    paired_difference,
)

SHARED = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture(scope="module")
def solutions() -> list[dict[str, Any]]:
    path = SHARED / "qa" / "gsm8k" / "example_model_solutions.jsonl"
    if not path.is_file():
        pytest.skip("GSM8K does not lie in ../shared/data")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def pandalm() -> dict[str, list[Any]]:
    folder = SHARED / "judgments" / "pandalm"
    if not folder.is_dir():
        pytest.skip("PandaLM does not lie in ../shared/data")
    people = json.loads((folder / "testset-v1.json").read_text(encoding="utf-8"))
    gpt = json.loads((folder / "gpt-3.5-turbo-testset-v1.json").read_text(encoding="utf-8"))
    own = json.loads((folder / "pandalm-7b-testset-v1.json").read_text(encoding="utf-8"))
    return {
        "people": [[row[f"annotator{number}"] for number in (1, 2, 3)] for row in people],
        "gpt": [{"1": 1, "2": 2, "Tie": 0}.get(str(row["gpt_result"])) for row in gpt],
        "pandalm": [int(row["pandalm_result"]) for row in own],
    }


class TestGsm8k:
    @pytest.mark.parametrize(
        ("system", "correct"),
        [
            ("6b_finetuning", 286),
            ("6b_verification", 515),
            ("175b_finetuning", 458),
            ("175b_verification", 742),
        ],
    )
    def test_each_system_solves_as_many_as_published(self, solutions, system, correct):
        estimate = mean_interval([row[system]["is_correct"] for row in solutions])
        assert (estimate.value, estimate.n) == (correct / 1319, 1319)

    def test_the_best_system_has_wilsons_interval(self, solutions):
        estimate = mean_interval([row["175b_verification"]["is_correct"] for row in solutions])
        assert (estimate.ci_low, estimate.ci_high) == pytest.approx((0.53563, 0.58910), abs=5e-6)

    @pytest.mark.parametrize(
        ("new", "old", "gained", "lost", "value", "interval", "p"),
        [
            ("175b_verification", "175b_finetuning", 360, 76, 0.2153, (0.1866, 0.2442), 1.75e-45),
            ("175b_finetuning", "6b_verification", 152, 209, -0.0432, (-0.0715, -0.0151), 0.00269),
        ],
    )
    def test_two_systems_on_the_same_problems(self, solutions, new, old, gained, lost, value, interval, p):
        difference = paired_difference(
            *([row[each]["is_correct"] for row in solutions] for each in (new, old))
        )
        assert (difference.gained, difference.lost) == (gained, lost)
        assert difference.estimate.value == pytest.approx(value, abs=5e-5)
        assert (difference.estimate.ci_low, difference.estimate.ci_high) == pytest.approx(interval, abs=5e-5)
        assert difference.p_value == pytest.approx(p, rel=2e-3)


class TestPandaLm:
    def test_people_agree_as_published(self, pandalm):
        raters = list(zip(*pandalm["people"], strict=True))
        kappas = [cohen_kappa(*pair) for pair in combinations(raters, 2)]
        assert sorted(round(kappa, 3) for kappa in kappas) == [0.852, 0.862, 0.879]
        assert fleiss_kappa(pandalm["people"]) == pytest.approx(0.8642, abs=5e-5)
        # Without missing ratings alpha is Fleiss' kappa but for a correction of the size of the sample.
        assert krippendorff_alpha(pandalm["people"]) == pytest.approx(0.8642, abs=1e-3)

    @pytest.mark.parametrize(
        ("judge", "published"),
        [("gpt", (0.7107, 0.5879, 0.5736, 0.5755)), ("pandalm", (0.6677, 0.5738, 0.5750, 0.5743))],
    )
    def test_judges_score_as_published_when_what_is_unreadable_counts_as_a_tie(
        self, pandalm, judge, published
    ):
        metrics = classify([mode(row) for row in pandalm["people"]], [each or 0 for each in pandalm[judge]])
        ours = (metrics.accuracy, metrics.precision, metrics.recall, metrics.f1)
        assert ours == pytest.approx(published, abs=5e-5)

    def test_and_honestly(self, pandalm):
        pairs = [
            (mode(row), verdict)
            for row, verdict in zip(pandalm["people"], pandalm["gpt"], strict=True)
            if verdict is not None
        ]
        metrics = classify(*zip(*pairs, strict=True))
        assert (metrics.n, round(metrics.accuracy, 4), round(metrics.kappa, 4)) == (974, 0.7156, 0.4929)
        bounds = missing_bounds([one == other for one, other in pairs], 999 - metrics.n)
        assert (bounds.worst, bounds.best) == pytest.approx((0.6977, 0.7227), abs=5e-5)
        assert metrics.n / 999 == pytest.approx(0.975, abs=5e-4)
