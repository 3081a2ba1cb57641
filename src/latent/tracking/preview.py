"""
Short, bounded pictures of any value, for spans, errors and the table of tasks.

The cost depends on what is shown, never on the size of the value: a frame is shown by its shape and
columns, a long text by its beginning, an unknown object by its type (its `repr` may be slow, huge or secret).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

Mask = Callable[[str], str]

DEFAULT_LIMIT = 1_000
_DEPTH = 5
_PLAIN_TEXT = (date, datetime, time, timedelta, Decimal, PurePath, UUID, complex)
# A masked text is looked at this far beyond the cut, so that a secret lying across it is recognised whole.
_MARGIN = 512


def shorten(value: Any, limit: int = DEFAULT_LIMIT, *, mask: Mask | None = None) -> Any:
    """
    A JSON value that shows `value` in about `limit` characters; what was left out is said by a marker.

    Args:
        value: Anything. It is read once and never changed.
        limit: Characters of text shown in all; structure (keys, markers) comes on top.
        mask: Hides secrets. Needed here only for texts that are cut, since half a secret is not
            recognised later; whole texts are masked when they are written.
    """
    return _Preview(limit, mask).of(value, _DEPTH)


class _Preview:
    """One preview being made: what may still be shown of it."""

    def __init__(self, limit: int, mask: Mask | None) -> None:
        self.left = limit
        self.mask = mask

    def of(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            return self.text(value)
        if kind is int:
            # Python refuses to print integers of more than 4,300 digits, and nobody reads them.
            return (
                self.spend(value, 8) if value.bit_length() <= 63 else f"<int of {value.bit_length():,} bits>"
            )
        if kind is float:
            # JSON has no NaN and no infinity.
            return self.spend(value, 8) if value - value == 0 else str(value)
        try:
            return self.structure(value, kind, depth)
        except Exception:  # a user's property, iterator or __str__ raised: the preview must not
            return f"<{kind.__qualname__}>"

    def structure(self, value: Any, kind: type, depth: int) -> Any:
        if isinstance(value, Enum):
            return f"{kind.__qualname__}.{value.name}"
        if isinstance(value, str):
            return self.text(str.__str__(value))
        if isinstance(value, (bytes, bytearray, memoryview)):
            return f"<{len(value):,} bytes>"
        if isinstance(value, _PLAIN_TEXT):
            return self.text(str(value))
        if kind.__module__.partition(".")[0] in _TABLE_LIBRARIES:
            return _table(value, kind)
        if isinstance(value, Mapping):
            return self.mapping(value.items(), len(value), depth)
        if isinstance(value, (list, tuple, set, frozenset)):
            return self.sequence(value, depth)
        if is_dataclass(value) and not isinstance(value, type):
            shown = [(f.name, getattr(value, f.name)) for f in fields(value) if f.repr]
            return self.mapping(shown, len(shown), depth)
        if hasattr(kind, "model_fields") and hasattr(value, "model_fields_set"):  # a pydantic model
            shown = [
                (n, value.__dict__[n]) for n, f in kind.model_fields.items() if f.repr and n in value.__dict__
            ]
            return self.mapping(shown, len(shown), depth)
        return f"<{getattr(value, '__qualname__', kind.__qualname__)}>"

    def text(self, text: str) -> str:
        room = max(self.left, 0)
        if len(text) <= room:
            self.left = room - len(text)
            return text
        self.left = 0
        shown = text[:room]
        if self.mask is not None:
            masked = self.mask(text[: room + _MARGIN])
            shown = masked[: max(len(masked) - _MARGIN, 0)] if len(text) > room + _MARGIN else masked[:room]
        return f"{shown}... [{len(text) - room:,} more characters]"

    def mapping(self, items: Any, size: int, depth: int) -> Any:
        if depth == 0:
            return f"<{size:,} entries>"
        shown: dict[str, Any] = {}
        for key, item in items:
            if self.left <= 0:
                shown["..."] = f"{size - len(shown):,} more entries"
                break
            name = key if type(key) is str and len(key) <= 100 else str(_Preview(100, self.mask).of(key, 1))
            self.left -= len(name)
            shown[name] = self.of(item, depth - 1)
        return shown

    def sequence(self, value: Any, depth: int) -> Any:
        if depth == 0:
            return f"<{len(value):,} items>"
        shown: list[Any] = []
        for item in value:
            if self.left <= 0:
                shown.append(f"... {len(value) - len(shown):,} more items")
                break
            self.left -= 2
            shown.append(self.of(item, depth - 1))
        return shown

    def spend(self, value: Any, chars: int) -> Any:
        self.left -= chars
        return value


_TABLE_LIBRARIES = frozenset({"pandas", "polars", "pyarrow", "numpy", "torch", "scipy", "datasets"})
_COLUMNS_SHOWN = 20


def _table(value: Any, kind: type) -> Any:
    """A frame, table or array by shape, types and columns; its cells are not looked at."""
    if kind.__module__ == "numpy" and getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return shorten(value.item())
    name = f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"
    shape = getattr(value, "shape", None)
    if shape is None:
        return f"<{name} of {len(value):,}>" if hasattr(value, "__len__") else f"<{name}>"
    # Asked of the type: a frame may have a column of that name.
    columns = getattr(value, "column_names" if hasattr(kind, "column_names") else "columns", None)
    if columns is None or callable(columns):
        return {
            "type": name,
            "shape": [int(n) for n in shape],
            "dtype": str(getattr(value, "dtype", "unknown")),
        }
    names = [str(_Preview(60, None).of(column, 1)) for column in list(columns[: _COLUMNS_SHOWN + 1])]
    if len(names) > _COLUMNS_SHOWN:
        names[_COLUMNS_SHOWN:] = [f"... {len(columns) - _COLUMNS_SHOWN:,} more columns"]
    return {"type": name, "shape": [int(n) for n in shape], "columns": names}
