"""
What a transaction of the user's rolls back is not remembered: the next run does it again.

Prefect opens a transaction for each task run as well, which is rolled back when the task fails. What was
finished inside of one of those is done, and stays remembered.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from prefect.transactions import BaseTransaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from latent.cache import Memory

_inside: ContextVar[tuple[BaseTransaction | None, BaseTransaction | None]] = ContextVar("latent_transaction")
"""The transaction of the task run that this code is in, and that of the user's around it."""


def users_transaction() -> BaseTransaction | None:
    """The innermost transaction that the user has opened; None where there is none."""
    active = BaseTransaction.get_active()
    of_task, around = _inside.get((None, None))
    return around if active is of_task else active


@contextmanager
def in_task_run(users: BaseTransaction | None) -> Iterator[None]:
    """Inside of a task run, whose call was made in a transaction of the user's or in none."""
    token = _inside.set((BaseTransaction.get_active(), users))
    try:
        yield
    finally:
        _inside.reset(token)


def forget_when_undone(
    transaction: BaseTransaction, memory: Memory, keys: Callable[[], Iterable[str]]
) -> None:
    """Forget what is remembered under keys from now on, if the transaction is rolled back."""
    since = time.time()

    def forget_results(_: Any) -> None:
        memory.forget_since(keys(), since)

    forget_results.log_on_run = False  # type: ignore[attr-defined]  # Prefect tells of hooks that users have
    transaction.on_rollback_hooks.append(forget_results)
