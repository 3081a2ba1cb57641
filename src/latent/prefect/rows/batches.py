"""Batches: many rows in one Prefect task run, in this process or in another, told of by artifacts."""

from __future__ import annotations

import os
import time
from collections import Counter, OrderedDict
from copy import copy
from functools import partial
from random import getrandbits
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext
from prefect.states import Completed, Failed

from latent.prefect.call import in_run
from latent.prefect.global_limits import attached
from latent.prefect.inputs import name_of
from latent.prefect.rows.artifacts import Artifacts, counted
from latent.prefect.rows.executors import BatchHandle, executor_for
from latent.prefect.rows.failure_threshold import FailureThreshold
from latent.prefect.rows.payloads import packed
from latent.prefect.rows.work import RowWork
from latent.prefect.undone import in_task_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    import prefect
    from prefect.client.schemas.objects import State

    from latent.cache.code import CodeFingerprint
    from latent.prefect.rows.ends import RowEnd
    from latent.prefect.rows.job import Job
    from latent.prefect.rows.map_run import MapRun
    from latent.prefect.rows.payloads import Payload
    from latent.prefect.run import RunReference
    from latent.prefect.shared import Shared
    from latent.prefect.tasks import Task

PROGRESS_SECONDS = 2.0
"""How often a batch's progress artifact moves."""

HOOKS = ("on_completion", "on_failure", "on_running", "on_rollback", "on_commit")
"""Prefect's hooks, which belong to a task run of a row's own."""

ORDER_SECONDS = 5.0
"""A batch waits at most so long for the one before it, which may never come to its thread."""

MAPS_KEPT = 8
"""Maps whose executors a worker process keeps for their next batches."""


class Batch:
    """Rows that become one task run; Prefect runs it as a task's function, in any process."""

    def __init__(
        self,
        spec: MapSpec,
        jobs: Sequence[Job],
        map_run: MapRun | None,
        *,
        after: Batch | None = None,
        row_ids: Mapping[int, str] | None = None,
        span_id: str | None = None,
    ) -> None:
        self.spec, self.jobs = spec, list(jobs)
        self.map_run, self.row_ids = map_run, row_ids or {}
        self.came = Event()
        """Set once its rows stand in the executor, or never will."""
        self._before = None if after is None else after.came
        self.span_id = span_id or f"{getrandbits(64):016x}"
        self.__name__ = name_of(spec.task.fn)

    def __call__(self) -> Any:
        return self._run_remotely() if self.map_run is None else self._run_locally(self.map_run)

    def _run_remotely(self) -> list[Payload]:
        with in_run(attached(self.spec.run)):
            remote, artifacts = _remote_for(self.spec), self._artifacts()
            ends: list[RowEnd] = []

            def report(some: Sequence[RowEnd]) -> Sequence[RowEnd]:
                remote.threshold.add(Counter(end.outcome for end in some))
                ends.extend(some)
                return ()

            with in_task_run(None):
                handle = BatchHandle(remote.work, self.jobs, report, span_id=self.span_id)
            remote.work.executor.add(handle)
            _wait(handle, artifacts)
            artifacts.tell_failures(
                [end for end in ends if end.outcome == "failed"], self.row_ids.__getitem__
            )
            return [packed(end) for end in ends]

    def _run_locally(self, map_run: MapRun) -> State[None]:
        began, task_run_id = time.time(), _task_run_id()
        if task_run_id is not None:
            map_run.batch_began(self.rows, task_run_id)
        with in_task_run(map_run.transaction):
            handle = BatchHandle(
                self.spec.local_work(map_run), self.jobs, map_run.report, span_id=self.span_id
            )
        artifacts = self._artifacts()
        if self._before is not None:  # threads start in any order, and rows are begun in theirs
            self._before.wait(ORDER_SECONDS)
        handle.work.executor.add(handle)
        self.came.set()
        _wait(handle, artifacts)
        map_run.note_bulk(
            handle.totals, began_at=began, task_run_id=str(task_run_id or "") or None, span_id=self.span_id
        )
        map_run.note_bulk(handle.duplicates, began_at=began)
        ends = [end for job in self.jobs if (end := map_run.table.end(job.index)) is not None]
        artifacts.tell_failures(
            [end for end in ends if getattr(end, "outcome", "") == "failed"], map_run.row_id
        )
        message = counted(handle.totals.counts)
        if handle.totals.counts["failed"] and map_run.options.on_error == "raise":
            return Failed(message=message)
        return Completed(message=message)

    def _artifacts(self) -> Artifacts:
        return Artifacts(self.spec.task.name, self.label)

    @property
    def rows(self) -> range:
        """From the first row to the last one; those between that are remembered are not among them."""
        return range(self.jobs[0].index, self.jobs[-1].index + 1)

    @property
    def label(self) -> str:
        """The range of rows, as the task run's name has it."""
        return f"rows {self.rows.start:,} to {self.rows.stop - 1:,}"

    def as_task(self) -> prefect.Task[..., Any]:
        """The batch as Prefect runs it: rows are retried, timed and remembered by themselves."""
        engine = copy(self.spec.task)
        engine.fn = self
        engine.isasync = False
        # Prefect fills in parameters where a name has braces.
        engine.task_run_name = f"{engine.name} {self.label}".replace("{", "{{").replace("}", "}}")
        engine.cache_policy, engine.cache_key_fn, engine.persist_result = NO_CACHE, None, False
        engine.retries, engine.retry_delay_seconds, engine.retry_condition_fn = 0, [], None
        engine.timeout_seconds = None
        for hooks in HOOKS:
            setattr(engine, f"{hooks}_hooks", [])
        return cast("prefect.Task[..., Any]", engine)

    # Another process works for itself and sends back how its rows ended.

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Batch, row_ids=self.row_ids, span_id=self.span_id), (self.spec, self.jobs, None)


class MapSpec:
    """What a batch needs to know of its map, in whichever process it runs."""

    def __init__(
        self,
        task: Task[..., Any],
        run: RunReference,
        shared: Shared,
        *,
        map_id: str,
        code: CodeFingerprint | None,
        shares: bool,
        max_failures: float | None,
        concurrency: int,
    ) -> None:
        self.task, self.run, self.shared, self.map_id, self.code = task, run, shared, map_id, code
        self.shares, self.max_failures, self.concurrency = shares, max_failures, concurrency
        self._lock = Lock()
        self._local_work: RowWork | None = None

    def local_work(self, map_run: MapRun) -> RowWork:
        """The work of all batches that run where the map was called: they share its threads."""
        with self._lock:
            if self._local_work is None:
                self._local_work = RowWork(
                    self.task, map_run.run, map_run.planner.shared, code=self.code, shares=self.shares,
                    stop=map_run.stop,
                )  # fmt: skip
                self._local_work.executor = executor_for(self._local_work, self.concurrency)
            return self._local_work

    def remote(self) -> RemoteMap:
        """The work of the batches in this worker process: how rows ended travels back with each."""
        threshold = FailureThreshold(self.max_failures, None)
        work = RowWork(
            self.task, self.run.attach(), self.shared, code=self.code, shares=self.shares,
            stop=threshold.stop,
        )  # fmt: skip
        work.is_remote = True
        work.executor = executor_for(work, self.concurrency)
        return RemoteMap(work, threshold)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_local_work")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=Lock(), _local_work=None)


class RemoteMap(NamedTuple):
    """One map in a worker process."""

    work: RowWork
    threshold: FailureThreshold
    """Of the rows of this process: a map that is clearly broken here ends in the middle of a batch."""


_remote: OrderedDict[tuple[int, str], RemoteMap] = OrderedDict()
_remote_lock = Lock()


def _remote_for(spec: MapSpec) -> RemoteMap:
    with _remote_lock:
        which = (os.getpid(), spec.map_id)
        if which not in _remote:
            _remote[which] = spec.remote()
            while len(_remote) > MAPS_KEPT:
                _remote.popitem(last=False)
        _remote.move_to_end(which)
        return _remote[which]


def _wait(handle: BatchHandle, artifacts: Artifacts) -> None:
    try:
        while not handle.done.wait(PROGRESS_SECONDS):
            artifacts.move(handle.totals.counts, handle.total)
    finally:
        handle.done.wait()  # whatever becomes of the task run: rows under way are paid for, and end
    if artifacts.shows_progress:  # the others have their counts in their state, and end without a request
        artifacts.move(handle.totals.counts, handle.total)


def _task_run_id() -> UUID | None:
    context = TaskRunContext.get()
    return None if context is None else context.task_run.id
