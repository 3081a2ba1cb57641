"""The command line as users start it: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Ended:
    """What is left of a command that ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ended]


def environment(**variables: str) -> dict[str, str]:
    """The environment of a child process: as here, without LATENT_* from outside, bytecode kept."""
    dropped = ("LATENT_", "PREFECT_", "MLFLOW_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)
    return inherited | {"PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "100"} | variables


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
