"""Whether anything that a fingerprint was made from has changed since, without making it again."""

from __future__ import annotations

import builtins
import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import CellType, CodeType, FunctionType
from typing import Any
from uuid import UUID

from latent.cache.hashing import is_hashable_type, stable_hash
from latent.errors import UnhashableError

MISSING: Any = type("Missing", (), {"__repr__": lambda self: "MISSING"})()
"""The value of a name that has none."""

_CONSTANT = (
    type(None), bool, int, float, complex, str, bytes, dt.date, dt.time, dt.timedelta, Decimal, UUID,
    PurePath, re.Pattern, Enum, range,
)  # fmt: skip


class Watch:
    """The places that a fingerprint was read from, with what stood there."""

    def __init__(self) -> None:
        self._names: list[tuple[Mapping[str, Any], str, Any]] = []
        self._cells: list[tuple[CellType, Any]] = []
        self._functions: list[tuple[FunctionType, CodeType, Any, Any]] = []
        self._sizes: list[tuple[Mapping[str, Any], int]] = []
        self._slots: list[tuple[Any, str, Any]] = []
        self._data: list[tuple[Any, str]] = []
        self._can_tell = True

    def look_up(self, names: Mapping[str, Any], name: str) -> Any:
        """The value of a name, noted; `MISSING` when it has none."""
        value = names.get(name, MISSING)
        self._names.append((names, name, value))
        return value

    def look_into(self, cell: CellType) -> Any:
        """The value of a captured variable, noted; `MISSING` while it has none."""
        value = cell_content(cell)
        self._cells.append((cell, value))
        return value

    def note_function(self, fn: FunctionType) -> None:
        """Its code and defaults can be replaced."""
        self._functions.append((fn, fn.__code__, fn.__defaults__, fn.__kwdefaults__))

    def note_size(self, names: Mapping[str, Any]) -> None:
        """Names may be added."""
        self._sizes.append((names, len(names)))

    def note_slot(self, value: Any, name: str, item: Any) -> None:
        """An attribute that does not lie in a mapping."""
        self._slots.append((value, name, item))

    def note_data(self, value: Any, known: str | None) -> None:
        """A value that can change in place; parts without a hash of their own are noted by themselves."""
        if is_hashable_type(type(value)) and not _is_fixed(value):
            self._data.append((value, known or _hash(value)))

    def give_up(self) -> None:
        """There is something whose changes cannot be seen from outside."""
        self._can_tell = False

    def holds(self) -> bool:
        """Whether everything is as it was."""
        # Loops, since this runs before each remembered call.
        for names, name, value in self._names:
            if names.get(name, MISSING) is not value:
                return False
        for cell, value in self._cells:
            if cell_content(cell) is not value:
                return False
        for fn, code, defaults, named in self._functions:
            if fn.__code__ is not code or fn.__defaults__ is not defaults or fn.__kwdefaults__ is not named:
                return False
        for names, size in self._sizes:
            if len(names) != size:
                return False
        for owner, name, value in self._slots:
            if getattr(owner, name, MISSING) is not value:
                return False
        return self._can_tell and all(_hash(value) == known for value, known in self._data)


def is_builtin(name: str) -> bool:
    """Whether Python itself gives a name its meaning where a module does not."""
    return hasattr(builtins, name)


def cell_content(cell: CellType) -> Any:
    """The value of a captured variable; `MISSING` while it has none."""
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


def _is_fixed(value: Any) -> bool:
    """Whether a value can never change in place."""
    return isinstance(value, _CONSTANT) or (type(value) is tuple and all(map(_is_fixed, value)))


def _hash(value: Any) -> str:
    try:
        return stable_hash(value, _identity)
    except UnhashableError:
        return _identity(value)  # it contains itself


def _identity(value: Any) -> str:
    return f"{type(value).__name__} {id(value)}"
