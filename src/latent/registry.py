"""
What flows and tasks exist, and how data runs between them.

Decorators enter their functions here when a flow file is imported; a flow's tasks are those that its function
can reach, in the order in which they were defined, and those that were seen to run in it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from inspect import getattr_static
from pathlib import Path
from threading import RLock
from types import CodeType
from typing import Any, ClassVar

from latent.errors import RegistryError

_TITLE = "=== 🌳 Canopy Pipeline Topology ==="


@dataclass(frozen=True, eq=False)
class RegisteredTask:
    """One task as its decorator described it."""

    name: str
    fn: Callable[..., Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    scope: tuple[str, str]
    """Where its name must be its own: the flow folder, or the file and the function that it is defined in."""
    limit: str | None = None
    """The limit that its calls take part in."""


@dataclass(eq=False)
class RegisteredFlow:
    """One flow as its decorator described it, and what was seen to run in it."""

    name: str
    fn: Callable[..., Any] | None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    seen_tasks: dict[str, RegisteredTask] = field(default_factory=dict)
    seen_subflows: dict[str, None] = field(default_factory=dict)


class TaskRegistry:
    """The flows and tasks of this process."""

    _tasks: ClassVar[dict[tuple[tuple[str, str], str], RegisteredTask]] = {}
    _flows: ClassVar[dict[str, RegisteredFlow]] = {}
    _has_services: ClassVar[bool] = False
    _lock: ClassVar[RLock] = RLock()

    @classmethod
    def add_task(
        cls,
        name: str,
        fn: Callable[..., Any],
        *,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        limit: str | None = None,
    ) -> RegisteredTask:
        """
        Enter a task; entering the same function again (a reload, a notebook cell) replaces it.

        Raises:
            RegistryError: Another function of the same flow has a task of this name.
        """
        entry = RegisteredTask(name, fn, inputs, outputs, _scope_of(fn), limit)
        key = (entry.scope, name)
        with cls._lock:
            known = cls._tasks.get(key)
            if known is not None and not _is_same_place(known.fn, fn):
                raise RegistryError(
                    f"Two tasks are called {name!r}: {_place(known.fn)} and {_place(fn)}. "
                    "Names tell results, spans and metrics of one flow apart: rename one of them."
                )
            cls._tasks.pop(key, None)
            cls._tasks[key] = entry
        return entry

    @classmethod
    def add_flow(
        cls, name: str, fn: Callable[..., Any], *, inputs: tuple[str, ...], outputs: tuple[str, ...]
    ) -> None:
        """Enter a flow; entering its name again replaces it."""
        with cls._lock:
            cls._flows[name] = RegisteredFlow(name, fn, inputs, outputs)

    @classmethod
    def observe_task(cls, flow_name: str, name: str, fn: Callable[..., Any]) -> None:
        """Note that a task ran in a flow: the flow's function may not have shown it."""
        with cls._lock:
            entry = cls._tasks.get((_scope_of(fn), name))
            flow = cls._flows.get(flow_name)
            if entry is not None and flow is not None:
                flow.seen_tasks.setdefault(name, entry)

    @classmethod
    def observe_flow(cls, name: str, parent: str | None) -> None:
        """Note that a flow ran, and in which other."""
        with cls._lock:
            cls._flows.setdefault(name, RegisteredFlow(name, None))
            if parent in cls._flows and parent != name:
                cls._flows[parent].seen_subflows[name] = None

    @classmethod
    def clear(cls) -> None:
        """Forget all flows and tasks."""
        with cls._lock:
            cls._tasks.clear()
            cls._flows.clear()
            cls._has_services = False

    @classmethod
    def tasks_of(cls, flow_name: str) -> list[RegisteredTask]:
        """The tasks of a flow in the order of their definition."""
        with cls._lock:
            flow = cls._flows[flow_name]
            found = {id(task): task for task in _reachable(flow.fn) if isinstance(task, RegisteredTask)}
            found |= {id(task): task for task in flow.seen_tasks.values()}
            return [task for task in cls._tasks.values() if id(task) in found]

    @classmethod
    def task_names(cls) -> list[str]:
        """The names of all tasks, also of those that no flow's function shows before it runs."""
        with cls._lock:
            return list(dict.fromkeys(task.name for task in cls._tasks.values()))

    @classmethod
    def note_service(cls) -> None:
        """Note that something is called that is not a task of the user's: a model."""
        cls._has_services = True

    @classmethod
    def is_any_paid(cls) -> bool:
        """Whether there are calls of services: tasks that take part in a limit, or models."""
        with cls._lock:
            return cls._has_services or any(task.limit is not None for task in cls._tasks.values())

    @classmethod
    def subflows_of(cls, flow_name: str) -> list[str]:
        """The flows that a flow calls."""
        with cls._lock:
            flow = cls._flows[flow_name]
            reached = [found.name for found in _reachable(flow.fn) if isinstance(found, RegisteredFlow)]
            return [name for name in dict.fromkeys([*reached, *flow.seen_subflows]) if name != flow_name]

    @classmethod
    def to_dict(cls, flow: str | None = None) -> dict[str, Any]:
        """The topology: by flow its datasets, its subflows and its tasks with theirs."""
        with cls._lock:
            return {
                name: {
                    "inputs": list(entry.inputs),
                    "outputs": list(entry.outputs),
                    "subflows": cls.subflows_of(name),
                    "tasks": [
                        {"name": t.name, "inputs": list(t.inputs), "outputs": list(t.outputs)}
                        for t in cls.tasks_of(name)
                    ],
                }
                for name, entry in cls._flows.items()
                if flow in (None, name)
            }

    @classmethod
    def ascii(cls, flow: str | None = None) -> str:
        """The topology as text."""
        lines = [_TITLE]
        for name, entry in cls.to_dict(flow).items():
            lines += ["", f"📦 Flow: {name}"]
            lines += [f"  ⬇️  in: {dataset}" for dataset in entry["inputs"]]
            lines += [f"  ⬆️  out: {dataset}" for dataset in entry["outputs"]]
            lines += [f"  ├── 📦 {subflow}" for subflow in entry["subflows"]]
            for task in entry["tasks"]:
                lines.append(f"  ├── ⚙️  {task['name']}")
                lines += [f"  │    ⬇️  in: {dataset}" for dataset in task["inputs"]]
                lines += [f"  │    ⬆️  out: {dataset}" for dataset in task["outputs"]]
        return "\n".join(lines)

    @classmethod
    def print_ascii(cls, flow: str | None = None) -> None:
        """Print the topology."""
        print(cls.ascii(flow))  # noqa: T201  # printing is what it is for

    @classmethod
    def to_mermaid(cls, flow: str | None = None) -> str:
        """The topology as a Mermaid flowchart: datasets, tasks, and the flows that share them."""
        return "\n".join(["flowchart LR", *_mermaid_lines(cls.to_dict(flow))])


def _mermaid_lines(topology: dict[str, Any]) -> Iterator[str]:
    datasets: dict[str, str] = {}
    edges: list[str] = []

    def dataset_node(flow: str, name: str) -> str:
        owner, _, rest = name.partition(".")
        full = name if rest and owner in topology else f"{flow}.{name}"
        return datasets.setdefault(full, f"d{len(datasets)}")

    for number, (flow, entry) in enumerate(topology.items()):
        yield f'    subgraph f{number}["{flow}"]'
        if not entry["tasks"]:
            yield f'        f{number}body(["{flow}"])'
        for index, task in enumerate(entry["tasks"]):
            yield f'        f{number}t{index}(["{task["name"]}"])'
            edges += [f"    {dataset_node(flow, d)} --> f{number}t{index}" for d in task["inputs"]]
            edges += [f"    f{number}t{index} --> {dataset_node(flow, d)}" for d in task["outputs"]]
        yield "    end"
        edges += [f"    {dataset_node(flow, d)} --> f{number}" for d in entry["inputs"]]
        edges += [f"    f{number} --> {dataset_node(flow, d)}" for d in entry["outputs"]]
        names = list(topology)
        edges += [f"    f{number} -.-> f{names.index(s)}" for s in entry["subflows"] if s in topology]
    for name, node in datasets.items():
        yield f'    {node}[("{name}")]'
    yield from dict.fromkeys(edges)


def _reachable(fn: Callable[..., Any] | None) -> Iterator[RegisteredTask | RegisteredFlow]:
    """The tasks and flows that a function names, directly or through what else its file defines."""
    by_fn: dict[int, RegisteredTask | RegisteredFlow] = {id(t.fn): t for t in TaskRegistry._tasks.values()}
    by_fn |= {id(f.fn): f for f in TaskRegistry._flows.values() if f.fn is not None}
    seen: set[int] = set()
    waiting = [fn] if fn is not None else []
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        for value in _named_values(current):
            # Statically: objects such as `params` answer for any attribute, or refuse to.
            bare = getattr_static(value, "bare", None) or getattr_static(value, "fn", None)
            if bare is not None and id(bare) in by_fn:
                yield by_fn[id(bare)]
            elif inspect.isfunction(value) and _file(value) == _file(current):
                waiting.append(value)
            elif inspect.isclass(value):
                methods = filter(inspect.isfunction, vars(value).values())
                waiting.extend(method for method in methods if _file(method) == _file(current))


def _named_values(fn: Callable[..., Any]) -> Iterator[Any]:
    """The values of the global and captured names in a function's code, in the order of mention."""
    fn = inspect.unwrap(fn)
    code = getattr(fn, "__code__", None)
    if code is None:
        return
    captured = dict(zip(code.co_freevars, getattr(fn, "__closure__", None) or (), strict=False))
    for name in _names(code):
        if name in captured:
            try:
                yield captured[name].cell_contents
            except ValueError:  # a name that is not bound yet
                continue
        elif name in fn.__globals__:
            yield fn.__globals__[name]


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_freevars
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _scope_of(fn: Callable[..., Any]) -> tuple[str, str]:
    """The flow folder a function's file lies in; elsewhere its file and the function that encloses it."""
    file = _file(fn)
    parts = Path(file).parts
    enclosing = getattr(fn, "__qualname__", "").rpartition(".")[0]
    for index in range(len(parts) - 2, 0, -1):
        if parts[index - 1] == "flows":
            return str(Path(*parts[: index + 1])), enclosing
    return file, enclosing


def _file(fn: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(fn), "__code__", None)
    return code.co_filename if code else ""


def _is_same_place(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    return _file(one) == _file(other) and getattr(one, "__qualname__", "") == getattr(
        other, "__qualname__", ""
    )


def _place(fn: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(fn), "__code__", None)
    return f"{fn.__qualname__} ({Path(code.co_filename).name}:{code.co_firstlineno})" if code else repr(fn)
