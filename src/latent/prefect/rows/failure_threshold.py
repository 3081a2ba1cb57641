"""How many rows of a map ended how, and whether so many failed that going on makes no sense."""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import TYPE_CHECKING

from latent.prefect.rows.stop import Stop

if TYPE_CHECKING:
    from collections.abc import Mapping

MIN_ROWS_FOR_SHARE = 20
"""A share of failures says nothing before so many rows have ended."""


class FailureThreshold:
    """
    Rows of one map or stream by outcome; safe in threads.

    Args:
        max_failures: Rows that may fail, or their share of those that ended, before the map stops; None: any.
        rows: How many rows there are; None when nobody knows.
    """

    def __init__(self, max_failures: float | None, rows: int | None) -> None:
        self.stop = Stop()
        self.counts: Counter[str] = Counter()
        self._max_failures = max_failures
        self._least = MIN_ROWS_FOR_SHARE if rows is None else min(MIN_ROWS_FOR_SHARE, rows)
        self._lock = Lock()

    def add(self, counts: Mapping[str, int]) -> None:
        """Rows have ended."""
        with self._lock:
            self.counts.update(counts)
            failed, ended = self.counts["failed"], self.counts.total()
        limit = self._max_failures
        if limit is None or not counts.get("failed"):
            return
        if isinstance(limit, int):
            if failed > limit:
                rows = "row" if limit == 1 else "rows"
                self.stop.because(f"Stopped early: more than {limit:,} {rows} failed (max_failures={limit}).")
        elif ended >= self._least and failed > limit * ended:
            self.stop.because(
                f"Stopped early: {failed:,} of {ended:,} rows failed, more than {limit:.0%} "
                f"(max_failures={limit})."
            )
