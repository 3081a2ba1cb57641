"""Futures of latent's tasks: Prefect's, but a failure surfaces as the error that explains it."""

from __future__ import annotations

from concurrent.futures import CancelledError
from threading import RLock
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from uuid import UUID, uuid4

import prefect.futures
from prefect._internal.result_records import ResultRecord
from prefect.client.schemas.objects import State
from prefect.exceptions import UnfinishedRun
from prefect.futures import PrefectFuture, PrefectTaskRunFuture
from prefect.states import Completed, get_state_exception

from latent.prefect import deliveries
from latent.prefect.failures import row_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from latent.errors import TaskExecutionError
    from latent.prefect.call import Call

R = TypeVar("R")

_unpacking = RLock()


class TaskFuture(PrefectTaskRunFuture[R], Generic[R]):
    """The eventual result of one call: of a task run, or remembered and there at once."""

    def __init__(
        self, call: Call, inner: PrefectFuture[R] | None, final_state: State[R] | None = None
    ) -> None:
        super().__init__(inner.task_run_id if inner is not None else uuid4())
        self.call = call
        self.observed = False
        """Whether anybody asked how it ended: a failure that nobody looked at fails the flow."""
        self._inner = inner
        self._final_state = final_state
        if inner is not None:
            inner.add_done_callback(lambda _: self.account())

    @property
    def remembered(self) -> bool:
        """Whether no task run was made."""
        return self._inner is None

    @property
    def state(self) -> State[R]:
        """The state of the task run; `Cached` for a remembered result."""
        self.observed = True
        return self._state()

    def is_done(self) -> bool:
        """Whether the call has ended; no API is asked."""
        if self._inner is None or self._inner._final_state is not None:
            return True
        running = getattr(self._inner, "wrapped_future", None)
        done = getattr(running, "done", None)
        return bool(done()) if callable(done) else self._inner.state.is_final()

    def state_now(self) -> State[R] | None:
        """The final state; None before. Asking is not looking at it."""
        if not self.is_done():
            return None
        self.wait()
        return self._state()

    def result_now(self) -> Any:
        """
        The result of a call that has ended well.

        Raises:
            UnfinishedRun: The task returned a state that is not an end.
        """
        if not (state := self._state()).is_completed():
            raise UnfinishedRun(unfinished(state))
        return result_in(state)

    def _state(self) -> State[R]:
        if self._final_state is None and self._inner is not None:
            state = self._inner.state
            if not state.is_final():
                return state
            with _unpacking:  # several threads may ask at once, and what came back is booked once
                if self._final_state is None:
                    deliveries.unpack(self.call, state)
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
        self.observed = True
        if self._inner is None:
            return cast("R", result_in(self._state()))
        self._inner.wait(timeout)
        state = self._state()
        if not raise_on_failure:
            return self._inner.result(timeout, raise_on_failure=False)
        if (error := failure_in(state)) is not None:
            raise self.call.failure(error) from error
        if isinstance(state.data, ResultRecord):
            return cast("R", state.data.result)  # an inner future may read it again, as it travelled
        return self._inner.result(timeout)

    def add_done_callback(self, fn: Callable[[PrefectFuture[R]], None]) -> None:
        """Call `fn` with this future once it is finished; at once when it is."""
        if self._inner is None:
            fn(self)
        else:
            self._inner.add_done_callback(lambda _: fn(self))

    def settle(self) -> None:
        """Wait for the call and what it saves, and see that it stands in the run's records."""
        self.wait()
        self.account()

    def error(self) -> TaskExecutionError | None:
        """The error of a finished call that failed; asking is not looking at it."""
        error = failure_in(self._state())
        return None if error is None else self.call.failure(error)

    def stop(self) -> None:
        """Keep the call from beginning; one that has begun is waited for, and recorded."""
        queued = getattr(self._inner, "wrapped_future", None)
        if queued is None or not queued.cancel():
            self.settle()

    def account(self) -> None:
        """Record a finished call that failed for good, or whose attempts ran in another process."""
        if self._inner is None or self.call.outcome is not None:
            return
        try:
            self._inner.wait()
        except CancelledError:
            return  # it never began
        except BaseException as error:
            # It ended its thread or process, too: sys.exit was called, a worker was killed.
            self.call.failure(row_error(error))
            return
        state = self._state()
        if state.is_final() and self.error() is None and state.is_completed():
            self.call.account("ok", result_in(state), cache="miss")


def failure_in(state: State[Any]) -> BaseException | None:
    """What a run that ended badly raised; None for any other state."""
    if not (state.is_failed() or state.is_crashed() or state.is_cancelled()):
        return None
    if isinstance(error := result_in(state), BaseException):
        return error
    return cast("BaseException", get_state_exception(state, _sync=True))  # type: ignore[call-arg]  # Prefect's own escape from its event loop


def unfinished(state: State[Any]) -> str:
    """What to say of a state that a task returned as its end, and that is none."""
    return f"The task returned a {state.name} state, which has no result."


def result_in(state: State[Any]) -> Any:
    """The result that a state carries; `state.result()` takes a detour through an event loop's thread."""
    return state.data.result if isinstance(state.data, ResultRecord) else state.data


def done_future(call: Call, value: R) -> TaskFuture[R]:
    """A future of a remembered result: finished, and without a task run."""
    return TaskFuture(call, None, cached_state(value, call.run.run_id))


def cached_state(value: R, run_id: str) -> State[R]:
    """Prefect's state of a remembered result, with the value attached."""
    return in_run_of(Completed(name="Cached", data=ResultRecord.model_construct(result=value)), run_id)


def in_run_of(state: State[R], run_id: str) -> State[R]:
    """The state with its flow run: one without is the user's own, and a flow that returns it ends in it."""
    if run_id:
        state.state_details.flow_run_id = UUID(run_id)
    return state


def __getattr__(name: str) -> Any:
    """Whatever else `prefect.futures` offers, for scripts that import it from there."""
    return getattr(prefect.futures, name)
