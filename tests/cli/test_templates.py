"""Every template runs as it stands, with no key and no network, and does what its README says."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from latent.testing.plugin import MakeWorkspace
from tests.cli.conftest import Cli

Init = Callable[[str], Path]


@pytest.fixture
def init(latent: Cli, make: MakeWorkspace) -> Init:
    def of_template(template: str) -> Path:
        root = make({}).root
        ended = latent("init", "--force", "--template", template)
        assert ended.code == 0, ended.err
        return root

    return of_template


def test_default_cleans_labels_and_counts(latent: Cli, init: Init) -> None:
    root = init("default")
    ended = latent("run", "reviews")
    assert ended.code == 0, ended.err
    # By hand: `Great` and `ok` have fewer than two words; of the others 5 praise, 4 complain, 1 does neither.
    assert json.loads((root / "data/summary.json").read_text()) == {
        "chair": {"positive": 2, "negative": 1},
        "kettle": {"negative": 2, "positive": 1, "mixed": 1},
        "lamp": {"positive": 2, "negative": 1},
    }
    assert "everything was reused" in latent("run", "reviews").out
    # Shorter reviews are left out now; all that are left were labelled before.
    fewer = latent("run", "reviews", "-p", "min_words=7")
    assert [line.split()[:3] for line in fewer.out.splitlines()[2:4]] == [
        ["clean", "1", "ok"],
        ["mood", "7", "cached"],
    ]


def test_default_counts_again_when_its_words_change(latent: Cli, init: Init) -> None:
    root = init("default")
    latent("run", "reviews")
    file = root / "flows/reviews/parameters.yaml"
    file.write_text(file.read_text().replace("bad, ", ""))
    again = latent("run", "reviews")
    # `clean` reads only `min_words`; every label read the list that changed.
    assert [line.split()[:3] for line in again.out.splitlines()[2:4]] == [
        ["clean", "1", "cached"],
        ["mood", "10", "ok"],
    ]


def test_minimal_greets(latent: Cli, init: Init) -> None:
    init("minimal")
    assert "Result:  Hello, world!" in latent("run", "hello").out
    assert "Result:  Hello, Ada!" in latent("run", "hello", "-p", "name=Ada").out


def test_new_flow_runs(latent: Cli, init: Init) -> None:
    init("minimal")
    assert latent("new", "flow", "answers").code == 0
    assert "Result:  Hello, world!" in latent("run", "answers").out


def table_of(root: Path) -> dict[str, dict[str, str]]:
    with (root / "data/scores.csv").open(newline="") as file:
        return {line["value"] or "all": line for line in csv.DictReader(file)}


def test_evaluation_tabulates_scores(latent: Cli, init: Init) -> None:
    root = init("evaluation")
    ended = latent("run", "routing")
    assert ended.code == 0, ended.err
    table = table_of(root)
    # By hand: `The invoice page crashes` goes to billing; the white screen, the two-factor codes and the logo
    # hold none of the words.
    counts = {desk: (int(t["rows"]), int(t["n"]), float(t["mean"])) for desk, t in table.items()}
    assert counts == {
        "all": (22, 19, pytest.approx(18 / 19)),
        "account": (6, 5, 1),
        "billing": (6, 6, 1),
        "other": (4, 3, 1),
        "technical": (6, 5, 0.8),
    }
    assert float(table["all"]["worst"]) == pytest.approx(18 / 22)
    assert float(table["all"]["best"]) == pytest.approx(21 / 22)
    # Wilson's interval for 18 of 19 with z = 1.96: 0.8721 - 0.1185 to 0.8721 + 0.1185.
    assert float(table["all"]["ci_low"]) == pytest.approx(0.7536, abs=1e-4)
    assert float(table["all"]["ci_high"]) == pytest.approx(0.9906, abs=1e-4)


def test_evaluation_keeps_rows_without_an_answer(latent: Cli, init: Init) -> None:
    root = init("evaluation")
    file = root / "flows/routing/parameters.yaml"
    file.write_text("desks:\n  billing: [invoice]\n")
    assert latent("run", "routing").code == 0
    table = table_of(root)
    assert (table["account"]["n"], table["account"]["mean"]) == ("0", "")
    assert (table["account"]["worst"], table["account"]["best"]) == ("0.0", "1.0")
