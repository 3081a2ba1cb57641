"""
What a running call depends on beside its arguments: the parameters it reads.

A scope stands open while a task's or a checkpoint's function runs. Each read of `params` is written down in
it, and in the scopes around it, so that an entry is reused only while everything its value came from is
unchanged. What functions may keep from call to call stands in `kept_reads`.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import TYPE_CHECKING

from latent.prefect import forks
from latent.prefect.kept_reads import note, places_of_caller

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from latent.prefect.kept_reads import Place
    from latent.prefect.usage import ServiceAccount


class Scope:
    """The parameters read by one call, and the span it is traced under."""

    __slots__ = (
        "around",
        "attempt",
        "cost_usd",
        "is_counted",
        "is_free",
        "parameters_read",
        "parent",
        "span_id",
        "task_name",
        "used",
    )

    def __init__(
        self, task_name: str, span_id: str | None, parent: Scope | None, around: Sequence[Scope] = ()
    ) -> None:
        self.task_name, self.span_id, self.parent = task_name, span_id, parent
        self.around: Sequence[Scope] = around if parent is None else (parent,)
        """The scopes that depend on what this one reads."""
        self.parameters_read: dict[str, str] = {}
        self.cost_usd: float | None = None
        """What the call has cost so far, as far as it was told."""
        self.used: dict[str, ServiceAccount] | None = None
        """What it has used of paid services so far, by the service's name; None: nothing."""
        self.attempt = 1
        """Which attempt of the call this is, 1-based."""
        self.is_counted: bool = parent is not None and parent.is_counted
        """Whether it is a row that counts as a call in the run's budget: what it calls is part of that."""
        self.is_free: bool = parent is not None and parent.is_free
        """Whether it is a row that the budget does not hold back: it holds back what the row calls."""

    def record(self, reads: Mapping[str, str]) -> None:
        """Write down fingerprints by parameter name, here and in every scope around this one."""
        self.parameters_read.update(reads)
        for scope in self.around:
            scope.record(reads)


_current: ContextVar[Scope | None] = ContextVar("latent_scope", default=None)
_open: dict[int, Scope] = {}
_open_lock = Lock()


@contextmanager
def open_scope(task_name: str, span_id: str | None = None, around: Sequence[Scope] = ()) -> Iterator[Scope]:
    """
    Write down what is read until the block ends.

    Args:
        span_id: None stays under the span around it.
        around: The scopes that depend on it where no context says so.
    """
    parent = _current.get()
    scope = Scope(task_name, span_id or (parent.span_id if parent else None), parent, around)
    token = _current.set(scope)
    with _open_lock:
        _open[id(scope)] = scope
    try:
        yield scope
    finally:
        hear_children()
        with _open_lock:
            del _open[id(scope)]
        _current.reset(token)


def current_scope() -> Scope | None:
    """The scope of the call that runs in this context; None outside of tasks and checkpoints."""
    return _current.get()


def record_read(reads: Mapping[str, str]) -> None:
    """
    Write parameter reads down for the call that made them.

    A thread that user code started itself carries no context. Its reads are written down for every open call:
    one dependency too many costs a recomputation, one too few would return a stale result.
    """
    if reads:
        scope = _current.get()
        _record(open_scopes() if scope is None else (scope,), places_of_caller(), reads)


def record_read_around(scope: Scope, reads: Mapping[str, str]) -> None:
    """Write down what a call has read for those around it alone: it depends on it by its own key."""
    _record(scope.around, places_of_caller(), reads)


def open_scopes() -> tuple[Scope, ...]:
    """Those of all calls that run now."""
    with _open_lock:
        return tuple(_open.values())


def hear_children() -> None:
    """Write down what forked processes have read meanwhile, for every open call: any of them may use them."""
    for places, reads in forks.told_by_children():
        _record(open_scopes(), places, reads)


def _record(scopes: Sequence[Scope], places: list[Place], reads: Mapping[str, str]) -> None:
    note(places, reads)
    if forks.is_forked():
        forks.tell_parent(places, reads)
    for scope in scopes:
        scope.record(reads)
