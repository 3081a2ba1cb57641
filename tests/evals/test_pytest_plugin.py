"""The pytest plugin: an evaluation a test, in real sessions of pytest in a workspace of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from latent.testing import ProviderSimulator
from latent.testing.workspace import write_files

PLUGIN = "latent.evals.pytest_plugin"
SETTINGS = "[tracking]\nenabled = false\n[tasks]\nretry_delay_seconds = 0\n"

FLOW = """
from latent.evals import evaluate, scorer
from latent.prefect import flow


@scorer
def right(output: str, expected: str) -> bool:
    return output == expected


def rows(right, wrong):
    said = ["yes"] * right + ["no"] * wrong
    return [{"id": f"q{n}", "expected": "yes", "output": text} for n, text in enumerate(said)]


@flow("support")
def support(good: int = 95, bad: int = 5):
    return evaluate(rows(good, bad), None, right)
"""

ASKING = """
from latent.evals import evaluate
from latent.evals.scorers import exact_match
from latent.llm import Model
from latent.prefect import flow


@flow("asking")
def asking(prompt: str = "Say: {{ word }}"):
    rows = [{"id": word, "word": word, "expected": f"Say: {word}"} for word in ("tea", "rye", "oak")]
    return evaluate(rows, Model("openai:gpt-5-mini"), exact_match, prompt=prompt)
"""


@pytest.fixture
def project(tmp_path):
    """A function that writes a project's files; the tests of pytest sessions lie in it."""

    def write(files):
        write_files(tmp_path, {"config/latent.toml": SETTINGS, "pytest.ini": "[pytest]\n", **files})
        return tmp_path

    return write


def pytest_in(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A session of pytest in a project, without what this one's environment says."""
    known = {name: value for name, value in os.environ.items() if not name.startswith(("LATENT_", "OPENAI_"))}
    command = [sys.executable, "-m", "pytest", "-p", PLUGIN, "-p", "no:cacheprovider", *options]
    return subprocess.run(
        command, cwd=folder, env={**known, **environment}, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="session")
def checks(tmp_path_factory):
    """One session with many tests, shared: its output, and its JUnit file."""
    folder = tmp_path_factory.mktemp("checks")
    files = {
        "config/latent.toml": SETTINGS,
        "pytest.ini": "[pytest]\n",
        "flows/support/flow.py": FLOW,
        "flows/support/parameters.yaml": "gates:\n  right: '>= 0.80'\n",
        "flows/plain/parameters.yaml": PLAIN,
        "rows.jsonl": "".join(f'{{"id": "{n}", "expected": "a", "output": "a"}}\n' for n in range(40)),
        "test_checks.py": TESTS,
    }
    write_files(folder, files)
    return pytest_in(folder, "-q", "--junitxml=junit.xml"), folder


PLAIN = """
    dataset: rows.jsonl
    scorers: [contains]
    gates:
      contains: ">= 0.1"
"""

TESTS = """
import pytest

from flows.support.flow import right, rows, support
from latent.errors import FlowNotFoundError, GateError, UsageError
from latent.evals import evaluate


def test_by_name_with_the_gates_of_the_flow(evaluation):
    evaluation("support").check()


def test_by_keyword_and_cost(evaluation):
    report = evaluation("support").check(right=">= 0.80", max_cost_usd=1)
    assert report.verdict == "pass"
    assert len(report.results) == 2


def test_a_flow_itself_with_parameters(evaluation):
    found = evaluation(support, good=10, bad=0)
    assert found["right"].n == 10
    found.check({"right": ">= 0.6"})


def test_by_name_with_parameters(evaluation):
    assert evaluation("support", good=10, bad=0)["right"].n == 10


def test_an_evaluation_that_the_test_made(evaluation):
    evaluation(evaluate(rows(20, 0), None, right)).check(right=">= 0.6", coverage=">= 1")


def test_a_folder_of_parameters(evaluation):
    assert evaluation("plain")["contains"].n == 40
    evaluation("plain").check()


def test_that_fails(evaluation):
    evaluation("support", good=2, bad=98).check(right=">= 0.80")


def test_that_is_inconclusive(evaluation):
    evaluation("support", good=82, bad=18).check(right=">= 0.80")


def test_wrong_use(evaluation):
    with pytest.raises(FlowNotFoundError, match="suport"):
        evaluation("suport")
    with pytest.raises(GateError, match="right"):
        evaluation("support").check(rigth=">= 0.8")
    with pytest.raises(UsageError, match="not 3"):
        evaluation(3)
    with pytest.raises(UsageError, match="nothing to check"):
        evaluation(evaluate(rows(1, 0), None, right)).check()
"""


def test_evaluations_are_run_by_name_by_flow_by_folder_or_made_by_the_test(checks):
    session, _ = checks
    assert "2 failed, 7 passed" in session.stdout, session.stdout
    assert session.returncode == 1


def test_a_failed_check_shows_gates_metrics_worst_rows_and_the_page(checks):
    session, _ = checks
    shown = session.stdout.partition("test_that_fails")[2].partition("test_that_is_inconclusive")[0]
    assert "AssertionError" in shown
    assert "right  >= 0.80   0.020" in shown
    assert "95 % interval" in shown
    assert "Worst rows of right (of 98):" in shown
    assert "said 'no', expected 'yes'" in shown
    page = next(line for line in shown.splitlines() if "page: " in line).partition("page: ")[2]
    assert Path(page).read_text().startswith("<!doctype html>")
    assert "__tracebackhide__" not in shown, "the reader sees the line of the test, not ours"


def test_an_inconclusive_gate_fails_with_what_would_settle_it_unless_it_is_let_pass(checks):
    session, folder = checks
    assert "rows would settle it" in session.stdout
    again = pytest_in(folder, "-q", "--inconclusive", "pass", "-k", "inconclusive")
    assert "1 passed" in again.stdout, again.stdout
    assert "support: inconclusive (.latent/runs/" in again.stdout


def test_summary_and_junit_name_every_evaluation_and_its_run(checks):
    session, folder = checks
    assert "evaluations" in session.stdout
    assert "support: fail (.latent/runs/" in session.stdout
    cases = ElementTree.parse(folder / "junit.xml").iter("testcase")
    properties = {case.get("name"): [each.get("value") for each in case.iter("property")] for case in cases}
    assert any("support: pass (.latent/runs/" in value for value in properties["test_by_keyword_and_cost"])


OWN_WORKSPACE = """
from flows.asking.flow import asking


def test_in_a_workspace_of_its_own(make_workspace, evaluation):
    make_workspace({"config/latent.toml": "[tracking]\\nenabled = false"})
    assert evaluation(asking)["exact_match"].mean == 1
"""


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """A project whose answers were recorded once, from a provider that is gone now."""
    folder = tmp_path_factory.mktemp("recorded")
    files = {
        "config/latent.toml": SETTINGS,
        "pytest.ini": "[pytest]\n",
        "flows/asking/flow.py": ASKING,
        "test_by_name.py": "def test_by_name(evaluation):\n"
        "    evaluation('asking').check(exact_match='>= 0.1')\n",
        "test_own.py": OWN_WORKSPACE,
        "conftest.py": "pytest_plugins = ['latent.testing.plugin']\n",
    }
    write_files(folder, files)
    with ProviderSimulator() as provider:
        first = pytest_in(folder, "-q", "--record", "test_by_name.py", **provider.environment)
        asked = provider.record().requests
    return folder, first, asked


def test_what_was_recorded_once_is_replayed_without_provider_and_key(recorded):
    folder, first, asked = recorded
    assert "1 passed" in first.stdout, first.stdout
    assert asked == 3
    lines = (folder / "recordings" / "openai-gpt-5-mini.jsonl").read_text().splitlines()
    assert len(lines) == 3
    assert lines == sorted(lines)
    replayed = pytest_in(folder, "-q", "--replay")
    assert "2 passed" in replayed.stdout, replayed.stdout


def test_a_miss_in_replay_fails_with_the_nearest_recorded_prompt(recorded):
    folder, _, _ = recorded
    write_files(folder, {"flows/asking/parameters.yaml": "prompt: 'Please say: {{ word }}'\n"})
    try:
        replayed = pytest_in(folder, "-q", "--replay", "test_by_name.py")
    finally:
        (folder / "flows/asking/parameters.yaml").unlink()
    assert "1 failed" in replayed.stdout, replayed.stdout
    assert "differs in prompt, and has the same model" in replayed.stdout
    assert "[-Say-]{+Please say+}" in replayed.stdout
    assert "3 of 3 answers are not recorded" in replayed.stdout


def test_record_and_replay_exclude_one_another(project):
    session = pytest_in(project({}), "--record", "--replay")
    assert "exclude one another" in session.stderr
    assert session.returncode == pytest.ExitCode.USAGE_ERROR


def test_the_plugin_loads_nothing_heavy_when_pytest_starts(project):
    folder = project(
        {
            "test_light.py": "import sys\n\n\ndef test_light():\n"
            "    heavy = {'prefect', 'mlflow', 'pandas', 'numpy', 'pyarrow', 'kedro', 'scipy', 'pydantic'}\n"
            "    assert not heavy & set(sys.modules)\n"
        }
    )
    session = pytest_in(folder, "-q", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert "1 passed" in session.stdout, session.stdout


def test_pytest_finds_the_plugin_by_the_entry_point_of_the_package():
    root = Path(__file__).parents[2]
    entries = tomllib.loads((root / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    assert entries == {PLUGIN: PLUGIN}
