"""Rows of past runs as people ask for them: all of them, or the failed ones by what went wrong."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latent.errors.text import cause_of
from latent.tracking.arrow import table_from
from latent.tracking.row_filter import parse_where
from latent.tracking.rows import COLUMNS
from latent.tracking.views import list_runs, load_run

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types

    from latent.config import Workspace

logger = logging.getLogger("latent.tracking")


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Rows or calls of one task that failed for what looks like the same reason."""

    task: str
    error_type: str
    cause: str
    """Their message, with `#` in the place of numbers and ids."""
    rows: int
    first: dict[str, Any]
    """The one with the lowest index, as its values by column; `index` is None for a call outside of maps."""


def load_rows(workspace: Workspace, run_id: str) -> pa.Table:
    """
    The rows of a run, in the order in which they ended: an Arrow table with the columns of `COLUMNS`.

    A run that goes on shows what it has told up to a few seconds ago. Part files that are damaged are
    left out, and said in the log.

    Args:
        workspace: Whose run.
        run_id: The run's id, or its beginning.

    Raises:
        RunNotFoundError: There is no such run, or there are several.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    folder = load_run(workspace, run_id).folder.rows_dir
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in COLUMNS.items()])
    tables = [pa.Table.from_batches([], schema)]
    for part in sorted(folder.glob("part-*.parquet")):
        try:
            tables.append(pq.ParquetFile(part).read(columns=list(COLUMNS)).cast(schema))
        except (OSError, pa.ArrowException, ValueError) as error:
            reason = " ".join(str(error).split())
            logger.warning("%s cannot be read and is left out: %s", workspace.label(part), reason)
    return pa.concat_tables(tables)


def failed_rows(workspace: Workspace, flow: str, task: str, *, without: str = "") -> set[str]:
    """
    The ids of a task's rows that failed when they last ran in a flow.

    A row that the last run skipped, or did not get to before it was interrupted, is as it was before.

    Args:
        without: The id of a run that does not count: the one that asks.
    """
    fates: dict[str, str] = {}
    for run in list_runs(workspace, flow=flow, limit=_RUNS_LOOKED_THROUGH):
        if run.run_id == without:
            continue
        rows = load_rows(workspace, run.run_id).select(["task", "id", "outcome"]).to_pylist()
        latest = {row["id"]: row["outcome"] for row in rows if row["task"] == task}
        for row_id, outcome in latest.items():
            if outcome != "skipped":
                fates.setdefault(row_id, outcome)
        is_whole = latest and "skipped" not in latest.values() and run.state in ("ok", "failed")
        if is_whole:
            break
    return {row_id for row_id, outcome in fates.items() if outcome == "failed"}


_RUNS_LOOKED_THROUGH = 20


def load_failures(workspace: Workspace, run_id: str) -> list[FailureGroup]:
    """
    What failed in a run, rows and calls, grouped by task and cause, the largest group first.

    Raises:
        RunNotFoundError: There is no such run, or there are several.
    """
    import pyarrow as pa

    rows = load_rows(workspace, run_id)
    calls = [
        line
        for line in load_run(workspace, run_id).task_lines()
        if line["outcome"] == "failed" and line.get("row_index") is None and not line.get("row_outcomes")
    ]
    failed_calls = [_as_row(line) for line in calls]
    columns = {name: [call[name] for call in failed_calls] for name in COLUMNS}
    return failure_groups(pa.concat_tables([rows, table_from(columns, COLUMNS)]))


def _as_row(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the table of tasks with the columns of the table of rows."""
    error = line.get("error") or {}
    return {
        **{name: line.get(name) for name in COLUMNS},
        "task": line["name"],
        "index": None,
        "error_type": error.get("type"),
        "error": error.get("message"),
    }


def failure_groups(rows: pa.Table) -> list[FailureGroup]:
    """The failed rows among `rows`, grouped by task and cause, the largest group first."""
    failed = parse_where("outcome == 'failed'").filter(rows).sort_by("index")
    groups: dict[tuple[str, str, str], list[int]] = {}
    columns = (failed.column(name).to_pylist() for name in ("task", "error_type", "error"))
    for position, (task, kind, message) in enumerate(zip(*columns, strict=True)):
        groups.setdefault((task, kind or "unknown", cause_of(message or "")), []).append(position)
    found = [
        FailureGroup(task, kind, cause, len(positions), failed.slice(positions[0], 1).to_pylist()[0])
        for (task, kind, cause), positions in groups.items()
    ]
    return sorted(found, key=lambda group: -group.rows)
