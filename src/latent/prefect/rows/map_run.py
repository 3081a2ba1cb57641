"""One map where it was called: its rows' table, records and account, and the reasons to stop it early."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture

from latent.errors import RunStoppedError, TaskExecutionError
from latent.prefect.abstained import outcome_of, recalled_outcome
from latent.prefect.call import REFRESHED
from latent.prefect.changed_arguments import is_fixed, tell
from latent.prefect.failures import explained, row_error
from latent.prefect.futures import TaskFuture, failure_in
from latent.prefect.outputs import save_outputs
from latent.prefect.rows.ends import RowEnd, RowTable, Totals
from latent.prefect.rows.feeder import Feeder
from latent.prefect.rows.futures import RowFuture
from latent.prefect.scope import current_scope
from latent.prefect.undone import forget_when_undone, users_transaction
from latent.prefect.upstream import futures_in, is_done
from latent.registry import TaskRegistry
from latent.tracking.records import RowRecord, TaskRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from uuid import UUID

    from latent.prefect.call import Call
    from latent.prefect.rows.columns import Columns
    from latent.prefect.rows.failure_threshold import FailureThreshold
    from latent.prefect.rows.job import Job
    from latent.prefect.rows.options import RowOptions
    from latent.prefect.rows.plan import Planner
    from latent.prefect.rows.stop import Stop
    from latent.prefect.run import Run
    from latent.prefect.tasks import Task
    from latent.tracking.records import Outcome


class MapRun:
    """Everything that the process which called `.map` knows of the map."""

    def __init__(
        self,
        task: Task[..., Any],
        run: Run,
        columns: Columns,
        options: RowOptions,
        ids: list[str] | None,
        threshold: FailureThreshold,
    ) -> None:
        self.task, self.run, self.columns, self.options = task, run, columns, options
        self.rows = columns.rows
        self.table = RowTable(self.rows)
        self.threshold = threshold
        self.started: dict[int, TaskFuture[Any]] = {}
        """Futures of rows that are task runs of their own."""
        self.counts_rows = True
        """Whether all rows of the map are here; False in a part of a stream."""
        self.planner: Planner
        self.feeder = Feeder()
        scope = current_scope()
        self.parent_span_id = scope.span_id if scope else None
        self._ids = ids
        self._batch_runs: list[tuple[range, UUID]] = []
        self._saved = not task.outputs
        self._saving = Lock()
        self._began = time.time()
        self._watches_shared = task.remembers_in(run) and any(
            not is_fixed(v) for v in columns.shared.values()
        )
        self.transaction = users_transaction()
        """The user's transaction that the map belongs to."""
        if self.transaction is not None and task.remembers_in(self.run):
            forget_when_undone(self.transaction, run.memory, lambda: self.planner.known_keys())

    @property
    def stop(self) -> Stop:
        """Ends the map early."""
        return self.threshold.stop

    # -- rows --------------------------------------------------------------------------------------------

    def row_id(self, index: int) -> str:
        """What names a row from run to run: the user's id, else its index and the hash of its content."""
        if self._ids is not None:
            return self._ids[index - self.rows.start]
        content = self.planner.content_hash(index)
        return f"{index}" if content is None else f"{index}-{content[:12]}"

    def report(self, ends: Sequence[RowEnd]) -> list[RowEnd]:
        """
        Rows have ended, and what they returned is remembered: note it everywhere, then wake who waits.

        Returns:
            How rows ended with them that asked for the same.
        """
        duplicates: list[RowEnd] = []
        if self.planner.may_have_duplicates:
            duplicates = [duplicate for end in ends for duplicate in self._duplicates_of(end)]
            ends = [*ends, *duplicates]
        try:
            self.note(ends)
            if self._watches_shared and any(end.attempts for end in ends):
                self._look_at_shared(len(ends))
        finally:
            self.table.finish(ends)
        return duplicates

    def _look_at_shared(self, ended: int) -> None:
        """Forget the rows' results if the function changes in place what they share."""
        changed = self.planner.shared.changed_values(at_once=self.table.left <= ended)
        if not changed:
            return
        self._watches_shared = False
        self.run.memory.forget_since(self.planner.known_keys(), self._began)
        tell(self.task, [name for name, value in self.columns.shared.items() if id(value) in changed])

    def note(self, ends: Sequence[RowEnd]) -> None:
        """Enter rows that have ended into the run's account and records."""
        counts: Counter[str] = Counter(end.outcome for end in ends)
        self.threshold.add(counts)
        if self.run.outcomes is not None and ends:
            now = time.time()
            began = min((end.started_at for end in ends if end.started_at), default=now)
            if self.run.outcomes.finished(self.task.name, counts, began, now):
                TaskRegistry.observe_task(self.run.flow_name, self.task.name, self.task.fn)
            if counts["skipped"] and self.stop.reason is not None:
                self.run.outcomes.stopped(self.task.name, self.stop.reason)
        if self.run.recorder is not None:
            records = _Records(ends, self._record)
            # Of a stream, records that wait to be written must not keep the rows' results in memory.
            self.run.recorder.rows(records if self.counts_rows else list(records))

    def ended_unrun(self, ends: Sequence[RowEnd]) -> None:
        """Rows have ended that no task run tells of: they were skipped, say."""
        now = time.time()
        duplicates = self.report(ends)
        self.note_bulk(Totals().with_rows([*ends, *duplicates]), began_at=now)

    def note_bulk(
        self, totals: Totals, *, began_at: float, task_run_id: str | None = None, span_id: str | None = None
    ) -> None:
        """One record in the trace for many rows: a batch, or all that were remembered."""
        counts = totals.counts
        if self.run.recorder is None or not counts:
            return
        outcome = "failed" if counts["failed"] else "ok" if counts["ok"] else next(iter(counts))
        self.run.recorder.task(
            TaskRecord(
                name=self.task.name,
                outcome=outcome,  # type: ignore[arg-type]  # the counter's keys are outcomes
                started_at=began_at,
                duration_seconds=max(time.time() - began_at, 0.0),
                task_run_id=task_run_id,
                attempts=totals.attempts,
                cache="hit" if outcome == "cached" else "miss" if self.task.remembers_in(self.run) else "off",
                span_type=self.task.span_type,
                span_id=span_id,
                parent_span_id=self.parent_span_id,
                rows_in=counts.total(),
                rows_out=counts["ok"] + counts["cached"],
                row_outcomes=dict(counts),
                row_seconds=totals.row_seconds,
                cost_usd=totals.cost_usd,
            )
        )

    def unfinished(self, jobs: Iterable[Job]) -> list[Job]:
        """Those of the rows that have not ended, and are not remembered from this run."""
        jobs = [job for job in jobs if self.table.end(job.index) is None]
        hits = self.planner.recalled(jobs)
        return [job for job in jobs if job.refreshes or job.key is None or job.key.key not in hits]

    def lost(self, jobs: Iterable[Job], error: BaseException) -> None:
        """A batch ended without telling of some of its rows; what is remembered of them is done."""
        jobs = [job for job in jobs if self.table.end(job.index) is None]
        hits = self.planner.recalled(jobs)
        ends = []
        for job in jobs:
            if job.key is not None and not job.refreshes and job.key.key in hits:
                value = hits[job.key.key].value
                ends.append(RowEnd(job.index, outcome_of(value), value, attempts=1, key=job.key.key))
            else:
                ends.append(self._failed(job.index, job.arguments, error))
        if ends:
            self.ended_unrun(ends)

    def _failed(
        self, index: int, arguments: dict[str, Any], error: BaseException, attempts: int = 1
    ) -> RowEnd:
        failure = explained(
            self.task, self.run, row_error(error), arguments=arguments, attempts=attempts, row_index=index,
            span_id=None,
        )  # fmt: skip
        return RowEnd(index, "failed", error=failure, attempts=attempts)

    def lost_rows(self, indices: Iterable[int], error: Exception) -> None:
        """Rows that could not even be looked up."""
        left = [index for index in indices if self.table.end(index) is None]
        self.ended_unrun([self._failed(index, {}, error) for index in left])

    def brought(
        self, ends: Sequence[RowEnd], *, began_at: float, task_run_id: UUID, rows: range, span_id: str
    ) -> None:
        """A batch came back from another process."""
        self.batch_began(rows, task_run_id)
        self.note_bulk(
            Totals().with_rows(ends), began_at=began_at, task_run_id=str(task_run_id), span_id=span_id
        )
        for end in ends:
            self.run.brought(self.task.name, end.cost_usd, end.used)
            if isinstance(end.error, RunStoppedError) and not end.attempts:
                self.stop.because(end.error.reason)  # what stopped the map there stops it everywhere
        duplicates = self.report(ends)
        self.note_bulk(Totals().with_rows(duplicates), began_at=began_at)

    def waiting(self, indices: Iterable[int]) -> dict[int, list[PrefectFuture[Any]]]:
        """The rows that wait for futures among their arguments, with those that have not ended."""
        if not self.columns.have_futures:
            return {}
        return {index: futures for index in indices if (futures := self._unfinished_of(index))}

    def _unfinished_of(self, index: int) -> list[PrefectFuture[Any]]:
        return [
            f
            for f in futures_in(self.columns.arguments(index))
            if isinstance(f, PrefectFuture) and not is_done(f)
        ]

    def upstream_failures(self, indices: Iterable[int]) -> list[RowEnd]:
        """How those of the rows end that were to use the result of another which has none."""
        if not self.columns.have_futures:
            return []
        return [end for index in indices if (end := self._upstream_failure(index)) is not None]

    def _upstream_failure(self, index: int) -> RowEnd | None:
        arguments = self.columns.arguments(index)
        for future in futures_in(arguments, needed=True):
            if not isinstance(future, (RowFuture, TaskFuture)):
                state = future if isinstance(future, State) else future.state
                if (raised := failure_in(state)) is not None:
                    return self._failed(index, arguments, raised, attempts=0)
            elif (error := future.error()) is not None:
                future.observed = True  # a reader of this row's failure sees that one
                return RowEnd(
                    index, "skipped" if isinstance(error, RunStoppedError) else "failed", error=error
                )
        return None

    def run_ended(self, index: int, future: TaskFuture[Any]) -> None:
        """A row that was a task run of its own has ended, and told the records so itself."""
        call, readable = future.call, True
        error: Exception | None
        try:
            future.wait()
            error = future.error()
            value = None if error is not None else future.result_now()
        except BaseException as crash:  # its thread or process ended with it, or its result cannot come back
            error, value, readable = call.failure(row_error(crash)), None, False
        outcome: Outcome = "ok" if error is None else "failed"
        outcome = call.outcome if call.outcome and readable else outcome
        self.stop.has_results |= outcome in ("ok", "abstained") and call.attempts > 0
        if outcome == "skipped":
            error = self._skipped(index, error)
        end = _own_run(index, call, outcome, value, error)
        try:
            if self._watches_shared and end.attempts:
                self._look_at_shared(1)
            if self.run.recorder is not None:
                self.run.recorder.rows([self._record(end)])
            self.threshold.add({outcome: 1})
            if duplicates := self._duplicates_of(end):
                self.ended_unrun(duplicates)
        finally:
            if readable:
                self.table.finish_run(index, future)
            else:
                self.table.finish([end])

    def _skipped(self, index: int, error: Exception | None) -> RunStoppedError:
        """The error of a row that was its own task run and was stopped in it, for the reason given there."""
        original = error.original_error if isinstance(error, TaskExecutionError) else error
        reason = original.reason if isinstance(original, RunStoppedError) else self.stop.reason
        return RunStoppedError(reason or "", self.task.name, index)

    # -- rows that ask for the same as an earlier one ------------------------------------------------------

    def _duplicates_of(self, end: RowEnd) -> list[RowEnd]:
        """How the rows ended that asked for the same as this one: as it did, without being paid for."""
        return [self._as_duplicate(index, end) for index in self.planner.duplicates_of(end.index)]

    def _as_duplicate(self, index: int, end: RowEnd) -> RowEnd:
        if end.error is None:
            value = self.planner.copy_of(end, index)
            return RowEnd(index, recalled_outcome(value), value, key=end.key)
        error = end.error
        if isinstance(error, TaskExecutionError):
            arguments = self.columns.arguments(index)
            return self._failed(index, arguments, error.original_error, end.attempts)._replace(key=end.key)
        return end._replace(index=index)

    def end_of(self, index: int) -> RowEnd:
        """How a row that has ended did so, also one that was a task run of its own; asking is not looking."""
        end = self.table.end(index)
        if type(end) is RowEnd:
            return end
        assert isinstance(end, TaskFuture), "the row has ended"
        if (error := end.error()) is None:
            return _own_run(index, end.call, end.call.outcome or "ok", end.result_now())
        if end.call.outcome == "skipped":
            return _own_run(index, end.call, "skipped", error=self._skipped(index, error))
        return _own_run(index, end.call, "failed", error=error)

    # -- the end -----------------------------------------------------------------------------------------

    def save(self) -> None:
        """Save the results as the task's `output`, once; not while a row has none."""
        with self._saving:
            if self._saved:
                return
            values = []
            for index in self.rows:
                if self.table.end(index) is None or (end := self.end_of(index)).error is not None:
                    return
                values.append(end.value)
            save_outputs(self.run, self.task.outputs, values, owner=self.task.label)
            self._saved = True

    def batch_began(self, rows: range, task_run_id: UUID) -> None:
        """Rows of this range belong to this task run."""
        self._batch_runs.append((rows, task_run_id))

    @property
    def task_runs(self) -> list[UUID]:
        """The ids of the task runs of rows and of batches."""
        return [
            *(future.task_run_id for future in self.started.values()),
            *(run for _, run in self._batch_runs),
        ]

    def task_run_of(self, index: int) -> UUID | None:
        """The id of the row's own task run, or of its batch; None when it has neither."""
        if index in self.started:
            return self.started[index].task_run_id
        return next((run_id for rows, run_id in self._batch_runs if index in rows), None)

    def _reason(self, end: RowEnd) -> str | None:
        """Why a row was not reused, as far as that is known."""
        if end.outcome in ("cached", "skipped") or (end.outcome == "abstained" and not end.attempts):
            return None
        if self.planner.selection.is_active and self.planner.selection.refreshes(end.index):
            return REFRESHED
        return None if end.key is None else self.planner.missed.get(end.key)

    def _record(self, end: RowEnd) -> RowRecord:
        error = end.error
        return RowRecord(
            self.task.name,
            end.index,
            self.row_id(end.index),
            end.outcome,
            end.attempts,
            end.started_at,
            end.duration_seconds,
            end.queue_seconds,
            end.key,
            None if error is None else _described(error),
            self._reason(end),
            end.cost_usd,
        )


def _own_run(
    index: int, call: Call, outcome: Outcome, value: Any = None, error: Exception | None = None
) -> RowEnd:
    """How a row ended that was a task run of its own."""
    return RowEnd(
        index, outcome, value, error, call.attempts, call.started_at or None, call.duration_seconds,
        call.queue_seconds, call.key.key if call.key else None, call.cost_usd,
    )  # fmt: skip


class _Records(Sequence[RowRecord]):
    """Records of rows that have ended, made where they are written: here, a caller waits for the rows."""

    def __init__(self, ends: Sequence[RowEnd], record: Callable[[RowEnd], RowRecord]) -> None:
        self._ends, self._record = ends, record

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, place: Any) -> Any:
        found = self._ends[place]
        return list(map(self._record, found)) if isinstance(place, slice) else self._record(found)

    def __iter__(self) -> Iterator[RowRecord]:
        return map(self._record, self._ends)


def _described(error: Exception) -> dict[str, Any]:
    if isinstance(error, TaskExecutionError):
        return {"type": type(error.original_error).__qualname__, "message": error.original_text}
    message = error.reason if isinstance(error, RunStoppedError) else str(error)
    return {"type": type(error).__qualname__, "message": message}
