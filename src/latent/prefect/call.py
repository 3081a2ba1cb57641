"""
One call of a task: recalled when it is remembered, else attempted, remembered, saved and accounted for.

`recall` runs before Prefect hears of the call, so that a hit makes no task run. `Attempt` is what Prefect
runs, once per attempt: in the same thread, on a thread of its task runner, or in another process, which gets
the call by pickle.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext
from enum import Enum
from random import getrandbits
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, cast

from prefect._internal.result_records import ResultRecord
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext

from latent.cache import Lease
from latent.cache.code import CodeFingerprint, code_fingerprint
from latent.errors import RunStoppedError, TaskExecutionError, UnstorableError
from latent.prefect.abstained import outcome_of, recalled_outcome
from latent.prefect.admission import admit, admit_async, holding, timely, timely_async
from latent.prefect.carried import carry, unpack
from latent.prefect.changed_arguments import applied, changed_arguments, note_of_change
from latent.prefect.cost_plan import REASON
from latent.prefect.deliveries import packed
from latent.prefect.failures import explained, row_error
from latent.prefect.global_limits import attached
from latent.prefect.kept_reads import with_kept
from latent.prefect.key import CallKey, call_key, is_still_key
from latent.prefect.leases import acquire_lease, acquire_lease_async
from latent.prefect.logs import warn_once
from latent.prefect.outputs import check_outputs, count_rows, restore_outputs, save_outputs
from latent.prefect.run import Run, entered, is_entered
from latent.prefect.scope import (
    Scope,
    current_scope,
    hear_children,
    open_scope,
    open_scopes,
    record_read,
    record_read_around,
)
from latent.prefect.shared import Shared
from latent.prefect.undone import forget_when_undone, in_task_run, users_transaction
from latent.prefect.usage import ServiceAccount, merged
from latent.registry import TaskRegistry
from latent.tracking.records import TaskRecord, describe_error

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping
    from contextlib import AbstractContextManager

    from latent.cache import Hit
    from latent.prefect.rows.stop import Stop
    from latent.prefect.tasks import Task
    from latent.tracking.records import CacheState, Outcome


class NoValue(Enum):
    """Stands for a result that is not there: a remembered None is a value."""

    NO_VALUE = "no value"


NO_VALUE: Final = NoValue.NO_VALUE

_ATTEMPTS = "__latent_attempts__"
"""Where an exception carries its attempt's number: it may come back from a process without the call."""

REFRESHED = "refreshed on request"
"""Why what `--refresh` names was not reused."""

_failing = Lock()
"""One thread at a time accounts for a failure: the thread that sees it may end the run at once."""


class Call:
    """What is known of one call of a task, from its arguments to its outcome."""

    def __init__(
        self,
        task: Task[..., Any],
        run: Run,
        arguments: dict[str, Any],
        *,
        row_index: int | None = None,
        shared: Shared | None = None,
    ) -> None:
        self.task, self.run, self.arguments, self.row_index = task, run, arguments, row_index
        self.shared = shared or Shared(run.workspace.root)
        scope = current_scope()
        self.span_id = f"{getrandbits(64):016x}"
        self.parent_span_id = scope.span_id if scope else None
        self._around = open_scopes() if scope is None and not is_entered(run) else ()
        """In a thread without context, the calls that this one may be a part of: all that run."""
        self.transaction = users_transaction()
        """The user's transaction that the call belongs to."""
        if self.transaction is not None and task.remembers_in(self.run):
            forget_when_undone(
                self.transaction, run.memory, lambda: [] if self.key is None else [self.key.key]
            )
        self.key: CallKey | None = None
        self.missed: dict[str, str] = {}
        """Why the result was not reused, by key, as far as it is known."""
        self.refreshes = False
        """Whether it is computed again, whatever is remembered."""
        self.shares = True
        """Whether the same call is waited for where it is under way elsewhere."""
        self.stop: Stop | None = None
        """Ends the map that the call is a row of."""
        self.upstream: dict[str, set[Any]] = {}
        """The task runs whose results stand among the arguments by now, by argument."""
        self.is_settled = False
        """Whether its arguments are final: futures that are left in them are meant as they are."""
        self.attempts = 0
        self._code: CodeFingerprint | None = None
        self.started_at = 0.0
        """Unix seconds: when the first attempt began. Waiting for a thread is not the task's time."""
        self.duration_seconds = 0.0
        """From the first attempt's start to the last one's end, pauses included."""
        self._ended_at: float | None = None
        """Unix seconds of the last attempt's end, before Prefect deals with it; None while one runs."""
        self.queue_seconds = 0.0
        """Time spent waiting for a limit."""
        self.cost_usd: float | None = None
        self.used: dict[str, ServiceAccount] | None = None
        """What it used of paid services, by name; None: nothing."""
        self.outcome: Outcome | None = None
        """None until the call has ended."""
        self.task_run_id: str | None = None
        self.is_remote = False
        """Whether it is at work in a process of a task runner, and will bring back what it knows."""
        self._failure: TaskExecutionError | None = None

    # -- before Prefect ----------------------------------------------------------------------------------

    def recall(self) -> Any:
        """The remembered result, `output` saved again where it is gone; `NO_VALUE` if the task has to run."""
        if not self.find_key() or self.key is None:
            return NO_VALUE
        parameter = self.run.parameter_fingerprint
        hit = self.run.memory.recall(self.key.key, code=self.code, parameter=parameter, missed=self.missed)
        return NO_VALUE if hit is None else self.accept(hit)

    def check_plan(self) -> None:
        """
        See whether the function is to be called at all.

        Raises:
            RunStoppedError: The run is only planned, and the call would be paid for.
        """
        cost_plan = self.run.cost_plan
        if cost_plan is not None and cost_plan.skips(self.task, self.arguments):
            raise RunStoppedError(REASON, self.task.name)

    def find_key(self) -> bool:
        """Whether there is a key to look under: the task is remembered, its arguments have fingerprints."""
        if not self.task.remembers_in(self.run):
            return False
        if self.key is None:
            self.key = call_key(self.task, self.run, self.arguments, self.shared)
        return self.key is not None and not (self.refreshes or self.task.refreshes_in(self.run))

    @property
    def code(self) -> CodeFingerprint | None:
        """The fingerprint of the task's code when it was called; None if the user's own key decides alone."""
        if self._code is None and self.key is not None and self.task.counts_code and not self.key.users_own:
            self._code = self.key.code or code_fingerprint(self.task.fn, self.run.workspace.root)
        return self._code

    @code.setter
    def code(self, code: CodeFingerprint | None) -> None:
        self._code = code

    def accept(self, hit: Hit) -> Any:
        """Use a remembered result: what it depends on, the surrounding call depends on too."""
        self.started_at = time.time()
        value = applied(hit, self.arguments)
        record_read(hit.parameters_read)
        if self.task.inputs:
            record_read(self.run.read_datasets(self.shared.fingerprints))
        if self.task.outputs:
            restore_outputs(self.run, self.task.outputs, value, hit.outputs, owner=self.task.label)
        self.account(recalled_outcome(value), value, cache="hit")
        return value

    def attempt_task(self) -> Any:
        """The task in the form in which Prefect runs this call."""
        return self.task.for_attempts_of(self)

    def prefect_arguments(self) -> dict[str, Any]:
        """The arguments as Prefect sees them."""
        return carry(self.arguments, settled=self.is_settled)

    # -- one attempt, inside Prefect's run ---------------------------------------------------------------

    @contextmanager
    def attempting(self, given: Mapping[str, Any]) -> Iterator[Attempt]:
        """
        Everything around the user's function.

        Args:
            given: The arguments from Prefect, futures resolved.
        """
        context = TaskRunContext.get()
        if context is not None:
            self.attempts = context.task_run.run_count
            self.task_run_id = str(context.task_run.id)
        self.started_at = self.started_at or time.time()
        self._ended_at = None
        self.arguments = unpack(given)
        with (
            in_run(self.run),
            self._shown_running(),
            in_task_run(self.transaction),
            open_scope(self.task.name, self.span_id, self._around) as scope,
        ):
            scope.attempt = self.attempts
            budget = self.run.budget if self.row_index is not None else None
            scope.is_free = scope.is_free or self.task.is_free
            scope.is_counted = scope.is_counted or (budget is not None and budget.counts(self.task))
            attempt = Attempt(self, scope)
            try:
                yield attempt
            except Exception as error:
                error.__dict__[_ATTEMPTS] = self.attempts
                attempt.book()
                if self.stop is not None:
                    reason = self.task.why_map_stops(error, has_results=self.stop.has_results)
                    if reason is not None:
                        self.stop.because(reason)
                raise
            except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
                if self.row_index is None:
                    raise
                raise row_error(error) from error
            finally:
                self._ended_at = time.time()
                attempt.close()

    @contextmanager
    def _shown_running(self) -> Iterator[None]:
        outcomes = self.run.outcomes
        if outcomes is not None:
            outcomes.progressed(self.task.name, running=1)
        try:
            yield
        finally:
            if outcomes is not None:
                outcomes.progressed(self.task.name, running=-1)

    # -- afterwards --------------------------------------------------------------------------------------

    def failure(self, error: BaseException) -> TaskExecutionError:
        """The error that the caller sees, with all that is known of the call; the same one each time."""
        with _failing:
            if self._failure is None:
                self._failure = self._explained(error)
            return self._failure

    def _explained(self, error: BaseException) -> TaskExecutionError:
        attempts = error.__dict__.pop(_ATTEMPTS, self.attempts)
        failure = explained(
            self.task, self.run, error, arguments=self.arguments, attempts=attempts, row_index=self.row_index,
            span_id=self.span_id,
        )  # fmt: skip
        self.attempts = attempts
        outcome: Outcome = "skipped" if isinstance(error, RunStoppedError) else "failed"
        self.account(outcome, None, cache=self.cache_state, error=failure)
        return failure

    def account(
        self,
        outcome: Outcome,
        value: Any,
        *,
        cache: CacheState,
        error: TaskExecutionError | None = None,
        rows_in: int | None = None,
    ) -> None:
        """Report the call's one outcome to the run's records."""
        if self.outcome is not None:
            return
        now = time.time()
        self.outcome = outcome
        if self.started_at and not self.duration_seconds:  # else it was measured where the call ran
            self.duration_seconds = max((self._ended_at or now) - self.started_at, 0.0)
        if self.run.recorder is None and self.run.outcomes is None:
            return
        record = TaskRecord(
            name=self.task.name,
            outcome=outcome,
            started_at=self.started_at or now,
            duration_seconds=self.duration_seconds,
            task_run_id=self.task_run_id,
            attempts=self.attempts,
            cache=cache,
            span_type=self.task.span_type,
            span_id=self.span_id,
            parent_span_id=self.parent_span_id,
            inputs=self.run.preview(self.arguments),
            output=self.run.preview(value),
            rows_in=count_rows(*self.arguments.values()) if rows_in is None else rows_in,
            rows_out=count_rows(value),
            error=describe_error(error.original_error) if error else None,
            row_index=self.row_index,
            key=None if self.key is None else self.key.key,
            reason=self.reason,
            cost_usd=self.cost_usd,
        )
        if self.run.outcomes is not None and self.run.outcomes.note(record):
            TaskRegistry.observe_task(self.run.flow_name, self.task.name, self.task.fn)
        if self.run.recorder is not None:
            self.run.recorder.task(record)

    @property
    def reason(self) -> str | None:
        """Why the result was not reused, as far as that is known."""
        if self.refreshes and self.attempts:
            return REFRESHED
        return None if self.key is None else self.missed.get(self.key.key)

    @property
    def cache_state(self) -> CacheState:
        """What the records say of the memory's part in a call that ran."""
        if self.key is not None:
            return "miss"
        return "unkeyed" if self.task.remembers_in(self.run) else "off"

    # A worker process gets the call without the run's live parts, and attaches to its own.

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "run": self.run.reference(), "_around": (), "transaction": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, run=attached(state["run"]), is_remote=True)


class Attempt:
    """One attempt: recalled after all (its arguments are resolved only now), or worked and remembered."""

    def __init__(self, call: Call, scope: Scope) -> None:
        self.call, self.scope = call, scope
        self.value: Any = NO_VALUE
        self.lease: Lease | None = None
        self._rows_in: int | None = None
        self._is_booked = False

    @property
    def is_recalled(self) -> bool:
        """Whether the value is there already."""
        return self.value is not NO_VALUE

    def key_to_claim(self) -> str | None:
        """The key that others must not work on at the same time; None when there is nothing to share."""
        call = self.call
        for dataset in call.task.inputs:
            call.run.settle_outputs(dataset)
        return call.key.key if call.find_key() and call.key is not None else None

    def recall(self, lease: Lease) -> None:
        """Look once more, now that no other call is at it: the former holder may have finished."""
        self.lease = lease
        self.value = self.call.recall()

    def idle_lease(self, key: str) -> Lease | None:
        """A lease without effect for a call that waits for nobody; None when there is something to claim."""
        return None if self.call.shares else Lease.idle(key)

    def parked(self) -> AbstractContextManager[None]:
        """While the call waits for its limit, one that has a place under it may do the same work."""
        return nullcontext() if self.lease is None else self.lease.parked()

    def lost_key(self) -> str | None:
        """The key, when another call took its lease over meanwhile: it is to be leased again."""
        return self.lease.key if self.lease is not None and self.lease.was_taken else None

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """
        The positional and keyword arguments of the user's function, datasets loaded.

        Raises:
            RunStoppedError: It is not to be called: see `Call.check_plan`.
        """
        call = self.call
        call.check_plan()
        check_outputs(call.run, call.task.outputs)
        loaded = {
            name: call.shared.load(call.run.catalog, dataset)
            for name, dataset in call.task.binder.fills.items()
            if name not in call.arguments
        }
        self._rows_in = count_rows(*loaded.values(), *call.arguments.values())
        if self.scope.around and call.task.inputs:
            fingerprints = {name: call.run.dataset_fingerprint(name) for name in call.task.inputs}
            record_read_around(self.scope, call.run.read_datasets(fingerprints))
        return call.task.binder.positional(call.arguments | loaded)

    def book(self) -> None:
        """Add what was paid in this attempt to the call; a failed one was paid for, too."""
        call, scope = self.call, self.scope
        if self._is_booked:
            return
        self._is_booked = True
        if scope.cost_usd is not None:
            call.cost_usd = (call.cost_usd or 0.0) + scope.cost_usd
        if scope.used is not None:
            call.used = call.used or {}
            merged(call.used, scope.used)

    def keep(self, value: Any) -> Any:
        """Remember, save and account for what the function returned; the value once all of that is done."""
        call = self.call
        # First the memory, then the datasets: a save that fails must not cost the computation again.
        self.book()
        entry = self._remember(value)
        if call.task.outputs and call.row_index is None:
            fingerprints = save_outputs(call.run, call.task.outputs, value, owner=call.task.label)
            if entry is not None:
                call.run.memory.set_outputs(entry, entry.outputs | fingerprints)
        outcome = outcome_of(value.data if isinstance(value, State) else value)
        call.account(outcome, value, cache=call.cache_state, rows_in=self._rows_in)
        return value

    def _remember(self, value: Any) -> Any:
        call, key = self.call, self.call.key
        if key is None or _is_state(value) or call.shared.has_changed:
            return None
        if call.attempts > 1 and not is_still_key(key, call.task, call.run, call.arguments, call.shared):
            return None
        changed = self._changes(key)
        outputs = note_of_change(call.task, changed, call.arguments, value)
        if outputs is None:
            return None
        hear_children()
        reads = with_kept(self.scope.parameters_read, call.task.fn, call.code, call.run.workspace.root)
        try:
            return call.run.memory.remember(
                key.key,
                value,
                task=call.task.name,
                kind="row" if call.row_index is not None else "task",
                code=call.code,
                parameters_read={} if key.users_own else reads,
                key_parts=key.parts,
                expires_in=call.task.expires_in(call.run.workspace.settings),
                outputs=outputs,
            )
        except UnstorableError as error:
            warn_once(
                f"unstorable:{call.task.name}",
                f"Results of task {call.task.name!r} are not remembered: {error} "
                "Return plain data, or say cache=False to be silent about it.",
            )
        return None

    def _changes(self, key: CallKey) -> list[str]:
        """The arguments that the function has changed in place; in another process it changes copies."""
        call = self.call
        if call.is_remote:
            return []
        but = call.shared.unwatched(call.arguments)
        return changed_arguments(call.task, key, call.arguments, call.run.workspace.root, but=but)

    def close(self) -> None:
        """Let others have the key."""
        if self.lease is not None:
            self.lease.release()


@contextmanager
def in_run(run: Run) -> Iterator[None]:
    """Make `run` the current one where it is not yet: in a thread or process of a task runner."""
    if is_entered(run):
        yield
        return
    with entered(run):
        yield


def work(call: Call, given: Mapping[str, Any]) -> Any:
    """What Prefect runs for a plain function."""
    with call.attempting(given) as attempt:
        if (key := attempt.key_to_claim()) is not None:
            attempt.recall(attempt.idle_lease(key) or acquire_lease(call.run.memory, key))
        if not attempt.is_recalled:
            args, kwargs = attempt.arguments()
            with attempt.parked():
                permit = admit(call)
            with holding(call, permit):
                if (key := attempt.lost_key()) is not None:
                    attempt.recall(acquire_lease(call.run.memory, key))
                if not attempt.is_recalled:
                    with timely(call):
                        value = call.task.fn(*args, **kwargs)
            if not attempt.is_recalled:
                attempt.value = attempt.keep(value)
    return packed(call, attempt.value) if call.is_remote else attempt.value


async def work_async(call: Call, given: Mapping[str, Any]) -> Any:
    """What Prefect runs for an async function."""
    with call.attempting(given) as attempt:
        if (key := attempt.key_to_claim()) is not None:
            attempt.recall(attempt.idle_lease(key) or await acquire_lease_async(call.run.memory, key))
        if not attempt.is_recalled:
            args, kwargs = attempt.arguments()
            with attempt.parked():
                permit = await admit_async(call)
            with holding(call, permit):
                if (key := attempt.lost_key()) is not None:
                    attempt.recall(await acquire_lease_async(call.run.memory, key))
                if not attempt.is_recalled:
                    coroutine = cast("Coroutine[Any, Any, Any]", call.task.fn(*args, **kwargs))
                    value = await timely_async(call, coroutine)
            if not attempt.is_recalled:
                attempt.value = attempt.keep(value)
    return packed(call, attempt.value) if call.is_remote else attempt.value


def _is_state(value: Any) -> bool:
    """Whether a task decided its own Prefect state by returning one, or the record of its result."""
    return isinstance(value, (State, ResultRecord))
