"""
Results of other tasks among arguments: futures and states found, waited for, and replaced by what they hold.

The same places that Prefect looks into: containers, dataclasses, pydantic models, and its annotations
(`allow_failure`, `opaque`, `quote`, `unmapped`), which say how.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import TYPE_CHECKING, Any

from prefect._internal.result_records import ResultRecord
from prefect.client.schemas.objects import RunInput, State, StateDetails, TaskRunResult
from prefect.futures import PrefectFuture
from prefect.states import Completed, is_state_iterable
from prefect.utilities.annotations import BaseAnnotation, allow_failure, opaque, quote
from pydantic import BaseModel

from latent.prefect.futures import TaskFuture, failure_in, result_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_PLAIN = frozenset({str, int, float, bool, type(None), bytes})
"""Types of most values; looking them up is many times faster than asking each for its class."""


def has_futures(value: Any) -> bool:
    """Whether a future, a state or one of Prefect's annotations stands anywhere in `value`."""
    kind = type(value)
    if kind in _PLAIN:
        return False
    if kind is dict:
        return any(type(item) not in _PLAIN and has_futures(item) for item in value.values())
    if kind is list or kind is tuple:
        return any(type(item) not in _PLAIN and has_futures(item) for item in value)
    if issubclass(kind, BaseAnnotation):
        return True
    return next(futures_in(value), None) is not None


def futures_in(value: Any, *, needed: bool = False) -> Iterator[PrefectFuture[Any] | State[Any]]:
    """
    The futures and states anywhere in `value`; not what is quoted.

    Args:
        needed: Only those that must have ended well: not what stands in `allow_failure`.
    """
    if isinstance(value, (PrefectFuture, State)):
        yield value
    elif isinstance(value, BaseAnnotation):
        if not isinstance(value, quote) and not (needed and isinstance(value, allow_failure)):
            yield from futures_in(value.unwrap(), needed=needed)
    elif isinstance(value, dict):
        for item in value.values():
            yield from futures_in(item, needed=needed)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from futures_in(item, needed=needed)
    elif names := _fields(value):
        for name in names:
            yield from futures_in(getattr(value, name, None), needed=needed)


def _fields(value: Any) -> tuple[str, ...]:
    """The fields of a dataclass or a pydantic model; none for any other value."""
    kind: Any = type(value)
    return _fields_of(kind)


@cache
def _fields_of(kind: Any) -> tuple[str, ...]:
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    return tuple(kind.model_fields) if issubclass(kind, BaseModel) else ()


def is_done(future: PrefectFuture[Any]) -> bool:
    """Whether a future has ended; Prefect's API is asked only about futures of other processes."""
    if isinstance(future, TaskFuture):
        return future.is_done()
    if future._final_state is not None:
        return True
    done = getattr(getattr(future, "wrapped_future", None), "done", None)
    return bool(done()) if callable(done) else False


def resolved(value: Any, *, only_done: bool = False) -> Any:
    """
    `value` with results in the place of futures and states, waited for, and without annotations.

    With `only_done`, what has not ended well stays for Prefect to deal with, annotations with what they say.

    Raises:
        TaskExecutionError: One of them failed (not with `only_done`, and not in `allow_failure`).
    """
    if not has_futures(value):
        return value
    if isinstance(value, PrefectFuture):
        return _result_if_done(value) if only_done else value.result()
    if isinstance(value, State):
        return _result_of(value, only_done=only_done)
    if isinstance(value, BaseAnnotation):
        return value if only_done else _as_annotated(value)
    return _with_items(value, lambda item: resolved(item, only_done=only_done))


def runs_behind(arguments: Mapping[str, Any]) -> dict[str, set[RunInput]]:
    """The task runs whose results stand among arguments, by name: what Prefect's graph draws an edge from."""
    found = {name: set(_runs_of(value)) for name, value in arguments.items() if has_futures(value)}
    return {name: runs for name, runs in found.items() if runs}


def _runs_of(value: Any) -> Iterator[RunInput]:
    for future in futures_in(value):
        known = future.state_details.task_run_id if isinstance(future, State) else future.task_run_id
        if known is not None and not getattr(future, "remembered", False):
            yield TaskRunResult(id=known)


def ended_runs(runs: Iterable[RunInput]) -> list[State[Any]]:
    """States that stand for task runs which have ended, for Prefect to "wait" for: it draws the edges."""
    return [
        Completed(
            data=ResultRecord.model_construct(result=None), state_details=StateDetails(task_run_id=run.id)
        )
        for run in runs
        if isinstance(run, TaskRunResult)
    ]


def with_results(returned: Any) -> Any:
    """
    What a flow returned, with results in the place of futures; states stay, and decide how the flow ends.

    Raises:
        TaskExecutionError: One of them failed.
    """
    if isinstance(returned, PrefectFuture):
        return returned.result()
    if isinstance(returned, (State, BaseAnnotation)) or not has_futures(returned):
        return returned
    return _with_items(returned, with_results)


def failure_among(returned: Any) -> BaseException | None:
    """Why a flow that returned this has failed: a state in it did not end well; None when it has not."""
    states = [returned] if isinstance(returned, State) else returned if is_state_iterable(returned) else []
    bad = next((state for state in states if not state.is_completed()), None)
    return None if bad is None else failure_in(bad) or RuntimeError(f"It returned a {bad.name} state.")


def _as_annotated(annotated: Any) -> Any:
    inside = annotated.unwrap()
    if isinstance(annotated, quote):
        return inside
    if isinstance(annotated, opaque) and not isinstance(inside, (PrefectFuture, State)):
        return inside
    return _or_errors(inside) if isinstance(annotated, allow_failure) else resolved(inside)


def _or_errors(value: Any) -> Any:
    """As `resolved`, with the exception of what failed in its place."""
    if isinstance(value, PrefectFuture):
        value.wait()
        value = value.state
    if isinstance(value, State):
        return _result_of(value) if (error := failure_in(value)) is None else error
    if isinstance(value, BaseAnnotation):
        return _as_annotated(value)
    return _with_items(value, _or_errors) if has_futures(value) else value


def _with_items(value: Any, change: Any) -> Any:
    """A container like `value` with its items changed; a list of futures becomes a plain list."""
    if isinstance(value, dict):
        return {key: change(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [change(item) for item in value]
        if isinstance(value, list):
            return items
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    now = {name: getattr(value, name) for name in _fields(value)}
    changed = {name: new for name, item in now.items() if (new := change(item)) is not item}
    if not changed:
        return value
    # A model is not validated again: it takes what it is given, as from Prefect.
    if isinstance(value, BaseModel):
        return value.model_copy(update=changed)
    return dataclasses.replace(value, **changed)


def _result_of(state: State[Any], *, only_done: bool = False) -> Any:
    if state.is_completed() and isinstance(state.data, ResultRecord):
        return result_in(state)
    if only_done and not state.is_completed():
        return state
    return state.result(_sync=True)  # type: ignore[call-overload]  # Prefect's own escape from its event loop


def _result_if_done(future: PrefectFuture[Any]) -> Any:
    state_now = getattr(future, "state_now", None)
    final: State[Any] | None = state_now() if state_now is not None else None
    return result_in(final) if final is not None and final.is_completed() else future


def without_idle_annotations(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments without annotations that stand around plain data: those say nothing."""
    return {
        name: value.unwrap()
        if isinstance(value, BaseAnnotation) and not has_futures(value.unwrap())
        else value
        for name, value in arguments.items()
    }


def without_annotation(value: Any) -> Any:
    """What an annotation stands around; any other value as it is."""
    return value.unwrap() if isinstance(value, BaseAnnotation) else value
