"""
Parameters of a flow: overrides over its `parameters.yaml` over `global.yaml` over its schema's defaults.

Every value knows the file it came from, so that a message can name it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from latent.config.merging import KeyPath, Layers, as_meant, holds, nested, source_of
from latent.config.stamps import stamp
from latent.config.yaml_files import load_document, load_yaml, parse_yaml
from latent.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel

    from latent.config.workspace import Workspace

OVERRIDE = "run-time override"


@dataclass(frozen=True)
class Parameters:
    """What one flow run is told, merged and validated."""

    flow_name: str
    values: dict[str, Any]
    """With a schema: the validated model's values, beside those global ones that it does not have."""
    sources: dict[str, str] = field(default_factory=dict)
    """Where each value came from, by dotted key: a file, a run-time override or a schema's default."""
    model: BaseModel | None = None
    """The validated `config_schema`; None when the flow has none."""

    def source_of(self, key: str) -> str:
        """Where the value under a dotted key came from; an empty text when there is none."""
        return source_of(tuple(key.split(".")), self.sources)


def load_parameters(
    workspace: Workspace,
    *,
    flow_name: str,
    folder: Path | None,
    schema: type[BaseModel] | None = None,
    overrides: Mapping[str, Any] | None = None,
    inherited: Parameters | None = None,
    keeps_lists: bool | None = None,
) -> Parameters:
    """
    The parameters of a flow that is about to run.

    Args:
        workspace: Where `config/global.yaml` lies.
        flow_name: Named in messages.
        folder: The flow's folder, with its `parameters.yaml`; None when it has none.
        schema: The flow's `config_schema`. Keys of `global.yaml` need not be in it; those of the flow's own
            file must.
        overrides: What this run sets, as nested mappings.
        inherited: The parameters of the run that a flow without folder was called in; they take the place of
            `global.yaml`.
        keeps_lists: Whether an override may not put a string in the place of a list; None: where no schema
            says what may stand there.

    Raises:
        ConfigValidationError: The schema refuses values; one line for each.
        ConfigError: A file cannot be read.
    """
    layers = Layers(inherited.values, inherited.sources) if inherited else Layers()
    if inherited is None:
        layers.add(*_file(workspace, workspace.global_parameters_file))
    shared = Layers(layers.values).values
    own: dict[str, Any] = {}
    if folder is not None:
        own, label = _file(workspace, folder / "parameters.yaml")
        own = _without_gates(own)
        layers.add(_spelled(own, layers, schema), label)
    meant = as_meant(
        overrides or {}, layers.values, keeps_lists=schema is None if keeps_lists is None else keeps_lists
    )
    if schema is not None:
        meant = as_meant(_spelled(meant, layers, schema), layers.values)
    layers.override(meant, OVERRIDE)
    if schema is None:
        return Parameters(flow_name, layers.values, layers.sources)

    from latent.config.validation import validate  # pydantic is loaded only for a flow with a schema

    def must_fit(path: KeyPath) -> bool:
        # What all flows share need not be in every schema, also when this run sets it.
        return holds(own, path) or (holds(meant, path) and not holds(shared, path))

    file = folder / "parameters.yaml" if folder else workspace.global_parameters_file
    if_missing = f"set it in {workspace.label(file)}"
    validated = validate(flow_name, layers, schema, must_fit=must_fit, if_missing=if_missing)
    return Parameters(flow_name, *validated)


def _spelled(layer: Mapping[str, Any], layers: Layers, schema: type[BaseModel] | None) -> Mapping[str, Any]:
    """What is laid over `layers`, with the spelling of the names that they have already."""
    if schema is None or not layer or not layers.values:
        return layer
    from latent.config.schema import respelled

    return respelled(layer, layers.values, schema)


GATES = "gates"
"""The key of `parameters.yaml` that is not a parameter: the gates of the flow's evaluations."""


def _without_gates(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != GATES} if GATES in values else values


def load_gates(workspace: Workspace, flow_name: str) -> dict[str, Any]:
    """
    The gates in a flow's `parameters.yaml`, over those in `global.yaml`; empty where there are none.

    Raises:
        ConfigError: They are not a mapping, or a file cannot be read.
    """
    folder = workspace.flow_folder(flow_name)
    files = [workspace.global_parameters_file, *([folder / "parameters.yaml"] if folder else [])]
    found: dict[str, Any] = {}
    for file in files:
        values, label = _file(workspace, file)
        gates = values.get(GATES) or {}
        if not isinstance(gates, dict):
            raise ConfigError(f"{label}: `{GATES}` maps metrics to conditions, not {gates!r}.")

        found |= gates
    return found


def load_flow_parameters(workspace: Workspace, flow_name: str) -> dict[str, Any] | None:
    """
    What another flow's `parameters.yaml` over `global.yaml` says; None when there is no such flow.

    The mapping is shared between callers until a file or a variable in it changes: read it, do not change it.

    Raises:
        ConfigError: A file cannot be read.
    """
    folder = workspace.flow_folder(flow_name)
    if folder is None:
        return None
    files = (workspace.global_parameters_file, folder / "parameters.yaml")
    stamps = tuple(stamp(file) for file in files)
    with _known_lock:
        known = _known.get(folder)
    if known and known.stamps == stamps and all(os.environ.get(name) == was for name, was in known.variables):
        return known.values
    layers, variables = Layers(), dict[str, str | None]()
    for file in files:
        document = load_document(file, workspace.label(file))
        layers.add(_without_gates(document.values), workspace.label(file))
        variables |= document.variables
    with _known_lock:
        _known[folder] = _Known(stamps, tuple(variables.items()), layers.values)
    return layers.values


def parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    """
    Key path and value of a run-time override: `"a.b=3"` is `(("a", "b"), 3)`.

    A part of the key that holds a dot may stand in quotes: `'"a.b".c=3'` is `(("a.b", "c"), 3)`.
    The value is read as YAML, so `x=` sets null, and a text that YAML would read otherwise needs quotes.

    Raises:
        UsageError: No `=`, an empty key, or a value that is not YAML.
    """
    match = _OVERRIDE.fullmatch(text)
    key, value = (match["key"], match["value"]) if match else (text, "")
    path = (
        tuple(next(filter(None, part.groups()), "").strip() for part in _PART.finditer(key)) if match else ()
    )
    if not all(path) or not path:
        raise UsageError(
            f"{text!r} sets no parameter: write key=value, or outer.inner=value for a nested one."
        )
    try:
        return path, parse_yaml(value, "value")
    except ConfigError as error:
        reason = str(error).partition(": ")[2]
        raise UsageError(
            f"The value of {key.strip()} cannot be read as YAML: {reason} A text goes in quotes, which on a "
            f"command line go in quotes, too: '{key.strip()}=\"...\"'."
        ) from error


_OVERRIDE = re.compile(r"(?P<key>(?:\"[^\"]*\"|'[^']*'|[^=\"'])*)=(?P<value>.*)", re.DOTALL)
_PART = re.compile(r"(?:^|\.)\s*(?:\"([^\"]+)\"|'([^']+)'|([^.]*))\s*(?=\.|$)")


def parse_overrides(texts: Iterable[str]) -> dict[str, Any]:
    """
    Several overrides as the nested mapping that `load_parameters` takes; of one key the last counts.

    Raises:
        UsageError: One is malformed, or a key is set to a value and has keys set inside it.
    """
    overrides: dict[str, Any] = {}
    for text in texts:
        nested(*parse_override(text), overrides)
    return overrides


@dataclass(frozen=True)
class _Known:
    stamps: tuple[object, ...]
    variables: tuple[tuple[str, str | None], ...]
    values: dict[str, Any]


_known: dict[Path, _Known] = {}
_known_lock = Lock()


def _file(workspace: Workspace, file: Path) -> tuple[dict[str, Any], str]:
    label = workspace.label(file)
    return load_yaml(file, label), label
