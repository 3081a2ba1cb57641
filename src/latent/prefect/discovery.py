"""The flows of a workspace: found by their files, imported, and told apart from files that do not load."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from latent.errors import FlowImportError, FlowNotFoundError, RegistryError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from latent.config import Workspace
    from latent.prefect.flows import Flow


@dataclass(frozen=True)
class FoundFlow:
    """One flow of the workspace."""

    name: str
    file: Path
    flow: Flow[..., Any]

    @property
    def doc(self) -> str:
        """The first line of the flow's description; empty without one."""
        text = self.flow.description or sys.modules[self.flow.bare.__module__].__doc__ or ""
        return text.strip().partition("\n")[0]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The datasets it reads."""
        return self.flow.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """The datasets it writes."""
        return self.flow.outputs


@dataclass
class FlowIndex:
    """All flows of a workspace, and the files that could not be loaded."""

    flows: dict[str, FoundFlow] = field(default_factory=dict)
    errors: list[FlowImportError] = field(default_factory=list)


def discover(workspace: Workspace) -> FlowIndex:
    """
    Import every `flows/*/flow.py`; one that does not load is listed beside the flows that do.

    Raises:
        RegistryError: Two files define a flow of the same name.
    """
    index = FlowIndex()
    for name, folder in workspace.flow_folders().items():
        try:
            found = _flows_in(workspace, name, folder)
        except FlowImportError as error:
            index.errors.append(error)
            continue
        for each in found:
            if (other := index.flows.get(each.name)) is not None:
                raise RegistryError(
                    f"Two flows are called {each.name!r}: in {_shown(other.file, workspace)} and "
                    f"{_shown(each.file, workspace)}. Rename one of them."
                )
            index.flows[each.name] = each
    return index


def find_flow(workspace: Workspace, name: str, ready: Mapping[str, str] = MappingProxyType({})) -> FoundFlow:
    """
    One flow by its name; imports no other flow's file when the flow has a folder of its own.

    Args:
        ready: Flows that need no file in the workspace: modules by name. A folder of that name comes first.

    Raises:
        FlowNotFoundError: No file defines it.
        FlowImportError: Its file cannot be loaded.
        RegistryError: Two files define a flow of this name.
    """
    if (folder := workspace.flow_folder(name)) is not None and (folder / "flow.py").exists():
        entry = folder.name
        flows = {found.name: found for found in _flows_in(workspace, entry, folder)}
        return flows[_entry_name(flows, entry)]
    if (module := ready.get(name.replace("-", "_"))) is not None:
        return _ready_flow(name.replace("-", "_"), module)
    index = discover(workspace)
    if name in index.flows:
        return index.flows[name]
    # The flow may well stand in a file that does not load.
    broken = "".join(f" (besides, {error})" for error in index.errors[:1])
    known = (*index.flows, *workspace.flow_folders(), *ready)
    raise FlowNotFoundError(name, known, f"{workspace.root.name}{broken}")


def _ready_flow(name: str, module: str) -> FoundFlow:
    made = getattr(importlib.import_module(module), name)
    return FoundFlow(made.name, Path(sys.modules[module].__file__ or ""), made)


def _flows_in(workspace: Workspace, name: str, folder: Path) -> list[FoundFlow]:
    file = folder / "flow.py"
    module = _import(workspace, name, file)
    from latent.prefect.flows import Flow

    flows = [
        FoundFlow(value.name, file, value)
        for value in dict.fromkeys(v for v in vars(module).values() if isinstance(v, Flow))
        if _defined_in(value, file)
    ]
    names = [found.name for found in flows]
    if repeated := {n for n in names if names.count(n) > 1}:
        raise RegistryError(
            f"{_shown(file, workspace)} defines flow {sorted(repeated)[0]!r} twice. Rename one of them."
        )
    _entry_name(dict.fromkeys(names), name, file=_shown(file, workspace))
    return flows


def _entry_name(flows: dict[str, Any], folder: str, *, file: str = "") -> str:
    """The flow named like its folder; `-` and `_` are the same here: Prefect writes names with dashes."""
    for name in flows:
        if name.replace("-", "_") == folder.replace("-", "_"):
            return name
    defined = ", ".join(map(repr, flows)) or "none"
    raise FlowImportError(
        file,
        None,
        f"it defines no flow {folder!r} (flows here: {defined}). Name one @flow({folder!r}).",
    )


def _import(workspace: Workspace, name: str, file: Path) -> ModuleType:
    """Import a flow file as `flows.<name>.flow`: neighbours and worker processes find it by this name."""
    root = str(workspace.root)
    if sys.path[:1] != [root]:
        sys.path[:] = [root, *(place for place in sys.path if place != root)]
    _forget_other_workspaces(workspace)
    try:
        return importlib.import_module(f"flows.{name}.flow")
    except SyntaxError as error:
        where = Path(error.filename) if error.filename else file
        raise FlowImportError(
            _shown(where, workspace), error.lineno, f"{type(error).__name__}: {error.msg}"
        ) from error
    except RegistryError as error:
        raise FlowImportError(_shown(file, workspace), _line_in(error, workspace), str(error)) from error
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        raise FlowImportError(_shown(file, workspace), _line_in(error, workspace), reason) from error


def _forget_other_workspaces(workspace: Workspace) -> None:
    """Modules of another workspace's `flows/` must not answer for this one's."""
    loaded = [name for name in sys.modules if name == "flows" or name.startswith("flows.")]
    files = [getattr(sys.modules[name], "__file__", None) for name in loaded]
    # The package itself has no file, and one path for all workspaces on `sys.path`.
    if not all(Path(file).resolve().is_relative_to(workspace.flows_dir.resolve()) for file in files if file):
        for name in loaded:
            del sys.modules[name]
    importlib.invalidate_caches()


def _line_in(error: BaseException, workspace: Workspace) -> int | None:
    """The last line of the workspace's own code that led to the error."""
    root = str(workspace.root.resolve())
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if str(Path(frame.filename).resolve()).startswith(root)
    ]
    return lines[-1] if lines else None


def _defined_in(flow: Any, file: Path) -> bool:
    code = getattr(inspect.unwrap(flow.fn), "__code__", None)
    return code is not None and Path(code.co_filename).resolve() == file.resolve()


def _shown(file: Path, workspace: Workspace) -> str:
    try:
        return file.resolve().relative_to(workspace.root.resolve()).as_posix()
    except ValueError:
        return str(file)
