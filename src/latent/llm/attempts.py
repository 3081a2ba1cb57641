"""Requests that are tried again where no row of a map sees to that: alone, in batches, for repairs."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from latent.prefect.retries import MAX_LISTED_DELAYS
from latent.prefect.retry_policy import Backoff, ListedPauses, RetryPolicy, next_delay

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from latent.config import Settings
    from latent.llm.io import IO

R = TypeVar("R")

_JITTER = 0.5
"""The share by which pauses vary, where `retries=` is given."""


async def persistently(attempt: Callable[[int], Coroutine[Any, Any, R]], io: IO, policy: RetryPolicy) -> R:
    """
    What the first attempt gives that does not fail.

    Args:
        attempt: Is told how many failed before it.
    """
    failed, waited = 0, 0.0
    while True:
        try:
            return await attempt(failed)
        except Exception as error:
            failed += 1
            pause = next_delay(policy, failed, error, waited_seconds=waited, random=random.random)
            if pause is None:
                raise
        waited += pause
        await io.sleep(pause)


def policy_for(retries: int | None, settings: Settings) -> RetryPolicy:
    """So many further attempts; None: as the settings say of tasks."""
    tasks = settings.tasks
    policy = RetryPolicy(
        retries=tasks.retries,
        backoff=Backoff(tasks.retry_delay_seconds, tasks.retry_max_delay_seconds, tasks.retry_jitter),
        max_total_seconds=tasks.retry_max_total_seconds,
    )
    if retries is None:
        return policy
    listed = ListedPauses(tuple(_pauses(retries)), _JITTER)
    longest = max(tasks.retry_max_total_seconds, listed.longest_total(retries))
    return replace(policy, retries=retries, listed=listed, max_total_seconds=longest)


def retry_options(retries: int | None) -> dict[str, Any]:
    """Options of a task whose calls have so many further attempts."""
    if retries is None:
        return {}
    # A number alone would mean retries without pauses, as in Prefect.
    return {"retries": retries, "retry_delay_seconds": _pauses, "retry_jitter_factor": _JITTER}


def _pauses(retries: int) -> list[float]:
    """
    Pauses that double, where `retries=` is given; see `[tasks]` of the settings for those that vary.

    After as many as Prefect takes, the last one is repeated.
    """
    return [min(1.0 * 2.0**n, 60.0) for n in range(min(retries, MAX_LISTED_DELAYS))]
