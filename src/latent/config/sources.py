"""
Where settings come from: `LATENT_*` variables over the settings file over the defaults of the model.

Read by hand, since a message must name the file or the variable that a wrong value came from, unknown
variables must be errors, and importing pydantic-settings takes as long as everything else done here.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_origin

from pydantic import ValidationError

from latent.config.schema import is_model, type_under
from latent.config.settings import Settings
from latent.config.text_files import read_text
from latent.config.validation import Problem, problems_of
from latent.errors import ConfigError, SettingsError
from latent.errors.text import nearest

if TYPE_CHECKING:
    from pathlib import Path

    from latent.config.workspace import Workspace

PREFIX = "LATENT_"
WORKER_VARIABLES = {f"LATENT_WORKER_{name}" for name in ("POOL", "NAME", "CONCURRENCY", "DRAIN", "HEALTH")}
"""Options of `latent worker` and `latent serve`: those of one process, and not of the workspace."""

NOT_SETTINGS = frozenset({"LATENT_WORKSPACE", "LATENT_DEBUG", "LATENT_LIMITS_DIR"} | WORKER_VARIABLES)
"""Variables that say where things lie, and how errors are told, before there are settings."""

KeyPath = tuple[str, ...]


def read_settings(
    workspace: Workspace, environ: Mapping[str, str] | None = None, model: type[Settings] = Settings
) -> Settings:
    """
    The validated settings of `workspace`; `workspace.settings` is the same, read once.

    Args:
        workspace: Whose settings file is read.
        environ: The environment variables; those of the process when not given.
        model: What settings there are.

    Raises:
        SettingsError: Values that cannot be used, or unknown names; one line each with where it stands.
        ConfigError: The file is not TOML, or there are several.
    """
    environ = os.environ if environ is None else environ
    file = workspace.settings_file
    label = workspace.label(file) if file else ""
    values = read_toml(file, label) if file else {}
    sources: dict[KeyPath, str] = {}
    problems: list[Problem] = []
    for variable in sorted(name for name in environ if name.startswith(PREFIX) and name not in NOT_SETTINGS):
        if environ[variable]:  # an empty variable is what a shell or a compose file makes of an unset one
            try:
                sources[_put(values, model, variable, environ[variable])] = variable
            except _UnknownVariableError as error:
                problems.append(Problem(variable, str(error), type="unknown_variable"))
    try:
        settings = model.model_validate(values)
    except ValidationError as error:
        problems += problems_of(error, model, lambda path: _source(path, sources, label))
    if problems:
        raise SettingsError(tuple(problem.line() for problem in problems))
    return settings


def read_toml(path: Path, label: str) -> dict[str, Any]:
    """
    The tables of a TOML file.

    Raises:
        ConfigError: It is not text, or not TOML; with line and column.
    """
    try:
        return tomllib.loads(read_text(path, label))
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        # Before Python 3.14 the position stands in the message only.
        if at := re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL):
            raise ConfigError(f"{label}:{at[2]}:{at[3]}: not valid TOML: {at[1]}.") from error
        raise ConfigError(f"{label}: not valid TOML: {message}.") from error
    except RecursionError as error:
        raise ConfigError(f"{label}: not valid TOML: nested too deeply.") from error


class _UnknownVariableError(Exception):
    """A LATENT_ variable that names no setting."""


def _put(values: dict[str, Any], model: type[Settings], variable: str, text: str) -> KeyPath:
    """Set what `variable` stands for in `values`; returns the path of the setting."""
    parts = variable.removeprefix(PREFIX).lower().split("__")
    annotation: Any = model
    table = values
    path: KeyPath = ()
    for depth, part in enumerate(parts):
        if not is_model(annotation) and get_origin(annotation) is not dict:
            whole = PREFIX + "__".join(parts[:depth]).upper()
            raise _UnknownVariableError(f"no setting has this variable, {whole} is set as a whole")
        known = list(annotation.model_fields if is_model(annotation) else table)
        name = next((name for name in known if _folded(name) == _folded(part)), None)
        if name is None and is_model(annotation):
            raise _UnknownVariableError(_unknown(parts[:depth], part, known))
        path = (*path, name or part)
        annotation = type_under(annotation, path[-1])
        if depth < len(parts) - 1:
            if not isinstance(table.get(path[-1]), dict):
                table[path[-1]] = {}
            table = table[path[-1]]
    table[path[-1]] = _value(text, annotation)
    return path


def _value(text: str, annotation: Any) -> object:
    """A table or list is written as in TOML; anything else is text that the model turns into its type."""
    if is_model(annotation) or get_origin(annotation) in (dict, list, tuple):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text  # the model says what it expected
    return text


def _folded(name: str) -> str:
    # The name of a shell's variable cannot hold the dash of a table like [limits.openai-embeddings].
    return name.lower().replace("-", "_")


def _unknown(parents: list[str], part: str, known: list[str]) -> str:
    near = nearest(part, known)
    names = [PREFIX + "__".join([*parents, name]).upper() for name in ([near] if near else sorted(known))]
    hint = f"did you mean {names[0]}?" if near else f"known here: {', '.join(names)}"
    return f"no setting has this variable, {hint}"


def _source(path: KeyPath, sources: Mapping[KeyPath, str], label: str) -> str:
    for length in range(len(path), 0, -1):
        if variable := sources.get(path[:length]):
            return f"the environment variable {variable}"
    return label
