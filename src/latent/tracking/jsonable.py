"""Any value as JSON can hold it, for lines and files that must always be writable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
_DEPTH = 50


def json_line(content: Mapping[str, Any]) -> bytes:
    """`content` as one line of JSON; what JSON cannot hold is written as text."""
    try:
        return orjson.dumps(content, default=_default, option=_OPTIONS) + b"\n"
    except (TypeError, ValueError):
        # A lone surrogate, an integer beyond 64 bits or a loop: rare, so a slower way may be taken.
        return orjson.dumps(plain(content)) + b"\n"


def plain(value: Any, depth: int = _DEPTH) -> Any:
    """`value` made of JSON's own types only; models and dataclasses by their fields, the rest as text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value).encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int):
        return int(value) if value.bit_length() <= 63 else hex(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if depth == 0:
        return f"<{type(value).__qualname__}>"
    if isinstance(value, Mapping):
        return {str(plain(str(key))): plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, depth - 1) for item in value]
    if hasattr(type(value), "model_fields") or hasattr(type(value), "__dataclass_fields__"):
        names = getattr(type(value), "model_fields", None) or type(value).__dataclass_fields__
        return {name: plain(getattr(value, name, None), depth - 1) for name in names}
    return plain(_text(value))


def read_lines(content: bytes) -> list[dict[str, Any]]:
    """The JSON objects in `content`, one a line; a line that is none (a damaged disk) is left out."""
    found = []
    for line in content.split(b"\n"):
        try:
            value = orjson.loads(line) if line else None
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def _default(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    return _text(value)


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # a user's __str__ may raise, and the line must still be written
        return f"<{type(value).__qualname__}>"
