"""Pairs of measurements: machines are noisy, so a figure is worth something only beside its peer's."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table: ours beside the peer's, and what we hold ourselves to."""

    what: str
    peer: str
    ours_seconds: float
    """Median of all rounds."""
    peer_seconds: float
    ratio: float
    """Median over the rounds of ours / peer's, each pair measured back to back."""
    reach: float | None
    """The ratio must not be above this; None for a figure that is only reported."""

    @property
    def holds(self) -> bool | None:
        """Whether the promise is kept; None where nothing was promised."""
        return None if self.reach is None else self.ratio <= self.reach


def compare(
    what: str,
    ours: Callable[[], float],
    peer: Callable[[], float],
    *,
    peer_name: str,
    reach: float | None,
    rounds: int = 7,
) -> Figure:
    """
    Measure two things in turn (ours, peer, ours, peer, ...) after one round that does not count.

    Args:
        ours: Measures once; returns seconds.
        peer: The same for the peer.
        reach: The highest ratio that counts as kept.
        rounds: Pairs to measure.
    """
    ours(), peer()
    pairs = [(ours(), peer()) for _ in range(rounds)]
    return Figure(
        what=what,
        peer=peer_name,
        ours_seconds=statistics.median(a for a, _ in pairs),
        peer_seconds=statistics.median(b for _, b in pairs),
        ratio=statistics.median(a / b for a, b in pairs),
        reach=reach,
    )


def seconds_of(command: Sequence[str], *, folder: Path | None = None, **variables: str) -> float:
    """Seconds from start to end of a command; it must succeed."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment(variables), check=True, capture_output=True)
    return time.perf_counter() - started


def python(code: str) -> list[str]:
    """The command that runs a line of Python with this interpreter."""
    return [sys.executable, "-c", code]


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a measured process: ours without what would slow starts or change settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LATENT_", "PREFECT_", "MLFLOW_"))}
    # Without compiled files each start would compile its imports again: that would measure the compiler.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept | dict(variables)
