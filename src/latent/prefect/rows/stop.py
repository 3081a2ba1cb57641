"""The flag that ends a map early."""

from __future__ import annotations

from threading import Event, Lock
from typing import Any


class Stop:
    """Ends a map early: the first reason counts, and rows that have not begun are skipped for it."""

    def __init__(self) -> None:
        self.event = Event()
        """Set when not even rows that have begun are tried again."""
        self.reason: str | None = None
        self.has_results = False
        """Whether a row was computed: what another one fails with need not be wrong for all."""
        self.unkept = 0
        """Rows whose results the memory could not take any more: they are computed again."""
        self._lock = Lock()

    @property
    def is_set(self) -> bool:
        """Whether no further row begins."""
        return self.reason is not None

    def because(self, reason: str | None, *, begun_go_on: bool = False) -> None:
        """Begin no further row; with `begun_go_on`, those that have begun may still be tried again."""
        with self._lock:
            if self.reason is None:
                self.reason = reason or "The run was stopped."
        if not begun_go_on:
            self.event.set()

    def __reduce__(self) -> tuple[Any, ...]:
        return Stop, ()  # a worker process stops for reasons of its own, or gets no more work
