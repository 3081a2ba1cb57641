"""Any storable value as JSON values, in which `{"$": tag, "v": ...}` marks what JSON has no type for."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from importlib import import_module
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from latent.cache.classes import class_name
from latent.errors import UnstorableError

Attachments = list[bytes]
"""Raw bytes beside the tree, named in it by their number."""

MARK = "$"

_ARRAY_LIBRARIES = frozenset({"numpy", "pandas", "pyarrow", "polars"})
_PATHS = {kind.__name__: kind for kind in (PurePath, PurePosixPath, PureWindowsPath)}
_FACTORIES = {kind.__name__: kind for kind in (list, dict, set, int, float, str)}


def to_tree(value: Any, attachments: Attachments) -> Any:
    """
    The tree for `value`; bytes and arrays are appended to `attachments`.

    Raises:
        UnstorableError: Some part of the value would not come back exactly; its path says which.
    """
    kind = type(value)
    if kind is str:
        return (
            value
            if value.isascii() or _is_encodable(value)
            else _marked("str", value.encode("utf-8", "surrogatepass").hex())
        )
    if kind is bool or value is None:
        return value
    if kind is int:
        return value if -(2**63) <= value < 2**63 else _marked("int", f"{value:x}")
    if kind is float:
        return value if math.isfinite(value) else _marked("float", repr(value))
    if kind is list:
        return _each(value, attachments)
    if kind is dict:
        return _dict_to_tree(value, attachments)
    if writer := _WRITERS.get(kind):
        tag, content = writer(value, attachments)
        return _marked(tag, content)
    return _other_to_tree(value, attachments)


def from_tree(tree: Any, attachments: Attachments) -> Any:
    """The value that `to_tree` was given."""
    if type(tree) is list:
        return [from_tree(item, attachments) for item in tree]
    if type(tree) is not dict:
        return tree
    tag = tree.get(MARK)
    if tag is None:
        return {key: from_tree(item, attachments) for key, item in tree.items()}
    reader = _READERS.get(tag) or import_module(_LATER_READERS[tag]).READERS[tag]
    return reader(tree["v"], attachments)


def unstorable(value: object, reason: str, path: str = "") -> UnstorableError:
    """The error for a value that no writer takes."""
    return UnstorableError(path, class_name(type(value)), reason)


def inside(error: UnstorableError, step: str) -> UnstorableError:
    """The same error, seen from one level further out."""
    return UnstorableError(step + error.path, error.kind, error.reason)


def named_to_tree(items: Iterable[tuple[str, Any]], attachments: Attachments) -> list[Any]:
    """Named values, such as fields, as pairs."""
    pairs = []
    for name, item in items:
        try:
            pairs.append([name, to_tree(item, attachments)])
        except UnstorableError as error:
            raise inside(error, f".{name}") from error.__cause__
    return pairs


def _marked(tag: str, content: Any) -> dict[str, Any]:
    return {MARK: tag, "v": content}


def _is_encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _each(values: Iterable[Any], attachments: Attachments) -> list[Any]:
    items: list[Any] = []
    for item in values:
        try:
            items.append(to_tree(item, attachments))
        except UnstorableError as error:
            raise inside(error, f"[{len(items)}]") from error.__cause__
    return items


def _dict_to_tree(value: dict[Any, Any], attachments: Attachments) -> Any:
    pairs = _pairs(value, attachments)
    # A user's own "$" must not be taken for a mark.
    if MARK not in value and all(type(key) is str and _is_encodable(key) for key in value):
        return dict(pairs)
    return _marked("dict", pairs)


def _pairs(value: dict[Any, Any], attachments: Attachments) -> list[Any]:
    pairs = []
    for key, item in value.items():
        try:
            pairs.append([to_tree(key, attachments), to_tree(item, attachments)])
        except UnstorableError as error:
            raise inside(error, f"[{key!r:.60}]") from error.__cause__
    return pairs


def _other_to_tree(value: Any, attachments: Attachments) -> Any:
    kind = type(value)
    if isinstance(value, Enum):
        module = "latent.cache.object_trees"
    elif kind.__module__.partition(".")[0] in _ARRAY_LIBRARIES:
        module = "latent.cache.array_trees"
    else:
        module = "latent.cache.object_trees"
    tag, content = import_module(module).write(value, attachments)
    return _marked(tag, content)


def attach(data: bytes, attachments: Attachments) -> int:
    """The number under which the tree names these bytes."""
    attachments.append(data)
    return len(attachments) - 1


def zone_to_tree(value: dt.tzinfo | None) -> Any:
    """A time zone that can be found again: none, a key of the zone data, or a fixed offset in seconds."""
    if value is None:
        return None
    if type(value) is ZoneInfo and value.key is not None:
        return value.key
    # A fixed offset may carry a name of its own, which would be lost.
    if type(value) is dt.timezone and str(value) == str(dt.timezone(offset := value.utcoffset(None))):
        return offset.total_seconds()
    raise unstorable(value, "only zones of `zoneinfo` and fixed offsets can be found again")


def zone_from_tree(tree: Any) -> dt.tzinfo | None:
    """The time zone that `zone_to_tree` was given."""
    if isinstance(tree, str):
        return ZoneInfo(tree)
    if tree is None:
        return None
    return dt.UTC if tree == 0 else dt.timezone(dt.timedelta(seconds=tree))


def _write_time(value: dt.datetime | dt.time, attachments: Attachments) -> tuple[str, Any]:
    content = [value.replace(tzinfo=None).isoformat(), value.fold, zone_to_tree(value.tzinfo)]
    return type(value).__name__, content


def _read_datetime(tree: Any, attachments: Attachments) -> dt.datetime:
    return dt.datetime.fromisoformat(tree[0]).replace(fold=tree[1], tzinfo=zone_from_tree(tree[2]))


def _read_time(tree: Any, attachments: Attachments) -> dt.time:
    return dt.time.fromisoformat(tree[0]).replace(fold=tree[1], tzinfo=zone_from_tree(tree[2]))


def _write_defaultdict(value: defaultdict[Any, Any], attachments: Attachments) -> tuple[str, Any]:
    factory = value.default_factory
    name = None if factory is None else getattr(factory, "__name__", "")
    if name is not None and _FACTORIES.get(name) is not factory:
        raise unstorable(value, "its default factory is not a builtin type")
    return "defaultdict", [name, _pairs(value, attachments)]


def _read_defaultdict(tree: Any, attachments: Attachments) -> defaultdict[Any, Any]:
    factory = None if tree[0] is None else _FACTORIES[tree[0]]
    return defaultdict(factory, _read_pairs(tree[1], attachments))


def _read_pairs(tree: Any, attachments: Attachments) -> list[tuple[Any, Any]]:
    return [(from_tree(key, attachments), from_tree(item, attachments)) for key, item in tree]


Writer = Callable[[Any, Attachments], tuple[str, Any]]
Reader = Callable[[Any, Attachments], Any]


def _as_text(tag: str, to_text: Callable[[Any], str] = str) -> Writer:
    return lambda value, attachments: (tag, to_text(value))


def _as_items(tag: str) -> Writer:
    return lambda value, attachments: (tag, _each(value, attachments))


def _as_pairs(tag: str) -> Writer:
    return lambda value, attachments: (tag, _pairs(value, attachments))


_WRITERS: dict[type, Writer] = {
    tuple: _as_items("tuple"),
    set: _as_items("set"),
    frozenset: _as_items("frozenset"),
    deque: lambda value, attachments: ("deque", [_each(value, attachments), value.maxlen]),
    OrderedDict: _as_pairs("OrderedDict"),
    Counter: _as_pairs("Counter"),
    defaultdict: _write_defaultdict,
    bytes: lambda value, attachments: ("bytes", attach(value, attachments)),
    bytearray: lambda value, attachments: ("bytearray", attach(bytes(value), attachments)),
    complex: lambda value, attachments: ("complex", [to_tree(value.real, []), to_tree(value.imag, [])]),
    dt.datetime: _write_time,
    dt.time: _write_time,
    dt.date: _as_text("date"),
    dt.timedelta: lambda value, attachments: ("timedelta", [value.days, value.seconds, value.microseconds]),
    Decimal: _as_text("decimal"),
    Fraction: _as_text("fraction"),
    UUID: _as_text("uuid"),
    range: lambda value, attachments: ("range", [value.start, value.stop, value.step]),
    # A Path is one of the system it was made on; it is made again on the one where it is read.
    PosixPath: lambda value, attachments: ("path", to_tree(str(value), attachments)),
    WindowsPath: lambda value, attachments: ("path", to_tree(str(value), attachments)),
    PurePosixPath: lambda value, attachments: (
        "purepath",
        ["PurePosixPath", to_tree(str(value), attachments)],
    ),
    PureWindowsPath: lambda value, attachments: (
        "purepath",
        ["PureWindowsPath", to_tree(str(value), attachments)],
    ),
    type(...): lambda value, attachments: ("ellipsis", None),
}

_READERS: dict[str, Reader] = {
    "str": lambda tree, attachments: bytes.fromhex(tree).decode("utf-8", "surrogatepass"),
    "int": lambda tree, attachments: int(tree, 16),
    "float": lambda tree, attachments: float(tree),
    "dict": lambda tree, attachments: dict(_read_pairs(tree, attachments)),
    "tuple": lambda tree, attachments: tuple(from_tree(tree, attachments)),
    "set": lambda tree, attachments: set(from_tree(tree, attachments)),
    "frozenset": lambda tree, attachments: frozenset(from_tree(tree, attachments)),
    "deque": lambda tree, attachments: deque(from_tree(tree[0], attachments), tree[1]),
    "OrderedDict": lambda tree, attachments: OrderedDict(_read_pairs(tree, attachments)),
    "Counter": lambda tree, attachments: Counter(dict(_read_pairs(tree, attachments))),
    "defaultdict": _read_defaultdict,
    "bytes": lambda tree, attachments: attachments[tree],
    "bytearray": lambda tree, attachments: bytearray(attachments[tree]),
    "complex": lambda tree, attachments: complex(from_tree(tree[0], []), from_tree(tree[1], [])),
    "datetime": _read_datetime,
    "time": _read_time,
    "date": lambda tree, attachments: dt.date.fromisoformat(tree),
    "timedelta": lambda tree, attachments: dt.timedelta(*tree),
    "decimal": lambda tree, attachments: Decimal(tree),
    "fraction": lambda tree, attachments: Fraction(tree),
    "uuid": lambda tree, attachments: UUID(tree),
    "range": lambda tree, attachments: range(*tree),
    "path": lambda tree, attachments: Path(from_tree(tree, attachments)),
    "purepath": lambda tree, attachments: _PATHS[tree[0]](from_tree(tree[1], attachments)),
    "ellipsis": lambda tree, attachments: ...,
}

_LATER_READERS = {
    **dict.fromkeys(("enum", "flag", "namedtuple", "dataclass", "model"), "latent.cache.object_trees"),
    **dict.fromkeys(
        ("array", "scalar", "frame", "series", "index", "timestamp", "pdtimedelta", "missing", "table"),
        "latent.cache.array_trees",
    ),
    **dict.fromkeys(("batch", "polars", "polarsseries"), "latent.cache.array_trees"),
}
