"""Requests that are tried again where no row of a map sees to that: alone, in batches, for repairs."""

from __future__ import annotations

import random
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from latent.prefect.retries import next_delay, policy_of
from latent.prefect.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from latent.config import Settings
    from latent.llm.ways import Way
    from latent.prefect.retries import RetryPolicy

R = TypeVar("R")


async def persistently(attempt: Callable[[int], Coroutine[Any, Any, R]], way: Way, policy: RetryPolicy) -> R:
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
        await way.sleep(pause)


def policy_for(retries: int | None, settings: Settings) -> RetryPolicy:
    """So many further attempts; None: as the settings say of tasks."""
    return policy_of(_stand_in(retries), settings)


def retry_options(retries: int | None) -> dict[str, Any]:
    """Options of a task whose calls have so many further attempts."""
    if retries is None:
        return {}
    # A number alone would mean retries without pauses, as in Prefect.
    return {"retries": retries, "retry_delay_seconds": _pauses, "retry_jitter_factor": 0.5}


def _pauses(retries: int) -> list[float]:
    """Pauses that double, where `retries=` is given; see `[tasks]` of the settings for those that vary."""
    return [min(1.0 * 2.0**n, 60.0) for n in range(retries)]


@lru_cache(maxsize=64)
def _stand_in(retries: int | None) -> Task[..., object]:
    """A task that is tried again as requests are: policies are made for tasks."""
    return Task(persistently, "requests", **retry_options(retries))
