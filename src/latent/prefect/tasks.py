"""`@task`: a Prefect task that loads its inputs, remembers results, saves outputs and explains failures."""

from __future__ import annotations

from copy import copy
from datetime import timedelta
from enum import Enum
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, TypeVar, cast, overload

import prefect
from prefect.cache_policies import NO_CACHE, CachePolicy
from prefect.context import FlowRunContext
from prefect.task_engine import run_task
from prefect.utilities.annotations import NotSet
from prefect.utilities.visualization import get_task_viz_tracker

from latent.errors import NotInRunError, RegistryError
from latent.prefect.admission import is_timed_here
from latent.prefect.api import prefect_api
from latent.prefect.call import NO_VALUE, Call, work, work_async
from latent.prefect.futures import TaskFuture, done_future, failure_in, result_in
from latent.prefect.generators import generated, generated_async
from latent.prefect.inputs import Binder, dataset_names, keyword_only, name_of
from latent.prefect.persisted import asks_for_storage, store_results
from latent.prefect.retries import DEFAULT_RETRIES, follow, is_set_in_prefect, policy_of
from latent.prefect.retry_policy import matchers, why_everything_stops
from latent.prefect.rows.batches import HOOKS
from latent.prefect.rows.futures import MappedFutures
from latent.prefect.rows.map import map_rows
from latent.prefect.rows.options import RowOptions, split_options
from latent.prefect.rows.stream import RowResult, stream_rows
from latent.prefect.run import current_run, file_of, surroundings
from latent.prefect.sdk_retries import report_sdk_retries
from latent.prefect.upstream import has_futures, resolved, runs_behind, without_idle_annotations
from latent.registry import TaskRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prefect.client.schemas.objects import State

    from latent.config import Settings
    from latent.prefect.cost_plan import Estimator
    from latent.prefect.retry_policy import RetryOn
    from latent.prefect.run import Run

P = ParamSpec("P")
R = TypeVar("R")


class Unset(Enum):
    """Stands for an option that was not given, where None means something; pickling keeps it itself."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET

_OWN_OPTIONS = (
    *("input", "output", "cache", "retry", "retry_on", "no_retry_on", "span_type", "limit"),
    *("counts_code", "estimator", "accepts_cached", "fatal", "free"),
)


class Task(prefect.Task[P, R]):
    """
    A Prefect task with memory; `latent.prefect.task` makes it.

    A call looks among the remembered results first. A hit makes no task run; a miss runs on Prefect's engine
    as any task would. `.fn` is the bare function, for tests.
    """

    def __init__(
        self,
        fn: Callable[P, R],
        name: str | None = None,
        *,
        input: str | Sequence[str] | None = None,
        output: str | Sequence[str] | None = None,
        cache: bool = True,
        retry: bool = True,
        retry_on: RetryOn | None = None,
        no_retry_on: RetryOn | None = None,
        span_type: str = "CHAIN",
        limit: str | None = None,
        counts_code: bool = True,
        estimator: Estimator | None = None,
        accepts_cached: Callable[[Any], bool] | None = None,
        fatal: Callable[[BaseException], str | None] | None = None,
        free: bool = False,
        cache_expiration: timedelta | Unset | None = UNSET,
        **prefect_options: Any,
    ) -> None:
        prefect_options, row_options = split_options(prefect_options, ())
        expiration = {} if cache_expiration is UNSET else {"cache_expiration": cache_expiration}
        # `.retries` shows it; the workspace's settings decide in the end, see `policy_of`.
        retries = {} if is_set_in_prefect("default_retries") else {"retries": DEFAULT_RETRIES}
        defaults = {"log_prints": None} | (retries if retry else {"retries": 0})
        # First: what a flow that is made a task has of its own would take the place of what follows.
        super().__init__(fn, name=name, **(defaults | prefect_options | expiration))
        self.options = prefect_options
        """Prefect's options as the user gave them: what is not here is ours to choose."""
        self.own = {
            "input": input,
            "output": output,
            "cache": cache,
            "retry": retry,
            "retry_on": retry_on,
            "no_retry_on": no_retry_on,
            "span_type": span_type,
            "limit": limit,
            "counts_code": counts_code,
            "estimator": estimator,
            "accepts_cached": accepts_cached,
            "fatal": fatal,
            "free": free,
        }
        """Our options as the user gave them."""
        self.given_row_options = row_options
        self.expiration_option = cache_expiration
        self.inputs, self.outputs = dataset_names(input), dataset_names(output)
        self.span_type, self.limit = span_type, limit
        self.retry_on = matchers(self.label, "retry_on", retry_on)
        self.no_retry_on = matchers(self.label, "no_retry_on", no_retry_on)
        self.binder = Binder.of(self.label, self.fn, self.inputs)
        self.row_options = RowOptions().with_changes(self.label, row_options)
        self.instance: Any = None
        """What a method belongs to: its first argument."""
        if self.isgenerator and "retries" not in prefect_options and not is_set_in_prefect("default_retries"):
            self.retries = 0  # the consumer would get the values once more
        self._check_options(cache_expiration)

    def _check_options(self, expiration: timedelta | Unset | None) -> None:
        if self.limit is not None and not isinstance(self.limit, str):
            raise RegistryError(
                f"{self.label}: `limit` is the name of a `[limits.NAME]` section of the settings, not "
                f"{self.limit!r}."
            )
        if expiration is not UNSET and expiration is not None and not isinstance(expiration, timedelta):
            raise RegistryError(
                f"{self.label}: `cache_expiration` is a timedelta or None, not {expiration!r}. "
                "Write cache_expiration=timedelta(days=7)."
            )

    # -- what the decorator said -------------------------------------------------------------------------

    @property
    def label(self) -> str:
        """How messages name this task."""
        return f"Task {self.name!r}"

    def remembers_in(self, run: Run) -> bool:
        """Whether results are remembered: the user may say no, and a generator has no result to keep."""
        return (
            bool(self.own["cache"])
            and self.options.get("persist_result") is not False
            and not self.options.get("result_storage_key")
            and not self.isgenerator
            and not _is_no_cache(self.options.get("cache_policy"))
            and not run.prefect_tasks.disable_caching
            and not (run.prefect_tasks.default_no_cache and not self.users_key)
        )

    @property
    def persists(self) -> bool:
        """Whether Prefect writes the results to a store of its own, too: the user has asked for it."""
        return asks_for_storage(self.options)

    def refreshes_in(self, run: Run) -> bool:
        """Whether remembered results are computed again: `refresh_cache`, else Prefect's setting."""
        return run.prefect_tasks.refresh_cache if self.refresh_cache is None else self.refresh_cache

    @property
    def counts_code(self) -> bool:
        """Whether results depend on the function's code; not where the arguments say all that counts."""
        return bool(self.own["counts_code"])

    @property
    def is_free(self) -> bool:
        """Whether rows begin though the budget is used up, since they pay for nothing but calls of models."""
        return bool(self.own["free"])

    @property
    def estimator(self) -> Estimator | None:
        """Tells what a call would take, for tasks whose calls are paid for."""
        return cast("Estimator | None", self.own["estimator"])

    @property
    def accepts_cached(self) -> Callable[[Any], bool] | None:
        """Tells whether a row's remembered result will do; None: any will."""
        return cast("Callable[[Any], bool] | None", self.own["accepts_cached"])

    def why_map_stops(self, error: BaseException, *, has_results: bool) -> str | None:
        """
        Why no other row of a map can succeed after one failed so; None when others can.

        Args:
            has_results: Whether a row was computed by now: what the task takes for fatal is not, then.
        """
        if (reason := why_everything_stops(error)) is not None:
            return reason
        fatal = cast("Callable[[BaseException], str | None] | None", self.own["fatal"])
        return None if has_results or fatal is None else fatal(error)

    @property
    def users_key(self) -> bool:
        """Whether the user's own `cache_key_fn` or `cache_policy` makes the keys."""
        return self.cache_key_fn is not None or isinstance(self.options.get("cache_policy"), CachePolicy)

    @property
    def users_policy(self) -> CachePolicy:
        """The user's `cache_policy`."""
        return cast("CachePolicy", self.options["cache_policy"])

    @cached_property
    def key_signature(self) -> str:
        """What stands for the task itself in a file-based key; its code is compared apart from the key."""
        return f"{self.name}({', '.join(self.binder.signature.parameters)})"

    def expires_in(self, settings: Settings) -> timedelta | None:
        """How long a result is remembered; None for ever."""
        if self.expiration_option is UNSET:
            return timedelta(days=settings.cache.expiration_days)
        return self.expiration_option

    def with_options(self, **changes: Any) -> Task[P, R]:
        """A copy with other options, ours or Prefect's."""
        given = {name: value for name, value in changes.items() if value is not NotSet}
        own = self.own | {name: given.pop(name) for name in _OWN_OPTIONS if name in given}
        if "retries" in given:
            own["retry"] = True
        expiration = given.pop("cache_expiration", self.expiration_option)
        name = given.pop("name", None) or self.name
        options = self._prefect_options() | self.given_row_options | given
        copied = Task(self.fn, name, cache_expiration=expiration, **own, **options)
        copied.instance = self.instance
        return copied

    def _prefect_options(self) -> dict[str, Any]:
        """Prefect's options, with the hooks that were added after decoration."""
        hooks = {
            name: list(getattr(self, f"{name}_hooks")) for name in HOOKS if getattr(self, f"{name}_hooks")
        }
        return self.options | hooks

    def __get__(self, instance: Any, owner: Any) -> Task[P, R]:
        if self.isstaticmethod or (instance is None and not self.isclassmethod):
            return self
        bound = copy(self)
        bound.instance = owner if self.isclassmethod else instance
        return bound

    # -- calls -------------------------------------------------------------------------------------------

    @overload  # type: ignore[override]  # Prefect's overloads without its special cases
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, /, *args: Any, return_state: Literal[True], **kwargs: Any) -> State[R]: ...
    @overload
    def __call__(self, /, *args: Any, wait_for: Any, **kwargs: Any) -> R: ...
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """
        Run the task, or return its remembered result.

        Raises:
            TaskExecutionError: The task failed; also an instance of what it raised.
        """
        if _is_visualizing():
            return super().__call__(*args, **kwargs)
        if self.isgenerator:
            plain = partial(super().__call__, *args, **kwargs)
            return (generated_async if self.isasync else generated)(plain, prefect_api)
        return_state, wait_for = kwargs.pop("return_state", False), kwargs.pop("wait_for", None)
        call = self.call(args, kwargs)
        if self.isasync:
            return self._call_async(call, return_state, wait_for)
        if (value := self._recall_now(call, wait_for)) is not NO_VALUE:
            return done_future(call, value).state if return_state else value
        with prefect_api(workspace=call.run.workspace):
            state = self._run(call, wait_for)
        return state if return_state else _value_of(call, state)

    async def _call_async(self, call: Call, return_state: bool, wait_for: Any) -> Any:
        if (value := self._recall_now(call, wait_for)) is not NO_VALUE:
            return done_future(call, value).state if return_state else value
        with prefect_api(workspace=call.run.workspace):
            state = await self._run(call, wait_for)
        return state if return_state else _value_of(call, state)

    def _run(self, call: Call, wait_for: Any) -> Any:
        return run_task(
            task=call.attempt_task(),
            parameters=call.prefect_arguments(),
            wait_for=wait_for,
            return_type="state",
        )

    def _recall_now(self, call: Call, wait_for: Any) -> Any:
        """Look before Prefect hears of the call; not while anything it depends on is still being made."""
        if wait_for is not None or has_futures(call.arguments):
            return NO_VALUE
        for dataset in self.inputs:
            call.run.settle_outputs(dataset)
        return call.recall()

    @overload  # type: ignore[override]  # Prefect's overloads without its special cases
    def submit(self, /, *args: P.args, **kwargs: P.kwargs) -> TaskFuture[R]: ...
    @overload
    def submit(self, /, *args: Any, return_state: Literal[True], **kwargs: Any) -> State[R]: ...
    @overload
    def submit(self, /, *args: Any, wait_for: Any, **kwargs: Any) -> TaskFuture[R]: ...
    def submit(self, /, *args: Any, **kwargs: Any) -> Any:
        """
        Run the task on the flow's task runner; a remembered result is there at once.

        Returns:
            A Prefect future, or its final state with `return_state=True`.
        """
        context = FlowRunContext.get()
        if context is None or _is_visualizing() or self.isgenerator:
            return super().submit(*args, **kwargs)
        return_state, wait_for = kwargs.pop("return_state", False), kwargs.pop("wait_for", None)
        call = self.call(args, kwargs)
        future = self.start(call, context.task_runner, wait_for)
        for dataset in self.outputs:
            call.run.producers.setdefault(dataset, []).append(future)
        if return_state:
            future.wait()
            return future.state
        return future

    def start(self, call: Call, task_runner: Any, wait_for: Any = None) -> TaskFuture[Any]:
        """Hand a call to a task runner, unless its result is remembered."""
        call.upstream = runs_behind(call.arguments)
        call.arguments = resolved(call.arguments, only_done=True)
        if (value := self._recall_now(call, wait_for)) is not NO_VALUE:
            return done_future(call, value)
        future = self.start_run(call, task_runner, wait_for)
        call.run.submitted.append(future)
        return future

    def start_run(self, call: Call, task_runner: Any, wait_for: Any = None) -> TaskFuture[Any]:
        """Hand a call to a task runner, as a task run of its own."""
        edges = {"dependencies": call.upstream} if call.upstream else {}
        given = call.prefect_arguments()
        return TaskFuture(call, task_runner.submit(call.attempt_task(), given, wait_for, **edges))

    @overload  # type: ignore[override]  # Prefect's overloads without its special cases
    def map(self, *args: Any, return_state: Literal[True], **kwargs: Any) -> list[State[R]]: ...
    @overload
    def map(self, *args: Any, return_state: Literal[False] = False, **kwargs: Any) -> MappedFutures[R]: ...
    def map(
        self,
        *args: Any,
        return_state: bool = False,
        wait_for: Iterable[Any] | None = None,
        deferred: bool = False,
        **kwargs: Any,
    ) -> Any:
        """
        Run the task once for each row of the given iterables; every remembered row is there at once.

        Further keywords are options of the map (`row_id`, `batch_size`, `max_workers`, `row_runs`,
        `on_error`, `max_failures`, `share_in_flight`: see `RowOptions`), unless the function has a parameter
        of that name; `with_options` sets them in any case.

        Returns:
            A list of Prefect futures in input order. Its `.result()` gives all results, or raises one error
            that groups the failures of all rows.
        """
        context = FlowRunContext.get()
        if context is None or deferred or _is_visualizing() or self.isgenerator:
            return super().map(
                *args, return_state=return_state, wait_for=wait_for, deferred=deferred, **kwargs
            )
        arguments, changes = split_options(kwargs, self.binder.signature.parameters)
        options = self.row_options.with_changes(self.label, changes)
        futures = map_rows(self, args, arguments, options, context.task_runner, wait_for)
        if return_state:
            futures.wait()
            return [future.state for future in futures]
        return futures

    def map_stream(self, source: Any = None, *, window: int = 8_000, **kwargs: Any) -> Iterator[RowResult[R]]:
        """
        Run the task for each row of a source that may be larger than memory; yield results as they finish.

        Args:
            source: An iterable, a frame or Arrow table, the path of a `.parquet` or `.jsonl` file, or the
                name of such a dataset. The function's only free parameter gets the row; several get
                its columns. Without one, iterables among `kwargs` are the rows, as for `map`.
            window: How many rows may be read and not yet yielded.
            kwargs: What all rows share, and options of the map, as for `map`.

        Raises:
            FailedRowsError: At the end, when rows failed; with `on_error="collect"` they are yielded instead.
            NotInRunError: No flow is running.
        """
        context = FlowRunContext.get()
        if context is None:
            raise NotInRunError(f"{self.label}: map_stream works inside of a flow. Call it from one.")
        shared, changes = split_options(kwargs, self.binder.signature.parameters)
        options = self.row_options.with_changes(self.label, changes)
        return stream_rows(self, source, shared, options, window=window, task_runner=context.task_runner)

    def call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, row_index: int | None = None) -> Call:
        """One call with these arguments, in the run around it or in the task's own surroundings."""
        run = current_run() or surroundings(file_of(self.fn))
        arguments = without_idle_annotations(self.bind(args, kwargs))
        call = Call(self, run, arguments, row_index=row_index)
        call.refreshes = run.options.refresh.get(self.name, "") is None
        return call

    def bind(
        self,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        defaults: bool = True,
        options: Sequence[str] = (),
    ) -> dict[str, Any]:
        """The arguments by parameter name, a method's owner first; see `Binder.bind`."""
        owner = () if self.instance is None else (self.instance,)
        return self.binder.bind((*owner, *args), kwargs, defaults=defaults, options=options)

    # -- what Prefect runs -------------------------------------------------------------------------------

    def for_attempts_of(self, call: Call) -> prefect.Task[..., Any]:
        """A copy of this task whose function is the work of one call, with Prefect's own result cache off."""
        engine = copy(self)
        engine.fn = _Work(call)  # type: ignore[assignment]  # any callable that Prefect can bind
        store_results(engine, self.options)
        if is_timed_here(call):
            engine.timeout_seconds = None
        report_sdk_retries(self)
        follow(engine, policy_of(self, call.run.workspace.settings))
        return cast("prefect.Task[..., Any]", engine)


class _Work:
    """A call in a task's function's place: Prefect binds its parameters by name and calls it per attempt."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.__name__ = name_of(call.task.fn)
        self.__signature__ = keyword_only(call.task.binder.signature)

    def __call__(self, /, **given: Any) -> Any:
        # Prefect fills absent parameters with the signature's default: only what was passed counts.
        arguments = {name: value for name, value in given.items() if name in self.call.arguments}
        return (work_async if self.call.task.isasync else work)(self.call, arguments)


def _value_of(call: Call, state: Any) -> Any:
    """The result in a final state; a failure as the error that explains it."""
    if (error := failure_in(state)) is not None:
        raise call.failure(error) from error
    if state.is_completed():
        return result_in(state)
    return state.result(_sync=True)  # paused or not ready: Prefect says so


def _is_no_cache(policy: Any) -> bool:
    return policy is not None and policy is not NotSet and policy == NO_CACHE


def _is_visualizing() -> bool:
    return get_task_viz_tracker() is not None


@overload
def task(fn: Callable[P, R], /, *, name: str | None = None, **options: Any) -> Task[P, R]: ...
@overload
def task(
    name: str | None = None,
    *,
    input: str | Sequence[str],
    output: str | Sequence[str] | None = None,
    cache: bool = True,
    retry: bool = True,
    retry_on: RetryOn | None = None,
    no_retry_on: RetryOn | None = None,
    span_type: str = "CHAIN",
    limit: str | None = None,
    cache_expiration: timedelta | None = ...,
    **prefect_options: Any,
) -> Callable[[Callable[..., R]], Task[..., R]]: ...
@overload
def task(
    name: str | None = None,
    *,
    output: str | Sequence[str] | None = None,
    cache: bool = True,
    retry: bool = True,
    retry_on: RetryOn | None = None,
    no_retry_on: RetryOn | None = None,
    span_type: str = "CHAIN",
    limit: str | None = None,
    cache_expiration: timedelta | None = ...,
    **prefect_options: Any,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...
def task(fn_or_name: Any = None, /, **options: Any) -> Any:
    """
    Make a function one step of a flow.

    Args:
        name: The task's name; the function's when omitted.
        input: Dataset or datasets that fill parameters: by name where names match, the others in order.
        output: Dataset or datasets that the returned value is saved to.
        cache: Whether results are remembered.
        retry: Whether failures are retried: three times by default, with exponential delays and jitter, and
            after a provider's answer only when the same request may succeed later. Prefect's `retries`,
            `retry_delay_seconds`, `retry_jitter_factor` and `retry_condition_fn` come first.
        retry_on: Errors that are retried, and no others: exception classes, HTTP statuses, functions of the
            error, one or several.
        no_retry_on: Errors that are never retried, named likewise.
        span_type: The MLflow span type: CHAIN, AGENT, TOOL, LLM, RETRIEVER, ...
        cache_expiration: How long results are remembered; 7 days by default, None for ever.
        limit: Name of a `[limits.NAME]` section of the settings that each call takes part in.
        prefect_options: Whatever `prefect.task` takes, and how the task is mapped (see `RowOptions`).

    Raises:
        RegistryError: Another task of this name stands in the same flow, or `input` does not fit.
    """
    if fn_or_name is not None and not isinstance(fn_or_name, str):
        return _registered(Task(fn_or_name, **options))
    name = options.pop("name", fn_or_name)
    return lambda fn: _registered(Task(fn, name, **options))


def _registered(made: Task[Any, Any]) -> Task[Any, Any]:
    TaskRegistry.add_task(made.name, made.fn, inputs=made.inputs, outputs=made.outputs, limit=made.limit)
    return made


def __getattr__(name: str) -> Any:
    """Whatever else `prefect.tasks` offers, for scripts that import it from there."""
    return getattr(prefect.tasks, name)
