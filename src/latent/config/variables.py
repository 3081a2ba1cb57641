"""`${VAR}` and `${VAR:default}`: environment variables inside texts and YAML files."""

from __future__ import annotations

import re
from collections.abc import Mapping

from latent.errors import ConfigError

# ${NAME}, ${NAME:default}, and $${NAME} for text that shall stay as it is; and what Kedro's files may hold.
_VARIABLE = re.compile(
    r"\$(?P<literal>\$)?\{(?:"
    r"(?P<kedro>(?:globals|runtime_params|oc\.[a-z_.]+)[ ]*:[^}\n]*|_[A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<default>[^}\n]*))?)\}"
)
# In YAML each variable is first replaced by a mark of private characters, which is plain text wherever it
# stands: a value with a colon, a quote or a line break in it cannot change the structure around it.
_MARK = re.compile("\ue000(\\d+)\ue001")


def interpolate(text: str, environ: Mapping[str, str]) -> str:
    """
    `text` with `${VAR}` and `${VAR:default}` replaced, and `$${VAR}` as `${VAR}`.

    Raises:
        ConfigError: A variable is not set and has no default; with the line.
    """

    def replace(match: re.Match[str]) -> str:
        try:
            return _value(match, environ)
        except LookupError as error:
            line = text.count("\n", 0, match.start()) + 1
            raise ConfigError(f"line {line}: {error.args[0]}") from error

    return _VARIABLE.sub(replace, text)


class Variables:
    """The variables of one text, between the moment they are marked and the moment they are filled in."""

    def __init__(self, environ: Mapping[str, str], *, keeps_kedro: bool = False) -> None:
        """
        Args:
            keeps_kedro: Whether Kedro's interpolation, and what is to stay text, is left to the caller.
        """
        self.used: dict[str, str | None] = {}
        """Name and value of each variable that was met; None when it is not set."""
        self._environ = environ
        self._keeps_kedro = keeps_kedro
        self._matches: list[re.Match[str]] = []

    def mark(self, text: str) -> str:
        """`text` with a mark in place of every variable."""
        return _VARIABLE.sub(self._mark, text)

    def fill(self, marked: str) -> str:
        """
        `marked` with values in place of the marks.

        Raises:
            LookupError: A variable is not set and has no default; its argument says so.
        """
        return _MARK.sub(self._fill, marked)

    def restored(self, marked: str) -> str:
        """`marked` as it was written."""
        return _MARK.sub(lambda match: self._matches[int(match[1])][0], marked)

    def _mark(self, match: re.Match[str]) -> str:
        self._matches.append(match)
        if not match["literal"] and (name := _name(match)):
            self.used[name] = self._environ.get(name)
        return f"\ue000{len(self._matches) - 1}\ue001"

    def _fill(self, mark: re.Match[str]) -> str:
        match = self._matches[int(mark[1])]
        if self._keeps_kedro and (match["kedro"] or match["literal"]):
            return match[0]
        return _value(match, self._environ)


def _name(match: re.Match[str]) -> str | None:
    """The environment variable that is meant; None for what is none."""
    kedro: str | None = match["kedro"]
    return match["name"] if kedro is None else None if set(kedro) & {".", ":"} else kedro


def _value(match: re.Match[str], environ: Mapping[str, str]) -> str:
    if match["literal"]:
        return match[0][1:]
    if (name := _name(match)) is None:
        if ":" not in match["kedro"]:
            return match[0]
        raise LookupError(
            f"{match[0]} is Kedro's interpolation, which catalogs alone know here: write the value, or an "
            f"environment variable as ${{NAME:default}} ($${match[0][1:]} is plain text)."
        )
    value = environ.get(name) or match["default"] if match["default"] is not None else environ.get(name)
    if value is None:
        raise LookupError(
            f"the environment variable {name} is not set: set it, or write a default as in "
            f"${{{name}:default}} ($${{{name}}} is plain text)."
        )
    return value
