"""The futures of mapped rows: Prefect's, cheap enough for a hundred thousand, in input order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from uuid import uuid4

from prefect._internal.result_records import ResultRecord
from prefect.futures import PrefectFutureList, PrefectTaskRunFuture
from prefect.states import Cancelled, Completed, Failed, Pending

from latent.errors import FailedRowsError, RunStoppedError, TaskExecutionError
from latent.errors.text import text_of
from latent.prefect.futures import TaskFuture, cached_state, in_run_of
from latent.prefect.rows.ends import RowEnd

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from prefect.client.schemas.objects import State
    from prefect.futures import PrefectFuture

    from latent.prefect.rows.map_run import MapRun

R = TypeVar("R")


FAILED = "Task run encountered an exception {}: {}"
"""What Prefect says in the state of a failed task run."""


class RowFuture(PrefectTaskRunFuture[R], Generic[R]):
    """The eventual result of one row."""

    # Defaults stand on the class: a map makes thousands of futures, and most are never asked for these.
    observed = False
    """Whether anybody asked how it ended: a failure that nobody looked at fails the flow."""
    _made_state: State[R] | None = None
    _made_id: UUID | None = None

    def __init__(self, map_run: MapRun, index: int) -> None:
        # Prefect's own __init__ wants the id of a task run, which a remembered row never has.
        self._map_run = map_run
        self.index = index
        """Position among the mapped rows, from 0."""

    def __repr__(self) -> str:
        end = self._map_run.table.end(self.index)
        outcome = (
            "pending" if end is None else "its own task run" if isinstance(end, TaskFuture) else end.outcome
        )
        return f"<row {self.index} of task {self._map_run.task.name!r}: {outcome}>"

    @property
    def task_run_id(self) -> UUID:
        """The id of the row's own task run, or of its batch; one of its own for a remembered row."""
        known = self._map_run.task_run_of(self.index)
        if known is not None:
            return known
        if self._made_id is None:
            self._made_id = uuid4()
        return self._made_id

    @property
    def remembered(self) -> bool:
        """Whether no task run was made for it, as far as is known by now."""
        return self._map_run.task_run_of(self.index) is None

    @property
    def state(self) -> State[R]:
        """How the row stands, as a Prefect state; `Cached` for a remembered result."""
        self.observed = True
        if (state := self.state_now()) is not None:
            return state
        started = self._map_run.started.get(self.index)
        return Pending() if started is None else started.state

    @property
    def _final_state(self) -> State[R] | None:  # type: ignore[override]  # what `as_completed` looks at
        return self.state_now()

    def state_now(self) -> State[R] | None:
        """The state of a row that has ended; None before. Asking is not looking at it."""
        end = self._map_run.table.end(self.index)
        if isinstance(end, TaskFuture):
            return end.state_now()
        if end is None:
            return None
        if self._made_state is None:
            self._made_state = in_run_of(_state_of(end), self._map_run.run.run_id)
        return self._made_state

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the row has ended, at most `timeout` seconds."""
        self._map_run.table.wait(self.index, timeout)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R:
        """
        The row's result, waited for at most `timeout` seconds.

        With `raise_on_failure=False`, the error of a row that has none.

        Raises:
            TaskExecutionError: The row failed; also an instance of what the task raised.
            RunStoppedError: The row was skipped.
            TimeoutError: It did not end in time.
        """
        self.observed = True
        end = self._map_run.table.end(self.index)
        if type(end) is RowEnd and end.error is None:  # nearly always, and asked of each of ten thousand
            return cast("R", end.value)
        if not self._map_run.table.wait(self.index, timeout):
            raise TimeoutError(
                f"Row {self.index} of task {self._map_run.task.name!r} did not end within {timeout} seconds."
            )
        end = self._map_run.table.end(self.index)
        if isinstance(end, TaskFuture):
            error = None if raise_on_failure else end.error()
            return cast("R", end.result(timeout) if error is None else error)
        assert end is not None, "the row has ended"
        if end.error is not None:
            if raise_on_failure:
                raise end.error
            return cast("R", end.error)
        return cast("R", end.value)

    def add_done_callback(self, fn: Callable[[PrefectFuture[R]], None]) -> None:
        """Call `fn` with this future once the row has ended; at once when it has."""
        self._map_run.table.when_done(self.index, lambda: fn(self))

    def error(self) -> Exception | None:
        """The error of a row that has ended without a result; asking is not looking at it."""
        return None if self._map_run.table.end(self.index) is None else self._map_run.end_of(self.index).error


class MappedFutures(PrefectFutureList[R]):
    """The futures of one map, in input order, and the dataset that its results are saved to."""

    def __new__(cls, *given: Any) -> Any:
        """As its type, when Prefect puts results in the place of futures: a plain list of them."""
        return list(*given) if given and isinstance(given[0], list) else super().__new__(cls)

    def __init__(self, map_run: MapRun) -> None:
        self.rows: list[RowFuture[R]] = [RowFuture(map_run, index) for index in map_run.rows]
        """The same futures under their own type."""
        super().__init__(self.rows)
        self._map_run = map_run

    def wait(self, timeout: float | None = None) -> None:
        """Wait until all rows have ended, at most `timeout` seconds for all of them together."""
        self._map_run.table.wait_all(timeout)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[R]:
        """
        The results of all rows in input order, waited for at most `timeout` seconds.

        With `on_error="collect"`, or `raise_on_failure=False`, errors stand in the place of results that are
        not there.

        Raises:
            FailedRowsError: Rows failed; its `.exceptions` are their errors, in input order.
            RunStoppedError: No row failed, but some were skipped.
            TimeoutError: Not all rows ended in time.
        """
        for row in self.rows:
            row.observed = True
        if not self._map_run.table.wait_all(timeout):
            raise TimeoutError(
                f"Task {self._map_run.task.name!r}: {len(self._map_run.table.unfinished):,} of {len(self):,} "
                f"rows did not end within {timeout} seconds."
            )
        raises = raise_on_failure and self._map_run.options.on_error == "raise"
        ends = [self._map_run.end_of(row.index) for row in self.rows]
        if raises:
            self._raise([end.error for end in ends if end.error is not None])
        self._map_run.save()
        return [cast("R", end.value if end.error is None else end.error) for end in ends]

    def ends(self) -> list[RowEnd]:
        """
        How each row ended, in input order, once all have: outcome, value or error, attempts, time and cost.

        Failures are the caller's to deal with from here on, as after `result(raise_on_failure=False)`.
        """
        for row in self.rows:
            row.observed = True
        self.settle()
        return [self._map_run.end_of(row.index) for row in self.rows]

    def settle(self) -> None:
        """Wait for all rows and save their results as the task's `output`; not when one has none."""
        self.wait()
        self._map_run.save()

    def finish(self) -> None:
        """
        What a flow does for its maps before it ends: wait, save, and fail for rows that nobody looked at.

        Raises:
            FailedRowsError: Rows failed, and neither they nor the list were asked for their result.
            RunStoppedError: Rows were skipped, and the same.
        """
        self.settle()
        self._map_run.feeder.wait()  # a batch tells of itself once its last row has ended
        if self._map_run.options.on_error == "raise":
            unseen = [row.error() for row in self.rows if not row.observed]
            self._raise([error for error in unseen if error is not None])

    def stop(self, reason: str) -> None:
        """Begin no further row, and wait for those under way, whose results are kept."""
        self._map_run.stop.because(reason)
        self._map_run.feeder.drain()
        self.wait()
        self._map_run.feeder.wait()

    def _raise(self, errors: list[Exception]) -> None:
        failures = [error for error in errors if not isinstance(error, RunStoppedError)]
        skipped = [error for error in errors if isinstance(error, RunStoppedError)]
        name, rows = self._map_run.task.name, len(self)
        left = f"{len(skipped):,} of {rows:,} rows were skipped"
        if unkept := self._map_run.stop.unkept:
            left += f", {unkept:,} others could not be kept."
        else:
            left += ", all others are kept." if len(errors) < rows else "."
        if failures:
            stopped = f"{skipped[0].reason} {left}" if skipped else None
            raise FailedRowsError.of(name, rows, failures, stopped)
        if skipped:
            raise RunStoppedError(f"{skipped[0].reason} Of task {name!r}, {left}")


def _state_of(end: RowEnd) -> State[Any]:
    if end.outcome == "cached":
        return cached_state(end.value, "")
    if end.outcome == "skipped":
        return Cancelled(name="Skipped", message=str(end.error), data=end.error)
    if end.error is not None:
        original = end.error.original_error if isinstance(end.error, TaskExecutionError) else end.error
        return Failed(data=original, message=FAILED.format(type(original).__name__, text_of(original)))
    return Completed(data=ResultRecord.model_construct(result=end.value))
