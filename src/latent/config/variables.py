"""`${VAR}` and `${VAR:default}`: environment variables inside texts and YAML files."""

from __future__ import annotations

import re
from collections.abc import Mapping

from latent.errors import ConfigError

# ${NAME}, ${NAME:default}, and $${NAME} for text that shall stay as it is.
_VARIABLE = re.compile(r"\$(?P<literal>\$)?\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<default>[^}\n]*))?\}")
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
        value = _value(match, environ)
        if value is None:
            raise ConfigError(f"line {text.count(chr(10), 0, match.start()) + 1}: {unset(match['name'])}")
        return value

    return _VARIABLE.sub(replace, text)


class Variables:
    """The variables of one text, between the moment they are marked and the moment they are filled in."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.used: dict[str, str | None] = {}
        """Name and value of each variable that was met; None when it is not set."""
        self._environ = environ
        self._matches: list[re.Match[str]] = []

    def mark(self, text: str) -> str:
        """`text` with a mark in place of every variable."""
        return _VARIABLE.sub(self._mark, text)

    def fill(self, marked: str) -> str:
        """
        `marked` with values in place of the marks.

        Raises:
            LookupError: A variable is not set and has no default; its argument is the name.
        """
        return _MARK.sub(self._fill, marked)

    def restored(self, marked: str) -> str:
        """`marked` as it was written."""
        return _MARK.sub(lambda match: self._matches[int(match[1])][0], marked)

    def _mark(self, match: re.Match[str]) -> str:
        self._matches.append(match)
        if not match["literal"]:
            self.used[match["name"]] = self._environ.get(match["name"])
        return f"\ue000{len(self._matches) - 1}\ue001"

    def _fill(self, mark: re.Match[str]) -> str:
        match = self._matches[int(mark[1])]
        value = _value(match, self._environ)
        if value is None:
            raise LookupError(match["name"])
        return value


def unset(name: str) -> str:
    """What a message says of a variable that has no value."""
    return (
        f"the environment variable {name} is not set: set it, or write a default as in ${{{name}:default}} "
        f"($${{{name}}} is plain text)."
    )


def _value(match: re.Match[str], environ: Mapping[str, str]) -> str | None:
    if match["literal"]:
        return match[0][1:]
    value = environ.get(match["name"])
    if match["default"] is not None:
        return value or match["default"]
    return value
