"""The workspace for tests: current inside, gone outside."""

import os
from pathlib import Path

import pytest

from latent.config import find_workspace
from latent.testing import temporary_workspace


def test_workspace_is_current_inside_the_block_and_gone_after_it(monkeypatch):
    monkeypatch.setenv("LATENT_ENVIRONMENT", "dev")
    before = Path.cwd()
    with temporary_workspace({"flows/hello/flow.py": "", "data/raw.bin": b"\xff"}) as workspace:
        assert find_workspace().root == workspace.root == Path.cwd()
        assert workspace.flow_folders() == {"hello": workspace.root / "flows" / "hello"}
        assert (workspace.root / "data/raw.bin").read_bytes() == b"\xff"
        assert not workspace.settings.is_dev, "variables of the outside do not reach a test"
        os.environ["LATENT_CACHE__ALLOW_PICKLE"] = "true"
    assert Path.cwd() == before
    assert not workspace.root.exists()
    assert os.environ["LATENT_ENVIRONMENT"] == "dev"
    assert not {"LATENT_WORKSPACE", "LATENT_CACHE__ALLOW_PICKLE"} & os.environ.keys()


def test_everything_is_restored_when_the_block_fails():
    before, variables = Path.cwd(), dict(os.environ)
    with pytest.raises(RuntimeError, match="inside"), temporary_workspace():
        raise RuntimeError("inside")
    assert (Path.cwd(), dict(os.environ)) == (before, variables)


def test_given_root_is_kept(tmp_path):
    with temporary_workspace({"config/latent.toml": "environment = 'dev'"}, root=tmp_path) as workspace:
        assert workspace.settings.is_dev
    assert (tmp_path / "config" / "latent.toml").exists()


def test_text_loses_its_common_indentation(make_workspace):
    text = """
        a:
          b: 1
    """
    workspace = make_workspace({"config/global.yaml": text})
    assert workspace.global_parameters_file.read_text() == "a:\n  b: 1\n"


def test_fixture_adds_files_and_sees_new_settings(make_workspace):
    first = make_workspace({"flows/a/flow.py": ""})
    assert not first.settings.is_dev
    second = make_workspace({"flows/b/flow.py": "", "config/latent.toml": "environment = 'dev'"})
    assert second == first
    assert list(second.flow_folders()) == ["a", "b"]
    assert second.settings.is_dev


def test_empty_workspace_fixture(workspace):
    assert find_workspace() == workspace
    assert workspace.found
