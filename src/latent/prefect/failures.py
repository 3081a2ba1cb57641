"""A failed call as the error that its caller sees: with the task, the arguments and the attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latent.errors import RowEndedError, TaskExecutionError
from latent.errors.text import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from latent.prefect.run import Run
    from latent.prefect.tasks import Task

_DEAD_WORKER = {"BrokenProcessPool", "KilledWorker", "WorkerCrashedError"}
"""What the process pool, Dask and Ray raise where a worker process died."""


def explained(
    task: Task[..., Any],
    run: Run,
    error: BaseException,
    *,
    arguments: Mapping[str, Any],
    attempts: int,
    row_index: int | None,
    span_id: str | None,
) -> TaskExecutionError:
    """The error about a call that failed for good, chained to what its function raised; secrets masked."""
    inputs: Any = task.inputs[0] if len(task.inputs) == 1 else list(task.inputs) or None
    context = {
        "input": inputs,
        "row_index": row_index,
        "arguments": run.masker.data(run.preview(arguments)),
        "attempts": attempts,
        "span": {"name": task.name, "type": task.span_type, "id": span_id},
    }
    failure = TaskExecutionError.of(task.name, error, context, run.masker.text(text_of(error)))
    failure.__cause__ = error
    return failure


def row_error(error: BaseException) -> Exception:
    """
    What ended a row, as an error that ends no other row.

    `sys.exit`, a cancelled asyncio task and a dead worker process would end the code that waits for the row.
    """
    kind = type(error).__name__
    if kind in _DEAD_WORKER:
        text = "The worker process died before the row had ended. Run again: rows that had are remembered."
    elif isinstance(error, Exception):
        return error
    else:
        text = f"The row was ended by {kind}: {text_of(error)}"
    ended = RowEndedError(text)
    ended.__cause__ = error
    return ended
