"""
Kedro's interpolation in catalog files: `${_name}` and `${globals:name}`.

What Kedro takes from elsewhere is refused by name: a path with a dollar sign in it is never meant.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from latent.config.merging import NOTHING, find
from latent.errors import ConfigError, DatasetConfigError, did_you_mean

_EXPRESSION = re.compile(r"\$(?P<literal>\$)?\{(?P<what>[^${}\n]*)\}")
_GLOBAL = re.compile(r"globals *: *([^,]*[^, ]) *(?:, *(.*))?")
_FILE = "config/globals.yml"
_DEEPEST = 20
"""Templates that name each other go no deeper."""


class Interpolation:
    """
    Fills in the expressions of one catalog.

    Args:
        templates: What stands under names that begin with an underscore.
        read_globals: Gives what Kedro's `globals.yml` holds.
    """

    def __init__(self, templates: Mapping[str, Any], read_globals: Callable[[], Mapping[str, Any]]) -> None:
        self._templates, self._read_globals = templates, read_globals

    def filled(self, name: str, file: str, value: Any, depth: int = 0) -> Any:
        """
        `value` with the expressions in its strings replaced; one that is a whole string may be of any type.

        Raises:
            DatasetConfigError: An expression stands for nothing, or is none that is known here.
        """
        if isinstance(value, Mapping):
            return {key: self.filled(name, file, inner, depth) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.filled(name, file, inner, depth) for inner in value]
        if not isinstance(value, str) or "${" not in value:
            return value
        if depth > _DEEPEST:
            raise DatasetConfigError(name, file, f"{value!r} stands for itself, or is nested too deeply.")

        def fill(match: re.Match[str]) -> Any:
            if match["literal"]:
                return match[0][1:]
            try:
                found = self._found(match["what"].strip())
            except (LookupError, ConfigError) as error:
                raise DatasetConfigError(name, file, f"{match[0]}: {error.args[0]}") from error
            return self.filled(name, file, deepcopy(found), depth + 1)

        if whole := _EXPRESSION.fullmatch(value):
            return fill(whole)
        return _EXPRESSION.sub(lambda match: _text(name, file, match[0], fill(match)), value)

    def _found(self, expression: str) -> Any:
        if expression.startswith("_"):
            found = find(self._templates, expression.split("."))
            found = os.environ.get(expression, NOTHING) if found is NOTHING else found
            if found is NOTHING:
                hint = did_you_mean(
                    expression, self._templates, "write it into the catalog, at the top level."
                )
                raise LookupError(f"there is no {expression!r} in the catalog: {hint}")
            return found
        if match := _GLOBAL.fullmatch(expression):
            known = self._read_globals()
            found = find(known, match[1].split("."))
            if found is not NOTHING:
                return found
            if match[2] is not None:
                from latent.config.yaml_files import parse_yaml

                return parse_yaml(match[2], "the default")
            hint = did_you_mean(match[1], map(str, known), "add it there, or write a default behind a comma.")
            raise LookupError(f"there is no {match[1]!r} in {_FILE}: {hint}")
        raise LookupError(
            "of Kedro's interpolation, only ${_name} and ${globals:name} are supported here. Write an "
            "environment variable, as in ${NAME:default}, or the value itself; $${...} is plain text."
        )


def _text(name: str, file: str, expression: str, value: Any) -> str:
    if isinstance(value, Mapping | list):
        raise DatasetConfigError(
            name, file, f"{expression} stands for a {type(value).__name__}, which has no place in a text."
        )
    return str(value)
