"""A catalog of one flow, from its YAML."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

import latent
from latent.catalog import Catalog

MakeCatalog = Callable[..., Catalog]


@pytest.fixture
def make_catalog(make_workspace) -> MakeCatalog:
    """A function: the text of `flows/answers/catalog.yaml` and other files in, the catalog out."""

    def make(catalog: str = "", files: dict[str, str | bytes] | None = None) -> Catalog:
        workspace = make_workspace(
            {"flows/answers/flow.py": "", "flows/answers/catalog.yaml": catalog, **(files or {})}
        )
        return Catalog.load(workspace, flow_name="answers", folder=workspace.root / "flows" / "answers")

    return make


@pytest.fixture
def start_python(make_workspace) -> Callable[..., subprocess.Popen[str]]:
    """A function that starts a script, with arguments, in a process of its own, in the workspace."""

    def start(script: str, *arguments: str) -> subprocess.Popen[str]:
        environ = {**os.environ, "PYTHONPATH": str(Path(latent.__file__).parents[1])}
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", dedent(script), *arguments],
            cwd=make_workspace({}).root,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def run_python(start_python) -> Callable[[str], str]:
    """A function that runs a script in a process of its own, and gives what it printed."""

    def run(script: str) -> str:
        process = start_python(script)
        printed, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        return printed.strip()

    return run
