"""When a failed task is tried again, and after how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latent.errors import LatentError, TaskExecutionError

if TYPE_CHECKING:
    from latent.config import Settings

DEFAULT_RETRIES = 3
"""Further attempts of a task in a workspace whose settings say nothing else."""

MAX_LISTED_DELAYS = 50
"""Prefect takes at most this many delays in a list and repeats the last one."""


def default_retry_options(settings: Settings) -> dict[str, Any]:
    """Prefect's retry options for a task that names none: exponential delays with jitter, by the settings."""
    tasks = settings.tasks
    count = min(tasks.retries, MAX_LISTED_DELAYS)
    delays = [min(tasks.retry_delay_seconds * 2**n, tasks.retry_max_delay_seconds) for n in range(count)]
    return {
        "retries": tasks.retries,
        "retry_delay_seconds": delays,
        "retry_jitter_factor": tasks.retry_jitter,
        "retry_condition_fn": is_worth_retrying,
    }


def is_worth_retrying(task: Any, task_run: Any, state: Any) -> bool:
    """
    Whether trying again can help: what latent itself refuses stays wrong until somebody mends it.

    A nested task's failure counts as what failed innermost.
    """
    error = state.data
    while isinstance(error, TaskExecutionError):
        error = error.original_error
    return not isinstance(error, LatentError)
