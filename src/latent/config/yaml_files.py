"""YAML files: safe, strict about what is ambiguous, with environment variables filled in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from latent.config.text_files import read_text
from latent.config.variables import Variables
from latent.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Document:
    """What a YAML file says, and which environment variables had a part in it."""

    values: dict[str, Any]
    variables: dict[str, str | None] = field(default_factory=dict)


def load_yaml(
    path: Path,
    label: str | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    keeps_kedro: bool = False,
) -> dict[str, Any]:
    """
    The mapping that a YAML file holds; empty when the file is absent or empty.

    Plain values are read by the rules of YAML 1.2, whose numbers, `true`, `false` and `null` are no
    surprise; `no`, `off` and `017`, which other readers turn into something else, are errors. Dates are
    text. `${VAR}` and `${VAR:default}` stand for environment variables; an empty variable takes the
    default, and `$${VAR}` is plain text.

    Args:
        path: The file.
        label: How messages name it; the path when not given.
        environ: The environment variables; those of the process when not given.
        keeps_kedro: Whether Kedro's `${_name}` and `${globals:name}`, and `$${text}`, are left to the caller.

    Raises:
        ConfigError: Not text, not YAML, not a mapping, a key twice, an unset variable without default, an
            unsafe tag, aliases that grow or refer to themselves; with line, column and what to do.
    """
    return load_document(path, label, environ, keeps_kedro=keeps_kedro).values


def load_document(
    path: Path,
    label: str | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    keeps_kedro: bool = False,
) -> Document:
    """Like `load_yaml`, with the environment variables that the file refers to."""
    label = label or str(path)
    try:
        text = read_text(path, label)
    except (FileNotFoundError, NotADirectoryError):
        return Document({})
    variables = Variables(os.environ if environ is None else environ, keeps_kedro=keeps_kedro)
    values = _parse(text, label, variables)
    if values is None:
        return Document({}, variables.used)
    if not isinstance(values, dict):
        kind = "a list" if isinstance(values, list) else "a single value"
        raise ConfigError(f"{label}:1:1: holds {kind}: it must be a mapping of the form `key: value`.")
    return Document(values, variables.used)


def parse_yaml(text: str, label: str, *, is_strict: bool = True) -> Any:
    """
    The value that `text` stands for by the same rules, but without variables.

    Args:
        is_strict: Whether what is ambiguous is an error. Else, `no` and `017` are texts, of a key that
            stands there twice the last one counts, and a value with a tag that is not plain data is a text.

    Raises:
        ConfigError: It is not YAML, or ambiguous.
    """
    return _parse(text, label, None, is_strict=is_strict)


def _parse(text: str, label: str, variables: Variables | None, *, is_strict: bool = True) -> Any:
    if not text.strip():
        return None
    from latent.config.yaml_loader import parse  # PyYAML is loaded when there is something to read

    return parse(text, label, variables, is_strict=is_strict)
