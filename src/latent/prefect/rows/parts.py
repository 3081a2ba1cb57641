"""A stream's source in parts: large ones of a quick source, and of a slow one what there is by now."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_PART = 100
"""Rows of the first part; after a full one, the next is twice as large, up to a quarter of the window."""

SLOW_SECONDS = 0.2
"""A part takes no longer: rows that are there begin, whenever the next ones come."""


class Parts:
    """
    The rows of a source, some at a time; read where the stream is iterated, as cursors of databases want it.

    Args:
        window: Rows that may be read and not yet handed on.
        label: The task, for the note on an error of the source.
    """

    def __init__(self, rows: Iterator[Any], window: int, label: str) -> None:
        self._rows, self._label = rows, label
        self._largest = max(window // 4, 1)
        self.size = min(FIRST_PART, window)
        """How many rows the next part may have."""
        self.read = 0
        """Rows of all parts so far."""
        self.is_open = True
        """Whether there may be more."""
        self.error: Exception | None = None
        """What the source raised: rows that it gave before are worked on all the same."""
        self.waited_seconds = 0.0
        """How long a slow source took for the last part; 0 for a quick one."""

    def next(self) -> list[Any]:
        """The next part; shorter than `size` where the source is slow or at its end."""
        part: list[Any] = []
        began, seconds = time.monotonic(), 0.0
        try:
            while len(part) < self.size and seconds < SLOW_SECONDS:
                part.append(next(self._rows))
                seconds = time.monotonic() - began
        except StopIteration:
            self.is_open = False
        except Exception as error:
            error.add_note(f"{self._label}: the source raised this after {self.read + len(part):,} rows.")
            self.error, self.is_open = error, False
        self.waited_seconds = seconds if seconds >= SLOW_SECONDS else 0.0
        if len(part) == self.size:
            self.size = min(self.size * 2, self._largest)
        self.read += len(part)
        return part
