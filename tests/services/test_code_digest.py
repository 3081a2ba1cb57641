"""The digest of a workspace's code: equal wherever the code is, and changed by whatever a flow could read."""

from __future__ import annotations

import shutil

import pytest

from latent.config import find_workspace
from latent.services.code_digest import code_digest

FILES = {
    "config/latent.toml": "[rows]\nmax_workers = 2\n",
    "config/global.yaml": "greeting: hello\n",
    "config/credentials.yaml": "key: secret\n",
    "flows/hello/flow.py": "x = 1\n",
    "flows/hello/parameters.yaml": "name: World\n",
    "flows/hello/prompts/ask.md": "Ask.\n",
    "data/rows.csv": "a,b\n",
}


@pytest.fixture
def workspace(make_workspace):
    return make_workspace(FILES)


def test_a_copy_elsewhere_has_the_same_digest(workspace, tmp_path_factory):
    copy = tmp_path_factory.mktemp("elsewhere") / "under another name"
    shutil.copytree(workspace.root, copy)
    assert code_digest(find_workspace(copy)) == code_digest(workspace)


@pytest.mark.parametrize(
    "path", ["flows/hello/flow.py", "flows/hello/prompts/ask.md", "config/global.yaml", "config/latent.toml"]
)
def test_a_change_of_code_parameters_prompts_or_settings_changes_it(workspace, path):
    before = code_digest(workspace)
    with (workspace.root / path).open("a") as file:
        file.write("\n# more\n")
    assert code_digest(workspace) != before


def test_a_renamed_file_changes_it(workspace):
    before = code_digest(workspace)
    prompts = workspace.root / "flows/hello/prompts"
    (prompts / "ask.md").rename(prompts / "say.md")
    assert code_digest(workspace) != before


@pytest.mark.parametrize(
    "path",
    ["config/credentials.yaml", "data/rows.csv", "flows/hello/__pycache__/flow.cpython-311.pyc",
     "flows/.DS_Store", "flows/hello/.ipynb_checkpoints/flow.py", ".latent/runs/x/run.json"],
)  # fmt: skip
def test_credentials_data_and_what_machines_leave_behind_do_not(workspace, path):
    before = code_digest(workspace)
    (workspace.root / path).parent.mkdir(parents=True, exist_ok=True)
    (workspace.root / path).write_text("other")
    assert code_digest(workspace) == before


def test_ends_of_lines_that_git_writes_on_windows_do_not(workspace):
    before = code_digest(workspace)
    (workspace.root / "flows/hello/flow.py").write_bytes(b"x = 1\r\n")
    assert code_digest(workspace) == before
