"""Batches: many rows in one Prefect task run, at home or in another process, told of by artifacts."""

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
from latent.prefect.rows.lanes import Ticket, lane_for
from latent.prefect.rows.parcels import packed
from latent.prefect.rows.tally import Tally
from latent.prefect.rows.work import RowWork
from latent.prefect.undone import in_task_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    import prefect
    from prefect.client.schemas.objects import State

    from latent.cache.code import CodeFingerprint
    from latent.prefect.rows.ends import RowEnd
    from latent.prefect.rows.home import Home
    from latent.prefect.rows.job import Job
    from latent.prefect.rows.parcels import Parcel
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
"""Maps whose lanes a worker process keeps for their next batches."""


class Batch:
    """Rows that become one task run; Prefect runs it as a task's function, in any process."""

    def __init__(
        self,
        spec: MapSpec,
        jobs: Sequence[Job],
        home: Home | None,
        *,
        after: Batch | None = None,
        row_ids: Mapping[int, str] | None = None,
        span_id: str | None = None,
    ) -> None:
        self.spec, self.jobs = spec, list(jobs)
        self.home, self.row_ids = home, row_ids or {}
        self.came = Event()
        """Set once its rows stand in the lane, or never will."""
        self._before = None if after is None else after.came
        self.span_id = span_id or f"{getrandbits(64):016x}"
        self.__name__ = name_of(spec.task.fn)

    def __call__(self) -> Any:
        return self._run_away() if self.home is None else self._run_at_home(self.home)

    def _run_away(self) -> list[Parcel]:
        with in_run(attached(self.spec.run)):
            away, artifacts = _away_for(self.spec), self._artifacts()
            ends: list[RowEnd] = []

            def report(some: Sequence[RowEnd]) -> Sequence[RowEnd]:
                away.tally.add(Counter(end.outcome for end in some))
                ends.extend(some)
                return ()

            with in_task_run(None):
                ticket = Ticket(away.work, self.jobs, report, span_id=self.span_id)
            away.work.lane.add(ticket)
            _wait(ticket, artifacts)
            artifacts.tell_failures(
                [end for end in ends if end.outcome == "failed"], self.row_ids.__getitem__
            )
            return [packed(end) for end in ends]

    def _run_at_home(self, home: Home) -> State[None]:
        began, task_run_id = time.time(), _task_run_id()
        if task_run_id is not None:
            home.batch_began(self.rows, task_run_id)
        with in_task_run(home.transaction):
            ticket = Ticket(self.spec.work_at(home), self.jobs, home.report, span_id=self.span_id)
        artifacts = self._artifacts()
        if self._before is not None:  # threads start in any order, and rows are begun in theirs
            self._before.wait(ORDER_SECONDS)
        ticket.work.lane.add(ticket)
        self.came.set()
        _wait(ticket, artifacts)
        home.note_bulk(
            ticket.totals, began_at=began, task_run_id=str(task_run_id or "") or None, span_id=self.span_id
        )
        home.note_bulk(ticket.twins, began_at=began)
        ends = [end for job in self.jobs if (end := home.table.end(job.index)) is not None]
        artifacts.tell_failures([end for end in ends if getattr(end, "outcome", "") == "failed"], home.row_id)
        message = counted(ticket.totals.counts)
        if ticket.totals.counts["failed"] and home.options.on_error == "raise":
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

    # Another process works for itself and sends home how its rows ended.

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
        width: int,
    ) -> None:
        self.task, self.run, self.shared, self.map_id, self.code = task, run, shared, map_id, code
        self.shares, self.max_failures, self.width = shares, max_failures, width
        self._lock = Lock()
        self._at_home: RowWork | None = None

    def work_at(self, home: Home) -> RowWork:
        """The work of all batches that run where the map was called: they share its threads."""
        with self._lock:
            if self._at_home is None:
                self._at_home = RowWork(
                    self.task, home.run, home.planner.shared, code=self.code, shares=self.shares,
                    stop=home.stop,
                )  # fmt: skip
                self._at_home.lane = lane_for(self._at_home, self.width)
            return self._at_home

    def away(self) -> Away:
        """The work of the batches in this worker process: how rows ended travels home with each."""
        tally = Tally(self.max_failures, None)
        work = RowWork(
            self.task, self.run.attach(), self.shared, code=self.code, shares=self.shares,
            stop=tally.stop,
        )  # fmt: skip
        work.is_away = True
        work.lane = lane_for(work, self.width)
        return Away(work, tally)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_at_home")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=Lock(), _at_home=None)


class Away(NamedTuple):
    """One map in a worker process."""

    work: RowWork
    tally: Tally
    """Of the rows of this process: a map that is clearly broken here ends in the middle of a batch."""


_away: OrderedDict[tuple[int, str], Away] = OrderedDict()
_away_lock = Lock()


def _away_for(spec: MapSpec) -> Away:
    with _away_lock:
        which = (os.getpid(), spec.map_id)
        if which not in _away:
            _away[which] = spec.away()
            while len(_away) > MAPS_KEPT:
                _away.popitem(last=False)
        _away.move_to_end(which)
        return _away[which]


def _wait(ticket: Ticket, artifacts: Artifacts) -> None:
    try:
        while not ticket.done.wait(PROGRESS_SECONDS):
            artifacts.move(ticket.totals.counts, ticket.total)
    finally:
        ticket.done.wait()  # whatever becomes of the task run: rows under way are paid for, and end
    artifacts.move(ticket.totals.counts, ticket.total)


def _task_run_id() -> UUID | None:
    context = TaskRunContext.get()
    return None if context is None else context.task_run.id
