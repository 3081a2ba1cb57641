"""
`@checkpoint`: inside a long task, each call of a function remembered on disk, in development.

A task that dies at item 7,500 of 10,000 finds the first 7,500 when it is retried or started again. The memory
of whole tasks does not help there: the task never finished.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from latent.cache.code import code_fingerprint
from latent.cache.keys import row_key
from latent.cache.memory import open_memory
from latent.errors import UnhashableError, UnstorableError
from latent.prefect.inputs import signature_of
from latent.prefect.logs import warn_once
from latent.prefect.run import Run, current_run, surroundings, workspace_for
from latent.prefect.scope import current_scope, open_scope, record_read

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

KIND = "checkpoint"
"""The kind of these entries in the store."""


@overload
def checkpoint(fn: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def checkpoint(*, name: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def checkpoint(fn: Any = None, /, *, name: str | None = None) -> Any:
    """
    Remember each distinct call of a function on disk, to return it at once after a crash or a retry.

    Only in development (`environment = "dev"`); in production the function runs each time. A call is told
    apart by its arguments, by the function's code with the values that it captures, and by the parameters
    that it reads. Works for plain and async functions, from threads and from several processes.

    Args:
        name: Tells functions of one name in one task apart; the function's qualified name by default.
    """
    if fn is None:
        return functools.partial(_checkpointed, name=name)
    return _checkpointed(fn, name=name)


def clear_checkpoints() -> int:
    """Forget every checkpoint of the workspace; the number of entries that were removed."""
    run = current_run()
    workspace = run.workspace if run else workspace_for(None)
    return open_memory(workspace).clear(kind=KIND)


def _checkpointed(fn: Callable[..., Any], name: str | None) -> Callable[..., Any]:
    signature = signature_of(fn)
    label = str(name or getattr(fn, "__qualname__", type(fn).__name__))

    def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Remembered | None:
        run = current_run() or surroundings(None)
        if not run.workspace.settings.is_dev:
            return None
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return _Remembered.of(run, fn, label, bound.arguments)

    if inspect.iscoroutinefunction(fn):

        @functools.wraps(fn)
        async def remembered_async(*args: Any, **kwargs: Any) -> Any:
            entry = begin(args, kwargs)
            if entry is None:
                return await fn(*args, **kwargs)
            if entry.found:
                return entry.value
            with open_scope(label) as scope:
                value = await fn(*args, **kwargs)
            return entry.keep(value, scope.parameters_read)

        return remembered_async

    @functools.wraps(fn)
    def remembered(*args: Any, **kwargs: Any) -> Any:
        entry = begin(args, kwargs)
        if entry is None:
            return fn(*args, **kwargs)
        if entry.found:
            return entry.value
        with open_scope(label) as scope:
            value = fn(*args, **kwargs)
        return entry.keep(value, scope.parameters_read)

    return remembered


class _Remembered:
    """One call of a checkpointed function: what is remembered of it, or the place where it will be."""

    def __init__(self, run: Run, task_name: str, label: str, key: str, code: Any) -> None:
        self.run, self.task_name, self.label, self.key, self.code = run, task_name, label, key, code
        hit = run.memory.recall(key, code=code, parameter=run.parameter_fingerprint)
        self.found = hit is not None
        self.value = hit.value if hit else None
        if hit is not None:
            record_read(hit.entry.parameters_read)

    @classmethod
    def of(
        cls, run: Run, fn: Callable[..., Any], label: str, arguments: dict[str, Any]
    ) -> _Remembered | None:
        """The call's place in the memory; None, said once, when an argument has no fingerprint."""
        scope = current_scope()
        task_name = scope.task_name if scope else ""
        code = code_fingerprint(fn, run.workspace.root)
        try:
            # The code is part of the key, not only of the entry: functions of one name that are defined again
            # and again with other captured values stand side by side.
            key = row_key(f"checkpoint:{task_name}:{label}:{code.digest}", arguments)
        except UnhashableError as error:
            warn_once(
                f"checkpoint:{label}",
                f"Calls of checkpoint {label!r} are not remembered: {error}",
            )
            return None
        return cls(run, task_name, label, key, code)

    def keep(self, value: Any, parameters_read: dict[str, str]) -> Any:
        """Remember the value; it is on disk when this returns."""
        try:
            self.run.memory.remember(
                self.key,
                value,
                task=self.task_name or self.label,
                kind=KIND,
                code=self.code,
                parameters_read=parameters_read,
                key_parts={},
                expires_in=None,
            )
        except UnstorableError as error:
            warn_once(
                f"checkpoint:{self.label}", f"Calls of checkpoint {self.label!r} are not remembered: {error}"
            )
        return value
