"""
The pytest plugin: one evaluation a test, held to its gates.

    def test_support(evaluation):
        evaluation("support").check(contains=">= 0.80", max_cost_usd=1)

It comes with latent, so pytest loads it in every project: what is heavy is imported when a test asks for it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from latent.evals.asserting import CheckedEvaluation

MODE, FOLDER = "LATENT_RECORDINGS__MODE", "LATENT_RECORDINGS__FOLDER"
PROPERTY = "evaluation"
"""Under which name a test's report, and JUnit's file, say what came of its evaluation."""

_environment = pytest.StashKey[dict[str, str | None]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, in a group of their own."""
    group = parser.getgroup("latent", "evaluations")
    group.addoption(
        "--record", action="store_true", help="keep what models answer in files to commit: recordings/"
    )
    group.addoption(
        "--replay", action="store_true", help="take models' answers from recordings; no key, no network"
    )
    group.addoption("--recordings", metavar="FOLDER", help="where they lie, relative to the workspace")
    group.addoption(
        "--inconclusive",
        choices=("pass", "fail"),
        default="fail",
        help="what becomes of a test whose gates can be told neither passed nor failed (default: fail)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Say by the environment how models are asked, so that child processes know it too."""
    record, replay, folder = (config.getoption(name) for name in ("--record", "--replay", "--recordings"))
    if record and replay:
        raise pytest.UsageError("--record and --replay exclude one another: say one of them.")
    wanted = {MODE: "record" if record else "replay" if replay else None, FOLDER: None}
    if record or replay:
        from latent.config import find_workspace

        # Whole, so that workspaces that tests make for themselves use the same one.
        workspace = find_workspace()
        wanted[FOLDER] = str(workspace.root / (folder or workspace.settings.recordings.folder))
    config.stash[_environment] = {name: os.environ.get(name) for name in wanted}
    os.environ.update({name: value for name, value in wanted.items() if value is not None})


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave the environment as it was."""
    for name, value in config.stash.get(_environment, {}).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each evaluation that was checked."""
    lines = [
        str(text)
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, text in getattr(report, "user_properties", ())
        if name == PROPERTY and getattr(report, "when", None) == "call"
    ]
    if lines:
        terminalreporter.section("evaluations")
        for line in lines:
            terminalreporter.line(line)


class RunEvaluation(Protocol):
    """What the fixture `evaluation` gives."""

    def __call__(self, what: Any, /, **parameters: Any) -> CheckedEvaluation:
        """
        Run an evaluation, and get it with a `check` that is an assertion.

        Args:
            what: The name of a flow, or of a folder of `flows/` that holds only the parameters of a
                `batch_evaluation`; a flow; or an `Evaluation` that the test has made.
            parameters: Of the flow, over those of its `parameters.yaml`.

        Raises:
            EvaluationNotFoundError: The flow has made no evaluation.
        """


@pytest.fixture
def evaluation(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> Iterator[RunEvaluation]:
    """A function that runs an evaluation of the workspace: `evaluation("support").check(right=">= 0.80")`."""
    # `latent.testing`'s workspaces take LATENT_* variables away: this one is meant for them too.
    known = {name: os.environ.get(name) for name in (MODE, FOLDER)}

    def run(what: Any, /, **parameters: Any) -> CheckedEvaluation:
        from latent.evals.asserting import CheckedEvaluation, evaluated

        for name, value in known.items():
            if value is not None:
                monkeypatch.setenv(name, value)
        found = evaluated(what, parameters)
        return CheckedEvaluation(
            found,
            what if isinstance(what, str) else str(found.about["flow"]),
            passes_inconclusive=request.config.getoption("--inconclusive") == "pass",
            tell=lambda text: record_property(PROPERTY, text),
        )

    yield run
