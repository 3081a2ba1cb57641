"""Which folder is the workspace, and what is in it."""

import os
import pickle
import stat
import sys
import time
from pathlib import Path

import pytest

from latent.config import Workspace, ensure_private_dir, find_workspace
from latent.errors import ConfigError, UsageError, WorkspaceError


@pytest.fixture(autouse=True)
def no_named_workspace(monkeypatch):
    monkeypatch.delenv("LATENT_WORKSPACE", raising=False)


def touch(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "marker",
    ["config/latent.toml", "latent.toml", ".latent.toml", "flows/hello/flow.py", ".latent/runs/1/run.json"],
)
def test_nearest_folder_upwards_with_settings_flows_or_runs_is_the_root(tmp_path, marker):
    touch(tmp_path / marker)
    deep = tmp_path / "data" / "raw"
    deep.mkdir(parents=True)
    assert find_workspace(deep) == Workspace(tmp_path.resolve(), found=True)


def test_a_folder_of_results_without_runs_is_no_workspace(tmp_path):
    touch(tmp_path / ".latent" / "cache" / "cache.db")
    assert not find_workspace(tmp_path).found


def test_inner_workspace_wins_over_the_one_around_it(tmp_path):
    touch(tmp_path / "latent.toml")
    touch(tmp_path / "inner" / "latent.toml")
    assert find_workspace(tmp_path / "inner").root == (tmp_path / "inner").resolve()


def test_config_folder_is_not_taken_for_a_workspace_of_its_own(tmp_path):
    """config/latent.toml seen from inside config/ looks like the latent.toml of a root."""
    touch(tmp_path / "config" / "latent.toml")
    assert find_workspace(tmp_path / "config").root == tmp_path.resolve()


def test_file_as_start_means_its_folder(tmp_path):
    flow_file = touch(tmp_path / "flows" / "hello" / "flow.py")
    assert find_workspace(flow_file).root == tmp_path.resolve()


def test_current_folder_stands_in_where_there_is_no_workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workspace = find_workspace()
    assert (workspace.root, workspace.found) == (tmp_path.resolve(), False)
    assert workspace.settings.environment == "production"
    assert workspace.flow_folders() == {}
    assert list(tmp_path.iterdir()) == [], "asking creates nothing"


def test_latent_workspace_wins_over_the_search(tmp_path, monkeypatch):
    touch(tmp_path / "here" / "latent.toml")
    named = tmp_path / "named"
    named.mkdir()
    monkeypatch.setenv("LATENT_WORKSPACE", str(named))
    assert find_workspace(tmp_path / "here") == Workspace(named.resolve(), found=True)


def test_latent_workspace_without_a_folder_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENT_WORKSPACE", str(tmp_path / "gone"))
    with pytest.raises(WorkspaceError, match=r"LATENT_WORKSPACE is '.*gone', which is not a folder: set it"):
        find_workspace()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not delete the current folder")
def test_deleted_current_folder_is_an_error_of_use(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(UsageError, match="current folder no longer exists"):
        find_workspace()


def test_same_object_until_the_settings_change(tmp_path, monkeypatch):
    file = touch(tmp_path / "latent.toml", 'environment = "dev"')
    age(file)
    first = find_workspace(tmp_path)
    assert first.settings.is_dev
    assert find_workspace(tmp_path) is first
    file.write_text('environment = "production"')
    assert not find_workspace(tmp_path).settings.is_dev
    monkeypatch.setenv("LATENT_ENVIRONMENT", "development")
    assert find_workspace(tmp_path).settings.is_dev


def test_settings_that_change_within_a_tick_of_the_clock_are_noticed(tmp_path):
    file = touch(tmp_path / "latent.toml")
    for retries in range(1, 9):  # the size stays the same, and often the time does, too
        file.write_text(f"[tasks]\nretries = {retries}")
        assert find_workspace(tmp_path).settings.tasks.retries == retries


def test_two_settings_files_are_an_error_that_names_both(tmp_path):
    touch(tmp_path / "config" / "latent.toml")
    touch(tmp_path / ".latent.toml")
    with pytest.raises(
        ConfigError, match=r"config/latent\.toml and \.latent\.toml .* move them into one file"
    ):
        _ = find_workspace(tmp_path).settings


def test_flow_folders_are_those_with_a_flow_in_alphabetical_order(tmp_path):
    for name in ("zebra", "apple"):
        touch(tmp_path / "flows" / name / "flow.py")
    touch(tmp_path / "flows" / "notes" / "parameters.yaml")
    touch(tmp_path / "flows" / "flow.py")
    workspace = Workspace(tmp_path)
    assert list(workspace.flow_folders()) == ["apple", "zebra"]
    assert workspace.flow_folders()["apple"] == tmp_path / "flows" / "apple"


def test_flow_folder_takes_dashes_for_underscores_where_none_has_the_very_name(tmp_path):
    for name in ("nightly_run", "two-words", "both_ways", "both-ways"):
        touch(tmp_path / "flows" / name / "flow.py")
    folder = Workspace(tmp_path).flow_folder
    assert folder("nightly-run") == tmp_path / "flows" / "nightly_run"
    assert folder("two_words") == tmp_path / "flows" / "two-words"
    assert folder("both-ways") == tmp_path / "flows" / "both-ways"
    assert folder("both_ways") == tmp_path / "flows" / "both_ways"


def test_flow_folder_by_name_never_leads_out_of_flows(tmp_path):
    touch(tmp_path / "flows" / "apple" / "flow.py")
    touch(tmp_path / "data" / "x.csv")
    workspace = Workspace(tmp_path)
    assert workspace.flow_folder("apple") == tmp_path / "flows" / "apple"
    for name in ("", ".", "..", "../data", "apple/../../data", "pear", "a\0b", "..\\data"):
        assert workspace.flow_folder(name) is None


def test_labels_name_files_from_the_root_with_forward_slashes(tmp_path):
    workspace = Workspace(tmp_path)
    assert workspace.label(tmp_path / "flows" / "a" / "parameters.yaml") == "flows/a/parameters.yaml"
    assert workspace.label(tmp_path.parent / "elsewhere.yaml") == str(tmp_path.parent / "elsewhere.yaml")


def test_workspace_travels_to_other_processes(tmp_path):
    workspace = Workspace(tmp_path)
    _ = workspace.settings
    assert pickle.loads(pickle.dumps(workspace)) == workspace


def test_private_folder_is_private_and_ignored_by_git(tmp_path):
    workspace = Workspace(tmp_path)
    made = ensure_private_dir(workspace.cache_dir)
    assert made.is_dir()
    assert (workspace.state_dir / ".gitignore").read_text() == "*\n"
    if sys.platform != "win32":
        for folder in (workspace.state_dir, workspace.cache_dir):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (workspace.state_dir / ".gitignore").unlink()
    ensure_private_dir(workspace.cache_dir)
    assert (workspace.state_dir / ".gitignore").exists()


def test_file_in_place_of_a_private_folder_is_a_workspace_error(tmp_path):
    touch(tmp_path / ".latent")
    with pytest.raises(WorkspaceError, match=r"\.latent.* cannot be created"):
        ensure_private_dir(Workspace(tmp_path).cache_dir)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only to root")
def test_read_only_workspace_is_a_workspace_error(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(WorkspaceError, match="make the workspace writable"):
            ensure_private_dir(Workspace(tmp_path).cache_dir)
    finally:
        tmp_path.chmod(0o700)


def age(file: Path) -> None:
    """Make a file look as if it had been written a minute ago, so that its time stamp can be trusted."""
    then = time.time() - 60
    os.utime(file, (then, then))
