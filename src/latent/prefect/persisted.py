"""Prefect's own store of results, for tasks that ask for it; the memory is another thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect.cache_policies import NO_CACHE, CachePolicy
from prefect.results import should_persist_result

if TYPE_CHECKING:
    from collections.abc import Mapping

    import prefect
    from prefect.context import TaskRunContext

_OPTIONS = ("persist_result", "result_storage_key", "result_storage", "result_serializer")
"""Prefect's options with which a task asks for it."""


def asks_for_storage(options: Mapping[str, Any]) -> bool:
    """Whether a task's options have Prefect store each of its results."""
    return any(options.get(name) for name in _OPTIONS)


def store_results(engine: prefect.Task[..., Any], options: Mapping[str, Any]) -> None:
    """
    Have Prefect's engine store the result of a call that is made here, if the task or the flow asks for it.

    Prefect's cache is off, as the memory has looked already; but not under a key of the user's own, where
    Prefect looks itself, and the memory does not.
    """
    engine.persist_result = options.get("persist_result")
    if engine.persist_result is None and asks_for_storage(options):
        engine.persist_result = True
    engine.cache_key_fn = None
    if options.get("result_storage_key") is None:
        stores = should_persist_result() if engine.persist_result is None else engine.persist_result
        policy: Any = _EACH_RUN if stores else NO_CACHE
        engine.cache_policy = policy


def _id_of_run(context: TaskRunContext, arguments: Mapping[str, Any]) -> str:
    return str(context.task_run.id)


_EACH_RUN: CachePolicy = CachePolicy.from_cache_key_fn(_id_of_run)
"""A key for each task run: its state finds the result again, and nobody else does."""
