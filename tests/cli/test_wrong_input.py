"""Broken workspaces: one paragraph that names the file, the right exit code, and nothing half done."""

from __future__ import annotations

import pytest

from latent.testing.plugin import MakeWorkspace
from tests.cli.conftest import Cli

GOOD = """
    from latent.prefect import flow, params, task

    @task("greet", output="greeting")
    def greet(name):
        return f"Hello, {name}!"

    @flow("good")
    def good():
        return greet(params.get("name", "you"))
"""
CATALOG = "greeting: data/greeting.json"
NAMESAKE = """
    from latent.prefect import flow

    @flow("other")
    def other():
        pass

    @flow("good")
    def good():
        pass
"""


@pytest.mark.parametrize(
    ("file", "content", "code", "message"),
    [
        ("flows/good/parameters.yaml", "name: [1, 2\n", 2, "flows/good/parameters.yaml:"),
        ("flows/good/parameters.yaml", "name: 1\nname: 2\n", 2, "flows/good/parameters.yaml:2"),
        ("flows/good/parameters.yaml", "name: ${NOT_SET}\n", 2, "NOT_SET"),
        ("flows/good/parameters.yaml", b"name: caf\xe9\n", 2, "flows/good/parameters.yaml"),
        ("config/global.yaml", "- a list\n", 2, "config/global.yaml"),
        ("config/latent.toml", "[cache\n", 2, "config/latent.toml:1"),
        ("config/latent.toml", "[cach]\n", 2, "'cache'"),
        ("config/latent.toml", "environment = 'prod'\n", 2, "config/latent.toml"),
        ("flows/good/catalog.yaml", "greeting: [\n", 2, "flows/good/catalog.yaml:"),
        ("flows/good/catalog.yaml", "greetings: data/a.json", 1, "did you mean 'greetings'?"),
        ("flows/good/catalog.yaml", "greeting: {type: json.JSNDataset, filepath: a}", 1, "json.JSNDataset"),
        ("flows/good/catalog.yaml", "greeting: ../outside.json", 1, "greeting"),
        ("data/greeting.json/keep.txt", "a folder", 1, "data/greeting.json"),
        ("flows/good/flow.py", "def broken(:\n", 1, "flows/good/flow.py:1 cannot be loaded: SyntaxError"),
        (
            "flows/good/flow.py",
            "import os\nimport no_such_module\n",
            1,
            "flows/good/flow.py:2 cannot be loaded",
        ),
        ("flows/good/flow.py", "x = 1\n", 1, "it defines no flow 'good'"),
    ],
)
def test_broken_file_is_named(
    latent: Cli, make: MakeWorkspace, file: str, content: str | bytes, code: int, message: str
) -> None:
    workspace = make({"flows/good/flow.py": GOOD, "flows/good/catalog.yaml": CATALOG, file: content})
    ended = latent("run", "good")
    assert ended.code == code, ended.err
    paragraph = f"\n{ended.err}".rpartition("\nError: ")[2]
    assert message in paragraph
    assert "Traceback" not in paragraph
    assert not (workspace.root / "data/greeting.json").is_file()


def test_unknown_variable_is_named_with_the_nearest(
    latent: Cli, make: MakeWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    make({"flows/good/flow.py": GOOD, "flows/good/catalog.yaml": CATALOG})
    monkeypatch.setenv("LATENT_ENVIROMENT", "dev")
    ended = latent("run", "good")
    assert ended.code == 2
    assert "LATENT_ENVIROMENT" in ended.err
    assert "did you mean LATENT_ENVIRONMENT?" in ended.err


def test_two_flows_of_one_name_are_named_with_their_files(latent: Cli, make: MakeWorkspace) -> None:
    make({"flows/good/flow.py": GOOD, "flows/other/flow.py": NAMESAKE})
    ended = latent("ls")
    assert ended.code == 1
    assert "Two flows are called 'good'" in ended.err
    assert "flows/good/flow.py" in ended.err
    assert "flows/other/flow.py" in ended.err


def test_flow_beside_a_broken_one_runs(latent: Cli, make: MakeWorkspace) -> None:
    make({"flows/good/flow.py": GOOD, "flows/good/catalog.yaml": CATALOG, "flows/broken/flow.py": "def ("})
    assert latent("run", "good").code == 0


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("metric=cosin", "a metric is one of cosine, dotproduct, euclidean, not 'cosin'"),
        ("index_name=../../evil", "its name is a folder's"),
        ("store=pinecone", "set the environment variable PINECONE_API_KEY"),
        (
            "embedder_options={dimensions: 64}",
            "made for vectors of 256 numbers, not for vectors of 64",
        ),
    ],
)
def test_a_store_that_is_asked_wrongly_is_no_run_to_resume(
    latent: Cli, make_workspace: MakeWorkspace, monkeypatch: pytest.MonkeyPatch, parameter: str, message: str
) -> None:
    monkeypatch.delenv("PINECONE_API_KEY", raising=False)
    monkeypatch.setenv("LATENT_TRACKING__ENABLED", "false")
    make_workspace({"docs/a.md": "# A\n\nText."})
    ingestion = ("run", "document_ingestion", "-p", "file_paths=docs/*.md", "-p", "index_name=docs")
    if parameter.startswith("embedder"):
        assert latent(*ingestion).code == 0
    ended = latent(*ingestion, "-p", parameter)
    assert ended.code == 2, ended.err
    assert message in " ".join(ended.err.split())
    assert "Resume" not in ended.out
