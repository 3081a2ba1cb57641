"""The work that latent and its peers do alike, and how it is timed."""

from __future__ import annotations

import json
import time
from typing import Any

ROWS = 10_000
REMEMBERED = 7_500
TEXT = "x" * 1_000
WORKERS = 32


def answer(row: int) -> dict[str, Any]:
    """One kilobyte, as a short answer of a model has."""
    return {"row": row, "text": TEXT}


def trivial(row: int) -> dict[str, int]:
    """Next to no work, so that what is measured is the tool."""
    return {"row": row, "double": 2 * row}


class Stopwatch:
    """Seconds that a `with` block took, and those of the processor that its thread used meanwhile."""

    seconds = cpu_seconds = 0.0

    def __enter__(self) -> Stopwatch:
        self._started, self._cpu = time.perf_counter(), time.thread_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._started
        self.cpu_seconds = time.thread_time() - self._cpu


def report(**figures: object) -> None:
    """Print the figures of this process, for the one that measures."""
    print(json.dumps(figures), flush=True)
