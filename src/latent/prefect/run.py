"""
One execution of a flow: its parameters, catalog, memory and records.

Every task, checkpoint, log line and read of `params` asks here for the run it belongs to. A context variable
holds it; a thread that user code started itself, and that therefore has no context, reaches the only run of
the process.
"""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from latent.cache.hashing import stable_hash
from latent.cache.memory import Memory, open_memory
from latent.config import (
    Parameters,
    Workspace,
    find_workspace,
    load_flow_parameters,
    load_parameters,
    masker_for,
)
from latent.config.merging import NOTHING, find
from latent.config.stamps import stamp
from latent.errors import CatalogError, UnhashableError
from latent.limits.block import asking_run
from latent.prefect.api import is_in_memory
from latent.prefect.rows.turns import Turns
from latent.prefect.run_options import RunOptions
from latent.tracking.preview import shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prefect.settings.models.tasks import TasksSettings
    from pydantic import BaseModel

    from latent.catalog import Catalog
    from latent.config import Masker
    from latent.prefect.budget import Budget
    from latent.prefect.cost_plan import CostPlan
    from latent.prefect.futures import TaskFuture
    from latent.prefect.outcomes import Outcomes
    from latent.prefect.rows.futures import MappedFutures
    from latent.prefect.usage import ServiceAccount
    from latent.tracking import RunRecorder


class Missing(Enum):
    """Stands for a parameter that does not exist: None is a value."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING

DATASET: Final = "dataset:"
"""Stands before the name of a dataset among what a call depended on."""

FILE: Final = "file:"
"""Stands before the path of a file of the workspace among what a call depended on: a prompt, say."""

NAMES: Final = "*"
"""Stands for the names of all parameters among what a call depended on."""


@dataclass(frozen=True)
class RunReference:
    """What another process needs to work for a run; it travels with each task that a worker executes."""

    root: Path
    run_id: str
    flow_name: str
    parameters: Parameters
    catalog: Catalog
    shares_limits: bool = False
    has_server: bool = True
    """Whether Prefect has a server; the in-memory API takes no events."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if not self.has_server:
            # At arrival: Prefect speaks of the task run before our code is called.
            from latent.prefect.api import drop_events

            drop_events()

    def attach(self) -> Run:
        """The run itself where it lives in this process, else its stand-in, made once for all its tasks."""
        with _registry_lock:
            if (run := _attached.get(self.run_id)) is None:
                workspace = find_workspace(self.root)
                run = Run(workspace, self.flow_name, self.run_id, self.parameters, self.catalog)
                run.shares_limits = self.shares_limits
                _attached[self.run_id] = run
        return run


@dataclass(eq=False)
class Run:
    """One execution of a flow; with an empty `run_id`, the surroundings of a task called outside of one."""

    workspace: Workspace
    flow_name: str
    run_id: str
    parameters: Parameters
    catalog: Catalog
    recorder: RunRecorder | None = None
    parent: Run | None = None
    outcomes: Outcomes | None = None
    budget: Budget | None = None
    """What may still be spent; None outside of flows and in worker processes."""
    shares_limits: bool = False
    """Whether limits take their slots from a Prefect server, in worker processes too."""
    cost_plan: CostPlan | None = None
    """What the run would pay for, when it is only planned; None for a run that does it."""
    options: RunOptions = field(default_factory=RunOptions)
    """What the run was asked for beside its parameters."""
    flow_run: Any = None
    """Prefect's own record of the run; None outside of flows and in worker processes."""
    result_preview: Any = None
    """What the flow returned, shortened."""
    returned_failure: BaseException | None = None
    """Why it failed, when it did so by returning a state."""
    mapped: list[MappedFutures[Any]] = field(default_factory=list)
    """Maps whose rows the flow still has to wait for."""
    submitted: list[TaskFuture[Any]] = field(default_factory=list)
    """Every call that was handed to a task runner: the flow does not end before them."""
    producers: dict[str, list[Any]] = field(default_factory=dict)
    """Submitted work by the dataset that it will save: readers of the dataset wait for it."""
    turns: Turns = field(default_factory=Turns)
    """Which of its maps' batches are with worker processes."""
    asked_again: set[str] = field(default_factory=set)
    """Keys of the calls of models that a refreshed task has made again."""
    _fingerprints: dict[str, str] = field(default_factory=dict)
    _other_flows: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    """Other flows' parameters as they were first read: an edit meanwhile counts for the next run."""

    def spent(self, task_name: str, cost_usd: float) -> None:
        """Book what a call cost on the run's account and its budget."""
        if self.outcomes is not None:
            self.outcomes.spent(task_name, cost_usd)
        if self.budget is not None:
            self.budget.spend(cost_usd)

    def brought(
        self, task_name: str, cost_usd: float | None, used: Mapping[str, ServiceAccount] | None
    ) -> None:
        """Book what a worker process tells of a call: there, nobody counted it."""
        if cost_usd is not None:
            self.spent(task_name, cost_usd)
        if used and self.outcomes is not None:
            self.outcomes.used(used)

    @cached_property
    def prefect_tasks(self) -> TasksSettings:
        """Prefect's settings for tasks, as they were when the run first asked."""
        from prefect.settings import get_current_settings

        return get_current_settings().tasks

    @cached_property
    def memory(self) -> Memory:
        """The workspace's remembered results."""
        return open_memory(self.workspace)

    @cached_property
    def masker(self) -> Masker:
        """Hides the credentials that were known when the run began."""
        return masker_for(self.workspace)

    def preview(self, value: Any) -> Any:
        """A shortened picture of a value for records and errors; texts that are cut are masked first."""
        limit = self.workspace.settings.tracking.preview_chars
        return shorten(value, limit, mask=self.masker.text)

    def parameter(self, name: str) -> Any:
        """
        The value of a parameter, or `MISSING`.

        `a.b` is the flow's own nested key where it has one, else key `b` of flow `a`.
        """
        own = _own_parameter(self.parameters, name)
        if own is not MISSING or "." not in name:
            return own
        flow_name, _, key = name.partition(".")
        if flow_name not in self._other_flows:
            self._other_flows[flow_name] = load_flow_parameters(self.workspace, flow_name)
        values = self._other_flows[flow_name]
        return MISSING if values is None else _dig(values, key.split("."))

    def parameter_fingerprint(self, name: str) -> str:
        """Today's fingerprint of a parameter, or of what else a call depended on while it ran."""
        if name.startswith(DATASET):
            return self.dataset_fingerprint(name.removeprefix(DATASET))
        if name.startswith(FILE):
            return self.file_fingerprint(name.removeprefix(FILE))
        if (known := self._fingerprints.get(name)) is None:
            value = self.parameter_names() if name == NAMES else self.parameter(name)
            known = "missing" if value is MISSING else stable_hash(value)
            self._fingerprints[name] = known
        return known

    def parameter_names(self) -> list[str]:
        """The flow's parameters, those of its schema first."""
        model = self.parameters.model
        fields = [*type(model).model_fields, *(model.model_extra or {})] if model is not None else []
        return list(dict.fromkeys([*fields, *self.parameters.values]))

    def dataset_fingerprint(self, name: str) -> str:
        """Today's fingerprint of a dataset that a call read on the way; one of its own when there is none."""
        try:
            return self.catalog.fingerprint(name)
        except (CatalogError, UnhashableError):
            return "missing"

    def file_fingerprint(self, path: str) -> str:
        """Today's fingerprint of a file, by its path relative to the workspace; one of its own for none."""
        try:
            return stable_hash((self.workspace.root / path).read_bytes())
        except OSError:
            return "missing"

    def read_files(self, files: Iterable[Path]) -> dict[str, str]:
        """What a call has to write down when it reads files of the workspace."""
        labels = [self.workspace.label(file) for file in files]
        return {f"{FILE}{label}": self.file_fingerprint(label) for label in labels}

    def read_datasets(self, fingerprints: Mapping[str, str]) -> dict[str, str]:
        """What a surrounding task has to write down when datasets were read inside of it."""
        if self.workspace.flow_folder(self.flow_name) is None:
            return {f"{DATASET}{name}": known for name, known in fingerprints.items()}
        # The surrounding task may stand in another flow, to which our names mean nothing.
        return {
            f"{DATASET}{name if '.' in name else f'{self.flow_name}.{name}'}": known
            for name, known in fingerprints.items()
        }

    def reference(self) -> RunReference:
        """This run in a form that can be sent to a worker process."""
        return RunReference(
            self.workspace.root,
            self.run_id,
            self.flow_name,
            self.parameters,
            self.catalog,
            self.shares_limits,
            not is_in_memory(),
        )

    def settle_outputs(self, dataset: str) -> None:
        """Wait until everything submitted in this run that saves `dataset` has saved it."""
        for producer in self.producers.pop(dataset, []):
            producer.settle()


def _own_parameter(parameters: Parameters, name: str) -> Any:
    model: BaseModel | None = parameters.model
    first, *rest = name.split(".")
    if model is not None and (first in type(model).model_fields or first in (model.model_extra or {})):
        return _dig(getattr(model, first), rest)
    return _dig(parameters.values, [first, *rest])


def _dig(value: Any, path: list[str]) -> Any:
    """Follow `path` through mappings, lists and models; a key that is not there gives `MISSING`."""
    found = find(value, path)
    return MISSING if found is NOTHING else found


_current: ContextVar[Run | None] = ContextVar("latent_run", default=None)
_live: list[Run] = []
_attached: dict[str, Run] = {}
_surroundings: dict[tuple[Path, str], tuple[Workspace, object, Parameters, Catalog]] = {}
_registry_lock = Lock()


@contextmanager
def entered(run: Run) -> Iterator[Run]:
    """Make `run` the current one; also for threads without a context, while it is the process's innermost."""
    token, asking = _current.set(run), asking_run.set(run.run_id)
    with _registry_lock:
        _live.append(run)
        if run.run_id:
            _attached.setdefault(run.run_id, run)
    try:
        yield run
    finally:
        with _registry_lock:
            _live.remove(run)
            if run not in _live:
                _attached.pop(run.run_id, None)
        _current.reset(token)
        asking_run.reset(asking)


def is_entered(run: Run) -> bool:
    """Whether this context itself is in the run; `current_run` also guesses, by what other threads are in."""
    return _current.get() is run


def current_run() -> Run | None:
    """
    The run this code belongs to; None outside of runs.

    Without a context (a thread of the user's own): the innermost run, when all live runs nest in each other.
    """
    if (run := _current.get()) is not None:
        return run
    with _registry_lock:
        live = list(_live)
    if not live:
        return None
    innermost = live[-1]
    ancestors = set()
    ancestor: Run | None = innermost
    while ancestor is not None:
        ancestors.add(id(ancestor))
        ancestor = ancestor.parent
    return innermost if all(id(run) in ancestors for run in live) else None


def surroundings(file: str | None) -> Run:
    """What a task called outside of a flow stands in now: its workspace, and the flow folder of its file."""
    workspace = workspace_for(file)
    flow_name = _folder_of(file, workspace)
    stamps = tuple(map(stamp, _configuration_files(workspace, flow_name)))
    key = (workspace.root, flow_name)
    known = _surroundings.get(key)
    if known is None or known[:2] != (workspace, stamps):
        known = _surroundings[key] = (workspace, stamps, *configuration(workspace, flow_name=flow_name))
    return Run(workspace, flow_name, "", known[2], known[3])


def _configuration_files(workspace: Workspace, flow_name: str) -> list[Path]:
    folder = workspace.flow_folder(flow_name) if flow_name else None
    places = [workspace.config_dir, *([folder] if folder else [])]
    names = ("global.yaml", "parameters.yaml", "catalog.yaml", "catalog.yml", "credentials.yaml")
    return [place / name for place in places for name in names]


def configuration(
    workspace: Workspace,
    *,
    flow_name: str,
    schema: type[BaseModel] | None = None,
    overrides: Mapping[str, Any] | None = None,
    parent: Run | None = None,
    keeps_lists: bool | None = None,
) -> tuple[Parameters, Catalog]:
    """
    The parameters and the catalog of a flow.

    A flow without a folder inherits those of the run that it is called in. `keeps_lists` is as in
    `load_parameters`.
    """
    from latent.catalog import Catalog

    folder = workspace.flow_folder(flow_name)
    heir = parent if folder is None else None
    parameters = load_parameters(
        workspace,
        flow_name=flow_name,
        folder=folder,
        schema=schema,
        overrides=overrides or {},
        inherited=heir.parameters if heir else None,
        keeps_lists=keeps_lists,
    )
    catalog = Catalog.load(
        workspace, flow_name=flow_name, folder=folder, inherited=heir.catalog if heir else None
    )
    return parameters, catalog


def workspace_for(file: str | None) -> Workspace:
    """The workspace around the current folder, else around `file`; the current folder where there is none."""
    workspace = find_workspace()
    if workspace.found or file is None or _is_ours(file):
        return workspace
    around_file = find_workspace(Path(file).resolve().parent)
    return around_file if around_file.found else workspace


def _is_ours(file: str) -> bool:
    """Whether a file comes with latent, whose ready flows run in the user's folder."""
    return Path(file).resolve().is_relative_to(Path(__file__).resolve().parents[1])


def _folder_of(file: str | None, workspace: Workspace) -> str:
    """The name of the flow folder that `file` lies in; empty outside of them."""
    if file is None:
        return ""
    try:
        return Path(file).resolve().relative_to(workspace.flows_dir.resolve()).parts[0]
    except (ValueError, IndexError):
        return ""


def file_of(fn: Callable[..., Any]) -> str | None:
    """The file that a function is written in; None for what has no Python code."""
    code = getattr(inspect.unwrap(fn), "__code__", None)
    return code.co_filename if code else None
