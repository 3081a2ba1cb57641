"""Where a run's code comes from: the git commit and the versions of the packages that matter."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from latent import __version__

_PACKAGES = (
    "latent-flows",
    "prefect",
    "mlflow",
    "pydantic",
    "kedro",
    "kedro-datasets",
    "pandas",
    "pyarrow",
    "numpy",
    "scipy",
    "openai",
    "anthropic",
)
_GIT_TIMEOUT_SECONDS = 10.0
# One look serves runs that start together, such as a flow's subflows.
_FRESH_SECONDS = 10.0

_known: dict[Path, tuple[float, dict[str, Any]]] = {}


def look_up(root: Path, then: Callable[[dict[str, Any]], None]) -> None:
    """Find out about the code under `root` beside the run and hand it to `then`: at once when it is known."""
    known = _known.get(root)
    if known is not None and time.monotonic() - known[0] < _FRESH_SECONDS:
        then(known[1])
        return

    def find_out() -> None:
        found = provenance(root)
        _known[root] = (time.monotonic(), found)
        then(found)

    threading.Thread(target=find_out, name="latent-provenance", daemon=True).start()


def provenance(root: Path) -> dict[str, Any]:
    """`git` (None outside a repository), `packages` and `python`, as they are now."""
    return {"git": git_state(root), "packages": package_versions(), "python": sys.version.split()[0]}


def package_versions() -> dict[str, str]:
    """The installed versions of the packages that results can depend on."""
    found = {_PACKAGES[0]: __version__}  # also from a source tree that is not installed
    for name in _PACKAGES[1:]:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def git_state(root: Path) -> dict[str, Any] | None:
    """`commit`, `branch` and whether anything differs from it; None outside a repository or without git."""
    command = ["git", "-C", str(root), "status", "--porcelain=v2", "--branch", "--untracked-files=normal"]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_GIT_TIMEOUT_SECONDS,
            check=True,
            # Without this, reading the state takes the index lock and disturbs a commit made meanwhile.
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    header = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# ") and line.count(" ") >= 2)
    commit = header.get("branch.oid", "")
    return {
        "commit": None if commit in ("", "(initial)") else commit,
        "branch": header.get("branch.head"),
        "dirty": any(not line.startswith("#") for line in lines),
    }
