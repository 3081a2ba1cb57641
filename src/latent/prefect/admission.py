"""
One call under its task's limit: admitted first, then timed.

Prefect's own timeout would count the waiting, so calls under a limit are timed here. Rows in batches do the
same in `rows.work`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from latent.errors import RunStoppedError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from latent.limits import Limiter, Permit
    from latent.prefect.call import Call
    from latent.prefect.run import Run
    from latent.prefect.tasks import Task

R = TypeVar("R")


def limiter_of(task: Task[..., Any], run: Run) -> Limiter | None:
    """
    The limiter of a task; None when it takes part in none.

    Raises:
        UnknownLimitError: The settings define no limit of that name.
    """
    if task.limit is None:
        return None
    from latent.limits import limiter_for

    return limiter_for(run.workspace, task.limit)


def admit(call: Call) -> Permit | None:
    """
    Wait until the limit lets the call through; None when there is no limit.

    Raises:
        RunStoppedError: The map was stopped meanwhile.
    """
    _raise_if_stopped(call)
    limiter = limiter_of(call.task, call.run)
    if limiter is None:
        return None
    from latent.limits import AdmissionStopped

    try:
        return limiter.acquire(run_id=call.run.run_id, stop=call.stop.event if call.stop else None)
    except AdmissionStopped:
        _raise_if_stopped(call)
        raise


async def admit_async(call: Call) -> Permit | None:
    """As `admit`, without blocking the event loop."""
    _raise_if_stopped(call)
    limiter = limiter_of(call.task, call.run)
    if limiter is None:
        return None
    from latent.limits import AdmissionStopped

    try:
        stop = call.stop.event if call.stop else None
        return await limiter.acquire_async(run_id=call.run.run_id, stop=stop)
    except AdmissionStopped:
        _raise_if_stopped(call)
        raise


@contextmanager
def holding(call: Call, permit: Permit | None) -> Iterator[None]:
    """Hold a permit while the function runs; how it ends teaches the limit."""
    if permit is None:
        yield
        return
    call.queue_seconds += permit.waited_seconds
    with permit:
        yield


def is_timed_here(call: Call) -> bool:
    """Whether the call's timeout is ours to keep and not Prefect's."""
    return call.task.limit is not None and call.task.timeout_seconds is not None


@contextmanager
def timely(call: Call) -> Iterator[None]:
    """End a plain function that takes too long, as Prefect would; not while it waits outside of Python."""
    if not is_timed_here(call):
        yield
        return
    with sync_timeout(float(call.task.timeout_seconds or 0)):
        yield


async def timely_async(call: Call, coroutine: Coroutine[Any, Any, R]) -> R:
    """End an async function that takes too long."""
    if not is_timed_here(call):
        return await coroutine
    return await within(coroutine, float(call.task.timeout_seconds or 0))


def sync_timeout(seconds: float) -> Any:
    """
    A block that may take so long.

    Raises:
        TimeoutError: It took longer.
    """
    from prefect.task_engine import TaskRunTimeoutError
    from prefect.utilities.timeout import timeout

    return timeout(seconds, timeout_exc_type=TaskRunTimeoutError)


async def within(coroutine: Coroutine[Any, Any, R], seconds: float) -> R:
    """
    What the coroutine returns.

    Raises:
        TimeoutError: It took longer.
    """
    from prefect.task_engine import TaskRunTimeoutError
    from prefect.utilities.timeout import timeout_async

    with timeout_async(seconds, timeout_exc_type=TaskRunTimeoutError):
        return await coroutine


def _raise_if_stopped(call: Call) -> None:
    if call.stop is not None and call.stop.event.is_set():
        raise RunStoppedError(call.stop.reason or "", call.task.name, call.row_index)
