"""
The pytest fixtures of latent: put `pytest_plugins = ["latent.testing.plugin"]` into your `conftest.py`.

    def test_flow_reads_its_parameters(make_workspace):
        workspace = make_workspace({"flows/hello/parameters.yaml": "name: World"})
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from latent.config.workspace import Workspace, find_workspace
from latent.testing.workspace import temporary_workspace, write_files

MakeWorkspace = Callable[[Mapping[str, str | bytes]], Workspace]


@pytest.fixture
def make_workspace(tmp_path: Path) -> Iterator[MakeWorkspace]:
    """
    A function that makes a workspace of the given files and makes it current for the rest of the test.

    Called again it adds files to the same workspace, or replaces them.
    """
    root = tmp_path / "workspace"
    with ExitStack() as stack:

        def make(files: Mapping[str, str | bytes]) -> Workspace:
            if root.exists():
                write_files(root, files)
                return find_workspace()
            root.mkdir()
            return stack.enter_context(temporary_workspace(files, root=root))

        yield make


@pytest.fixture
def workspace(make_workspace: MakeWorkspace) -> Workspace:
    """An empty workspace that is current for the length of the test."""
    return make_workspace({})
