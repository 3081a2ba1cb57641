"""A workspace that neither waits nor is tracked, and a provider that answers from a table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from latent.config import Workspace
from latent.registry import TaskRegistry
from latent.testing.plugin import MakeWorkspace

QUICK = {"config/latent.toml": "[tracking]\nenabled = false\n[tasks]\nretry_delay_seconds = 0\n"}


@pytest.fixture
def quick(make_workspace: MakeWorkspace) -> Iterator[Workspace]:
    """A workspace for one test, whose runs are not brought to MLflow."""
    TaskRegistry.clear()
    yield make_workspace(QUICK)
    TaskRegistry.clear()
