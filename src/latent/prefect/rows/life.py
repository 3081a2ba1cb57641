"""
The life of one row, from its claim over its attempts to its end.

`life` decides and never waits: it yields what has to happen next, and an executor does it, on a thread
or on an event loop. So both kinds of tasks share every decision, and a row that pauses holds no thread.
"""

from __future__ import annotations

from contextlib import nullcontext
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from latent.cache.leases import PEER_POLL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Generator

    from latent.prefect.rows.job import Job
    from latent.prefect.rows.work import RowWork


MOST_PEER_POLL_SECONDS = 0.5
"""What takes long elsewhere is not asked after more often: thousands of rows may wait for it."""


class Sleep(NamedTuple):
    """Go on with the row after this many seconds; others run meanwhile."""

    seconds: float


class Step(Enum):
    """What an executor does for a row."""

    ADMIT = "wait for the task's limit, and send its permit; None when the map was stopped meanwhile"
    CALL = "call the task's function, and send what it raised; None when it returned"


def life(work: RowWork, job: Job) -> Generator[Sleep | Step, Any, None]:
    """Bring a row to its end; afterwards `job.outcome` is set."""
    if job.has_ended:
        return None
    yield from _claimed(work, job)
    if work.stop.is_set:
        return work.skip(job)
    if not job.looked_up and work.look_up([job]):
        return None
    error: BaseException | None = None
    while True:
        if not work.may_begin(job):
            return _left(work, job, error)
        if work.limiter is not None:
            with job.lease.parked() if job.lease is not None else nullcontext():
                job.permit = yield Step.ADMIT
            if job.permit is None:
                return _left(work, job, error)
            job.queue_seconds += job.permit.waited_seconds
            if job.lease is not None and job.lease.was_taken and (yield from _was_overtaken(work, job)):
                job.permit.release()
                return None
        job.begin_attempt()
        error = yield Step.CALL
        if error is None:
            return None
        delay = work.delay_before_retry(job, error)
        if delay is None:
            return work.fail(job, error)
        job.waited_seconds += delay
        yield Sleep(delay)


def _left(work: RowWork, job: Job, error: BaseException | None) -> None:
    """End a row of a map that was stopped: as not begun, or with what its last attempt failed with."""
    if error is None:
        work.skip(job)
    else:
        work.fail(job, error)


def _claimed(work: RowWork, job: Job) -> Generator[Sleep, Any, None]:
    """Wait until nobody else works on the row, or the map is stopped."""
    waited = 0.0
    while not (work.stop.is_set or work.claim(job)):
        pause = min(MOST_PEER_POLL_SECONDS, max(PEER_POLL_SECONDS, waited / 8))
        waited += pause
        yield Sleep(pause)


def _was_overtaken(work: RowWork, job: Job) -> Generator[Sleep, Any, bool]:
    """Whether a row has ended whose lease was taken over while it waited for its place under the limit."""
    job.lease = None
    yield from _claimed(work, job)
    if work.stop.is_set:
        work.skip(job)
    else:
        work.look_up([job])
    return job.has_ended
