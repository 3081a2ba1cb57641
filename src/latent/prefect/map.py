"""`task.map(...)`: one call per row, remembered rows without a task run."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from prefect.exceptions import MappingLengthMismatch, MappingMissingIterable
from prefect.futures import PrefectFuture, PrefectFutureList
from prefect.utilities.annotations import unmapped
from prefect.utilities.collections import isiterable

from latent.errors import FailedRowsError
from latent.prefect.call import Call
from latent.prefect.futures import done_future, has_futures, resolved
from latent.prefect.outputs import save_outputs
from latent.prefect.run import current_run, surroundings
from latent.prefect.shared import Shared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from latent.prefect.futures import TaskFuture
    from latent.prefect.run import Run
    from latent.prefect.tasks import Task

R = TypeVar("R")


class MappedFutures(PrefectFutureList[R]):
    """The futures of one map, in input order, and the dataset that its results are saved to."""

    def __init__(self, task: Task[..., Any], run: Run, futures: Sequence[TaskFuture[R]]) -> None:
        super().__init__(futures)
        self.rows = futures
        """The same futures under their own type."""
        self.task, self.run = task, run
        self._saved = not task.outputs
        self._lock = Lock()

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> list[R]:
        """
        The results of all rows in input order; waits at most `timeout` seconds for each.

        Raises:
            FailedRowsError: Rows failed; its `.exceptions` are their errors, in input order.
        """
        if not raise_on_failure:
            return [future.result(timeout, raise_on_failure=False) for future in self.rows]
        self._raise_failures(self._wait_and_look(timeout))
        self.settle()
        return [future.result(timeout) for future in self.rows]

    def settle(self) -> None:
        """Wait for all rows and save their results as the task's `output`; not when a row failed."""
        self.wait()
        with self._lock:
            if self._saved or any(future.error() for future in self.rows):
                return
            results = [future.result() for future in self.rows]
            save_outputs(self.run, self.task.outputs, results, owner=self.task.label)
            self._saved = True

    def finish(self) -> None:
        """
        What a flow does for its maps before it ends: wait, save, and fail for failures that nobody looked at.

        Raises:
            FailedRowsError: Rows failed, and neither they nor the list were asked for their result.
        """
        self.wait()
        unseen = [future.error() for future in self.rows if not future.looked_at]
        self._raise_failures([error for error in unseen if error is not None])
        self.settle()

    def _wait_and_look(self, timeout: float | None) -> list[Exception]:
        errors: list[Exception] = []
        for future in self.rows:
            future.looked_at = True
            future.wait(timeout)
            if not future.state.is_final():
                future.result(0)  # raises Prefect's own TimeoutError
            if (error := future.error()) is not None:
                errors.append(error)
        return errors

    def _raise_failures(self, errors: list[Exception]) -> None:
        if errors:
            raise FailedRowsError.of(self.task.name, len(self), errors)


def map_rows(
    task: Task[..., R], args: tuple[Any, ...], kwargs: Mapping[str, Any], task_runner: Any, wait_for: Any
) -> MappedFutures[R]:
    """
    One call per row: all remembered rows are read in one go, each of the others becomes a task run.

    Raises:
        MappingMissingIterable: No argument has rows.
        MappingLengthMismatch: Arguments have different numbers of rows.
    """
    run = current_run() or surroundings(None)
    arguments = task.bind(args, kwargs)
    given = task.bind(args, kwargs, defaults=False)
    rows = _rows(task, {name: given[name] for name in given if name != "self"})
    values = [value.value if isinstance(value, unmapped) else value for value in arguments.values()]
    shared = Shared(run.workspace.root, values)
    calls = [
        Call(task, run, arguments | row, row_index=index, shared=shared) for index, row in enumerate(rows)
    ]
    recalled = {} if wait_for is not None else _recall_all(calls)
    futures = [
        done_future(call, recalled[index]) if index in recalled else task.start(call, task_runner, wait_for)
        for index, call in enumerate(calls)
    ]
    mapped: MappedFutures[R] = MappedFutures(task, run, futures)  # type: ignore[abstract]  # as Prefect's own
    run.mapped.append(mapped)
    for dataset in task.outputs:
        run.producers.setdefault(dataset, []).append(mapped)
    return mapped


def _recall_all(calls: list[Call]) -> dict[int, Any]:
    """The remembered results by row, read from the store in one go."""
    if not calls or not calls[0].task.remembers or calls[0].task.refresh_cache:
        return {}
    for dataset in calls[0].task.inputs:
        calls[0].run.settle_outputs(dataset)
    for call in calls:
        if not has_futures(call.arguments):
            call.find_key()
    keyed = [call for call in calls if call.key is not None]
    if not keyed:
        return {}
    run, code = keyed[0].run, keyed[0].code
    for call in keyed:
        call.code = code  # one task, one code: fingerprinted once for all its rows
    keys = [call.key.key for call in keyed if call.key is not None]
    hits = run.memory.recall_many(keys, code=code, parameter=run.parameter_fingerprint)
    return {
        call.row_index: call.accept(hits[call.key.key])
        for call in keyed
        if call.key is not None and call.row_index is not None and call.key.key in hits
    }


def _rows(task: Task[..., Any], given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The arguments of each row, from iterables of one length and values that all rows share."""
    variadic = {p.name for p in task.binder.signature.parameters.values() if p.kind is p.VAR_KEYWORD}
    flat = {name: value for name, value in given.items() if name not in variadic}
    extra = {key: value for name in variadic & set(given) for key, value in given[name].items()}
    columns = {name: _column(value) for name, value in (flat | extra).items()}
    lengths = {name: len(column) for name, column in columns.items() if column is not None}
    if not lengths:
        raise MappingMissingIterable(
            f"{task.label}: map needs at least one argument with rows (a list, a frame, a range, ...); "
            f"got {', '.join(f'{name}={type(value).__name__}' for name, value in given.items()) or 'none'}."
        )
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise MappingLengthMismatch(
            f"{task.label}: all mapped arguments need the same number of rows, but {listed}. "
            "Wrap what every row shares in unmapped(...)."
        )
    shared = {
        n: v.value if isinstance(v, unmapped) else v for n, v in (flat | extra).items() if columns[n] is None
    }
    rows = []
    for index in range(next(iter(lengths.values()))):
        row = shared | {name: column[index] for name, column in columns.items() if column is not None}
        for name in variadic & set(given):
            row[name] = {key: row.pop(key) for key in given[name]}
        rows.append(row)
    return rows


def _column(value: Any) -> list[Any] | None:
    """The rows that an argument holds; None for a value that all rows share."""
    if isinstance(value, unmapped):
        return None
    if isinstance(value, PrefectFuture):
        value = resolved(value)
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return list(value.to_dict("records"))
    if hasattr(value, "to_pylist"):
        return list(value.to_pylist())
    return list(value) if isiterable(value) else None
