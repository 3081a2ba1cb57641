"""
`@checkpoint`: inside a long task, each call of a function remembered on disk, in development.

A task that dies at item 7,500 of 10,000 finds the first 7,500 when it is retried or started again. The memory
of whole tasks does not help there: the task never finished.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from latent.cache.code import code_fingerprint, code_identity
from latent.cache.keys import argument_hashes, key_of_parts
from latent.cache.memory import open_memory
from latent.errors import UnhashableError, UnstorableError
from latent.prefect.inputs import signature_of
from latent.prefect.kept_reads import with_kept
from latent.prefect.leases import acquire_lease, acquire_lease_async
from latent.prefect.logs import warn_once
from latent.prefect.run import Run, current_run, surroundings, workspace_for
from latent.prefect.scope import current_scope, open_scope, record_read
from latent.prefect.undone import forget_when_undone, users_transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from latent.cache.code import CodeFingerprint
    from latent.cache.entry import Hit
    from latent.cache.leases import Lease

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

    def place_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Place | None:
        run = current_run() or surroundings(None)
        if not run.workspace.settings.is_dev:
            return None
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return _Place.of(run, fn, label, bound.arguments)

    if inspect.iscoroutinefunction(fn):

        @functools.wraps(fn)
        async def remembered_async(*args: Any, **kwargs: Any) -> Any:
            if (place := place_of(args, kwargs)) is None:
                return await fn(*args, **kwargs)
            if (hit := place.recall()) is not None:
                return hit.value
            with await place.acquire_lease_async():
                # The former holder may have finished in between.
                if (hit := place.recall()) is not None:
                    return hit.value
                with open_scope(label) as scope:
                    value = await fn(*args, **kwargs)
                return place.keep(value, scope.parameters_read)

        return remembered_async

    @functools.wraps(fn)
    def remembered(*args: Any, **kwargs: Any) -> Any:
        if (place := place_of(args, kwargs)) is None:
            return fn(*args, **kwargs)
        if (hit := place.recall()) is not None:
            return hit.value
        with place.acquire_lease():
            if (hit := place.recall()) is not None:
                return hit.value
            with open_scope(label) as scope:
                value = fn(*args, **kwargs)
            return place.keep(value, scope.parameters_read)

    return remembered


@dataclass(frozen=True)
class _Place:
    """Where one call of a checkpointed function is remembered."""

    run: Run
    task_name: str
    label: str
    key: str
    fn: Callable[..., Any]
    code: CodeFingerprint

    @classmethod
    def of(cls, run: Run, fn: Callable[..., Any], label: str, arguments: dict[str, Any]) -> _Place | None:
        """The call's place; None, said once, when an argument has no fingerprint."""
        scope = current_scope()
        task_name = scope.task_name if scope else ""
        identify = code_identity(run.workspace.root)
        try:
            parts = argument_hashes(arguments, identify)
        except UnhashableError as error:
            warn_once(f"checkpoint:{label}", f"Calls of checkpoint {label!r} are not remembered: {error}")
            return None
        code = code_fingerprint(fn, run.workspace.root, frozenset(identify.classes))
        # The code is part of the key, not only of the entry: functions of one name that are defined again and
        # again with other captured values stand side by side.
        key = key_of_parts(f"checkpoint:{task_name}:{label}:{code.digest}", parts)
        return cls(run, task_name, label, key, fn, code)

    def recall(self) -> Hit | None:
        """What is remembered; what it depends on, the surrounding task depends on too."""
        hit = self.run.memory.recall(self.key, code=self.code, parameter=self.run.parameter_fingerprint)
        if hit is not None:
            record_read(hit.parameters_read)
        return hit

    def acquire_lease(self) -> Lease:
        """Wait until no other thread or process works on the same call."""
        return acquire_lease(self.run.memory, self.key)

    async def acquire_lease_async(self) -> Lease:
        """As `claim`, without blocking the event loop."""
        return await acquire_lease_async(self.run.memory, self.key)

    def keep(self, value: Any, parameters_read: dict[str, str]) -> Any:
        """Remember the value; it is on disk when this returns."""
        if (transaction := users_transaction()) is not None:
            forget_when_undone(transaction, self.run.memory, lambda: [self.key])
        try:
            self.run.memory.remember(
                self.key,
                value,
                task=self.task_name or self.label,
                kind=KIND,
                code=self.code,
                parameters_read=with_kept(parameters_read, self.fn, self.code, self.run.workspace.root),
            )
        except UnstorableError as error:
            warn_once(
                f"checkpoint:{self.label}", f"Calls of checkpoint {self.label!r} are not remembered: {error}"
            )
        return value
