"""The command line as users start it: a process of its own."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from latent.cli import main
from latent.config import Workspace
from latent.registry import TaskRegistry
from latent.testing.plugin import MakeWorkspace


@dataclass(frozen=True)
class Ended:
    """What is left of a command that ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ended]


def environment(**variables: str) -> dict[str, str]:
    """The environment of a child process: as here, bytecode kept, nothing told to MLflow."""
    dropped = ("LATENT_", "PREFECT_", "MLFLOW_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)
    own = {"PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "100", "LATENT_TRACKING__ENABLED": "false"}
    return inherited | own | variables


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Runs `latent ARGS...` in the test's folder, or in `cwd`."""

    def run(*args: str, cwd: Path = tmp_path, **variables: str) -> Ended:
        done = subprocess.run(
            [sys.executable, "-m", "latent", *args],
            cwd=cwd,
            env=environment(**variables),
            capture_output=True,
            text=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            timeout=120,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def latent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs `latent ARGS...` in this process, where Prefect is imported once for all tests."""

    def run(*args: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["latent", *args])
        # Prefect's handler keeps the stderr that it found first, which pytest has closed since.
        monkeypatch.setattr(logging, "raiseExceptions", False)
        with pytest.raises(SystemExit) as end:
            main()
        shown = capsys.readouterr()
        return Ended(int(end.value.code or 0), shown.out, shown.err)

    return run


@pytest.fixture
def make(make_workspace: MakeWorkspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeWorkspace]:
    """A workspace of the given files whose retries do not pause and whose runs are not sent to MLflow."""

    def quick(files: dict[str, str | bytes]) -> Workspace:
        workspace = make_workspace(files)
        monkeypatch.setenv("LATENT_TRACKING__ENABLED", "false")
        monkeypatch.setenv("LATENT_TASKS__RETRY_DELAY_SECONDS", "0")
        return workspace

    TaskRegistry.clear()
    yield quick
    TaskRegistry.clear()
