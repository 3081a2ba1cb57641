"""`latent doctor` finds what is wrong, says what to do, and changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from latent.cli.app import load_command
from latent.services import examine

REVIEWS = {"config/latent.toml": "", "flows/x/flow.py": "from latent.prefect import flow\n"}


def problems(workspace):
    return {(each.topic, each.found): each.advice for each in examine(workspace) if each.verdict == "problem"}


def git(workspace, *words):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run(["git", *identity, *words], cwd=workspace.root, check=True, capture_output=True)


def test_a_sound_workspace_has_no_problems_and_is_left_as_it_is(make_workspace):
    workspace = make_workspace(REVIEWS)
    before = sorted(workspace.root.rglob("*"))
    assert problems(workspace) == {}
    assert {each.topic for each in examine(workspace)} == {
        "python", "packages", "settings", "folders", "stores", "secrets", "services"
    }  # fmt: skip
    assert sorted(workspace.root.rglob("*")) == before


@pytest.mark.parametrize("name", ["config/credentials.yaml", ".env", ".latent/cache/cache.db"])
def test_files_of_secrets_that_git_tracks_are_named(make_workspace, name):
    workspace = make_workspace(REVIEWS | {name: "a: {key: word-of-secrets}\n"})
    git(workspace, "init")
    git(workspace, "add", "--force", name)
    assert ("secrets", f"git tracks {name}, which holds secrets") in problems(workspace)


def test_a_known_key_in_any_tracked_file_is_found(make_workspace, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-the-key-of-this-test")
    workspace = make_workspace(REVIEWS | {"notes.txt": "key: sk-the-key-of-this-test\n", "other.txt": "none"})
    git(workspace, "init")
    assert problems(workspace) == {}
    git(workspace, "add", "notes.txt", "other.txt")
    assert list(problems(workspace)) == [("secrets", "git tracks notes.txt, which holds secrets")]


def test_a_damaged_store_is_named_and_stays(make_workspace):
    workspace = make_workspace(REVIEWS)
    workspace.cache_dir.mkdir(parents=True)
    file = workspace.cache_dir / "cache.db"
    file.write_bytes(b"no database at all, whatever its name says" * 50)
    ((topic, found),) = problems(workspace)
    assert topic == "stores" and ".latent/cache/cache.db is damaged" in found
    assert file.exists()


def test_a_file_in_the_place_of_the_folder_is_named(make_workspace):
    workspace = make_workspace(REVIEWS)
    workspace.state_dir.touch()
    assert problems(workspace) == {("folders", f"{workspace.state_dir} is not a folder"): "move it away"}


def test_settings_that_cannot_be_used_are_one_problem_among_the_others(make_workspace):
    workspace = make_workspace(REVIEWS | {"config/latent.toml": "[tasks]\nretrys = 3\n"})
    found = problems(workspace)
    assert any(topic == "settings" and "retrys" in text for topic, text in found)
    assert any(each.topic == "services" for each in examine(workspace))


def test_a_server_that_the_environment_names_and_that_does_not_answer_is_a_problem(
    make_workspace, monkeypatch
):
    workspace = make_workspace(REVIEWS)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    advice = "start it, or take it away: MLFLOW_TRACKING_URI names it"
    assert problems(workspace) == {("services", "mlflow: http://127.0.0.1:9 does not answer"): advice}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    assert problems(workspace) == {}


def test_the_command_ends_with_one_when_there_is_a_problem(make_workspace):
    workspace = make_workspace(REVIEWS)

    def run(*words, **variables):
        return subprocess.run(
            [sys.executable, "-m", "latent", "doctor", *words], cwd=workspace.root, capture_output=True,
            text=True, env={**os.environ, **variables},
        )  # fmt: skip

    assert run().returncode == 0
    wrong = run(LATENT_TASKS__RETRIES="many")
    assert wrong.returncode == 1 and "LATENT_TASKS__RETRIES" in wrong.stdout
    assert '"verdict": "ok"' in run("--json").stdout
    assert load_command("doctor").help
