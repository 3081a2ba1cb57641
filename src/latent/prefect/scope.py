"""
What a running call depends on beside its arguments: the parameters it reads.

A scope stands open while a task's or a checkpoint's function runs. Each read of `params` is written down in
it, and in the scopes around it, so that an entry is reused only while everything its value came from is
unchanged.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from latent.prefect.usage import ServiceAccount


class Scope:
    """The parameters read by one call, and the span it is traced under."""

    __slots__ = (
        "attempt",
        "cost_usd",
        "is_counted",
        "parameters_read",
        "parent",
        "span_id",
        "task_name",
        "used",
    )

    def __init__(self, task_name: str, span_id: str | None, parent: Scope | None) -> None:
        self.task_name, self.span_id, self.parent = task_name, span_id, parent
        self.parameters_read: dict[str, str] = {}
        self.cost_usd: float | None = None
        """What the call has cost so far, as far as it was told."""
        self.used: dict[str, ServiceAccount] | None = None
        """What it has used of paid services so far, by the service's name; None: nothing."""
        self.attempt = 1
        """Which attempt of the call this is, 1-based."""
        self.is_counted: bool = parent is not None and parent.is_counted
        """Whether it is a row that counts as a call in the run's budget: what it calls is part of that."""

    def record(self, reads: Mapping[str, str]) -> None:
        """Write down fingerprints by parameter name, here and in every scope around this one."""
        scope: Scope | None = self
        while scope is not None:
            scope.parameters_read.update(reads)
            scope = scope.parent


_current: ContextVar[Scope | None] = ContextVar("latent_scope", default=None)
_open: dict[int, Scope] = {}
_open_lock = Lock()


@contextmanager
def open_scope(task_name: str, span_id: str | None = None) -> Iterator[Scope]:
    """Write down what is read until the block ends; `span_id` None stays under the span around it."""
    parent = _current.get()
    scope = Scope(task_name, span_id or (parent.span_id if parent else None), parent)
    token = _current.set(scope)
    with _open_lock:
        _open[id(scope)] = scope
    try:
        yield scope
    finally:
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
    if (scope := _current.get()) is not None:
        scope.record(reads)
        return
    if not reads:
        return
    with _open_lock:
        scopes = list(_open.values())
    for scope in scopes:
        scope.parameters_read.update(reads)
