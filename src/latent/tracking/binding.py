"""
Which run a thread works for, and the hook that lets the user's `import mlflow` find the same run.

Nothing of MLflow is touched until the process imports it: a finder on `sys.meta_path` waits for that.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latent.tracking.recorder import RunRecorder

logger = logging.getLogger("latent.tracking")

_FLUENT = "mlflow.tracking.fluent"

current: ContextVar[RunRecorder | None] = ContextVar("latent_recorder", default=None)
"""The recorder of the run that this thread or coroutine works for."""

_active: dict[int, RunRecorder] = {}
_lock = Lock()
_warned_ambiguous = False


def add(recorder: RunRecorder) -> None:
    """Count `recorder` among the runs that go on; from now on an import of MLflow is bound to them."""
    fluent = sys.modules.get(_FLUENT)
    if fluent is not None:
        recorder.users_run = _users_run(fluent)  # before this run counts as one to log to
    with _lock:
        _active[id(recorder)] = recorder
    watch_mlflow()
    if fluent is not None:
        _bind(fluent)


def remove(recorder: RunRecorder) -> None:
    """Count `recorder` among the runs that have ended."""
    with _lock:
        _active.pop(id(recorder), None)


def run_here() -> RunRecorder | None:
    """
    The tracked, unfinished run that this thread works for; None when there is none or it cannot be told.

    A thread that the user started has no context: it belongs to the run that goes on in the process, to
    the innermost one when that has subflows. With several independent runs nobody can tell.
    """
    recorder = current.get()
    if recorder is not None:
        return recorder if recorder.tracked and not recorder.finished else None
    with _lock:
        active = list(_active.values())
    if not active:
        return None
    if len({_root(recorder, active) for recorder in active}) == 1:
        return active[-1]
    _say_ambiguous()
    return None


def watch_mlflow() -> None:
    """Bind MLflow as soon as it is imported; idempotent."""
    with _lock:
        if _FLUENT not in sys.modules and not any(isinstance(finder, _Watcher) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Watcher())


class _Watcher(MetaPathFinder):
    """Finds one module as everybody else would, and has it bound once it is loaded."""

    def __init__(self) -> None:
        self._searching = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _FLUENT or self._searching:
            return None
        self._searching = True
        try:
            spec = find_spec(fullname)
        finally:
            self._searching = False
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_bind(module: ModuleType) -> None:
                execute(module)
                _bind(module)

            spec.loader.exec_module = execute_and_bind  # type: ignore[method-assign]  # this one loader only
        return spec


def _users_run(fluent: ModuleType) -> Any:
    from latent.tracking.mlflow_fluent import users_run

    return users_run(fluent)


def _bind(fluent: ModuleType) -> None:
    from latent.tracking.mlflow_fluent import bind

    try:
        bind(fluent)
    except Exception:  # another version of MLflow may be built differently; the import must go on
        logger.warning(
            "MLflow cannot be bound to the running flow; its calls make runs of their own.", exc_info=True
        )


def _root(recorder: RunRecorder, active: list[RunRecorder]) -> str:
    parents: dict[str, Any] = {other.info.run_id: other.info.parent_run_id for other in active}
    run_id, seen = recorder.info.run_id, set[str]()
    while (parent := parents.get(run_id)) in parents and parent not in seen:
        seen.add(run_id)
        run_id = parent
    return run_id


def _say_ambiguous() -> None:
    global _warned_ambiguous
    if not _warned_ambiguous:
        _warned_ambiguous = True
        logger.warning(
            "MLflow is used in a thread of the user's own while several flows run in this process, so it "
            "cannot be told which run is meant. Start the thread with `contextvars.copy_context().run` to "
            "say so."
        )
