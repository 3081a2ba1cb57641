"""
MLflow's fluent interface (`mlflow.log_metric`, `mlflow.active_run`, ...), bound to the running flow.

MLflow keeps a stack of active runs for each thread. Ours answers with the flow's run at the bottom of each
of them, for as long as the flow goes on. `mlflow.start_run()` makes a run nested in the flow's.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from latent.config import masker_for
from latent.tracking import binding

if TYPE_CHECKING:
    from latent.tracking.recorder import RunRecorder

logger = logging.getLogger("latent.tracking")

_MARK = "_latent_run"


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
            if run is not None:
                stack.insert(0, run)
            return stack

    known = fluent._active_run_stack
    stacks: Any = FlowRunStack(known.default_factory)  # type: ignore[no-untyped-call]  # MLflow's inside
    if existing := known.get():
        stacks.set(existing)
    fluent._active_run_stack = stacks  # type: ignore[attr-defined]
    _replace_start_run(fluent)
    fluent._latent_bound = True  # type: ignore[attr-defined]


def _replace_start_run(fluent: ModuleType) -> None:
    """Let a plain `mlflow.start_run()` nest under the flow's run instead of refusing."""
    original = fluent.start_run

    @functools.wraps(original)
    def start_run(*args: Any, **kwargs: Any) -> Any:
        stack = fluent._active_run_stack.get()
        if len(stack) == 1 and getattr(stack[0], _MARK, False):
            kwargs.setdefault("nested", True)
        return original(*args, **kwargs)

    for module in list(sys.modules.values()):
        # Also where `from mlflow import start_run` has been executed already.
        names = getattr(module, "__dict__", None)
        if isinstance(names, dict) and names.get("start_run") is original:
            names["start_run"] = start_run


def _run_here() -> Any:
    """The MLflow run of this thread's flow; None when there is none or it lies in another store."""
    recorder = binding.run_here()
    if recorder is None or not _is_used(recorder.target.uri):
        return None
    found = recorder.mlflow_run
    if found is None:
        with recorder.mlflow_run_lock:
            if recorder.mlflow_run is None:
                recorder.mlflow_run = _agree(recorder)
            found = recorder.mlflow_run
    return found or None


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
