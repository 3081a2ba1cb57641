"""Run folders, the spool, the writer process, and MLflow runs and traces: what a run leaves behind."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latent.tracking.mlflow_database import ensure_database as ensure_database
    from latent.tracking.preview import shorten as shorten
    from latent.tracking.recorder import RunRecorder as RunRecorder
    from latent.tracking.recorder import current_recorder as current_recorder
    from latent.tracking.records import RowRecord as RowRecord
    from latent.tracking.records import RunInfo as RunInfo
    from latent.tracking.records import SpanRecord as SpanRecord
    from latent.tracking.records import TaskRecord as TaskRecord
    from latent.tracking.records import describe_error as describe_error
    from latent.tracking.row_filter import Where as Where
    from latent.tracking.row_filter import parse_where as parse_where
    from latent.tracking.rows_view import FailureGroup as FailureGroup
    from latent.tracking.rows_view import failed_rows as failed_rows
    from latent.tracking.rows_view import failure_groups as failure_groups
    from latent.tracking.rows_view import load_failures as load_failures
    from latent.tracking.rows_view import load_rows as load_rows
    from latent.tracking.sync import Synced as Synced
    from latent.tracking.sync import has_unsent_runs as has_unsent_runs
    from latent.tracking.sync import sync_runs as sync_runs
    from latent.tracking.views import RunView as RunView
    from latent.tracking.views import list_runs as list_runs
    from latent.tracking.views import load_run as load_run
    from latent.tracking.views import run_tags as run_tags
    from latent.tracking.views import tag_run as tag_run
    from latent.tracking.views import wait_for_tracking as wait_for_tracking
    from latent.tracking.writer_process import ensure_writer as ensure_writer
    from latent.tracking.writer_process import stop_writer as stop_writer

_HOME = {
    "FailureGroup": "rows_view",
    "RowRecord": "records",
    "RunInfo": "records",
    "RunRecorder": "recorder",
    "RunView": "views",
    "SpanRecord": "records",
    "Synced": "sync",
    "has_unsent_runs": "sync",
    "sync_runs": "sync",
    "TaskRecord": "records",
    "Where": "row_filter",
    "current_recorder": "recorder",
    "describe_error": "records",
    "ensure_database": "mlflow_database",
    "ensure_writer": "writer_process",
    "failed_rows": "rows_view",
    "failure_groups": "rows_view",
    "list_runs": "views",
    "load_failures": "rows_view",
    "load_rows": "rows_view",
    "load_run": "views",
    "run_tags": "views",
    "tag_run": "views",
    "parse_where": "row_filter",
    "shorten": "preview",
    "stop_writer": "writer_process",
    "wait_for_tracking": "views",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    if (module := _HOME.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
