"""What tests of rows share: a workspace in which four rows are already a batch, and a count of calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import pytest

from latent.config import Workspace
from latent.testing.plugin import MakeWorkspace

SETTINGS = """
[tasks]
retry_delay_seconds = 0
[tracking]
enabled = false
[rows]
rows_as_runs = 3
"""


class Calls:
    """What the tasks of a test were called with, and how many were under way at once."""

    def __init__(self) -> None:
        self.seen: list[object] = []
        self.running = self.peak = 0
        self._lock = threading.Lock()
        self._deadline = 0.0

    def note(self, value: object) -> None:
        with self._lock:
            self.seen.append(value)

    def have_been(self, number: int) -> bool:
        """Whether so many were under way at once; a map that never gets there fails instead of hanging."""
        self._deadline = self._deadline or time.monotonic() + 30
        return self.peak >= number or time.monotonic() > self._deadline

    def __enter__(self) -> None:
        with self._lock:
            self.running += 1
            self.peak = max(self.peak, self.running)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self.running -= 1

    def __latent_hash__(self) -> str:
        return "calls"  # the count is not part of what a task computes


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def batched(make_workspace: MakeWorkspace) -> Callable[..., Workspace]:
    """A workspace where more than three rows go in batches."""

    def make(files: Mapping[str, str] | None = None, settings: str = "") -> Workspace:
        return make_workspace({"config/latent.toml": SETTINGS + settings, **(files or {})})

    return make
