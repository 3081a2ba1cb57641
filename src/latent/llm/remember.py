"""What was paid for is remembered; once that cannot be done any more, a run pays for nothing further."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latent.errors import CacheError, UnstorableError
from latent.prefect.logs import warn_once

if TYPE_CHECKING:
    from collections.abc import Iterable

    from latent.cache.entry import Result
    from latent.prefect.run import Run


def remember(run: Run, service: str, results: Iterable[Result]) -> None:
    """Remember answers of a service; a memory that is full ends the run, and outside of runs is told once."""
    for kept in run.memory.remember_many(results):
        if isinstance(kept, UnstorableError):
            warn_once(f"unstorable:{service}", f"Some answers of {service} are not remembered: {kept}")
        elif isinstance(kept, CacheError):
            reason = (
                f"The memory cannot be written any more ({kept}). What it cannot hold would be paid for "
                "again: make room, and run again."
            )
            if run.budget is None:
                warn_once("memory full", reason)
            else:
                run.budget.end(reason)
            if run.outcomes is not None:
                run.outcomes.lost(1)
