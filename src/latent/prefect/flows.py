"""`@flow`: a Prefect flow that loads its configuration and data, saves what it returns, and is tracked."""

from __future__ import annotations

import functools
import inspect
import sys
import time
from collections import OrderedDict
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast, overload

import prefect
from prefect.context import FlowRunContext
from prefect.exceptions import ParameterBindError

from latent.config.secrets import learn_secrets
from latent.errors import RunSupersededError
from latent.prefect.api import prefect_api
from latent.prefect.budget import Budget
from latent.prefect.carried import Carried, carry, is_large, unpack
from latent.prefect.cost_plan import CostPlan
from latent.prefect.generators import generated, generated_async
from latent.prefect.global_limits import shared_limits
from latent.prefect.inputs import VARIADIC, Binder, dataset_names, evaluated, name_of, without
from latent.prefect.late_ends import superseded_state
from latent.prefect.logs import run_log
from latent.prefect.on_server import on_server
from latent.prefect.outcomes import Outcomes
from latent.prefect.outputs import check_outputs, count_rows, save_outputs
from latent.prefect.run import Run, configuration, current_run, entered, file_of, workspace_for
from latent.prefect.run_options import RunOptions
from latent.prefect.scope import current_scope, record_read
from latent.prefect.upstream import failure_among, resolved, with_results
from latent.registry import TaskRegistry
from latent.tracking.recorder import RunRecorder
from latent.tracking.records import RunInfo, RunOutcome, describe_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from prefect.client.schemas.objects import FlowRun, State
    from pydantic import BaseModel

    from latent.config import Workspace

P = ParamSpec("P")
R = TypeVar("R")
Kind = TypeVar("Kind", bound="Flow[..., Any]")


@dataclass
class Launch:
    """How a flow is started from outside (`latent run`), and the run that came of it."""

    overrides: Mapping[str, Any]
    """Run-time parameters; they hold for this flow only, not for its subflows."""
    options: RunOptions = field(default_factory=RunOptions)
    """What else is asked of the run, its subflows included."""
    watch: Callable[[Outcomes], AbstractContextManager[object]] | None = None
    """Entered with the run's account while the run is under way."""
    run: Run | None = None


launch: ContextVar[Launch | None] = ContextVar("latent_launch", default=None)
"""What the next flow that starts is told by its launcher."""

_replaced: ContextVar[Mapping[str, Any]] = ContextVar("latent_replaced", default=MappingProxyType({}))
"""Values that a call passed in the place of datasets, on their way past Prefect."""

_FLOW_OWN = ("input", "output", "config_schema")


class Flow(prefect.Flow[P, R]):
    """
    A Prefect flow with a workspace; `latent.prefect.flow` makes it.

    `.fn` called on its own, outside of a run, is the bare function, for tests.
    """

    def __init__(
        self,
        fn: Callable[P, R],
        name: str | None = None,
        *,
        input: str | Sequence[str] | None = None,
        output: str | Sequence[str] | None = None,
        config_schema: type[BaseModel] | None = None,
        **prefect_options: Any,
    ) -> None:
        # A method's descriptor would be hidden from Prefect by what runs in the function's place.
        self._isclassmethod, self._isstaticmethod = isinstance(fn, classmethod), isinstance(fn, staticmethod)
        fn = getattr(fn, "__func__", fn) if self._isclassmethod or self._isstaticmethod else fn
        self.bare = fn
        self.own = {"input": input, "output": output, "config_schema": config_schema}
        self.inputs, self.outputs = dataset_names(input), dataset_names(output)
        self.config_schema = config_schema
        self.binder = Binder.of(f"Flow {name or name_of(fn)!r}", fn, self.inputs)
        super().__init__(_body(self, fn), name=name, **prefect_options)
        self._entrypoint, version = _origin(fn)
        if not prefect_options.get("version"):
            self.version = version

    @property
    def label(self) -> str:
        """How messages name this flow."""
        return f"Flow {self.name!r}"

    def with_options(self, **changes: Any) -> Flow[P, R]:
        """A copy with other options, ours or Prefect's."""
        return self.copied_as(Flow, **changes)

    def copied_as(self, kind: type[Kind], **changes: Any) -> Kind:
        """A copy of another class, with other options."""
        own = self.own | {name: changes.pop(name) for name in _FLOW_OWN if name in changes}
        # First: reading docstrings below looks methods up, and Prefect writes down each look.
        owners = {name: owner for name, owner in vars(self.fn).items() if name in _OWNERS}
        # Prefect knows which of its options carry over; the function it copies is the one that runs a flow.
        plain = prefect.Flow.with_options(self, **changes)
        copied = kind(self.bare, plain.name, **own)
        body = copied.fn
        vars(body).update(owners)
        copied.__dict__.update({name: value for name, value in plain.__dict__.items() if name not in _KEPT})
        copied.fn = body
        copied._isclassmethod, copied._isstaticmethod = self._isclassmethod, self._isstaticmethod
        return copied

    @overload
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, /, *args: Any, return_state: Literal[True], **kwargs: Any) -> State[R]: ...
    @overload
    def __call__(self, /, *args: Any, wait_for: Any, **kwargs: Any) -> R: ...
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """
        Run the flow and return its value, futures resolved.

        A value passed for a parameter that the catalog fills replaces the dataset.

        Raises:
            ConfigValidationError: `config_schema` refuses the parameters (a `ValueError`).
            TaskExecutionError: A task failed; also an instance of what it raised.
        """
        prefects = {name: kwargs.pop(name) for name in ("return_state", "wait_for") if name in kwargs}
        args, kwargs, replaced = self._split(args, kwargs)
        call = functools.partial(super().__call__, *args, **prefects, **kwargs)
        starting = functools.partial(_starting, self, replaced)
        if self.isgenerator:
            return (generated_async if self.isasync else generated)(call, starting)
        if self.isasync:
            return self._call_async(call, starting)
        with starting():
            return call()

    async def _call_async(
        self, call: Callable[[], Any], starting: Callable[[], AbstractContextManager[None]]
    ) -> Any:
        with starting():
            return await call()

    def _split(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
        """Prefect's arguments, large ones carried, and the values that replace datasets."""
        owner = getattr(self.fn, "__prefect_self__", getattr(self.fn, "__prefect_cls__", None))
        try:
            bound = self.binder.signature.bind_partial(*(args if owner is None else (owner, *args)), **kwargs)
        except TypeError as error:
            raise ParameterBindError(f"{self.label}: {error}") from None
        fills = self.binder.fills
        replaced = {name: value for name, value in bound.arguments.items() if name in fills}
        given = {name: value for name, value in bound.arguments.items() if name not in fills}
        if owner is not None:
            del given[next(iter(bound.arguments))]  # Prefect puts it in front by itself
        variadic = {n: v for n, v in given.items() if self.binder.signature.parameters[n].kind in VARIADIC}
        needed = inspect.signature(self.fn)
        seen = inspect.BoundArguments(needed, OrderedDict(carry(given) | variadic))
        return seen.args, seen.kwargs, replaced

    def __get__(self, instance: Any, owner: Any) -> Flow[P, R]:
        return self if self.isstaticmethod else cast("Flow[P, R]", super().__get__(instance, owner))

    def validate_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Prefect's validation against the annotations, with large values in their places."""
        if not parameters:
            return {}  # Prefect would import pydantic's old version to find nothing to validate
        # Types that are defined below the flow are known by now.
        self.fn.__signature__ = evaluated(inspect.signature(self.fn), self.bare)  # type: ignore[attr-defined]
        validated = super().validate_parameters(unpack(parameters))
        return {
            name: Carried(value) if isinstance(parameters.get(name), Carried) or is_large(value) else value
            for name, value in validated.items()
        }

    def serialize_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """What the API is told: of a large value, its fingerprint."""
        plain = {name: repr(v) if isinstance(v, Carried) else v for name, v in parameters.items()}
        return super().serialize_parameters(plain)

    def launched_by(self, flow_run: FlowRun) -> Launch | None:
        """What a flow run that Prefect starts asks for; None: nothing beside its arguments."""
        return None


@contextmanager
def _starting(flow: Flow[..., Any], replaced: Mapping[str, Any]) -> Iterator[None]:
    """An API for Prefect, and the values that stand in for datasets."""
    workspace = workspace_for(file_of(flow.bare))
    with prefect_api(workspace=workspace), _setting(_replaced, replaced):
        yield


_OWNERS = ("__prefect_self__", "__prefect_cls__")
"""Where Prefect writes down what a method belongs to: on the function."""

_KEPT = ("fn", "bare", "own", "inputs", "outputs", "config_schema", "binder")
"""What a copy with other options has of its own."""


def _body(owner: Flow[..., Any], fn: Callable[..., Any]) -> Callable[..., Any]:
    """What Prefect runs in the function's place: inside the flow's run, without the catalog's parameters."""
    body: Callable[..., Any]
    if inspect.isgeneratorfunction(fn):

        @functools.wraps(fn)
        def body(*args: Any, **kwargs: Any) -> Any:
            if not _is_run_by_prefect(owner):
                return (yield from fn(*args, **kwargs))
            with _running(owner) as running:
                positional, named = running.arguments(args, kwargs)
                value = yield from fn(*positional, **named)
                running.settle()
                return value

    elif inspect.isasyncgenfunction(fn):

        @functools.wraps(fn)
        async def body(*args: Any, **kwargs: Any) -> Any:
            if not _is_run_by_prefect(owner):
                async for value in fn(*args, **kwargs):
                    yield value
                return
            with _running(owner) as running:
                positional, named = running.arguments(args, kwargs)
                async for value in fn(*positional, **named):
                    yield value
                running.settle()

    elif inspect.iscoroutinefunction(fn):

        @functools.wraps(fn)
        async def body(*args: Any, **kwargs: Any) -> Any:
            if not _is_run_by_prefect(owner):
                return await fn(*args, **kwargs)
            try:
                with _running(owner) as running:
                    positional, named = running.arguments(args, kwargs)
                    return running.keep(await fn(*positional, **named))
            except RunSupersededError as error:
                return superseded_state(error.successor)
    else:

        @functools.wraps(fn)
        def body(*args: Any, **kwargs: Any) -> Any:
            if not _is_run_by_prefect(owner):
                return fn(*args, **kwargs)
            try:
                with _running(owner) as running:
                    positional, named = running.arguments(args, kwargs)
                    return running.keep(fn(*positional, **named))
            except RunSupersededError as error:
                return superseded_state(error.successor)

    needed = evaluated(without(owner.binder.signature, owner.binder.fills), fn)
    body.__signature__ = needed  # type: ignore[attr-defined]  # read by `inspect`
    return body


def _origin(fn: Callable[..., Any]) -> tuple[str | None, str | None]:
    """Where Prefect finds the function again, and its file's version: of the body it would tell ours."""
    plain = prefect.Flow(fn, validate_parameters=False)
    return plain._entrypoint, plain.version


def _is_run_by_prefect(owner: Flow[..., Any]) -> bool:
    """Whether the engine is calling, and not a user who tests the bare function."""
    context = FlowRunContext.get()
    if context is None or context.flow is None or context.flow_run is None:
        return False
    run = current_run()
    begun = run is not None and run.run_id == str(context.flow_run.id)
    return context.flow.fn is owner.fn and not begun


class _Running:
    """A flow run while its function runs."""

    def __init__(self, flow: Flow[..., Any], run: Run) -> None:
        self.flow, self.run = flow, run

    def arguments(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The function's arguments: Prefect's parameters, and datasets loaded or replaced."""
        flow = self.flow
        given = inspect.signature(flow.fn).bind(*args, **kwargs).arguments
        check_outputs(self.run, flow.outputs)
        replaced = _replaced.get()
        data = {
            name: resolved(replaced[name]) if name in replaced else self._load(dataset)
            for name, dataset in flow.binder.fills.items()
        }
        return flow.binder.positional(unpack(given) | data)

    def _load(self, dataset: str) -> Any:
        run = self.run
        if run.parent is not None:
            run.parent.settle_outputs(dataset)
        value = run.catalog.load_data(dataset)
        if current_scope() is not None:  # the flow is called inside a task, which depends on the data then
            record_read(run.read_datasets({dataset: run.dataset_fingerprint(dataset)}))
        if run.recorder is not None:
            run.recorder.dataset(
                dataset,
                "input",
                fingerprint=run.catalog.fingerprint(dataset),
                path=run.catalog.dataset(dataset).path,
                rows=count_rows(value),
            )
        return value

    def settle(self) -> None:
        """Wait for everything that was handed to the task runner; fail for rows that nobody looked at."""
        for mapped in self.run.mapped:
            mapped.finish()
        for future in self.run.submitted:
            future.settle()

    def keep(self, returned: Any) -> Any:
        """Wait for the flow's rows, resolve futures, save `output`; the flow's value."""
        value = with_results(returned)
        self.settle()
        if self.flow.outputs:
            save_outputs(self.run, self.flow.outputs, resolved(value), owner=self.flow.label)
        self.run.returned_failure = failure_among(value)
        if self.run.recorder is not None:
            self.run.result_preview = self.run.recorder.preview(value)
        return value


@contextmanager
def _running(flow: Flow[..., Any]) -> Iterator[_Running]:
    """Start the run's records and end them with the run's outcome, whatever it is."""
    context = FlowRunContext.get()
    assert context is not None and context.flow_run is not None
    parent = current_run()
    workspace = parent.workspace if parent else workspace_for(file_of(flow.bare))
    launched = launch.get() or flow.launched_by(context.flow_run)
    parameters, catalog = configuration(
        workspace,
        flow_name=flow.name,
        schema=flow.config_schema,
        overrides=launched.overrides if launched else None,
        parent=parent,
    )
    learn_secrets(workspace, parameters.values)
    run = Run(workspace, flow.name, str(context.flow_run.id), parameters, catalog, parent=parent)
    run.flow_run = context.flow_run
    run.outcomes = Outcomes(parent.outcomes if parent else None)
    run.options = launched.options if launched else parent.options if parent else RunOptions()
    run.budget = parent.budget if parent else Budget.of(workspace.settings, run.options)
    if run.options.plan:
        run.cost_plan = (parent.cost_plan if parent else None) or CostPlan()
    if launched is not None:
        launched.run = run
    TaskRegistry.observe_flow(flow.name, parent.flow_name if parent else None)
    watched = launched.watch(run.outcomes) if launched and launched.watch else nullcontext()
    with (
        entered(run),
        run_log(run),
        shared_limits(run),
        _setting(launch, None),
        watched,
        _recorded(run, workspace),
        on_server(run, context),
    ):
        yield _Running(flow, run)


@contextmanager
def _recorded(run: Run, workspace: Workspace) -> Iterator[None]:
    if run.cost_plan is not None:
        yield  # a plan is not a run: what was recorded last stays the last run
        return
    info = RunInfo(
        run_id=run.run_id,
        flow_name=run.flow_name,
        started_at=time.time(),
        parent_run_id=run.parent.run_id if run.parent else None,
        run_name=run.flow_run.name,
        parameters=run.parameters.values,
        configuration={"parameters": run.parameters.values, "catalog": run.catalog.config},
        environment=workspace.settings.environment,
        command=tuple(sys.argv),
    )
    run.recorder = recorder = RunRecorder.start(workspace, info)
    try:
        with recorder.active():
            yield
    except BaseException as error:
        for mapped in run.mapped:
            mapped.stop("The flow ended before the row was begun. Run it again: what is finished is kept.")
        for future in run.submitted:
            future.stop()
        is_failure = isinstance(error, Exception) and not isinstance(error, RunSupersededError)
        outcome: RunOutcome = "failed" if is_failure else "interrupted"
        recorder.finish(outcome, describe_error(error), models=_models(run))
        raise
    else:
        if (failure := run.returned_failure) is None:
            recorder.finish("ok", result_preview=run.result_preview, models=_models(run))
        else:
            recorder.finish("failed", describe_error(failure), models=_models(run))
    finally:
        recorder.flush()


def _models(run: Run) -> dict[str, dict[str, Any]]:
    """What the run used of each model."""
    return {} if run.outcomes is None else {n: used.as_dict() for n, used in run.outcomes.services.items()}


@contextmanager
def _setting(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


@overload
def flow(fn: Callable[P, R], /, *, name: str | None = None, **options: Any) -> Flow[P, R]: ...
@overload
def flow(
    name: str | None = None,
    *,
    input: str | Sequence[str],
    output: str | Sequence[str] | None = None,
    config_schema: type[BaseModel] | None = None,
    **prefect_options: Any,
) -> Callable[[Callable[..., R]], Flow[..., R]]: ...
@overload
def flow(
    name: str | None = None,
    *,
    output: str | Sequence[str] | None = None,
    config_schema: type[BaseModel] | None = None,
    **prefect_options: Any,
) -> Callable[[Callable[P, R]], Flow[P, R]]: ...
def flow(fn_or_name: Any = None, /, **options: Any) -> Any:
    """
    Make a function a flow: configured, fed from the catalog, tracked.

    Args:
        name: The flow's name, which is its folder's name under `flows/`; the function's when omitted.
        input: Datasets that fill parameters: by name where names match, the others in order.
            `other_flow.dataset` names another flow's.
        output: Datasets that the returned value is saved to: one value, a tuple in order, or a mapping by
            name.
        config_schema: Pydantic model that the parameters are validated against when the flow starts.
        prefect_options: Whatever `prefect.flow` takes.

    Raises:
        RegistryError: `input` does not fit the function.
    """
    if fn_or_name is not None and not isinstance(fn_or_name, str):
        return _registered(Flow(fn_or_name, **options))
    name = options.pop("name", fn_or_name)
    return lambda fn: _registered(Flow(fn, name, **options))


flow.from_source = Flow.from_source  # type: ignore[attr-defined]  # Prefect's decorator has it, too


def _registered(made: Flow[Any, Any]) -> Flow[Any, Any]:
    TaskRegistry.add_flow(made.name, made.bare, inputs=made.inputs, outputs=made.outputs)
    return made


def __getattr__(name: str) -> Any:
    """Whatever else `prefect.flows` offers, for scripts that import it from there."""
    return getattr(prefect.flows, name)
