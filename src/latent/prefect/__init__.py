"""
Flows and tasks: what a user's `flow.py` imports.

Whatever else Prefect offers is here as well (`from latent.prefect import tags, unmapped, get_run_logger`, and
its submodules, `from latent.prefect.artifacts import create_markdown_artifact`), so that a Prefect script
becomes a latent one by changing its imports.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from latent.prefect.api.telemetry import keep_telemetry_off
from latent.prefect.passthrough import install

if TYPE_CHECKING:
    from latent.prefect.budget import spend
    from latent.prefect.checkpoints import checkpoint, clear_checkpoints
    from latent.prefect.clients import get_client
    from latent.prefect.configuration import get_config
    from latent.prefect.flows import Flow, flow
    from latent.prefect.logs import get_flow_logger, logger
    from latent.prefect.metrics import log_metric
    from latent.prefect.parameters import params
    from latent.prefect.rows.ends import RowEnd
    from latent.prefect.run import current_run
    from latent.prefect.running import run_flow
    from latent.prefect.tasks import Task, task

__all__ = [
    "Flow",
    "RowEnd",
    "Task",
    "checkpoint",
    "clear_checkpoints",
    "current_run",
    "flow",
    "get_client",
    "get_config",
    "get_flow_logger",
    "log_metric",
    "logger",
    "params",
    "run_flow",
    "spend",
    "task",
]

_HOME = {
    "Flow": "flows",
    "RowEnd": "rows.ends",
    "Task": "tasks",
    "checkpoint": "checkpoints",
    "clear_checkpoints": "checkpoints",
    "current_run": "run",
    "flow": "flows",
    "get_client": "clients",
    "get_config": "configuration",
    "get_flow_logger": "logs",
    "log_metric": "metrics",
    "logger": "logs",
    "params": "parameters",
    "run_flow": "running",
    "spend": "budget",
    "task": "tasks",
}

_ABOUT_PREFECT = ("__version__", "__version_info__", "__development_base_path__")
"""Of the names that Python keeps for itself, those that scripts ask Prefect for."""

keep_telemetry_off()
install(__name__, __path__)


def __getattr__(name: str) -> object:
    if (module := _HOME.get(name)) is not None:
        value = getattr(import_module(f"{__name__}.{module}"), name)
        globals()[name] = value
        return value
    if name.startswith("__") and name not in _ABOUT_PREFECT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("prefect"), name)
