"""Futures of latent's tasks: Prefect's, but a failure surfaces as the error that explains it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import uuid4

import prefect.futures
from prefect.futures import PrefectFuture, PrefectTaskRunFuture
from prefect.results import ResultRecord
from prefect.states import Completed, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from latent.prefect.call import Call

R = TypeVar("R")


class TaskFuture(PrefectTaskRunFuture[R], Generic[R]):
    """The eventual result of one call: of a task run, or remembered and there at once."""

    def __init__(self, call: Call, inner: PrefectFuture[R] | None, final_state: State[R] | None = None) -> None:
        super().__init__(inner.task_run_id if inner is not None else uuid4())
        self.call = call
        self.looked_at = False
        """Whether anybody asked how it ended: a failure that nobody looked at fails the flow."""
        self._inner = inner
        self._final_state = final_state
        if inner is not None:
            inner.add_done_callback(self._account)

    @property
    def remembered(self) -> bool:
        """Whether no task run was made."""
        return self._inner is None

    @property
    def state(self) -> State[R]:
        """The state of the task run; `Cached` for a remembered result."""
        self.looked_at = True
        return self._state()

    def _state(self) -> State[R]:
        if self._final_state is None and self._inner is not None:
            state = self._inner.state
            if not state.is_final():
                return state
            self._final_state = state
        assert self._final_state is not None
        return self._final_state

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the call is finished, at most `timeout` seconds."""
        if self._inner is not None:
            self._inner.wait(timeout)

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> R:
        """
        The result, waited for at most `timeout` seconds.

        Raises:
            TaskExecutionError: The call failed; also an instance of what the task raised.
            TimeoutError: It was not finished in time.
        """
        self.looked_at = True
        if self._inner is None:
            return self._final_state.data.result  # type: ignore[union-attr]  # a remembered result has its state
        try:
            return self._inner.result(timeout, raise_on_failure)
        except Exception as error:
            if not self._state().is_final():
                raise
            raise self.call.failure(error) from error

    def add_done_callback(self, fn: Callable[[PrefectFuture[R]], None]) -> None:
        """Call `fn` with this future once it is finished; at once when it is."""
        if self._inner is None:
            fn(self)
        else:
            self._inner.add_done_callback(lambda _: fn(self))

    def settle(self) -> None:
        """Wait for the call and what it saves."""
        self.wait()

    def error(self) -> Exception | None:
        """The error of a finished call that failed; asking is not looking at it."""
        state = self._state()
        if not (state.is_failed() or state.is_crashed() or state.is_cancelled()):
            return None
        looked_at = self.looked_at
        try:
            self.result()
        except Exception as error:
            return error
        finally:
            self.looked_at = looked_at
        return None

    def _account(self, inner: PrefectFuture[R]) -> None:
        """Account for a call whose attempts ran elsewhere, or that failed for good."""
        inner.wait()
        state = inner.state
        if state.is_completed():
            self.call.account("ok", _plain_result(state), cache="miss")
        elif (error := self.error()) is not None:
            del error  # `failure` has accounted for it


def done_future(call: Call, value: R) -> TaskFuture[R]:
    """A future of a remembered result: finished, and without a task run."""
    return TaskFuture(call, None, cached_state(value))


def cached_state(value: R) -> State[R]:
    """Prefect's state of a remembered result, with the value attached."""
    return Completed(name="Cached", data=ResultRecord.model_construct(result=value))


def has_futures(value: Any) -> bool:
    """Whether a future or a state stands anywhere in `value`; only built-in containers are searched."""
    if isinstance(value, (str, bytes, int, float, type(None))):
        return False
    if isinstance(value, (PrefectFuture, State)):
        return True
    if isinstance(value, dict):
        return any(map(has_futures, value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(map(has_futures, value))
    return False


def resolved(value: Any, *, only_done: bool = False) -> Any:
    """
    `value` with every future in it replaced by its result; waits for them unless `only_done`.

    Raises:
        TaskExecutionError: One of them failed (not with `only_done`, which leaves that one for Prefect).
    """
    if not has_futures(value):
        return value
    if isinstance(value, PrefectFuture):
        return _result_if_done(value) if only_done else value.result()
    if isinstance(value, State):
        return value if only_done else value.result()
    if isinstance(value, dict):
        return {key: resolved(item, only_done=only_done) for key, item in value.items()}
    items = [resolved(item, only_done=only_done) for item in value]
    return type(value)(*items) if hasattr(value, "_fields") else _rebuilt(value, items)


def _rebuilt(value: Any, items: list[Any]) -> Any:
    """A container like `value`; a list of futures becomes a plain list."""
    return items if isinstance(value, list) else type(value)(items)


def _result_if_done(future: PrefectFuture[Any]) -> Any:
    if isinstance(future, TaskFuture):
        if future.remembered:
            return future.result()
        state = future._state()
        return _plain_result(state) if state.is_completed() else future
    return future


def _plain_result(state: State[Any]) -> Any:
    return state.data.result if isinstance(state.data, ResultRecord) else state.data


def __getattr__(name: str) -> Any:
    """Whatever else `prefect.futures` offers, for scripts that import it from there."""
    return getattr(prefect.futures, name)
