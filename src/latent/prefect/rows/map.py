"""`task.map(...)`: one call per row; remembered rows at once, the others as task runs or in batches."""

from __future__ import annotations

import time
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from prefect.task_runners import ThreadPoolTaskRunner

from latent.errors import RowEndedError
from latent.prefect.admission import limiter_of
from latent.prefect.call import Call
from latent.prefect.cost_plan import REASON
from latent.prefect.futures import failure_in, result_in
from latent.prefect.rows.batches import HOOKS, Batch, MapSpec
from latent.prefect.rows.columns import Columns
from latent.prefect.rows.ends import RowEnd, Totals
from latent.prefect.rows.failure_threshold import FailureThreshold
from latent.prefect.rows.feeder import Done, Piece
from latent.prefect.rows.futures import MappedFutures
from latent.prefect.rows.map_run import MapRun
from latent.prefect.rows.plan import Planner, collector_paused
from latent.prefect.rows.runners import crash_of, limited_tags, lost_worker, processes_of, runs_locally
from latent.prefect.rows.selection import Selection
from latent.prefect.run import current_run, surroundings
from latent.prefect.shared import Shared
from latent.prefect.upstream import ended_runs, is_done

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from prefect.futures import PrefectFuture

    from latent.prefect.rows.job import Job
    from latent.prefect.rows.options import RowOptions
    from latent.prefect.rows.payloads import Payload
    from latent.prefect.run import Run
    from latent.prefect.tasks import Task

R = TypeVar("R")

BATCHES_PER_MAP = 16
"""How many batches many rows become, so that task runs stay few: one second's worth for a server."""

SMALLEST_BATCH, LARGEST_BATCH = 100, 5_000

PARTS_OF_LOST = 16
"""How many batches the rows of one become whose worker died: the more, the fewer workers die on the way."""

DIED_TWICE = (
    "Its worker process died, and died again when the row was begun once more with no other row under way. "
    "Out of memory, a crash in native code, `os._exit`: the worker's log may say more."
)


def map_rows(
    task: Task[..., R],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    options: RowOptions,
    task_runner: Any,
    wait_for: Iterable[PrefectFuture[Any]] | None,
) -> MappedFutures[R]:
    """
    Call a task once for each row, on the flow's task runner.

    Raises:
        MappingMissingIterable: No argument has rows.
        MappingLengthMismatch: Arguments have different numbers of rows.
        UsageError: Two rows have the same id.
        UnknownLimitError: The settings do not define the task's limit.
    """
    run = current_run() or surroundings(None)
    limiter_of(task, run)  # a limit that is not defined is told before anything begins
    columns = Columns.of(task, args, kwargs)
    with collector_paused(len(columns.rows)):
        map_run = map_run_of(task, run, columns, options, recalls=wait_for is None)
        mapped: MappedFutures[R] = MappedFutures(map_run)  # type: ignore[abstract]  # as Prefect's own
        submission = Submission(map_run, task_runner, wait_for)
        submission.load(submission.plan(map_run.rows))
    run.mapped.append(mapped)  # from here on, a run that is interrupted sees to the end of all rows
    for dataset in task.outputs:
        run.producers.setdefault(dataset, []).append(mapped)
    map_run.feeder.start()
    return mapped


def map_run_of(
    task: Task[..., Any],
    run: Run,
    columns: Columns,
    options: RowOptions,
    *,
    recalls: bool = True,
    threshold: FailureThreshold | None = None,
    shared: Shared | None = None,
) -> MapRun:
    """A map's own place in the run; a stream is a map in parts, with one `threshold` and `shared`."""
    ids = None if options.row_id is None else columns.ids(task, options.row_id)
    map_run = MapRun(
        task,
        run,
        columns,
        options,
        ids,
        threshold or FailureThreshold(options.max_failures, len(columns.rows)),
    )
    shared = shared or Shared(run.workspace.root, columns.shared.values())
    shared.private = columns.private
    selection = Selection(task.name, run, columns, map_run.row_id)
    if task.remembers_in(run):
        for dataset in task.inputs:
            run.settle_outputs(dataset)
    map_run.planner = Planner(task, run, columns, shared, selection, recalls=recalls)
    return map_run


class Submission:
    """How the rows of one map get to a task runner."""

    def __init__(
        self,
        map_run: MapRun,
        task_runner: Any,
        wait_for: Iterable[PrefectFuture[Any]] | None = None,
        *,
        spec: MapSpec | None = None,
    ) -> None:
        self.map_run, self.task, self.run = map_run, map_run.task, map_run.run
        self.runner = task_runner
        self.wait_for = None if wait_for is None else list(wait_for)
        self.is_local = runs_locally(task_runner)
        self.one_each = False
        """Whether each row is a task run of its own."""
        self._last: Batch | None = None
        """The batch that was begun last, where the map was called."""
        self.concurrency = self._concurrency()
        self.spec = spec or self._new_spec()

    def _new_spec(self) -> MapSpec:
        map_run = self.map_run
        return MapSpec(
            self.task,
            self.run.reference(),
            map_run.planner.shared,
            map_id=uuid4().hex,
            code=map_run.planner.code,
            shares=map_run.options.share_in_flight,
            max_failures=map_run.options.max_failures,
            concurrency=self.concurrency
            if self.is_local
            else max(1, self.concurrency // processes_of(self.runner)),
        )

    def _concurrency(self) -> int:
        """How many rows may be under way: never more than the user allowed the task runner."""
        concurrency = self.map_run.options.max_workers or self.run.workspace.settings.rows.max_workers
        if isinstance(self.runner, ThreadPoolTaskRunner):
            return min(concurrency, self.runner._max_workers)
        return concurrency

    def plan(self, indices: Sequence[int]) -> list[Piece]:
        """Read what is remembered; the pieces of work that are left."""
        map_run = self.map_run
        if map_run.run.outcomes is not None and indices and map_run.counts_rows:
            map_run.run.outcomes.progressed(self.task.name, planned=len(indices))
        waiting = map_run.waiting(indices)
        jobs = self._jobs([index for index in indices if index not in waiting])
        self.one_each = self._is_one_each(len(jobs) + len(waiting))
        return [*(self._runs(jobs) if self.one_each else self._batches(jobs)), *self._late(waiting)]

    def _jobs(self, indices: Sequence[int]) -> list[Job]:
        """The rows that run; how the others have ended, remembered or without their input, is reported."""
        map_run, began = self.map_run, time.time()
        failed = map_run.upstream_failures(indices)
        unready = {end.index for end in failed}
        ends, jobs = map_run.planner.plan([index for index in indices if index not in unready])
        if map_run.run.outcomes is not None and map_run.run.options.only_failed:
            left_out = sum(end.outcome == "skipped" for end in ends)
            map_run.run.outcomes.progressed(self.task.name, left_out=left_out)
        map_run.report([*failed, *ends])
        for together in (failed, ends):
            map_run.note_bulk(Totals().with_rows(together), began_at=began)
        return self._not_only_planned(jobs)

    def _not_only_planned(self, jobs: list[Job]) -> list[Job]:
        """The rows that run; in a plan, what would be paid for is skipped."""
        cost_plan = self.run.cost_plan
        if cost_plan is None:
            return jobs
        skipped = [job for job in jobs if cost_plan.skips(self.task, job.arguments)]
        for job in skipped:
            job.skip(self.task.name, REASON)
        self.map_run.ended_unrun([job.end() for job in skipped])
        return [job for job in jobs if not job.has_ended]

    def load(self, pieces: Sequence[Piece]) -> None:
        """Give the work to the map's feeder, which begins as much at a time as may be under way."""
        self.map_run.feeder.load(pieces, self._at_once())

    def _at_once(self) -> int:
        """How many pieces may be under way."""
        if self.one_each:
            return self.concurrency
        if self.is_local:
            # Batches are many rows each: their executor sees to it that not too many run.
            return max(BATCHES_PER_MAP, ceil(self.concurrency / SMALLEST_BATCH))
        # One more than there are workers, so that none waits for it; what has left cannot be stopped.
        return processes_of(self.runner) + 1

    def _is_one_each(self, rows: int) -> bool:
        """Whether each row is a task run of its own: while they are few, or when Prefect has to see each."""
        if self.map_run.options.row_runs == "all":
            return True
        if self.map_run.options.batch_size is not None or not self.map_run.counts_rows:
            return self._needs_runs()
        if rows <= self.run.workspace.settings.rows.rows_as_runs:
            return True
        return self._needs_runs()

    def _needs_runs(self) -> bool:
        """Whether the task asks for what only a task run of its own can have; said once."""
        from latent.prefect.logs import warn_once

        if any(getattr(self.task, f"{hook}_hooks", None) for hook in HOOKS):
            reason = "it has hooks, which belong to task runs"
        elif self.task.persists:
            reason = "Prefect stores its results, one for each task run"
        elif tags := limited_tags(self.task):
            reason = f"its tag {tags[0]!r} carries a Prefect concurrency limit"
        else:
            return False
        warn_once(
            f"row-runs:{self.task.name}",
            f"Each row of task {self.task.name!r} is a task run of its own, since {reason}. That takes some "
            "milliseconds a row: thousands of rows are faster without.",
        )
        return True

    # -- rows that are task runs -------------------------------------------------------------------------

    def _runs(self, jobs: Sequence[Job]) -> list[Piece]:
        return [Piece(lambda done, job=job: self._start_run(job, done)) for job in jobs]  # type: ignore[misc]  # bound now

    def _start_run(self, job: Job, done: Done, *, alone: bool = False) -> None:
        map_run = self.map_run
        if not self._may_begin(job):
            map_run.ended_unrun([job.end()])
            return done()
        leave = self._enter(alone)
        try:
            call = Call(
                self.task, self.run, job.arguments, row_index=job.index, shared=map_run.planner.shared
            )
            call.key, call.code, call.refreshes = job.key, job.code or map_run.planner.code, job.refreshes
            call.shares, call.stop, call.is_settled = map_run.options.share_in_flight, map_run.stop, True
            call.upstream = map_run.columns.upstream(job.index)
            future = self.task.start_run(call, self.runner, self.wait_for)
        except Exception as error:
            leave()
            map_run.lost([job], error)
            return done()
        map_run.started[job.index] = future

        def over(_: Any) -> None:
            try:
                leave()
                crash = None if self.is_local else crash_of(future._inner)
                if crash is None or not lost_worker(crash):
                    map_run.run_ended(job.index, future)
                elif not self._begin_again([job], alone):
                    map_run.lost([job], _died_twice(crash) if alone else crash)
            finally:
                done()

        return future.add_done_callback(over)

    def _may_begin(self, job: Job) -> bool:
        """Whether the row may start now; else it is skipped, and says why."""
        map_run, budget = self.map_run, self.run.budget
        if not map_run.stop.is_set and budget is not None and not budget.admit(self.task):
            map_run.stop.because(budget.reached, begun_go_on=True)
        if map_run.stop.is_set:
            job.skip(self.task.name, map_run.stop.reason or "")
        return not map_run.stop.is_set

    # -- batches -----------------------------------------------------------------------------------------

    def _batches(self, jobs: Sequence[Job]) -> list[Piece]:
        return self._cut(jobs, self._batch_size(len(jobs)))

    def _cut(self, jobs: Sequence[Job], size: int) -> list[Piece]:
        cuts = [jobs[start : start + size] for start in range(0, len(jobs), max(1, size))]
        return [Piece(lambda done, cut=cut: self._start_batch(cut, done)) for cut in cuts]  # type: ignore[misc]  # bound now

    def _batch_size(self, rows: int) -> int:
        given = self.map_run.options.batch_size or self.run.workspace.settings.rows.batch_size
        if given is not None:
            return given
        if self.is_local:
            # A stream's part is one batch: its task runs would else take longer to end than quick rows do.
            batches = BATCHES_PER_MAP if self.map_run.counts_rows else 1
            return min(max(ceil(rows / batches), SMALLEST_BATCH), LARGEST_BATCH)
        # Workers share the batches out among them: several each, so that none is left alone with the last.
        return min(max(ceil(rows / (4 * processes_of(self.runner))), 1), LARGEST_BATCH)

    def _start_batch(self, jobs: Sequence[Job], done: Done, *, alone: bool = False) -> None:
        map_run = self.map_run
        if not self.is_local:
            jobs = self._within_budget(jobs)
        if not jobs:
            return done()
        leave = self._enter(alone)
        try:
            batch = self._batch(jobs)
            began = time.time()
            inner = self.runner.submit(batch.as_task(), {}, self._after(batch))
        except Exception as error:
            leave()
            map_run.lost(jobs, error)
            return done()

        def over(_: Any) -> None:
            error = self._batch_ended(batch, inner, began)
            leave()
            batch.came.set()
            again: set[Job] = set()
            if lost_worker(error):
                again = self._begin_again(batch.jobs, alone)
                error = _died_twice(error) if alone else error
            map_run.lost([job for job in batch.jobs if job not in again], error)
            batch.jobs.clear()
            done()

        inner.add_done_callback(over)
        return None

    def _enter(self, alone: bool) -> Callable[[], None]:
        """Wait for the turn of what goes to a worker process; calling the result ends the turn."""
        # With `wait_for`, a batch may wait on its worker for a row that waits for its own turn.
        if self.is_local or (self.wait_for and not alone):
            return lambda: None
        self.run.turns.begin(alone=alone)
        return partial(self.run.turns.end, alone=alone)

    def _begin_again(self, jobs: Sequence[Job], alone: bool) -> set[Job]:
        """
        Begin those rows again that have not ended, since their worker died: whichever of them was to blame.

        Many are split into smaller batches. A single one is begun last, alone, and a second death is its own.
        """
        left = [] if alone else self.map_run.unfinished(jobs)
        if len(left) == 1:
            start = self._start_run if self.one_each else self._start_batch
            what: Any = left[0] if self.one_each else left
            self.map_run.feeder.add([Piece(lambda done: start(what, done, alone=True))], last=True)
        else:
            self.map_run.feeder.add(self._cut(left, ceil(len(left) / PARTS_OF_LOST)))
        return set(left)

    def _after(self, batch: Batch) -> list[Any] | None:
        """What a batch waits for, with the task runs whose results its rows work with."""
        runs = {
            run
            for job in batch.jobs
            for runs in self.map_run.columns.upstream(job.index).values()
            for run in runs
        }
        return [*(self.wait_for or ()), *ended_runs(runs)] if runs else self.wait_for

    def _batch(self, jobs: Sequence[Job]) -> Batch:
        if self.is_local:
            self._last = Batch(self.spec, jobs, self.map_run, after=self._last)
            return self._last
        return Batch(
            self.spec, jobs, None, row_ids={job.index: self.map_run.row_id(job.index) for job in jobs}
        )

    def _batch_ended(self, batch: Batch, inner: Any, began: float) -> BaseException:
        """Take what a batch brings back; the error of rows that it does not tell of."""
        try:
            inner.wait()
            state = inner.state
            if self.is_local:
                return failure_in(state) or RuntimeError("The batch ended before the row did.")
            if (crash := crash_of(inner)) is not None:
                return crash
            if (error := failure_in(state)) is not None:
                return error
            self.map_run.brought(
                self._unpacked(batch, result_in(state)),
                began_at=began, task_run_id=inner.task_run_id, rows=batch.rows, span_id=batch.span_id,
            )  # fmt: skip
        except BaseException as error:
            return error
        return RuntimeError("The batch came back without the row.")

    def _unpacked(self, batch: Batch, payloads: Sequence[Payload]) -> list[RowEnd]:
        """How the rows of a batch ended; one that cannot be read here is looked up in the memory, or lost."""
        jobs = {job.index: job for job in batch.jobs}
        ends = []
        for payload in payloads:
            try:
                ends.append(payload.open())
            except Exception as error:
                self.map_run.lost([jobs[payload.row]], error)
        return ends

    def _within_budget(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """The rows that may leave for a process that does not see the budget; the others are skipped."""
        map_run, budget = self.map_run, self.run.budget
        granted = (
            0 if map_run.stop.is_set else len(jobs) if budget is None else budget.admit(self.task, len(jobs))
        )
        if granted < len(jobs):
            map_run.stop.because(budget.reached if budget else None, begun_go_on=True)
            for job in jobs[granted:]:
                job.skip(self.task.name, map_run.stop.reason or "")
            map_run.ended_unrun([job.end() for job in jobs[granted:]])
        return jobs[:granted]

    # -- rows that wait for other futures ----------------------------------------------------------------

    def _late(self, waiting: Mapping[int, list[PrefectFuture[Any]]]) -> list[Piece]:
        indices = list(waiting)
        size = 1 if self.one_each else self._batch_size(len(indices))
        return [
            Piece(
                lambda done, cut=cut: self._start_late(cut, done),  # type: ignore[misc]  # bound now
                [future for index in cut for future in waiting[index] if not is_done(future)],
            )
            for cut in (indices[start : start + size] for start in range(0, len(indices), size))
        ]

    def _start_late(self, indices: Sequence[int], done: Done) -> None:
        """What the rows waited for is there: only now can they be looked up, and run."""
        try:
            jobs = self._jobs(indices)
        except Exception as error:
            self.map_run.lost_rows(indices, error)
            return done()
        if not jobs:
            return done()
        if self.one_each:
            return self._start_run(jobs[0], done)
        return self._start_batch(jobs, done)


def _died_twice(crash: BaseException) -> RowEndedError:
    error = RowEndedError(DIED_TWICE)
    error.__cause__ = crash
    return error
