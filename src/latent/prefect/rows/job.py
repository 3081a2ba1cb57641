"""One row on its way: what it needs to run, and then how that went."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from latent.errors import RunStoppedError
from latent.prefect.abstained import outcome_of, recalled_outcome
from latent.prefect.rows.ends import RowEnd

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from latent.cache import Lease
    from latent.cache.code import CodeFingerprint
    from latent.errors import TaskExecutionError
    from latent.limits import Permit
    from latent.prefect.key import CallKey
    from latent.prefect.usage import ServiceAccount
    from latent.tracking.records import Outcome


class Job:
    """One row that is not remembered: what it needs to run, and then how that went."""

    __slots__ = (
        "arguments",
        "attempts",
        "began",
        "cost_usd",
        "error",
        "handle",
        "index",
        "keeps",
        "key",
        "lease",
        "life",
        "looked_up",
        "outcome",
        "outputs",
        "parameters_read",
        "permit",
        "queue_seconds",
        "refreshes",
        "started_at",
        "used",
        "value",
        "waited_seconds",
    )

    def __init__(
        self, index: int, arguments: dict[str, Any], key: CallKey | None, *, refreshes: bool = False
    ) -> None:
        self.index, self.arguments, self.key = index, arguments, key
        self.refreshes = refreshes
        """Whether it is computed again, whatever is remembered."""
        self.looked_up = False
        """Whether the memory was asked since the row was claimed: nobody else can have finished it since."""
        self.handle: Any = None
        """The batch that the row belongs to; None until an executor has it."""
        self.life: Generator[Any, Any, None] | None = None
        self.outcome: Outcome | None = None
        self.value: Any = None
        self.error: Exception | None = None
        self.keeps = False
        """Whether the value is still to be remembered."""
        self.outputs: Mapping[str, str] = {}
        """What its entry has to hold of an argument that it changed and returned."""
        self.parameters_read: Mapping[str, str] = {}
        self.lease: Lease | None = None
        self.permit: Permit | None = None
        """The limit's permit for the coming attempt."""
        self.attempts = 0
        self.began = 0.0
        """Monotonic seconds of the first attempt."""
        self.started_at: float | None = None
        self.queue_seconds = 0.0
        self.waited_seconds = 0.0
        """All pauses before further attempts together."""
        self.cost_usd: float | None = None
        self.used: dict[str, ServiceAccount] | None = None

    @property
    def code(self) -> CodeFingerprint | None:
        """The task's code with that of the user's classes among the arguments; None where there are none."""
        return None if self.key is None else self.key.code

    @property
    def has_ended(self) -> bool:
        """Whether it is known what became of the row."""
        return self.outcome is not None

    def begin_attempt(self) -> None:
        """Count an attempt; the first one starts the row's clocks."""
        self.attempts += 1
        if self.started_at is None:
            self.started_at, self.began = time.time(), time.monotonic()

    def succeed(self, value: Any, *, keeps: bool) -> None:
        self.outcome, self.value, self.keeps = outcome_of(value), value, keeps

    def reuse(self, value: Any) -> None:
        self.outcome, self.value = recalled_outcome(value), value

    def fail(self, error: TaskExecutionError) -> None:
        self.outcome, self.error = "failed", error

    def skip(self, task_name: str, reason: str) -> None:
        self.outcome, self.error = "skipped", RunStoppedError(reason, task_name, self.index)

    def release(self) -> None:
        """Let others have the key, and the place under the limit of a row that ended before its call."""
        if self.lease is not None:
            self.lease.release()
            self.lease = None
        if self.permit is not None:
            self.permit.release()

    def end(self) -> RowEnd:
        """How the row ended."""
        assert self.outcome is not None, "the row has not ended"
        return RowEnd(
            self.index,
            self.outcome,
            self.value,
            self.error,
            self.attempts,
            self.started_at,
            time.monotonic() - self.began if self.began else 0.0,
            self.queue_seconds,
            None if self.key is None else self.key.key,
            self.cost_usd,
            self.used,
        )

    # Only what is known before it runs travels to another process.

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Job, refreshes=self.refreshes), (self.index, self.arguments, self.key)


def codes_of(jobs: Iterable[Job]) -> dict[str, CodeFingerprint]:
    """The code of those rows that depend on more than the task's alone, by key."""
    return {job.key.key: job.code for job in jobs if job.key is not None and job.code is not None}
