"""
`task.map_stream(...)`: rows from a source that is larger than memory, results as they finish.

The source is read in parts. Each part is mapped as `.map` would; all parts share one set of workers. At most
`window` rows are read and not yet handed on, so memory does not grow with the source.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from inspect import Parameter
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from prefect.utilities.annotations import unmapped

from latent.errors import FailedRowsError, RunStoppedError, UsageError
from latent.errors.text import did_you_mean
from latent.prefect.admission import limiter_of
from latent.prefect.rows.columns import Columns, is_table, same_id
from latent.prefect.rows.ends import RowEnd, RowTable
from latent.prefect.rows.failure_threshold import FailureThreshold
from latent.prefect.rows.ids import KnownIds
from latent.prefect.rows.map import Submission, map_run_of
from latent.prefect.rows.parts import Parts
from latent.prefect.rows.runners import forget_runs
from latent.prefect.rows.sources import rows_of
from latent.prefect.run import current_run, surroundings
from latent.prefect.shared import Shared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from latent.prefect.futures import TaskFuture
    from latent.prefect.rows.batches import MapSpec
    from latent.prefect.rows.map_run import MapRun
    from latent.prefect.rows.options import RowOptions
    from latent.prefect.run import Run
    from latent.prefect.tasks import Task
    from latent.tracking.records import Outcome

R = TypeVar("R")

PATIENCE = 0.1
"""How long results are waited for before a slow source is asked again, as a share of what it took."""

ENDING_PARTS = 4
"""Parts whose rows have all ended while their task runs still end; beyond that, reading waits for those."""

ERRORS_KEPT = 1_000
"""Errors of failed rows that are raised at the end; more are only counted."""

_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


class RowResult(NamedTuple, Generic[R]):
    """What became of one row of a stream."""

    index: int  # type: ignore[assignment]  # the row's, in the place of a tuple's method that nobody needs
    """Position in the source, from 0."""
    id: str
    """Names the row from run to run."""
    outcome: Outcome
    value: R | None = None
    """None also for a row without a result; `outcome` tells them apart."""
    error: Exception | None = None


def stream_rows(
    task: Task[..., R],
    source: Any,
    shared: Mapping[str, Any],
    options: RowOptions,
    *,
    window: int,
    task_runner: Any,
) -> Iterator[RowResult[R]]:
    """
    Call a task for each row of a source, and yield what became of each as soon as that is known.

    Args:
        source: Where the rows come from; None: from the iterables among `shared`, as for `map`.

    Raises:
        UsageError: The window has no room, or the rows do not fit the task's function.
        FailedRowsError: At the end, when rows failed; with `on_error="collect"` they are yielded instead.
        RunStoppedError: At the end, when rows were skipped; the same.
    """
    if isinstance(window, bool) or not isinstance(window, int) or window < 1:
        raise UsageError(f"{task.label}: `window` is a number of rows, at least 1, not {window!r}.")
    return _Stream(task, source, shared, options, window, task_runner).results()


class _Table(RowTable):
    """Hands on every row that has ended."""

    def __init__(self, rows: range, ended: SimpleQueue[tuple[MapRun, int]], map_run: MapRun) -> None:
        super().__init__(rows)
        self._queue, self._map_run = ended, map_run

    def _enter(self, index: int, end: RowEnd | TaskFuture[Any]) -> bool:
        is_news = super()._enter(index, end)
        if is_news:
            self._queue.put((self._map_run, index))
        return is_news


class _Stream(Generic[R]):
    """A stream under way."""

    def __init__(
        self,
        task: Task[..., R],
        source: Any,
        shared: Mapping[str, Any],
        options: RowOptions,
        window: int,
        task_runner: Any,
    ) -> None:
        self.task, self.options, self.window, self.runner = task, options, window, task_runner
        self.run = current_run() or surroundings(None)
        limiter_of(task, self.run)
        self.names = list(_iterables(task, shared)) if source is None else _row_parameters(task, shared)
        if source is None:
            source = _zipped(self.run, task, {name: shared[name] for name in self.names})
            shared = {name: value for name, value in shared.items() if name not in self.names}
        self.arguments = _shared_arguments(task, shared, self.names)
        self.parts = Parts(rows_of(self.run, source, task.label), window, task.label)
        self._makes_rows = isinstance(source, (str, Path)) or is_table(source)
        """Whether the rows are made of a file or a table, so that nobody else has them."""
        self.threshold = FailureThreshold(options.max_failures, None)
        self.shared = Shared(self.run.workspace.root, self.arguments.values())
        self._known_ids = KnownIds()
        self._spec: MapSpec | None = None
        self._parts: list[Submission] = []
        self._ended: SimpleQueue[tuple[MapRun, int]] = SimpleQueue()
        self._errors: list[Exception] = []

    def results(self) -> Iterator[RowResult[R]]:
        waiting = 0
        try:
            while True:
                patience = None
                if self._may_read(waiting):
                    waiting += self._begin(self.parts.next())
                    patience = self.parts.waited_seconds * PATIENCE
                elif not waiting:
                    break
                for map_run, index in self._ended_within(patience, waiting):
                    waiting -= 1
                    yield from self._result(map_run, index)
        finally:
            self._close(waiting)
        self._raise()

    def _may_read(self, waiting: int) -> bool:
        is_open = self.parts.is_open and not self.threshold.stop.is_set
        return is_open and waiting + self.parts.size <= self.window

    def _ended_within(self, seconds: float | None, waiting: int) -> Iterator[tuple[MapRun, int]]:
        """Of the rows under way, those that end in time; None: the first that does, whenever it is."""
        if seconds is None:
            yield self._ended.get()
            return
        until = time.monotonic() + seconds
        with suppress(Empty):
            for _ in range(waiting):
                yield self._ended.get(timeout=max(until - time.monotonic(), 0))

    def _begin(self, part: list[Any]) -> int:
        if not part:
            return 0
        first = self.parts.read - len(part)
        private = self.names if self._makes_rows else ()
        columns = Columns(self._columns(part, first), self.arguments, first=first, private=private)
        map_run = map_run_of(
            self.task, self.run, columns, self.options, threshold=self.threshold, shared=self.shared
        )
        self._check_ids(map_run)
        map_run.table = _Table(map_run.rows, self._ended, map_run)
        map_run.counts_rows = False
        submission = Submission(map_run, self.runner, spec=self._spec)
        self._spec = submission.spec
        self._let_go()
        self._parts.append(submission)
        submission.load(submission.plan(map_run.rows))
        map_run.feeder.start()
        return len(part)

    def _let_go(self) -> None:
        """Forget parts that are over; task runs must not pile up behind rows that are quicker than they."""
        ending = [part for part in self._parts if part.map_run.table.wait_all(0)]
        for part in ending[:-ENDING_PARTS]:
            part.map_run.feeder.wait()
        for part in ending:
            if part.map_run.feeder.is_over:
                self._parts.remove(part)
                forget_runs(self.runner, part.map_run.task_runs)

    def _check_ids(self, map_run: MapRun) -> None:
        if self.options.row_id is None:
            return
        ids = [map_run.row_id(index) for index in map_run.rows]
        if (pair := self._known_ids.add(ids, map_run.rows.start)) is not None:
            raise same_id(self.task, *pair, map_run.row_id(pair[1]))

    def _columns(self, part: list[Any], first: int) -> dict[str, list[Any]]:
        if len(self.names) == 1:
            return {self.names[0]: part}
        for place, row in enumerate(part):
            if not isinstance(row, Mapping) or (missing := [name for name in self.names if name not in row]):
                has = f"lacks {missing[0]!r}" if isinstance(row, Mapping) else f"is a {type(row).__name__}"
                raise UsageError(
                    f"{self.task.label} takes {', '.join(map(repr, self.names))} from each row, but row "
                    f"{first + place} {has}. Pass what all rows share by keyword."
                )
        return {name: [row[name] for row in part] for name in self.names}

    def _result(self, map_run: MapRun, index: int) -> Iterator[RowResult[R]]:
        end = map_run.end_of(index)
        if end.error is not None and self.options.on_error == "raise":
            if len(self._errors) < ERRORS_KEPT:
                self._errors.append(end.error)
            return
        yield RowResult(index, map_run.row_id(index), end.outcome, end.value, end.error)

    def _close(self, waiting: int) -> None:
        """Closing the stream stops the work: what is under way ends, and is remembered."""
        if waiting:
            self.threshold.stop.because("Nobody takes the stream's results any more.")
        for part in self._parts:
            if waiting:
                part.map_run.feeder.drain()
            part.map_run.feeder.wait()

    def _raise(self) -> None:
        failures = [error for error in self._errors if not isinstance(error, RunStoppedError)]
        skipped = self.threshold.counts["skipped"]
        reason = (
            f"{self.threshold.stop.reason} {skipped:,} rows were skipped."
            if self.threshold.stop.is_set
            else None
        )
        if failures and self.options.on_error == "raise":
            more = self.threshold.counts["failed"] - len(failures)
            told = (
                f"{more:,} further rows failed: `latent runs failures last` groups them."
                if more > 0
                else None
            )
            text = " ".join(filter(None, [told, reason])) or None
            raise FailedRowsError.of(self.task.name, self.parts.read, failures, text) from self.parts.error
        if self.parts.error is not None:
            raise self.parts.error
        if reason is not None and self.options.on_error == "raise":
            raise RunStoppedError(
                f"{reason} The source was read up to row {self.parts.read:,}.", self.task.name
            )


def _row_parameters(task: Task[..., Any], shared: Mapping[str, Any]) -> list[str]:
    """The parameters that a row fills: the whole row the only one, or its columns several by name."""
    free = [
        p
        for p in task.binder.signature.parameters.values()
        if p.kind in _NAMED and p.name not in shared and p.name not in task.binder.fills and p.name != "self"
    ]
    needed = [p.name for p in free if p.default is p.empty] or [p.name for p in free[:1]]
    if not needed:
        raise UsageError(f"{task.label}: its function has no parameter left for the rows of the stream.")
    return needed


def _iterables(task: Task[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords that hold rows; what all rows share is text, a single value or `unmapped(...)`."""
    rows = {
        name: value
        for name, value in given.items()
        if isinstance(value, Iterable) and not isinstance(value, (str, bytes, unmapped))
    }
    if not rows:
        first = next(iter(task.binder.signature.parameters), "x")
        raise UsageError(
            f"{task.label}: map_stream needs a source of rows: `map_stream(rows, ...)`, or an iterable by "
            f"the name of a parameter: `map_stream({first}=rows, ...)`."
        )
    return rows


def _zipped(run: Run, task: Task[..., Any], columns: Mapping[str, Any]) -> Any:
    """One source of what was given by keyword: several iterables become rows that name their parts."""
    if len(columns) == 1:
        return next(iter(columns.values()))
    sources = [rows_of(run, value, task.label) for value in columns.values()]
    return (dict(zip(columns, row, strict=True)) for row in zip(*sources, strict=True))


def _shared_arguments(
    task: Task[..., Any], shared: Mapping[str, Any], of_rows: Sequence[str]
) -> dict[str, Any]:
    """What all rows share, with defaults for the rest."""
    parameters = task.binder.signature.parameters
    if unknown := [name for name in (*shared, *of_rows) if name not in parameters]:
        hint = did_you_mean(unknown[0], parameters, f"it has {', '.join(map(repr, parameters))}.")
        raise UsageError(f"{task.label}: its function has no parameter {unknown[0]!r}: {hint}")
    given = {name: value.value if isinstance(value, unmapped) else value for name, value in shared.items()}
    named = [p for p in parameters.values() if p.kind in _NAMED]
    defaults = {p.name: p.default for p in named if p.default is not p.empty}
    owner = {} if task.instance is None else {next(iter(parameters)): task.instance}
    arguments = owner | {name: value for name, value in (defaults | given).items() if name not in of_rows}
    known = {*arguments, *of_rows, *task.binder.fills, "self"}
    if missing := [p.name for p in named if p.name not in known]:
        raise UsageError(
            f"{task.label} is missing {', '.join(map(repr, missing))}: pass an iterable for each row's own, "
            "or a value that all rows share."
        )
    return arguments
