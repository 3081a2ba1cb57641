"""Pairs of measurements: machines are noisy, so a figure is worth something only beside its peer's."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SUBJECT_SECONDS = 600
"""No measured process takes as long; one that hangs must not hold up the others for ever."""

UNTRACKED = {"LATENT_TRACKING__ENABLED": "false"}
PREFECT_SERVER = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
"""For Prefect's own local server: time to start on a busy machine, and no calls home."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table: ours beside the peer's, and what we hold ourselves to."""

    what: str
    peer: str
    ours: float
    """Median of all rounds."""
    theirs: float
    ratio: float
    """Median over the rounds of ours / theirs, each pair measured back to back."""
    reach: float | None
    """The bound of the ratio; None for a figure that is only reported."""
    unit: str = "ms"
    at_least: bool = False
    """Whether more is better: the ratio must not be below `reach`. By default, it must not be above."""

    @property
    def holds(self) -> bool | None:
        """Whether the promise is kept; None where nothing was promised."""
        if self.reach is None:
            return None
        return self.ratio >= self.reach if self.at_least else self.ratio <= self.reach


def paired(
    what: str,
    ours: Sequence[float],
    theirs: Sequence[float] | float,
    *,
    peer: str,
    reach: float | None = None,
    unit: str = "ms",
    at_least: bool = False,
) -> Figure:
    """The figure of rounds that were measured already; one number as `theirs` is a promise of our own."""
    others = [theirs] * len(ours) if isinstance(theirs, float) else theirs
    return Figure(
        what=what,
        peer=peer,
        ours=statistics.median(ours),
        theirs=statistics.median(others),
        ratio=statistics.median(a / b for a, b in zip(ours, others, strict=True)),
        reach=reach,
        unit=unit,
        at_least=at_least,
    )


def compare(
    what: str,
    ours: Callable[[], float],
    theirs: Callable[[], float],
    *,
    peer: str,
    reach: float | None,
    rounds: int = 7,
) -> Figure:
    """
    Measure two things in turn (ours, theirs, ours, theirs, ...) after one round that does not count.

    Args:
        ours: Measures once; returns milliseconds.
        theirs: The same for the peer.
        reach: The highest ratio that counts as kept.
        rounds: Pairs to measure.
    """
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    return paired(what, [a for a, _ in pairs], [b for _, b in pairs], peer=peer, reach=reach)


def milliseconds_of(command: Sequence[str], *, folder: Path | None = None, **variables: str) -> float:
    """Milliseconds from start to end of a command; it must succeed."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment(variables), check=True, capture_output=True)
    return (time.perf_counter() - started) * 1e3


def start(
    module: str, *arguments: object, folder: Path, python: str = sys.executable, **variables: str
) -> subprocess.Popen[str]:
    """
    A module of `benchmarks.subjects` in a fresh process, working in `folder`.

    Prefect keeps its files there as well, and latent its workspace. `python` is the interpreter: a peer
    may have an environment of its own.
    """
    own = {
        "LATENT_LIMITS_DIR": str(folder / "limits"),
        "LATENT_WORKSPACE": str(folder),
        "PREFECT_HOME": str(folder / "prefect"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
    }
    return subprocess.Popen(
        [python, "-m", f"benchmarks.subjects.{module}", *map(str, arguments)],
        cwd=folder,
        env=environment(own | variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def figures_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    """
    What a measured process printed in its last line.

    Raises:
        RuntimeError: It failed or hung; with the end of what it said.
    """
    try:
        out, err = process.communicate(timeout=SUBJECT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{process.args} ended with {process.returncode}:\n{out[-2000:]}\n{err[-4000:]}")
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def measure(module: str, *arguments: object, folder: Path, **variables: str) -> dict[str, Any]:
    """The figures of one module of `benchmarks.subjects`, from a fresh process in `folder`."""
    return figures_of(start(module, *arguments, folder=folder, **variables))


def python(code: str) -> list[str]:
    """The command that runs a line of Python with this interpreter."""
    return [sys.executable, "-c", code]


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a measured process: ours without what would slow starts or change settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LATENT_", "PREFECT_", "MLFLOW_"))}
    # Without compiled files each start would compile its imports again: that would measure the compiler.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept | dict(variables)
