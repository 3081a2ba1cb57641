"""What the engine needs to know of Prefect's task runners: where tasks run, on how many processes."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from prefect.task_runners import ThreadPoolTaskRunner

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from latent.prefect.tasks import Task


def runs_locally(runner: Any) -> bool:
    """Whether tasks run in this process, on threads."""
    return isinstance(runner, ThreadPoolTaskRunner)


def processes_of(runner: Any) -> int:
    """How many processes a task runner has; the machine's processors where it does not say."""
    for count in (_of_pool, _of_dask, _of_ray):
        if found := count(runner):
            return found
    return os.cpu_count() or 1


def _of_pool(runner: Any) -> int | None:
    workers = getattr(runner, "_max_workers", None)
    return workers if isinstance(workers, int) and workers < 10_000 else None


def _of_dask(runner: Any) -> int | None:
    client = getattr(runner, "_client", None) or getattr(runner, "client", None)
    if client is None or not hasattr(client, "scheduler_info"):
        return None
    return len(client.scheduler_info().get("workers", {})) or None


def _of_ray(runner: Any) -> int | None:
    if type(runner).__name__ != "RayTaskRunner":
        return None
    # Not an import statement: the type checker would need ray installed, which only the `ray` extra does.
    ray: Any = import_module("ray")
    return int(ray.cluster_resources().get("CPU", 0)) or None


def crash_of(future: Any) -> BaseException | None:
    """What the runner raised where a task run's worker could not tell how it ended; None where it could."""
    try:
        future.wait()
        if not future.state.is_final():
            future.result()  # only here does Dask's future raise it
    except BaseException as error:
        return error
    return None


def lost_worker(error: BaseException) -> bool:
    """Whether a worker process died that its cluster replaces; a process pool is broken for good by that."""
    return type(error).__name__ in ("KilledWorker", "WorkerCrashedError")


def forget_runs(runner: Any, task_run_ids: Iterable[UUID]) -> None:
    """
    Drop what Prefect keeps of finished task runs until their flow ends.

    For each, that is an event that would cancel it, its assets, and the state that goes with its result: a
    million rows would fill the memory. What is lost is the UI's edge from a result to a later task.
    """
    from prefect.context import FlowRunContext

    if not (gone := set(task_run_ids)):
        return
    events = getattr(runner, "_cancel_events", {})
    for task_run_id in gone:
        events.pop(task_run_id, None)
    if (context := FlowRunContext.get()) is None:
        return
    for task_run_id in gone:
        context.task_run_assets.pop(task_run_id, None)
    links = list(context.run_results.items())  # a copy: other threads add to it
    for which, (state, *_) in links:
        if state.state_details.task_run_id in gone:
            context.run_results.pop(which, None)


def limited_tags(task: Task[..., Any]) -> list[str]:
    """
    The task's tags that carry a concurrency limit on the Prefect server.

    None without a server; and none when it does not answer, which is said: rows do not wait for servers.
    """
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.context import TagsContext
    from prefect.exceptions import ObjectNotFound

    from latent.prefect.api import is_in_memory
    from latent.prefect.logs import warn_once

    tags = sorted({*task.tags, *TagsContext.get().current_tags})
    if not tags or is_in_memory():
        return []
    limited = []
    try:
        with get_client(sync_client=True) as client:
            for tag in tags:
                with suppress(ObjectNotFound):
                    client.read_concurrency_limit_by_tag(tag)
                    limited.append(tag)
    except httpx.HTTPError as error:
        warn_once(
            f"tags:{task.name}",
            f"Whether a tag of task {task.name!r} carries a concurrency limit could not be asked: Prefect's "
            f"server does not answer ({type(error).__name__}: {error}). Rows are mapped as if none did.",
        )
    return limited
