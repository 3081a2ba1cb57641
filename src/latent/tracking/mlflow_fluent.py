"""
MLflow's fluent interface (`mlflow.log_metric`, `mlflow.active_run`, ...), bound to the running flow.

MLflow keeps a stack of active runs for each thread. Ours answers with the flow's run at the bottom of each
of them, for as long as the flow goes on. `mlflow.start_run()` makes a run nested in the flow's. A run that
the user started, around a flow or inside of one, stands in its place, in the threads of its tasks too.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
from contextvars import ContextVar
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from latent.config import masker_for
from latent.tracking import binding

if TYPE_CHECKING:
    from latent.tracking.recorder import RunRecorder

logger = logging.getLogger("latent.tracking")

_MARK = "_latent_run"

_users_run: ContextVar[Any] = ContextVar("latent_users_mlflow_run", default=None)
"""The run that the user started last and has not ended; tasks inherit it with their context."""


def bind(fluent: ModuleType) -> None:
    """Replace the stack of active runs in `mlflow.tracking.fluent`; idempotent."""
    _use_our_store()
    if getattr(fluent, "_latent_bound", False):
        return
    from mlflow.utils.thread_utils import ThreadLocalVariable

    class FlowRunStack(ThreadLocalVariable):
        """A thread's active runs, with the run of the flow that it works for at the bottom."""

        def get(self) -> Any:
            stack: list[Any] = super().get()  # type: ignore[no-untyped-call]  # MLflow's inside
            run = _run_here()
            if stack and getattr(stack[0], _MARK, False):
                if stack[0] is run:
                    return stack
                del stack[0]
            if run is not None and all(other.info.run_id != run.info.run_id for other in stack):
                stack.insert(0, run)
            return stack

    known = fluent._active_run_stack
    stacks: Any = FlowRunStack(known.default_factory)  # type: ignore[no-untyped-call]  # MLflow's inside
    if existing := known.get():
        stacks.set(existing)
    fluent._active_run_stack = stacks  # type: ignore[attr-defined]
    _replace_start_run(fluent)
    _replace_end_run(fluent)
    fluent._latent_bound = True  # type: ignore[attr-defined]


def users_run(fluent: ModuleType) -> Any:
    """The run that the user has started in this thread, or around what runs here; None when there is none."""
    top = fluent.active_run()
    return _users_run.get() if top is None or getattr(top, _MARK, False) else top


def _replace_start_run(fluent: ModuleType) -> None:
    """Let a plain `mlflow.start_run()` nest under the flow's run instead of refusing."""
    original = fluent.start_run

    @functools.wraps(original)
    def start_run(*args: Any, **kwargs: Any) -> Any:
        stack = fluent._active_run_stack.get()
        if len(stack) == 1 and getattr(stack[0], _MARK, False):
            kwargs.setdefault("nested", True)
        run = original(*args, **kwargs)
        _users_run.set(run)
        return run

    _replace_everywhere("start_run", original, start_run)


def _replace_end_run(fluent: ModuleType) -> None:
    """Let what runs after the end of a user's run log to the one around it."""
    original = fluent.end_run

    @functools.wraps(original)
    def end_run(*args: Any, **kwargs: Any) -> None:
        try:
            original(*args, **kwargs)
        finally:
            own = [run for run in fluent._active_run_stack.get() if not getattr(run, _MARK, False)]
            _users_run.set(own[-1] if own else None)

    _replace_everywhere("end_run", original, end_run)


def _replace_everywhere(name: str, original: Any, ours: Any) -> None:
    """Replace a function of MLflow's, also where `from mlflow import ...` has been executed already."""
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", None)
        if isinstance(names, dict) and names.get(name) is original:
            names[name] = ours


def _run_here() -> Any:
    """The MLflow run that calls here belong to; None when there is none or it lies in another store."""
    recorder = binding.run_here()
    if recorder is None:
        return None
    if (users := _users_run.get() or recorder.users_run) is not None:
        return _at_the_bottom(users)
    if not _is_used(recorder.target.uri):
        return None
    found = recorder.mlflow_run
    if found is None:
        with recorder.mlflow_run_lock:
            if recorder.mlflow_run is None:
                recorder.mlflow_run = _agree(recorder)
            found = recorder.mlflow_run
    return found or None


def _at_the_bottom(users: Any) -> Any:
    """The user's run as it stands in the stacks of other threads; in the user's own it stands already."""
    from mlflow.tracking.fluent import ActiveRun

    if (inner := getattr(users, "_latent_inner", None)) is None:
        inner = ActiveRun(users)  # type: ignore[no-untyped-call]  # MLflow's inside
        setattr(inner, _MARK, True)
        users._latent_inner = inner
    return inner


def _is_used(uri: str) -> bool:
    """Whether MLflow writes to `uri` now: the user may have sent it elsewhere in the middle of a flow."""
    from mlflow.tracking import get_tracking_uri

    return bool(get_tracking_uri() == uri)


def _agree(recorder: RunRecorder) -> Any:
    """The `ActiveRun` for `recorder`, agreed with the writer; False when that failed, which is said once."""
    from mlflow.tracking.fluent import ActiveRun

    from latent.tracking.mlflow_runs import agree

    try:
        recorder.flush()
        entity = agree(recorder.workspace, recorder.target, recorder.folder).entity()
        run = ActiveRun(entity)  # type: ignore[no-untyped-call]  # MLflow's inside
    except Exception as error:  # MLflow's store may be down; the user's own call then says so
        reason = masker_for(recorder.workspace).text(str(error))
        logger.warning("The flow's MLflow run cannot be reached: %s", reason)
        return False
    setattr(run, _MARK, True)
    return run


def _use_our_store() -> None:
    """Point MLflow to the store of the running flow, unless the user named one."""
    recorder = binding.run_here()
    if recorder is None or not recorder.target.is_default or os.environ.get("MLFLOW_TRACKING_URI"):
        return
    utils: Any = import_module("mlflow.tracking._tracking_service.utils")
    if utils._tracking_uri in (None, _used.get("uri")) and utils._tracking_uri != recorder.target.uri:
        # Not `mlflow.set_tracking_uri`: that writes to the environment, which other programs inherit.
        utils._tracking_uri = _used["uri"] = recorder.target.uri
        import_module("mlflow.tracing.provider").reset()


_used: dict[str, str] = {}
