"""What the rows of one map share while they run in a process, and what is done for each of them."""

from __future__ import annotations

import random
from contextlib import contextmanager, nullcontext
from inspect import Parameter
from typing import TYPE_CHECKING, Any

from prefect._internal.result_records import ResultRecord
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.exceptions import UnfinishedRun

from latent.cache.entry import Result
from latent.errors import CacheError, RunStoppedError, UnstorableError
from latent.prefect.admission import limiter_of, sync_timeout, within
from latent.prefect.changed_arguments import applied, changed_arguments, note_of_change
from latent.prefect.failures import explained, row_error
from latent.prefect.futures import failure_in, result_in, unfinished
from latent.prefect.kept_reads import with_kept
from latent.prefect.key import is_still_key
from latent.prefect.logs import log_errors, warn_once
from latent.prefect.outputs import check_outputs
from latent.prefect.retries import next_delay, policy_of
from latent.prefect.rows.job import codes_of
from latent.prefect.scope import open_scope, record_read, record_read_around
from latent.prefect.sdk_retries import report_sdk_retries
from latent.prefect.usage import merged

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence
    from contextlib import AbstractContextManager

    from latent.cache.code import CodeFingerprint
    from latent.limits import Permit
    from latent.prefect.retries import RetryPolicy
    from latent.prefect.rows.executors import Executor
    from latent.prefect.rows.job import Job
    from latent.prefect.rows.stop import Stop
    from latent.prefect.run import Run
    from latent.prefect.scope import Scope
    from latent.prefect.shared import Shared
    from latent.prefect.tasks import Task

_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


_NOTHING = nullcontext()


def _run_count(attempts: int) -> AbstractContextManager[object]:
    """Have Prefect's `runtime.task_run.run_count` tell a row's own attempts: its batch runs once."""
    context = TaskRunContext.get()
    if context is None:
        return _NOTHING
    run = context.task_run.model_copy(update={"run_count": attempts})
    return context.model_copy(update={"task_run": run})


class RowWork:
    """
    The work of one map in one process.

    Args:
        code: The task's code when it was mapped; None when a user's own key decides alone.
        shares: Whether a row that is under way elsewhere is waited for.
    """

    executor: Executor

    def __init__(
        self,
        task: Task[..., Any],
        run: Run,
        shared: Shared,
        *,
        code: CodeFingerprint | None,
        shares: bool,
        stop: Stop,
    ) -> None:
        self.task, self.run, self.shared, self.code, self.stop = task, run, shared, code, stop
        self._shares = shares
        self.is_remote = False
        """Whether the rows run in another process than the one that mapped them."""
        settings, self._root = run.workspace.settings, run.workspace.root
        self.policy: RetryPolicy = policy_of(task, settings)
        report_sdk_retries(task)
        self._expires_in = task.expires_in(settings)
        self.limiter = limiter_of(task, run)
        self._calls_by_name = all(p.kind in _BY_NAME for p in task.binder.signature.parameters.values())
        self._outputs_checked = not task.outputs
        self._loads = bool(task.binder.fills)

    # -- before the function -----------------------------------------------------------------------------

    def claim(self, job: Job) -> bool:
        """Whether the row is ours to work on: nobody else, in any process, is at the same one."""
        if job.key is None or not self._shares or job.lease is not None:
            return True
        job.lease = self.run.memory.try_claim(job.key.key, job)
        return job.lease is not None

    def prepare(self, jobs: Sequence[Job]) -> None:
        """Claim rows that begin now, and look them up together: quick rows would spend their time on that."""
        if self.stop.is_set:
            return
        try:
            self.look_up([job for job in jobs if self.claim(job)])
        except Exception as error:
            for job in jobs:
                self.fail(job, error)

    def look_up(self, jobs: Sequence[Job]) -> int:
        """
        Look once more, now that the rows are ours: their former holder may have finished them.

        Returns:
            How many had.
        """
        keys = [job.key.key for job in jobs if job.key is not None and not job.refreshes]
        if self.task.refreshes_in(self.run) or not self._shares or not keys:
            return 0
        hits = self.run.memory.recall_many(
            keys, code=self.code, parameter=self.run.parameter_fingerprint, codes=codes_of(jobs)
        )
        for job in jobs:
            job.looked_up = True
            hit = None if job.key is None else hits.get(job.key.key)
            if hit is not None and not job.refreshes:
                record_read(hit.parameters_read)
                job.reuse(applied(hit, job.arguments))
        return len(hits)

    def may_begin(self, job: Job) -> bool:
        """Whether the row may go on: the map was not stopped, and there is budget left."""
        if job.attempts:
            return not self.stop.event.is_set()
        if self.stop.is_set:
            return False
        budget = self.run.budget
        if budget is None or budget.admit(self.task):
            return True
        self.stop.because(budget.reached, begun_go_on=True)
        return False

    def admit(self) -> Permit | None:
        """A permit of the task's limit, waited for; None when the map is stopped meanwhile."""
        from latent.limits import AdmissionStopped

        assert self.limiter is not None
        try:
            return self.limiter.acquire(run_id=self.run.run_id, stop=self.stop.event)
        except AdmissionStopped:
            return None

    async def admit_async(self) -> Permit | None:
        """As `admit`, without blocking the event loop."""
        from latent.limits import AdmissionStopped

        assert self.limiter is not None
        try:
            return await self.limiter.acquire_async(run_id=self.run.run_id, stop=self.stop.event)
        except AdmissionStopped:
            return None

    # -- the function ------------------------------------------------------------------------------------

    def call(self, job: Job) -> BaseException | None:
        """Call the task's function; what it raised, if anything."""
        try:
            with self._around(job) as scope:
                args, kwargs = self._arguments(job, scope)
                value = self.task.fn(*args, **kwargs)
            return self._returned(job, value, scope)
        except BaseException as error:
            return error

    async def call_async(self, job: Job) -> BaseException | None:
        """Call the task's async function; what it raised, if anything."""
        try:
            with self._around(job) as scope:
                args, kwargs = self._arguments(job, scope)
                coroutine: Coroutine[Any, Any, Any] = self.task.fn(*args, **kwargs)
                if self.task.timeout_seconds is None:
                    value = await coroutine
                else:
                    value = await within(coroutine, self.task.timeout_seconds)
            return self._returned(job, value, scope)
        except BaseException as error:
            return error

    @contextmanager
    def _around(self, job: Job) -> Iterator[Scope]:
        with (
            open_scope(self.task.name, job.handle.span_id) as scope,
            job.permit or nullcontext(),
            _NOTHING if job.attempts < 2 else _run_count(job.attempts),
        ):
            scope.attempt = job.attempts
            budget = self.run.budget
            scope.is_free = scope.is_free or self.task.is_free
            scope.is_counted = scope.is_counted or (budget is not None and budget.counts(self.task))
            try:
                if self.task.timeout_seconds is None or self.task.isasync:
                    yield scope
                else:
                    with sync_timeout(self.task.timeout_seconds):
                        yield scope
            finally:
                if scope.cost_usd is not None:
                    job.cost_usd = (job.cost_usd or 0.0) + scope.cost_usd
                if scope.used is not None:
                    job.used = job.used or {}
                    merged(job.used, scope.used)

    def _arguments(self, job: Job, scope: Scope) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if not self._outputs_checked:
            check_outputs(self.run, self.task.outputs)
            self._outputs_checked = True
        arguments = job.arguments
        if self._loads:
            arguments = arguments | {
                name: self.shared.load(self.run.catalog, dataset)
                for name, dataset in self.task.binder.fills.items()
                if name not in arguments
            }
            if scope.around:
                fingerprints = {name: self.run.dataset_fingerprint(name) for name in self.task.inputs}
                record_read_around(scope, self.run.read_datasets(fingerprints))
        return ((), arguments) if self._calls_by_name else self.task.binder.positional(arguments)

    def _returned(self, job: Job, value: Any, scope: Scope) -> BaseException | None:
        """Take what the function returned; a Prefect state decides for itself how the row ended."""
        keeps = job.key is not None and not self.shared.has_changed and self._is_unchanged(job, value)
        if isinstance(value, State):
            if (error := failure_in(value)) is not None:
                return error
            if not value.is_completed():
                return UnfinishedRun(unfinished(value))
            value, keeps = result_in(value), False
        elif isinstance(value, ResultRecord):
            value, keeps = value.result, False
        job.parameters_read = scope.parameters_read
        job.succeed(value, keeps=keeps)
        return None

    def _is_unchanged(self, job: Job, value: Any) -> bool:
        """Whether a later run that reuses the value does all that the call did."""
        if job.key is None:
            return True
        if job.attempts > 1 and not is_still_key(job.key, self.task, self.run, job.arguments, self.shared):
            return False
        if self.is_remote:  # there, the function changes copies
            return True
        but = self.shared.unwatched(job.arguments)
        changed = changed_arguments(self.task, job.key, job.arguments, self._root, but=but)
        outputs = note_of_change(self.task, changed, job.arguments, value)
        job.outputs = outputs or {}
        return outputs is not None

    # -- after the function ------------------------------------------------------------------------------

    def delay_before_retry(self, job: Job, error: BaseException) -> float | None:
        """How long to wait before the row is tried again, in seconds; None when it is not."""
        if not isinstance(error, Exception):
            return None
        reason = self.task.why_map_stops(error, has_results=self.stop.has_results)
        if reason is not None:
            self.stop.because(reason)
            return None
        report_sdk_retries(self.task, error)
        delay = next_delay(
            self.policy, job.attempts, error, waited_seconds=job.waited_seconds, random=random.random
        )
        if delay is not None and self.run.outcomes is not None:
            self.run.outcomes.progressed(self.task.name, retried=1)
        return delay

    def fail(self, job: Job, error: BaseException) -> None:
        """End a row with the error that its caller sees."""
        if isinstance(error, RunStoppedError):
            job.skip(self.task.name, error.reason)  # a call inside of it was not to be begun
            return
        job.fail(
            explained(
                self.task, self.run, row_error(error), arguments=job.arguments, attempts=job.attempts,
                row_index=job.index, span_id=job.handle.span_id,
            )
        )  # fmt: skip

    def skip(self, job: Job) -> None:
        """End a row that was not begun."""
        job.skip(self.task.name, self.stop.reason or "")

    def finish(self, jobs: Sequence[Job]) -> None:
        """
        Remember what rows returned, give their keys back, and only then report how they ended.

        Whatever goes wrong on the way, the rows end: their callers wait for that.
        """
        with log_errors(f"Remembering rows of task {self.task.name!r}"):
            self._remember([job for job in jobs if job.keeps])
        for job in jobs:
            with log_errors("Giving back the key of a row"):
                job.release()
        self.stop.has_results |= any(job.attempts and job.error is None for job in jobs)
        ends = [job.end() for job in jobs]
        for handle in {job.handle for job in jobs}:
            handle.ended([end for job, end in zip(jobs, ends, strict=True) if job.handle is handle])
        self.executor.committed(len(jobs))

    def _remember(self, jobs: Sequence[Job]) -> None:
        lost = 0
        for kept in self.run.memory.remember_many(map(self._result, jobs)):
            if isinstance(kept, UnstorableError):
                warn_once(
                    f"unstorable:{self.task.name}",
                    f"Results of task {self.task.name!r} are not remembered: {kept} "
                    "Return plain data, or say cache=False to be silent about it.",
                )
            elif isinstance(kept, CacheError):
                lost += 1
                self.stop.because(
                    f"The memory cannot be written any more ({kept}). Rows that it cannot hold would be paid "
                    "for again, so no further ones were begun. Make room, and run again."
                )
        self.stop.unkept += lost
        if self.run.outcomes is not None:
            self.run.outcomes.lost(lost)

    def _result(self, job: Job) -> Result:
        key = job.key
        assert key is not None, "a row without a key is not remembered"
        code = None if key.users_own else key.code or self.code
        reads = {} if key.users_own else with_kept(job.parameters_read, self.task.fn, code, self._root)
        return Result(
            key=key.key, value=job.value, task=self.task.name, kind="row",
            code=code, parameters_read=reads, key_parts=key.parts, expires_in=self._expires_in,
            outputs=job.outputs,
        )  # fmt: skip
