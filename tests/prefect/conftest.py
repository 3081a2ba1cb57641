"""Workspaces for tests of the engine: retries without pauses, and no writer process per test."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from latent.config import Workspace
from latent.registry import TaskRegistry
from latent.testing.plugin import MakeWorkspace

QUICK = """
[tasks]
retry_delay_seconds = 0
[tracking]
enabled = false
"""


@pytest.fixture
def make(make_workspace: MakeWorkspace) -> MakeWorkspace:
    """A workspace of the given files whose retries do not pause and whose runs are not sent to MLflow."""

    def with_quick_settings(files: Mapping[str, str | bytes]) -> Workspace:
        return make_workspace({"config/latent.toml": QUICK, **files})

    return with_quick_settings


@pytest.fixture(autouse=True)
def _empty_registry():
    """Each test sees only the flows and tasks that it defines."""
    TaskRegistry.clear()
    yield
    TaskRegistry.clear()
