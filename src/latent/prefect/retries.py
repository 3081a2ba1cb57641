"""
The one retry layer: a task's policy, and how Prefect's engine is made to follow it.

Rows inside a batch ask `next_delay` themselves. A call that is a task run of its own is retried by Prefect,
which asks `retry_condition_fn` right before it reads `retry_delay_seconds`: the copy of the task that stands
for one call answers the first and, doing so, sets the second.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from random import random
from typing import TYPE_CHECKING, Any, cast

from prefect.settings import get_current_settings

from latent.prefect.logs import get_flow_logger
from latent.prefect.retry_policy import (
    Backoff,
    ListedPauses,
    RetryPolicy,
    can_succeed_later,
    next_delay,
)
from latent.prefect.sdk_retries import report_sdk_retries

if TYPE_CHECKING:
    from collections.abc import Callable

    import prefect
    from prefect.client.schemas.objects import State, TaskRun

    from latent.config import Settings
    from latent.prefect.tasks import Task

__all__ = [
    "DEFAULT_RETRIES",
    "RetryPolicy",
    "can_succeed_later",
    "follow",
    "next_delay",
    "policy_of",
]

DEFAULT_RETRIES = 3
"""Further attempts of a task in a workspace whose settings say nothing else."""

MAX_LISTED_DELAYS = 50
"""Prefect takes at most this many delays in a list and repeats the last one."""


def policy_of(task: Task[..., Any], settings: Settings) -> RetryPolicy:
    """
    How a task's calls are retried: Prefect's options and ours where its decorator has them, else `[tasks]`.

    A user's `retries` stand alone, as in Prefect: without delays there are no pauses, except where a
    provider's answer calls for one. A user's delays are kept exactly, unless `retry_jitter_factor` varies
    them.
    """
    tasks = settings.tasks
    retries = _retries(task, settings)
    listed = _listed(task, retries)
    longest = listed.longest_total(retries) if listed is not None else 0.0
    return RetryPolicy(
        retries=retries,
        backoff=Backoff(tasks.retry_delay_seconds, tasks.retry_max_delay_seconds, tasks.retry_jitter),
        listed=listed,
        # The user's own list may take as long as it says.
        max_total_seconds=max(tasks.retry_max_total_seconds, longest),
        retry_on=task.retry_on,
        no_retry_on=task.no_retry_on or (),
        condition=_condition(task) if task.retry_condition_fn is not None else None,
    )


def follow(engine: prefect.Task[..., Any], policy: RetryPolicy) -> None:
    """
    Make Prefect's engine follow a policy, on a copy of a task that stands for one call.

    The copy counts the attempts and pauses of its call, so it must not stand for a second one.
    """
    users: Any = engine.retry_condition_fn
    # Prefect hands the user's condition more than an error, so it is asked here.
    attempts = _Attempts(policy if users is None else replace(policy, condition=_has_agreed))

    # Prefect tells plain and async functions apart by looking at them, so there are two.
    def ask(task: prefect.Task[..., Any], task_run: TaskRun, state: State) -> bool:
        return (users is None or bool(users(task, task_run, state))) and attempts.again(task, state)

    async def ask_async(task: prefect.Task[..., Any], task_run: TaskRun, state: State) -> bool:
        return bool(await users(task, task_run, state)) and attempts.again(task, state)

    engine.retries = policy.retries
    engine.retry_delay_seconds = _pauses_shown(policy)
    engine.retry_jitter_factor = None
    engine.retry_condition_fn = ask_async if inspect.iscoroutinefunction(users) else ask


class _Attempts:
    """The attempts of one call so far."""

    def __init__(self, policy: RetryPolicy) -> None:
        self.policy = policy
        self.failed, self.waited_seconds = 0, 0.0

    def again(self, task: prefect.Task[..., Any], state: State) -> bool:
        """Whether there is another attempt; if so, the task's pause is set to what comes before it."""
        self.failed += 1
        # A task may also fail by returning a failed state.
        error = state.data if isinstance(state.data, BaseException) else RuntimeError(state.message)
        report_sdk_retries(cast("Task[..., Any]", task), error)
        delay = next_delay(self.policy, self.failed, error, waited_seconds=self.waited_seconds, random=random)
        if delay is None:
            return False
        self.waited_seconds += delay
        task.retry_delay_seconds = [delay] if delay else []
        return True


def _retries(task: Task[..., Any], settings: Settings) -> int:
    if "retries" in task.options:
        return task.retries
    if not task.own["retry"]:
        return 0
    if is_set_in_prefect("default_retries"):
        return get_current_settings().tasks.default_retries
    return settings.tasks.retries


def is_set_in_prefect(name: str) -> bool:
    """Whether the user has set a setting of Prefect's for tasks: by environment, profile or file."""
    return name in get_current_settings().tasks.model_fields_set


def _listed(task: Task[..., Any], retries: int) -> ListedPauses | None:
    """The task's own pauses; None when it leaves them to the settings."""
    given, factor = task.options.get("retry_delay_seconds"), task.options.get("retry_jitter_factor")
    if given is None:
        if "retries" not in task.options and not is_set_in_prefect("default_retries"):
            return None
        given = task.retry_delay_seconds or None  # what Prefect's own settings say: 0 unless changed
    elif callable(given):
        given = given(min(retries, MAX_LISTED_DELAYS))
    if given is None:
        return ListedPauses((), factor)
    return ListedPauses(tuple(given) if isinstance(given, list | tuple) else (given,), factor)


def _pauses_shown(policy: RetryPolicy) -> list[float]:
    """What Prefect records of a task run's pauses, before any of them is decided."""
    if policy.listed is not None:
        return list(policy.listed.seconds)
    return [policy.backoff.length(n) for n in range(1, min(policy.retries, MAX_LISTED_DELAYS) + 1)]


def _has_agreed(error: BaseException) -> bool:
    return True


def _condition(task: Task[..., Any]) -> Callable[[BaseException], bool]:
    """The user's `retry_condition_fn` as a question about an error; if it raises, the answer is no."""
    users: Any = task.retry_condition_fn

    def is_worth_retrying(error: BaseException) -> bool:
        from prefect.context import TaskRunContext
        from prefect.states import Failed
        from prefect.utilities.asyncutils import run_coro_as_sync

        context = TaskRunContext.get()
        state: State = Failed(data=error, message=f"Task run encountered unexpected exception: {error!r}")
        try:
            said = users(task, context.task_run if context is not None else None, state)
            return bool(run_coro_as_sync(said) if inspect.iscoroutine(said) else said)
        except Exception:
            get_flow_logger().exception("The retry_condition_fn of %s is broken.", task.label)
            return False

    return is_worth_retrying
